"""Questions about dialogues: which item does the recommender of a talk name next?"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from genrec.data import Catalogue, Dialogue
from genrec.eval.asking import Asking
from genrec.eval.harness import score
from genrec.eval.intervals import Ints
from genrec.eval.kinds import kind_of
from genrec.eval.questions import Question, TaskError
from genrec.eval.results import Results
from genrec.recommender import Recommender, Request

CONVERSE: Final = "converse"
"""The task of naming the item that a dialogue asks for."""


@dataclass(frozen=True, eq=False)
class DialogueQuestions:
    """One question for every item that the recommending side of a dialogue names.

    So KBRD's recall counts them (https://arxiv.org/abs/1908.05391). An item that was
    spoken of before is no target and cannot be named: repeating it is a shortcut that looks like
    understanding (https://arxiv.org/abs/2308.10053).
    """

    dialogues: tuple[Dialogue, ...]
    catalogue: Catalogue
    places: Ints | None = None
    """Which of the questions are asked; ``None`` for all."""

    task: str = CONVERSE

    @cached_property
    def _all(self) -> list[tuple[int, int, int]]:
        """Dialogue, turn and target of every question."""
        found = []
        for number, dialogue in enumerate(self.dialogues):
            spoken: set[int] = set()
            for place, turn in enumerate(dialogue.turns):
                new = [item for item in dict.fromkeys(turn.items) if item not in spoken]
                if turn.speaker == "recommender" and place > 0:
                    found += [(number, place, item) for item in new]
                spoken |= set(turn.items)
        return found

    @property
    def event_E(self) -> Ints:
        """The number of each question."""
        return np.arange(len(self._all)) if self.places is None else self.places

    @property
    def user_E(self) -> Ints:
        """The dialogue of each question: what is said in one talk is drawn together."""
        return np.array([self._all[event][0] for event in self.event_E], dtype=np.int64)

    @property
    def items(self) -> int:
        """How many items the catalogue has."""
        return len(self.catalogue)

    def __len__(self) -> int:
        return len(self.event_E)

    def __iter__(self) -> Iterator[Question]:
        for event in self.event_E.tolist():
            number, place, target = self._all[event]
            said = self.dialogues[number].turns[:place]
            spoken = tuple(dict.fromkeys(item for turn in said for item in turn.items))
            request = Request(task=self.task, dialogue=said, exclude=spoken)
            yield Question(event, request, target, float("nan"), "")

    def at(self, place_E: Ints) -> "DialogueQuestions":
        """Keep the questions at some places."""
        return DialogueQuestions(self.dialogues, self.catalogue, self.event_E[place_E])

    def user_name(self, question: Question) -> str:
        """Tell whose dialogue it is."""
        number = self._all[question.event][0]
        return self.dialogues[number].user or f"dialogue {number}"


def evaluate_dialogues(
    recommender: Recommender,
    dialogues: Sequence[Dialogue],
    catalogue: Catalogue,
    *,
    k: int = 10,
    batch_size: int = 256,
    progress: bool = False,
) -> Results:
    """Ask a recommender what comes next in held-out dialogues, and score the rankings.

    Args:
        recommender: Anything that answers the task ``converse``.
        dialogues: Talks that it has not learned from.
        catalogue: The items that they name.
        k: Length of the rankings.
        batch_size: Requests per call of the recommender.
        progress: Whether to show a bar.

    Raises:
        TaskError: When no recommender of the dialogues names an item.
    """
    asked = DialogueQuestions(tuple(dialogues), catalogue)
    if not len(asked):
        raise TaskError(
            f"in {len(dialogues)} dialogues no recommender names an item that was not spoken of "
            "before, so there is nothing to predict"
        )
    how = Asking(batch_size, progress)
    return Results({CONVERSE: score(recommender, asked, kind_of(CONVERSE, k=k), k=k, how=how)})
