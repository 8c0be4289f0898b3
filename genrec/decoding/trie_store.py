"""Tensors and a few facts about them in one safetensors file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from genrec.artifacts import ArtifactError, write_file

FORMAT = "genrec trie 1"


def save_tensors(path: Path | str, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write a file in one step: it is there as a whole, or as it was before."""
    metadata = {"format": FORMAT, "facts": json.dumps(facts)}
    # Two names of one tensor would be refused, and a view would be written whole.
    own = {name: tensor.cpu().contiguous() for name, tensor in tensors.items()}
    with write_file(path) as temporary:
        save_file(own, temporary, metadata)


def load_tensors(path: Path | str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`save_tensors` wrote, mapped into memory.

    Raises:
        ArtifactError: When the file is missing, broken or another one.
    """
    if not Path(path).is_file():
        raise ArtifactError(f"{path} does not exist; TokenTrie.save writes it")
    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ArtifactError(f"{path} holds no index of a catalogue: {error}") from error
    if metadata.get("format") != FORMAT:
        raise ArtifactError(
            f"{path} has the format {metadata.get('format')!r}, not {FORMAT!r}; build it again"
        )
    return tensors, json.loads(metadata["facts"])
