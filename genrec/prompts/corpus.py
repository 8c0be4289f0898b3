"""What a small model will read: the texts to train its tokenizer on."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from genrec.data import Dataset, Dialogue
from genrec.prompts.tasks import Tasks, parse

Bools = np.ndarray[Any, np.dtype[np.bool_]]

# Templates are few but stand in every prompt, so their words deserve pieces of their own.
_TEMPLATE_COPIES = 50


def corpus(
    dataset: Dataset, train: Bools, tasks: Tasks, *, dialogues: Sequence[Dialogue] = ()
) -> Iterator[str]:
    """Yield the words of the tasks, the items' attributes, and what train events and talks say.

    Args:
        dataset: The catalogue and the events.
        train: Which events may be learnt from, of shape (events,).
        tasks: The prompts in use.
        dialogues: Talks about items that are learnt from.
    """
    for task in tasks.values():
        for prompt in task.prompts:
            yield from [" ".join(text for text, _ in parse(prompt))] * _TEMPLATE_COPIES
    catalogue = dataset.catalogue
    yield " ".join(catalogue.attributes)
    for row in range(len(catalogue)):
        yield from (str(value) for value in catalogue.describe(row).values())
    rows = np.flatnonzero(train)
    for name in ("text", "summary", "query"):
        column = dataset.interactions.column(name)
        if column is not None:
            yield from column.gather(rows).drop_nulls()
    for dialogue in dialogues:
        yield from (turn.text for turn in dialogue.turns)
