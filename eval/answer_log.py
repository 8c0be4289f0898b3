"""Answers on disk, one JSON line each: what a killed evaluation goes on from.

Every process of an evaluation appends to a file of its own and reads those of all. A kill may cut
the last line of a file; that answer is asked for again.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genrec.artifacts import ArtifactError, read_json, write_json
from genrec.eval.intervals import Ints

_ABOUT = "about.json"


class Line(NamedTuple):
    """One answer as it is kept."""

    event: int
    answer: Any
    seconds: float


class AnswerLog:
    """The answers of one method, task by task."""

    def __init__(self, folder: Path | str, about: Mapping[str, Any]) -> None:
        """Open a folder of answers, or begin one.

        Args:
            folder: Where the answers are.
            about: What they depend on: the data, how questions are put, and which method answers.

        Raises:
            ArtifactError: When answers that depend on something else are there.
        """
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        path, about = self._folder / _ABOUT, json.loads(json.dumps(about))
        if not path.exists():
            write_json(path, about)
        kept = read_json(path)
        for name in sorted(kept.keys() | about.keys()):
            if kept.get(name) != about.get(name):
                raise ArtifactError(
                    f"{self._folder} holds answers with {name} = {kept.get(name)!r}, but this "
                    f"evaluation has {about.get(name)!r}; remove the folder or name another"
                )

    def index(self, task: str, event_E: Ints) -> Ints:
        """Find the answers to some events: file and offset, of shape (E, 2); -1 where none is."""
        place_of = {event: e for e, event in enumerate(event_E.tolist())}
        found_E2 = np.full((len(event_E), 2), -1, dtype=np.int64)
        for number, path in enumerate(self._files(task)):
            for offset, line in _lines(path):
                e = place_of.get(line.event)
                if e is not None:
                    found_E2[e] = number, offset
        return found_E2

    def read(self, task: str, found_E2: Ints) -> Iterator[Line]:
        """Read the answers that an index names, in its order."""
        files = [path.open("rb") for path in self._files(task)]
        try:
            for number, offset in found_E2.tolist():
                files[number].seek(offset)
                yield Line(*json.loads(files[number].readline()))
        finally:
            for file in files:
                file.close()

    @contextmanager
    def writer(self, task: str, process: int) -> "Iterator[_Writer]":
        """Append to the answers of a process, behind the last complete line."""
        path = self._folder / f"{task}.{process:05d}.jsonl"
        path.touch()
        with path.open("r+b") as file:
            complete = sum(len(raw) for raw in file if raw.endswith(b"\n"))
            file.seek(complete)
            file.truncate()
            yield _Writer(file)

    def _files(self, task: str) -> list[Path]:
        return sorted(self._folder.glob(f"{task}.[0-9]*.jsonl"))


class _Writer:
    """An open file of answers."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def write(self, lines: Sequence[Line]) -> None:
        """Append answers, so that a kill from here on does not lose them."""
        text = "".join(json.dumps(list(line), allow_nan=False) + "\n" for line in lines)
        self._file.write(text.encode())
        self._file.flush()


def _lines(path: Path) -> Iterator[tuple[int, Line]]:
    """Yield the complete lines of a file, each with the offset at which it begins."""
    offset = 0
    with path.open("rb") as file:
        for raw in file:
            if not raw.endswith(b"\n"):
                return
            yield offset, Line(*json.loads(raw))
            offset += len(raw)
