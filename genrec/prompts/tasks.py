"""Tasks as data: what is asked, in which words, and what kind of answer is expected."""

import string
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Literal

import yaml

from genrec.artifacts import fingerprint
from genrec.data.errors import did_you_mean
from genrec.recommender import TaskError

Slot = Literal[
    "history", "titles", "query", "item", "card", "title", "description", "picture", "attribute",
    "candidates", "rating", "hint", "review", "dialogue",
]  # fmt: skip
Answer = Literal["item", "items", "rating", "text", "picture"]
Occasion = Literal["item", "event", "dialogue"]

SLOTS: Final[dict[str, str]] = {
    "history": "the user's items, oldest first",
    "titles": "the user's items by their titles alone, oldest first",
    "query": "the words that the user searches for",
    "item": "the semantic ID of the item that is asked about",
    "card": "its semantic ID, its picture and its attributes",
    "title": "its title alone",
    "description": "its picture and its attributes, without its semantic ID",
    "picture": "its picture alone",
    "attribute": "the name of the attribute that is asked for",
    "candidates": "the items to choose among",
    "rating": "the rating that the user gave",
    "hint": "a word that the answer should be about",
    "review": "what the user wrote",
    "dialogue": "what user and recommender said so far",
}
"""What the slots of a prompt stand for."""

ANSWERS: Final[dict[str, tuple[str, ...]]] = {
    "item": ("item",),
    "items": ("items",),
    "rating": ("rating",),
    "text": ("text", "summary", "query", "title", "attribute", "description"),
    "picture": ("picture",),
}
"""The kinds of answer, and for each the parts of the data that may be the right one."""

METRICS: Final[dict[str, tuple[str, ...]]] = {
    "item": ("hr", "recall", "ndcg", "mrr"),
    "items": ("precision", "recall", "f1"),
    "rating": ("mae", "rmse"),
    "text": ("bleu", "rouge", "exact"),
    "picture": (),
}
"""What each kind of answer can be scored by."""

_CALLED: Final[dict[Answer, str]] = {
    "item": "a ranking of items",
    "items": "a choice of items",
    "rating": "a rating",
    "text": "a text",
    "picture": "a picture",
}
_REMEDY: Final[dict[Answer, str]] = {
    "item": "call recommend",
    "items": "call select",
    "rating": "call rate",
    "text": "call generate",
    "picture": "call draw",
}

_BUILTIN = Path(__file__).parent / "task_files"

OF_AN_ITEM: Final = frozenset({"item", "card", "title", "description", "picture", "attribute"})
"""What prompts and answers may take from the catalogue alone."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """One task: its prompts in several phrasings and the kind of its answer."""

    name: str
    """What requests call it."""

    version: int
    """Grows with every change of the words, so that numbers are compared only within one."""

    prompts: tuple[str, ...]
    """Phrasings to train on, with slots such as ``{history}``."""

    answer: Answer
    """``item`` (a semantic ID), ``items`` (any number of them), ``rating``, ``text`` or
    ``picture``."""

    target: str = ""
    """Where in the data the right answer stands, such as ``title``; empty for the answer's kind."""

    inputs: tuple[str, ...] = ()
    """The slots that every phrasing must have; empty leaves them to the phrasings."""

    metrics: tuple[str, ...] = ()
    """What answers are scored by; empty for all that the answer's kind has."""

    unseen: str | None = None
    """A phrasing kept out of training, to test on (P5, https://arxiv.org/abs/2203.13366)."""

    def __post_init__(self) -> None:
        if self.answer not in ANSWERS:
            raise TaskError(
                f"task {self.name!r} answers {self.answer!r}; use one of {tuple(ANSWERS)}"
            )
        object.__setattr__(self, "target", self.target or self.answer)
        for field in ("prompts", "inputs", "metrics"):
            value = getattr(self, field)
            if isinstance(value, str):
                raise TaskError(f"{field} of task {self.name!r} must be a list, not a text")
            object.__setattr__(self, field, tuple(value))
        object.__setattr__(self, "metrics", self.metrics or METRICS[self.answer])
        if not self.prompts:
            raise TaskError(f"task {self.name!r} has no prompts; give at least one phrasing")
        self._refuse_unknown("target", (self.target,), ANSWERS[self.answer])
        self._refuse_unknown("metric", self.metrics, METRICS[self.answer])
        self._refuse_unknown("input", self.inputs, SLOTS)
        for prompt in (*self.prompts, *([self.unseen] if self.unseen else [])):
            slots = [slot for _, slot in parse(prompt) if slot is not None]
            self._refuse_unknown("slot", slots, SLOTS)
            if self.inputs and set(slots) != set(self.inputs):
                raise TaskError(
                    f"task {self.name!r} declares the inputs {list(self.inputs)}, "
                    f"but the phrasing {prompt!r} has the slots {slots}"
                )

    def _refuse_unknown(self, what: str, names: Iterable[str], known: Collection[str]) -> None:
        for name in names:
            if name not in known:
                remedy = did_you_mean(name, known, shown=len(known))
                raise TaskError(f"task {self.name!r} uses the {what} {name!r}; {remedy}")

    @cached_property
    def slots(self) -> frozenset[str]:
        """Every slot that some phrasing needs."""
        return frozenset(slot for prompt in self.prompts for _, slot in parse(prompt) if slot)

    @cached_property
    def occasion(self) -> Occasion:
        """What an example is made of: one item of the catalogue, one event, or one dialogue."""
        if "dialogue" in self.slots:
            return "dialogue"
        return "item" if {*self.slots, self.target} <= OF_AN_ITEM else "event"


