"""What was made of pictures, kept on disk in parts that each appear whole."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from genrec.artifacts import ArtifactError, fingerprint, write_file

PART_BYTES = 64 * 2**20
"""About how much is computed between two writes, and so lost at most when a run is killed."""


class PictureParts:
    """A growing list of tensors, each a file where there is a folder."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self.tensors: list[Tensor] = []
        self.places: dict[str, tuple[int, int]] = {}
        """Where the picture of a key is: the number of its tensor, and its row there."""
        self._new_keys: list[str] = []
        self._new: list[Tensor] = []
        for file in sorted(folder.glob("*.safetensors")) if folder is not None else ():
            self._append(*_open_part(file))

    def add(self, keys: list[str], made: Tensor) -> None:
        """Take some more, and write what has come together when it is much."""
        self._new_keys += keys
        self._new.append(made)
        if sum(tensor.nbytes for tensor in self._new) >= PART_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what has come together."""
        if not self._new:
            return
        keys, made = self._new_keys, torch.cat(self._new)
        if self._folder is not None:
            keys, made = _open_part(_write_part(self._folder, keys, made))
        self._append(keys, made)
        self._new_keys, self._new = [], []

    def _append(self, keys: list[str], made: Tensor) -> None:
        number = len(self.tensors)
        self.tensors.append(made)
        self.places |= {key: (number, place) for place, key in enumerate(keys)}


def _write_part(folder: Path, keys: list[str], made: Tensor) -> Path:
    path = folder / f"{fingerprint(*keys)}.safetensors"
    with write_file(path) as temporary:
        save_file({"pictures": made.contiguous()}, temporary, {"keys": json.dumps(keys)})
    return path


def _open_part(path: Path) -> tuple[list[str], Tensor]:
    """Map a file into memory: only what is asked for is read."""
    try:
        with safe_open(path, framework="pt") as file:
            return json.loads(file.metadata()["keys"]), file.get_tensor("pictures")
    except (SafetensorError, KeyError, TypeError) as error:
        raise ArtifactError(
            f"{path} holds no pictures of a PictureStore ({error}); delete it, and they are "
            "computed again"
        ) from error
