"""The weights of a quantizer on disk."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from genrec.artifacts import ArtifactError
from genrec.tokenization.quantizers import AnyQuantizer, build_quantizer, config_from_json


def save_weights(quantizer: AnyQuantizer, path: Path) -> None:
    """Write codebooks and networks as safetensors."""
    state = {name: value.contiguous() for name, value in quantizer.state_dict().items()}
    save_file(state, path)


def load_quantizer(config: Mapping[str, Any], path: Path) -> AnyQuantizer:
    """Build the quantizer that a tokenizer's config.json describes, and read its weights.

    Raises:
        ArtifactError: When the config describes none, or the weights are not of that one.
    """
    try:
        settings = config_from_json(config["method"], config["quantizer"])
    except (KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"the config beside {path} describes no quantizer: {error}") from error
    quantizer = build_quantizer(settings, config["feature_dim"])
    try:
        quantizer.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ArtifactError(f"{path} does not hold this quantizer: {error}") from error
    return quantizer.eval()
