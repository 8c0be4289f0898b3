"""How new modules get into a language model whose code stays as it is.

A module's ``forward`` is wrapped on the instance and not by a hook: so it runs within whatever
wraps calls, be it gradient checkpointing, a device map, FSDP or DeepSpeed, with weights in place.
"""

import inspect
import types
from typing import Any

from torch import nn
from transformers import PreTrainedModel

from genrec.models.flamingo.fusion import GatedCrossAttention, LateFusion


def add_cross_attention(
    decoder: PreTrainedModel,
    *,
    every_n_layers: int,
    width: int,
    heads: int,
    multiple: int,
    gate: float,
) -> None:
    """Put cross-attention before every n-th layer (Flamingo, section 2.2 and figure 4).

    Raises:
        ValueError: When the decoder hands its layers no argument for the pictures.
    """
    for number, layer in enumerate(_layers(decoder), start=1):
        if number % every_n_layers == 0:
            layer.cross_attention = GatedCrossAttention(
                width, heads=heads, multiple=multiple, gate=gate
            )
        layer.forward = types.MethodType(_layer_forward, layer)


def add_late_fusion(decoder: PreTrainedModel, *, width: int, gate: float) -> None:
    """Add pictures to what a decoder hands to its head."""
    decoder.late_fusion = LateFusion(width, gate=gate)
    decoder.forward = types.MethodType(_decoder_forward, decoder)


def freeze_unused(vision_model: PreTrainedModel, *, entirely: bool) -> None:
    """Stop weights from training: all, or those behind the features, which would get no gradient.

    CLIP's ``post_layernorm`` acts on its pooled output alone, SigLIP's comes before.
    """
    unused = {"pooler", "head"}
    if "siglip" not in vision_model.config.model_type:
        unused.add("post_layernorm")
    for name, weight in vision_model.named_parameters():
        if entirely or unused & set(name.split(".")):
            weight.requires_grad_(False)


def _layer_forward(layer: Any, *args: Any, **kwargs: Any) -> Any:
    """Run a layer after its cross-attention, if it has one."""
    if "pictures" not in kwargs:
        raise TypeError(
            f"no word of pictures reached a {type(layer).__name__}: either its decoder was called "
            "without FlamingoForCausalLM, or it hands its layers no named arguments, as Llama, "
            "Qwen, Gemma, Mistral, Phi and GPT-NeoX do"
        )
    sight = kwargs.pop("pictures")
    if sight is not None and hasattr(layer, "cross_attention"):
        if "hidden_states" in kwargs:
            args = (kwargs.pop("hidden_states"), *args)
        args = (layer.cross_attention(args[0], sight), *args[1:])
    return type(layer).forward(layer, *args, **kwargs)


def _decoder_forward(decoder: Any, *args: Any, **kwargs: Any) -> Any:
    """Run a decoder and add the pictures to its last hidden states."""
    sight = kwargs.pop("pictures")
    out = type(decoder).forward(decoder, *args, **kwargs)
    if sight is not None:
        out.last_hidden_state = decoder.late_fusion(out.last_hidden_state, sight)
    return out


def _layers(decoder: PreTrainedModel) -> nn.ModuleList:
    """Find the layers of a decoder."""
    parameters = inspect.signature(decoder.forward).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        for module in decoder.children():
            if isinstance(module, nn.ModuleList):
                return module
    raise ValueError(
        f"{type(decoder).__name__} has no list of layers that named arguments could reach; take a "
        "decoder such as Llama, Qwen, Gemma, Mistral, Phi or GPT-NeoX"
    )
