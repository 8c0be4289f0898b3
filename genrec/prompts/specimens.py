"""Every task as one user of a data set would meet it, before anything is trained.

Shape letters in this file: N items, U users, L levels.
"""

from itertools import islice
from typing import Any

import numpy as np

from genrec.data import DataError, Dataset, Dialogue, leave_one_out
from genrec.prompts.config import PromptConfig
from genrec.prompts.corpus import corpus
from genrec.prompts.mixture import Mixture, MixtureConfig
from genrec.prompts.render import Example, Renderer
from genrec.prompts.sentencepiece import train_tokenizer
from genrec.prompts.tasks import Tasks
from genrec.prompts.vocabulary import Vocabulary
from genrec.recommender import Request, TaskError, Turn
from genrec.semantic_ids import SemanticIds

LEVELS, CODES = 4, 16
"""Of IDs that number the items; more levels where there are more items than these number."""

HISTORY, CANDIDATES = 4, 4
"""How many items a history and a choice show."""


class Specimens:
    """One user of a data set, to whom all tasks are put.

    Of users with just enough items, so that prompts stay short, the seed draws one.
    """

    def __init__(self, dataset: Dataset, *, seed: int) -> None:
        """Draw the user.

        Raises:
            DataError: When all users have too few items.
        """
        events = dataset.interactions
        enough_U = events.events_per_user >= HISTORY + 2
        if not enough_U.any():
            raise DataError(
                f"no user of the data set {dataset.name!r} has the {HISTORY + 2} events that are "
                f"shown; the busiest has {events.events_per_user.max()}"
            )
        least_U = events.events_per_user == events.events_per_user[enough_U].min()
        user = np.random.default_rng(seed).choice(np.flatnonzero(least_U))
        self._train = leave_one_out(events).train & (events.user_of == user)
        self._dataset = dataset
        self._seed = seed
        self.user: list[int] = events.item[self._train].tolist()
        """The items of the user, oldest first, without those that validate and test."""
        self.renderer = numbering_renderer(dataset)

    def write(self, task: str) -> Example:
        """Write what training would read, or ask where the data has nothing to learn a task from.

        Raises:
            ValueError: When the data lacks what the task's prompt tells.
        """
        try:
            mixture = Mixture(
                dataset=self._dataset, train=self._train, renderer=self.renderer,
                weights={task: 1.0}, every_position=True, dialogues=[self._talk()],
                config=MixtureConfig(candidates=CANDIDATES), seed=self._seed,
            )  # fmt: skip
        except TaskError:
            return self.renderer.render(self._made_up(task), phrasing=self._seed)
        # Of a few, the longest prompt tells most.
        return max(islice(mixture.epoch(0), 50), key=lambda example: len(example.prompt))

    def title(self, row: int) -> str:
        """Tell what an item is called."""
        return str(self.renderer.catalogue.describe(row).get("title", "something unnamed"))

    def _made_up(self, task: str) -> Request:
        *past, item = self.user
        words = self.title(item).lower().split()
        return Request(
            task=task, history=tuple(past), item=item, query=" ".join(words[:3]), rating=4.0,
            hint=words[0], review="Just what I was looking for.",
            candidates=tuple(self.user[:CANDIDATES]),
        )  # fmt: skip

    def _talk(self) -> Dialogue:
        one, other, third = self.user[:3]
        return Dialogue((
            Turn("user", f"I like {self.title(one)}. What else is there for me?", (one,)),
            Turn("recommender", f"You may like {self.title(other)}.", (other,)),
            Turn("user", "I have it already."),
            Turn("recommender", "Then take this one.", (third,)),
        ))  # fmt: skip


def numbering_renderer(dataset: Dataset) -> Renderer:
    """Write items with all they have; the semantic IDs merely number them, so none need training.

    An item's number in the catalogue stands in its codes by digits of base 16, largest first.
    """
    count = len(dataset.catalogue)
    levels = max(LEVELS, len(np.base_repr(count - 1, CODES)))
    codes_NL = np.arange(count)[:, None] // CODES ** np.arange(levels)[::-1] % CODES
    ids = SemanticIds(codes_NL.astype(np.int32), (CODES,) * levels)
    tasks, everything = Tasks.load(), np.ones(len(dataset.interactions), dtype=np.bool_)
    tokenizer = train_tokenizer(corpus(dataset, everything, tasks), size=2_000)
    ratings = np.unique(dataset.interactions.rating)
    scale: dict[str, Any] = {"rating_scale": tuple(ratings[~np.isnan(ratings)].tolist())}
    prompts = PromptConfig(
        pictures=bool(dataset.catalogue.has_picture.any()), history_items=HISTORY,
        **(scale if len(ratings) > 1 else {}),
    )  # fmt: skip
    return Renderer(
        vocabulary=Vocabulary.extend(tokenizer, ids), ids=ids, catalogue=dataset.catalogue,
        tasks=tasks, config=prompts,
    )  # fmt: skip
