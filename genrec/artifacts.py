"""Files and directories that appear whole or not at all, and fingerprints of what they hold."""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import numpy as np


class ArtifactError(ValueError):
    """An artifact on disk is missing, broken, or does not fit the others."""


@contextlib.contextmanager
def write_directory(path: Path | str) -> Iterator[Path]:
    """Yield an empty temporary directory that becomes ``path`` when the block ends well.

    A directory that stands at ``path`` is replaced in one step; if the block raises, it stays as it
    was and nothing new is left behind. A file is never replaced.
    """
    path = Path(path)
    _refuse_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    temporary.chmod(0o755)
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                sync(file)
        sync(temporary)
        _replace_directory(temporary, path)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _replace_directory(new: Path, path: Path) -> None:
    """Rename ``new`` to ``path``, which rename alone refuses when ``path`` is not empty."""
    if path.exists():
        old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
        path.rename(old / path.name)
        new.rename(path)
        shutil.rmtree(old)
    else:
        new.rename(path)
    sync(path.parent)


def check_writable(path: Path | str, *, sign: str) -> None:
    """Refuse a directory that cannot be written or replaced, before hours are spent on its content.

    Args:
        path: Where :func:`write_directory` is going to write.
        sign: What every artifact of this kind holds, such as ``dataset.json``. A directory that
            has other things in it, and not this, is somebody's work and not replaced.
    """
    path = Path(path)
    _refuse_file(path)
    if path.is_dir() and any(path.iterdir()) and not (path / sign).exists():
        raise ArtifactError(
            f"{path} holds other things and no {sign}, and would be replaced as a whole; "
            "name a folder that is new or empty"
        )
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise ArtifactError(
            f"{path} cannot be written ({error.filename}: {error.strerror}); name another place"
        ) from error


def _refuse_file(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise ArtifactError(f"{path} is a file, and a folder is to stand there; name another one")


@contextlib.contextmanager
def write_file(path: Path | str) -> Iterator[Path]:
    """Yield an empty temporary file beside ``path`` that becomes ``path`` when the block ends well.

    A reader sees the old file or the whole new one; if the block raises, the old one stays.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(0o644)
        sync(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextlib.contextmanager
def write_text_stream(path: Path | str) -> Iterator[TextIO]:
    """Yield an open text file that becomes ``path`` when the block ends well."""
    with write_file(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield file


def write_text(path: Path | str, text: str) -> None:
    """Write a file in one step: a reader sees the old text or the new one, never a part."""
    with write_text_stream(path) as file:
        file.write(text)


def write_json(path: Path | str, value: Any) -> None:
    """Write JSON that a person can read, in one step."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path | str) -> dict[str, Any]:
    """Read a JSON object; an error names the file and what is wrong with it."""
    path = Path(path)
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist; was the step that writes it run?")
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ArtifactError(f"{path} is not readable as JSON: {error}") from error
    if not isinstance(value, dict):
        raise ArtifactError(f"{path} holds a {type(value).__name__}, not an object")
    return value


def fingerprint(*parts: str | bytes | np.ndarray[Any, Any]) -> str:
    """Hash texts, bytes and arrays into 16 hexadecimal digits (the head of their SHA-256).

    Every part is preceded by its type and size, so ``("ab", "c")`` and ``("a", "bc")`` differ.
    """
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            digest.update(f"array {part.dtype.str} {part.shape}".encode())
            digest.update(np.ascontiguousarray(part).tobytes())
        else:
            raw = part.encode() if isinstance(part, str) else part
            digest.update(f"{type(part).__name__} {len(raw)}".encode())
            digest.update(raw)
    return digest.hexdigest()[:16]


def check_same(what: str, ours: str, theirs: str, *, ours_from: str, theirs_from: str) -> None:
    """Refuse two artifacts that were not made for each other.

    Raises:
        ArtifactError: When the fingerprints differ; the message names both sides.
    """
    if ours != theirs:
        raise ArtifactError(
            f"the {what} of {ours_from} is {ours}, but that of {theirs_from} is {theirs}; "
            "they were not made for each other: run the later step again"
        )


def sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk and not only in memory."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
