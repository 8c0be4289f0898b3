"""Semantic IDs: a short tuple of codes for every item, coarsest level first.

The joint of the whole system: tokenization makes it, prompts write it, the trie guards it, eval
reads it.

Shape letters in this file: N items, L levels.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from genrec.artifacts import ArtifactError, fingerprint, read_json

Codes = np.ndarray[Any, np.dtype[np.int32]]

MAX_LEVELS = 26


@dataclass(frozen=True)
class SemanticIds:
    """The codes of all items of a catalogue, row by row.

    A code is written as a token that names its level by a letter: ``<a_183><b_70><c_232><d_6>``.
    """

    codes_NL: Codes
    """Codes of shape (items, levels); the code at level ``l`` is below ``codebook_sizes[l]``."""

    codebook_sizes: tuple[int, ...]
    """Codes per level, coarsest first."""

    def __post_init__(self) -> None:
        codes_NL = np.ascontiguousarray(self.codes_NL, dtype=np.int32)
        object.__setattr__(self, "codes_NL", codes_NL)
        object.__setattr__(self, "codebook_sizes", tuple(int(size) for size in self.codebook_sizes))
        if codes_NL.ndim != 2 or codes_NL.shape[0] == 0:
            raise ValueError(f"codes must have the shape (items, levels), not {codes_NL.shape}")
        levels = codes_NL.shape[1]
        if levels != len(self.codebook_sizes):
            raise ValueError(
                f"codes have {levels} levels, "
                f"but there are {len(self.codebook_sizes)} codebook sizes"
            )
        if not 1 <= levels <= MAX_LEVELS:
            raise ValueError(f"{levels} levels; a letter names each, so 1 to {MAX_LEVELS} work")
        outside = (codes_NL < 0) | (codes_NL >= np.asarray(self.codebook_sizes))
        if outside.any():
            row, level = (int(i) for i in np.argwhere(outside)[0])
            raise ValueError(
                f"item {row} has code {codes_NL[row, level]} at level {level}, "
                f"whose codebook has {self.codebook_sizes[level]} codes"
            )
        codes_NL.setflags(write=False)

    def __len__(self) -> int:
        return int(self.codes_NL.shape[0])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SemanticIds) and self.fingerprint == other.fingerprint

    def __hash__(self) -> int:
        return hash(self.fingerprint)

    @property
    def levels(self) -> int:
        """Length of every ID."""
        return len(self.codebook_sizes)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of all codes and codebook sizes."""
        return fingerprint(self.codes_NL, json.dumps(self.codebook_sizes))

    @cached_property
    def items_per_id(self) -> Codes:
        """How many items share each item's ID, of shape (items,); 1 everywhere if unique."""
        _, inverse, counts = np.unique(
            self.codes_NL, axis=0, return_inverse=True, return_counts=True
        )
        return counts[inverse.reshape(-1)].astype(np.int32)

    @property
    def are_unique(self) -> bool:
        """Whether every item has an ID of its own."""
        return bool((self.items_per_id == 1).all())

    @property
    def tokens(self) -> list[str]:
        """Every token of every level, level by level: the vocabulary that a model must learn."""
        return [
            code_token(level, code)
            for level, size in enumerate(self.codebook_sizes)
            for code in range(size)
        ]

    def text(self, row: int) -> str:
        """Write the ID of an item, such as ``<a_183><b_70><c_232><d_6>``."""
        return "".join(
            code_token(level, int(code)) for level, code in enumerate(self.codes_NL[row])
        )

    def save(self, path: Path | str) -> None:
        """Write the IDs as safetensors, with codebook sizes and hash in the header."""
        metadata = {
            "codebook_sizes": json.dumps(self.codebook_sizes),
            "fingerprint": self.fingerprint,
        }
        save_file({"codes": self.codes_NL}, Path(path), metadata=metadata)

    @classmethod
    def load(cls, path: Path | str) -> "SemanticIds":
        """Read what :meth:`save` wrote.

        Raises:
            ArtifactError: When the file is missing, is no file of semantic IDs, or was changed.
        """
        if not Path(path).is_file():
            raise ArtifactError(f"{path} does not exist; train a tokenizer to make it")
        try:
            with safe_open(str(path), framework="np") as file:
                metadata = file.metadata() or {}
                ids = cls(file.get_tensor("codes"), tuple(json.loads(metadata["codebook_sizes"])))
        except (SafetensorError, KeyError) as error:
            raise ArtifactError(f"{path} does not hold semantic IDs: {error}") from error
        if ids.fingerprint != metadata.get("fingerprint"):
            raise ArtifactError(f"{path} was changed after it was written: its hash does not fit")
        return ids

    @classmethod
    def from_index_json(cls, path: Path | str, codebook_sizes: Sequence[int]) -> "SemanticIds":
        """Read the index that LC-Rec and LETTER publish: the tokens of every item, by its row.

        The file holds ``{"0": ["<a_183>", "<b_70>", "<c_232>", "<d_6>"], ...}``
        (https://github.com/HonghuiBao2000/LETTER).

        Raises:
            ArtifactError: When the file is missing or is no such index, or lacks an item.
        """
        index = read_json(path)
        missing = next((row for row in range(len(index)) if str(row) not in index), None)
        if missing is not None or not index:
            raise ArtifactError(
                f"{path} has {len(index)} items, but none with the key '{missing or 0}'; "
                "keys are the rows of the catalogue, counted from 0"
            )
        rows = [_codes_of(index[str(row)], row, path) for row in range(len(index))]
        try:
            return cls(np.array(rows, dtype=np.int32), tuple(codebook_sizes))
        except ValueError as error:
            raise ArtifactError(f"{path} holds no IDs of this shape: {error}") from error


def _codes_of(tokens: Any, row: int, path: Path | str) -> list[int]:
    """Read the codes of one item from its tokens, each of which names its level."""
    try:
        codes = [int(token[3:-1]) for token in tokens]
    except (TypeError, ValueError):
        codes = []
    if not codes or [code_token(level, code) for level, code in enumerate(codes)] != tokens:
        raise ArtifactError(
            f"{path}: item {row} has {tokens!r}, which are not tokens such as '<a_183>', '<b_70>'"
        )
    return codes


def code_token(level: int, code: int) -> str:
    """Write one code as a token, such as ``<a_183>`` for code 183 of level 0."""
    return f"<{chr(ord('a') + level)}_{code}>"
