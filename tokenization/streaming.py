"""Features that do not fit into memory: read a few rows at a time, coded as they pass.

Shape letters in this file: N items, B items at a time, F features, L levels.
"""

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

    Unlike a memory map that stays open, it keeps no page that was read: memory stays flat however
    many rows pass.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.shape: tuple[int, ...] = np.load(self.path, mmap_mode="r").shape
        if len(self.shape) != 2:
            raise ValueError(f"{path} holds an array of shape {self.shape}, not (items, features)")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: slice | Rows) -> Features:
        """Read some rows as float32."""
        return np.array(np.load(self.path, mmap_mode="r")[rows], dtype=np.float32)


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