def parse(prompt: str) -> list[tuple[str, str | None]]:
    """Split a prompt into pieces of text, each with the slot that follows it or ``None``.

    Raises:
        TaskError: When braces do not match.
    """
    try:
        return [(text, slot) for text, slot, _, _ in string.Formatter().parse(prompt)]
    except ValueError as error:
        raise TaskError(f"the phrasing {prompt!r} cannot be read: {error}") from error


def read_task(path: Path) -> Task:
    """Read a task from a YAML file.

    Raises:
        TaskError: When a field is missing, unknown or makes no sense; the message names the file.
    """
    try:
        fields: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Task(**fields)
    except (yaml.YAMLError, TypeError, TaskError) as error:
        raise TaskError(f"{path} does not describe a task: {error}") from error


class Tasks(dict[str, Task]):
    """Tasks by name: those of the package and those in folders of one's own."""

    @classmethod
    def load(cls, folders: Iterable[Path] = ()) -> "Tasks":
        """Read every ``*.yaml`` of the package and of ``folders``; later files win by name.

        Raises:
            TaskError: When a folder holds no such file, or one that describes no task.
        """
        tasks: list[Task] = []
        for folder in (_BUILTIN, *folders):
            files = sorted(folder.glob("*.yaml"))
            if not files:
                raise TaskError(f"the task folder {folder} does not exist or holds no *.yaml file")
            tasks += map(read_task, files)
        return cls({task.name: task for task in tasks})

    def only(self, names: Iterable[str]) -> "Tasks":
        """Keep some tasks, such as those that a model learns."""
        return Tasks({name: self[name] for name in names})

    def __missing__(self, name: str) -> Task:
        remedy = did_you_mean(name, sorted(self), shown=len(self))
        raise TaskError(f"there is no task {name!r}; {remedy}")

    def check_answer(self, names: Iterable[str], kinds: Iterable[Answer]) -> None:
        """Refuse tasks that are answered in another way than by one of ``kinds``."""
        kinds = tuple(kinds)
        for name in set(names):
            answer = self[name].answer
            if answer not in kinds:
                raise TaskError(
                    f"the task {name!r} is answered by {_CALLED[answer]}, not by "
                    f"{' or '.join(_CALLED[kind] for kind in kinds)}; {_REMEDY[answer]}"
                )

    @property
    def fingerprint(self) -> str:
        """Hash of all words of all tasks."""
        return fingerprint(*(repr(self[name]) for name in sorted(self)))
