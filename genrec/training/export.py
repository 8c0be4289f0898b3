"""The trained model with whole weights, wherever its run has left them."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate.utils import DistributedType
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.distributed.checkpoint.format_utils import dcp_to_torch_save
from transformers import PreTrainedModel
from transformers.integrations import is_deepspeed_zero3_enabled, unset_hf_deepspeed_config

from genrec.artifacts import ArtifactError
from genrec.optional import require
from genrec.training.checkpoints import load_best, read_whole, set_weights
from genrec.training.shards import in_shards

# What stands before a weight's name in a checkpoint: the wrapping of DDP and that of the loss.
_WRAPPINGS = ("module.model.", "model.", "")


def whole_best(
    model: PreTrainedModel, make: Callable[[], PreTrainedModel], folder: Path
) -> PreTrainedModel:
    """Return the best model of a run with whole weights; one process alone may call it.

    Args:
        model: The model that :func:`genrec.training.train` has trained. It has the best weights
            already, unless they lie in shards.
        make: Makes the model anew, as it was before training.
        folder: Where :class:`genrec.training.BestWeights` kept the best weights.
    """
    if not in_shards(model):
        return model
    if is_deepspeed_zero3_enabled():
        unset_hf_deepspeed_config()  # else transformers cuts whatever it makes into shards
    anew = make()
    load_best(anew, folder)
    return anew


def load_checkpoint(model: nn.Module, folder: Path) -> int:
    """Set the weights of a whole model to those of a checkpoint, and return its step.

    The checkpoint may be of any launch and number of processes: shards are put together.

    Raises:
        ArtifactError: When the checkpoint is damaged, or was trained in another model.
    """
    saved = read_whole(folder)
    weights = _read(folder, kind=saved["kind"])
    trains = {name for name, p in model.named_parameters() if p.requires_grad}
    for wrapping in _WRAPPINGS:
        if trains <= {name.removeprefix(wrapping) for name in weights if name.startswith(wrapping)}:
            bare = {name: weights[wrapping + name] for name in trains}
            set_weights(model, bare, source=folder)
            return int(saved["step"])
    raise ArtifactError(f"{folder} does not fit the model: it lacks weights that train")


def _read(folder: Path, *, kind: str) -> dict[str, Tensor]:
    if kind.startswith(DistributedType.DEEPSPEED.value):
        zero = require(
            "deepspeed.utils.zero_to_fp32", extra="deepspeed", why="a checkpoint of DeepSpeed"
        )
        shards: dict[str, Tensor] = zero.get_fp32_state_dict_from_zero_checkpoint(
            str(folder), "pytorch_model"
        )
        return shards
    if kind == DistributedType.FSDP.value:
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            merged = Path(temporary, "merged.pt")
            dcp_to_torch_save(folder / "pytorch_model_fsdp_0", merged)
            found = torch.load(merged, weights_only=True)
        nested: dict[str, Tensor] = found.get("model", found)
        return nested
    return load_file(folder / "model.safetensors")
