"""Item features: texts and pictures, encoded in chunks that a later run finds again.

Shape letters in this file: N items, M of them that have what is encoded, F features.
"""

import contextlib
import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from genrec.artifacts import fingerprint, write_file
from genrec.tokenization.arrays import Features
from genrec.tokenization.encoders import (
    MINILM,
    PictureEncoder,
    TextEncoder,
    blank_picture,
    load_picture_encoder,
    load_text_encoder,
)
from genrec.tokenization.items import Pictures, Texts

ITEMS_AT_ONCE = 1024
"""Items per chunk: what a killed run loses at most, and what is in memory at a time."""

log = logging.getLogger(__name__)

Inputs = Texts | Pictures | Sequence[str]


class Encoded:
    """Features of all items in the chunks of a cache; a row of NaN is an item that lacks them."""

    def __init__(self, inputs: Inputs, encoder: str, cache: Path | str) -> None:
        key = inputs.fingerprint if isinstance(inputs, Texts | Pictures) else None
        parts = inputs if key is None else [key]
        folder = Path(cache) / fingerprint(encoder, *parts)
        count = -(-len(inputs) // ITEMS_AT_ONCE)
        self.paths = [folder / f"{index:06d}.npy" for index in range(count)]
        self._length = len(inputs)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, part: slice) -> Features:
        start, stop, _ = part.indices(len(self))
        pieces = [
            np.load(self.paths[index])[max(start - first, 0) : stop - first]
            for index in range(start // ITEMS_AT_ONCE, -(-stop // ITEMS_AT_ONCE))
            for first in [index * ITEMS_AT_ONCE]
        ]
        return np.concatenate(pieces) if pieces else np.load(self.paths[0])[:0]


def text_features(
    texts: Sequence[str],
    encoder: str = MINILM,
    *,
    cache: Path | str | None = None,
    device: str | torch.device = "cpu",
    progress: bool = False,
) -> Features:
    """Encode texts into vectors of unit length, float32 of shape (N, F).

    Args:
        texts: One per item.
        encoder: See :func:`genrec.tokenization.encoders.load_text_encoder`.
        cache: A directory that keeps every finished chunk under a name that stands for texts and
            encoder: a run that was killed goes on where it was, a finished one is read at once.
        device: Where the encoder runs.
        progress: Show a progress bar.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(cache or stack.enter_context(tempfile.TemporaryDirectory()))
        return encode_chunks(texts, encoder, cache=folder, device=device, progress=progress)[:]


def encode_chunks(
    inputs: Inputs,
    encoder: str,
    *,
    cache: Path | str,
    device: str | torch.device = "cpu",
    progress: bool = False,
    process: int = 0,
    processes: int = 1,
) -> Encoded:
    """Encode the chunks that the cache lacks; of several processes, each takes its share.

    Args:
        inputs: One text or picture per item; only those of one chunk are read at a time.
        encoder: See :mod:`genrec.tokenization.encoders`.
        cache: The directory of the chunks.
        device: Where the encoder runs.
        progress: Show a bar with items per second and the time that is left.
        process: Number of this process.
        processes: How many share the work.

    Returns:
        The features, to be read once all processes are done.

    Raises:
        ValueError: When there is nothing to encode.
    """
    if len(inputs) == 0:
        raise ValueError("there is nothing to encode: no item is given")
    encoded = Encoded(inputs, encoder, cache)
    mine = list(enumerate(encoded.paths))[process::processes]
    missing = [(index, path) for index, path in mine if not path.is_file()]
    if not missing:
        log.info("features of %d items found in %s", len(inputs), cache)
        return encoded
    encode: PictureEncoder | TextEncoder
    blank: str | bytes
    if isinstance(inputs, Pictures):
        encode, blank, what = (
            load_picture_encoder(encoder, device=device),
            blank_picture(),
            "pictures",
        )
    else:
        encode, blank, what = load_text_encoder(encoder, device=device), "", "texts"
    chunks = [(path, slice(i * ITEMS_AT_ONCE, (i + 1) * ITEMS_AT_ONCE)) for i, path in missing]
    total = sum(len(range(*part.indices(len(inputs)))) for _, part in chunks)
    with tqdm(total=total, desc=f"encode {what}", unit="item", disable=not progress) as bar:
        for path, part in chunks:
            values = inputs[part]
            _save(path, _encode(values, encode, blank))
            bar.update(len(values))
    return encoded


def _encode(
    values: Sequence[Any], encode: Callable[[Any], Features], blank: str | bytes
) -> Features:
    """Encode the values that are there; the others become rows of NaN."""
    there = [row for row, value in enumerate(values) if value is not None]
    found_MF = encode([values[row] for row in there] or [blank])
    features_NF = np.full((len(values), found_MF.shape[1]), np.nan, dtype=np.float32)
    features_NF[there] = found_MF[: len(there)]
    return features_NF


def _save(path: Path, features_NF: Features) -> None:
    """Write an array in one step, so that a chunk that exists is a chunk that is whole."""
    with write_file(path) as temporary, temporary.open("wb") as file:
        np.save(file, features_NF)
