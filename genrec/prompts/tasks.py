"""Tasks as data: what is asked, in which words, and what kind of answer is expected."""

import difflib
import string
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from genrec.artifacts import fingerprint

Slot = Literal["history", "query", "item", "card"]
Answer = Literal["item", "rating", "text"]

SLOTS: dict[str, str] = {
    "history": "the user's items, oldest first",
    "query": "the words that the user searches for",
    "item": "the semantic ID of the item that is asked about",
    "card": "the semantic ID and the attributes of the item that is asked about",
}
_BUILTIN = Path(__file__).parent / "task_files"

ANSWERS = ("item", "rating", "text")


class TaskError(ValueError):
    """A task's file does not describe a task."""


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
    """``item`` (a semantic ID), ``rating`` or ``text``."""

    unseen: str | None = None
    """A phrasing kept out of training, to test on (P5, https://arxiv.org/abs/2203.13366)."""

    def __post_init__(self) -> None:
        if not self.prompts:
            raise TaskError(f"task {self.name!r} has no prompts; give at least one phrasing")
        if self.answer not in ANSWERS:
            raise TaskError(f"task {self.name!r} answers {self.answer!r}; use one of {ANSWERS}")
        for prompt in (*self.prompts, *([self.unseen] if self.unseen else [])):
            for _, slot in parse(prompt):
                if slot is not None and slot not in SLOTS:
                    near = difflib.get_close_matches(slot, SLOTS, n=1)
                    remedy = f"did you mean {near[0]!r}?" if near else f"there are {list(SLOTS)}"
                    raise TaskError(f"task {self.name!r} uses the slot {slot!r}; {remedy}")

    @property
    def slots(self) -> set[str]:
        """Every slot that some phrasing needs."""
        return {slot for prompt in self.prompts for _, slot in parse(prompt) if slot}


def parse(prompt: str) -> list[tuple[str, str | None]]:
    """Split a prompt into pieces of text, each with the slot that follows it or ``None``."""
    return [(text, slot) for text, slot, _, _ in string.Formatter().parse(prompt)]


def read_task(path: Path) -> Task:
    """Read a task from a YAML file.

    Raises:
        TaskError: When a field is missing, unknown or makes no sense; the message names the file.
    """
    try:
        fields: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
        return Task(**{**fields, "prompts": tuple(fields["prompts"])})
    except (yaml.YAMLError, TypeError, KeyError, TaskError) as error:
        raise TaskError(f"{path} does not describe a task: {error}") from error


class Tasks(dict[str, Task]):
    """Tasks by name: those of the package and those in folders of one's own."""

    @classmethod
    def load(cls, folders: Iterable[Path] = ()) -> "Tasks":
        """Read every ``*.yaml`` of the package and of ``folders``; later files win by name."""
        files = [file for folder in (_BUILTIN, *folders) for file in sorted(folder.glob("*.yaml"))]
        tasks = [read_task(file) for file in files]
        return cls({task.name: task for task in tasks})

    def __missing__(self, name: str) -> Task:
        near = difflib.get_close_matches(name, self, n=1)
        remedy = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(sorted(self))}"
        raise TaskError(f"there is no task {name!r}; {remedy}")

    @property
    def fingerprint(self) -> str:
        """Hash of all words of all tasks."""
        return fingerprint(*(repr(self[name]) for name in sorted(self)))
