"""Questions about dialogues: which item does the recommender of a talk name next, in which words?

A question shows the turns before it and nothing else. An item stands in an answer as the people of
the talk call it, never by its ID: what to name is asked by ``converse``, how to say it by
``reply``.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from genrec.artifacts import fingerprint
from genrec.data import Catalogue, Dialogue
from genrec.eval.answer_log import AnswerLog
from genrec.eval.asking import ALONE, Asking, Recorded
from genrec.eval.harness import score
from genrec.eval.intervals import Ints
from genrec.eval.kinds import kind_of
from genrec.eval.leaks import LeakError
from genrec.eval.processes import Processes
from genrec.eval.questions import NO_ITEM, Bools, Question, Unit
from genrec.eval.results import Results
from genrec.eval.tasks import CONVERSE, DIALOGUE_TASKS, check_tasks
from genrec.eval.texts import TextScorer
from genrec.recommender import Recommender, Request, TaskError
from genrec.semantic_ids import SemanticIds


@dataclass(frozen=True, eq=False)
class DialogueQuestions:
    """One question for every item that the recommending side names, or for all that it says.

    For ``converse`` as KBRD's recall counts them (https://arxiv.org/abs/1908.05391): an item that
    was spoken of before is no target and cannot be named, for repeating it is a shortcut that looks
    like understanding (https://arxiv.org/abs/2308.10053). For ``reply`` every turn of words counts,
    with items or without. Nothing is asked before somebody has spoken.
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
                    if self.task == CONVERSE:
                        found += [(number, place, item) for item in new]
                    elif turn.text.strip():
                        found.append((number, place, new[0] if new else NO_ITEM))
                spoken |= set(turn.items)
        return found

    @property
    def event_E(self) -> Ints:
        """The number of each question."""
        return np.arange(len(self._all)) if self.places is None else self.places

    @property
    def unit(self) -> Unit:
        """See :class:`~genrec.eval.questions.Asked`."""
        return "dialogue"

    @cached_property
    def protocol(self) -> Mapping[str, Any]:
        """See :class:`~genrec.eval.questions.Asked`; the hash of talks and items."""
        talks = fingerprint(self.catalogue.fingerprint, *map(repr, self.dialogues))
        return {"dialogues": talks}

    @property
    def user_E(self) -> Ints:
        """The dialogue of each question: what is said in one talk is drawn together."""
        return np.array([self._all[event][0] for event in self.event_E], dtype=np.int64)

    @property
    def names_items_E(self) -> Bools:
        """Which of the turns that are asked for name items, new ones or not."""
        turns = (self.dialogues[n].turns[p] for n, p, _ in (self._all[e] for e in self.event_E))
        return np.array([bool(turn.items) for turn in turns], dtype=np.bool_)

    @property
    def items(self) -> int:
        """How many items the catalogue has."""
        return len(self.catalogue)

    def __len__(self) -> int:
        return len(self.event_E)

    def __iter__(self) -> Iterator[Question]:
        for event in self.event_E.tolist():
            number, place, target = self._all[event]
            turns = self.dialogues[number].turns
            said, text = turns[:place], "" if self.task == CONVERSE else turns[place].text
            spoken = tuple(dict.fromkeys(item for turn in said for item in turn.items))
            request = Request(task=self.task, dialogue=said, exclude=spoken)
            yield Question(event, request, target, float("nan"), text)

    def at(self, place_E: Ints) -> "DialogueQuestions":
        """Keep the questions at some places."""
        return replace(self, places=self.event_E[place_E])

    def user_name(self, question: Question) -> str:
        """Tell whose dialogue it is."""
        number = self._all[question.event][0]
        return self.dialogues[number].user or f"dialogue {number}"


def evaluate_dialogues(
    recommender: Recommender | Recorded,
    dialogues: Sequence[Dialogue],
    catalogue: Catalogue,
    *,
    tasks: Sequence[str] = (CONVERSE,),
    k: int = 10,
    batch_size: int = 256,
    learned: Sequence[Dialogue] = (),
    ids: SemanticIds | None = None,
    text_scorers: Sequence[TextScorer] = (),
    answers: Path | str | None = None,
    about: Mapping[str, Any] | None = None,
    processes: Processes = ALONE,
    progress: bool = False,
) -> Results:
    """Ask a recommender what comes next in held-out dialogues, and score what it answers.

    Args:
        recommender: Anything that answers the tasks.
        dialogues: Talks that it has not learned from.
        catalogue: The items that they name.
        tasks: ``converse`` ranks the items to name; ``reply`` says the next words, and is scored by
            what the real recommender said.
        k: Length of the rankings.
        batch_size: Requests per call of the recommender.
        learned: Talks that it did learn from, to check that none is among the others.
        ids: The items' semantic IDs, to score hits of IDs beside hits of items.
        text_scorers: Further scores of texts.
        answers: A folder in which answers are kept as they come; see ``evaluate``.
        about: What else kept answers depend on.
        processes: Who shares the work; several need ``answers``.
        progress: Whether to show a bar.

    Raises:
        LeakError: When a dialogue was learned from.
        TaskError: When a task is not about dialogues, or these give nothing to ask.
    """
    _refuse_learned(dialogues, learned)
    log = None
    if answers is not None:
        talks = DialogueQuestions(tuple(dialogues), catalogue).protocol
        log = AnswerLog(answers, {**talks, "k": k, **(about or {})})
    how, results = Asking(batch_size, progress, None, log, processes), {}
    for task in tasks:
        asked = _asked(dialogues, catalogue, task)
        kind = kind_of(task, k=k, ids=ids, text_scorers=text_scorers)
        results[task] = score(recommender, asked, kind, k=k, how=how)
    return Results(results)


def _asked(dialogues: Sequence[Dialogue], catalogue: Catalogue, task: str) -> DialogueQuestions:
    check_tasks([task])
    if task not in DIALOGUE_TASKS:
        raise TaskError(f"{task!r} is not about dialogues; call evaluate")
    asked = DialogueQuestions(tuple(dialogues), catalogue, task=task)
    if not len(asked):
        does = "names an item that was not spoken of before" if task == CONVERSE else "answers"
        raise TaskError(
            f"in {len(dialogues)} dialogues no recommender {does}, so there is nothing to predict"
        )
    return asked


def _refuse_learned(dialogues: Sequence[Dialogue], learned: Sequence[Dialogue]) -> None:
    known = set(learned)
    twice = [number for number, dialogue in enumerate(dialogues) if dialogue in known]
    if twice:
        raise LeakError(
            f"dialogue {twice[0]} is to be predicted, but the recommender learned from it; so for "
            f"{len(twice)} of {len(dialogues)}: hold them out of training"
        )
