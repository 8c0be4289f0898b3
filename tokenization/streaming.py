"""Features that do not fit into memory: read a few rows at a time, coded as they pass.

Shape letters in this file: N items, B items at a time, F features, L levels.
"""

import os
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from genrec.semantic_ids import Codes
from genrec.tokenization.arrays import Features, Rows
from genrec.tokenization.quantizer import Quantizer

ROWS_AT_ONCE = 16_384
"""Items read and coded at a time."""


class FeatureFile:
    """Features in a ``.npy`` file, of which only the rows asked for enter memory.

    Read, not mapped: a map that scattered rows are taken from holds the pages around each.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        array = np.load(self.path, mmap_mode="r")
        if array.ndim != 2 or not array.flags.c_contiguous:
            raise ValueError(
                f"{path} holds an array of shape {array.shape}, not (items, features) row by row"
            )
        self.shape: tuple[int, ...] = array.shape
        self._dtype = array.dtype
        self._start = int(array.offset)
        self._row_bytes = int(array.shape[1] * array.itemsize)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Rows) -> Features:
        """Read rows that follow each other, or the ones with some numbers, as float32."""
        with self.path.open("rb", buffering=0) as file:
            if isinstance(rows, slice):
                start, stop, _ = rows.indices(len(self))
                count = max(stop - start, 0)
                raw = os.pread(file.fileno(), count * self._row_bytes, self._offset(start))
            else:
                count = len(rows)
                raw = b"".join(
                    os.pread(file.fileno(), self._row_bytes, self._offset(row))
                    for row in rows.tolist()
                )
        if len(raw) != count * self._row_bytes:
            raise ValueError(f"{self.path} is shorter than it was; write the features again")
        values = np.frombuffer(raw, dtype=self._dtype).reshape(count, self.shape[1])
        return values.astype(np.float32)

    def _offset(self, row: int) -> int:
        return self._start + row * self._row_bytes


Rowwise = Tensor | Features | FeatureFile
"""Features in memory or in a file."""


def read_rows(features_NF: Rowwise, rows: slice | Rows) -> Tensor:
    """Give some rows as a float32 tensor, on the features' device if they have one."""
    if isinstance(features_NF, Tensor):
        if isinstance(rows, slice):
            return features_NF[rows]
        return features_NF[torch.from_numpy(rows).to(features_NF.device)]
    return torch.from_numpy(np.ascontiguousarray(features_NF[rows], dtype=np.float32))


def quantize_rows(
    quantizer: Quantizer, features_NF: Rowwise, *, device: str | torch.device | None = None
) -> Codes:
    """Choose the codes of all items, reading the features once and a few rows at a time.

    Memory does not grow with the catalogue, but for the codes themselves.
    """
    codes_NL = np.empty((len(features_NF), len(quantizer.codebook_sizes)), dtype=np.int32)
    for start in range(0, len(codes_NL), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        features_BF = read_rows(features_NF, part).to(device=device)
        codes_NL[part] = quantizer.quantize(features_BF).cpu().numpy()
    return codes_NL
