"""What dialogues teach: which item a recommender names next, and what it says.

Shape letters in this file: M lessons.
"""

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from genrec.data import Dialogue
from genrec.prompts.lessons import Lesson
from genrec.prompts.plain_text import clean
from genrec.prompts.tasks import Task
from genrec.prompts.train_log import TrainLog
from genrec.recommender import Request, TaskError


class DialogueLessons:
    """One lesson for every item that a recommender is the first to name, or for all that it says.

    A dialogue of a user of the log is read up to where an item is named that the user's held-out
    events are about. Items named before are the history, where a task tells one.
    """

    def __init__(self, task: Task, log: TrainLog, dialogues: Sequence[Dialogue]) -> None:
        if task.target not in ("item", "text"):
            raise TaskError(
                f"the task {task.name!r} reads a dialogue and answers with the target "
                f"{task.target!r}; dialogues teach to name an 'item' and to say a 'text'"
            )
        self._task = task
        self._dialogues = dialogues
        find = _first_named if task.target == "item" else _said
        number_of = _user_numbers(log, dialogues)
        lessons = [
            (number, *lesson)
            for number, dialogue in enumerate(dialogues)
            for lesson in find(dialogue, log.held_out(number_of.get(dialogue.user)))
        ]
        self._lesson_M = np.asarray(lessons, dtype=np.int32).reshape(-1, 3)

    def __len__(self) -> int:
        return len(self._lesson_M)

    def read(self, number: int, seed: Sequence[int]) -> Lesson:
        """See :class:`Lessons`."""
        dialogue, turn, item = self._lesson_M[number].tolist()
        turns, said = self._dialogues[dialogue].turns[:turn], self._dialogues[dialogue].turns[turn]
        named = tuple(dict.fromkeys(row for before in turns for row in before.items))
        request = Request(task=self._task.name, dialogue=turns, history=named)
        return Lesson(request, item if self._task.target == "item" else said.text)


def _user_numbers(log: TrainLog, dialogues: Sequence[Dialogue]) -> dict[str | None, int]:
    """Number the users of dialogues whom the log knows."""
    talking = {dialogue.user for dialogue in dialogues if dialogue.user is not None}
    if not talking:
        return {}
    users = log.dataset.interactions.users.cast(pl.String)
    return {user: number for number, user in enumerate(users) if user in talking}


def _first_named(dialogue: Dialogue, forbidden: set[int]) -> Iterable[tuple[int, int]]:
    """Yield turn and item where the recommender names something new, after something was said."""
    named: set[int] = set()
    for number, turn in enumerate(dialogue.turns):
        if forbidden & set(turn.items):
            return
        if turn.speaker == "recommender" and number > 0:
            new = dict.fromkeys(item for item in turn.items if item not in named)
            yield from ((number, item) for item in new)
        named |= set(turn.items)


def _said(dialogue: Dialogue, forbidden: set[int]) -> Iterable[tuple[int, int]]:
    """Yield the turns in which the recommender answers in words; -1 stands where an item would."""
    for number, turn in enumerate(dialogue.turns):
        if forbidden & set(turn.items):
            return
        if turn.speaker == "recommender" and number > 0 and clean(turn.text):
            yield number, -1
