"""Pictures of items from a folder or a zip file, each checked before it is taken."""

import io
import logging
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

import polars as pl
from PIL import Image
from tqdm import tqdm

from genrec.data.catalogue import PICTURE, Catalogue
from genrec.data.errors import DataError

logger = logging.getLogger(__name__)

SUFFIXES: Final = (".jpg", ".jpeg", ".png")
NAMED_BROKEN: Final = 20
"""How many broken files the report names."""


class Pictures(NamedTuple):
    """The pictures of a catalogue, row by row, and how many are absent and why."""

    column: pl.Series
    report: dict[str, Any]


def read_pictures(path: Path, item_ids: Sequence[str]) -> Pictures:
    """Read the picture ``<item_id>.jpg``, ``.jpeg`` or ``.png`` of every item.

    A picture that does not exist or cannot be decoded is missing: counted, reported, never an
    error, for real catalogues lack some.

    Args:
        path: A folder or a zip file; folders inside it do not matter.
        item_ids: The items of the catalogue, in order.

    Raises:
        DataError: When the folder or zip file cannot be read at all, or holds no picture of any
            item.
    """
    with ExitStack() as stack:
        files = _files(path, stack)
        encoded: list[bytes | None] = []
        broken = []
        for item_id in tqdm(item_ids, "pictures", unit="items", disable=None):
            read = files.get(item_id)
            content = None
            if read is not None:
                content = _sound(read)
                if content is None:
                    broken.append(item_id)
            encoded.append(content)
    present = sum(content is not None for content in encoded)
    missing = sum(item_id not in files for item_id in item_ids)
    if broken:
        logger.warning("%d pictures in %s are broken: %s", len(broken), path, broken[:NAMED_BROKEN])
    if missing == len(item_ids):
        found = f"{len(files)} pictures, but none" if files else "no picture"
        raise DataError(
            f"{path} has {found} of an item; "
            f"they must be named like {item_ids[0]}.jpg, or leave pictures out of the config"
        )
    report = {
        "present": present,
        "missing": missing,
        "broken": len(broken),
        "broken_items": broken[:NAMED_BROKEN],
        "of_no_item": len(files) + missing - len(item_ids),
    }
    return Pictures(pl.Series(PICTURE, encoded, dtype=pl.Binary), report)


def without_broken_pictures(catalogue: Catalogue) -> Catalogue:
    """Take out the pictures that cannot be decoded: their items are as those that have none."""
    if PICTURE not in catalogue.table.columns:
        return catalogue
    encoded = catalogue.table[PICTURE].to_list()
    is_broken = [content is not None and not _decodes(content) for content in encoded]
    if not any(is_broken):
        return catalogue
    broken = [name for name, bad in zip(catalogue.item_ids, is_broken, strict=True) if bad]
    logger.warning("%d pictures are broken: %s", len(broken), broken[:NAMED_BROKEN])
    kept = [None if bad else content for content, bad in zip(encoded, is_broken, strict=True)]
    column = pl.Series(PICTURE, kept, dtype=pl.Binary)
    return Catalogue(catalogue.table.with_columns(column))


def open_picture(catalogue: Catalogue, row: int) -> Image.Image:
    """Decode the picture of an item that has one.

    Raises:
        DataError: When it cannot be decoded, or the item has none; the message names the item.
    """
    name = catalogue.item_ids[row]
    try:
        picture = catalogue.picture(row)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(
            f"the picture of the item {name!r} cannot be decoded ({error}); mend it, or take out "
            "all such by genrec.data.pictures.without_broken_pictures"
        ) from error
    if picture is None:
        raise DataError(f"the item {name!r} has no picture")
    return picture


def _files(path: Path, stack: ExitStack) -> dict[str, Callable[[], bytes]]:
    """Map the stem of every picture file to what reads it."""
    if path.is_dir():
        return {
            file.stem: file.read_bytes
            for file in sorted(path.rglob("*"))
            if file.suffix.lower() in SUFFIXES
        }
    if not path.is_file():
        raise DataError(f"{path} does not exist; give a folder or a zip file of pictures")
    try:
        archive = stack.enter_context(zipfile.ZipFile(path))
    except zipfile.BadZipFile as error:
        raise DataError(f"{path} is no zip file, or breaks off ({error}); copy it again") from error
    return {
        PurePosixPath(name).stem: lambda name=name: archive.read(name)  # type: ignore[misc]
        for name in archive.namelist()
        if PurePosixPath(name).suffix.lower() in SUFFIXES
    }


def _sound(read: Callable[[], bytes]) -> bytes | None:
    """Read a picture; ``None`` where it cannot be decoded to its last pixel."""
    try:
        content = read()
    except (OSError, ValueError, zipfile.BadZipFile, zlib.error):
        return None
    return content if _decodes(content) else None


def _decodes(content: bytes) -> bool:
    try:
        with Image.open(io.BytesIO(content), formats=("JPEG", "PNG")) as image:
            image.load()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return False
    return True
