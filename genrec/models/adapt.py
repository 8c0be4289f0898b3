"""Which weights of a language model train.

Whatever the method, the rows of new tokens train on both sides while the rows of old ones stay, and
so do the modules that lead from pictures to text: both are new, so nobody has trained them before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from peft import (
    LoraConfig,
    PeftModel,
    TrainableTokensConfig,
    get_peft_model,
    get_peft_model_state_dict,
    set_peft_model_state_dict,
)
from peft.tuners.trainable_tokens import TrainableTokensLayer
from torch import nn
from transformers import PreTrainedModel

from genrec.models.flamingo import BRIDGE_MODULES
from genrec.models.quantization import is_quantized

_VISION = (*BRIDGE_MODULES, "vision_model")

Method = Literal["full", "lora", "qlora", "cross_attention", "last_layer", "prompt"]


@dataclass(frozen=True, kw_only=True)
class AdaptConfig:
    """How a language model is fine-tuned."""

    method: Method = "full"
    """What trains beside new tokens and what leads from pictures to text: with ``full`` every
    weight; with ``lora`` low-rank updates of the linear layers, and with ``qlora`` the same over
    frozen weights of 4 bits; with ``cross_attention`` nothing (UniMP); with ``last_layer`` the
    decoder's last layer (UniMP, table 7); with ``prompt`` the soft tokens that prompts begin
    with."""

    rank: int = 16
    """Rank of the updates (https://arxiv.org/abs/2106.09685)."""

    alpha: int = 32
    """The updates are scaled by alpha / rank."""

    dropout: float = 0.05
    """Share of the adapters' input that is dropped."""

    target_modules: tuple[str, ...] = ()
    """Names of the linear layers to adapt; empty takes all of the language model's."""

    soft_tokens: int = 20
    """Tokens of a soft prompt (https://arxiv.org/abs/2104.08691), for the method ``prompt``."""

    def __post_init__(self) -> None:
        for name in ("rank", "soft_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must be at least 0 and below 1")

    @property
    def quantized(self) -> bool:
        """Whether the backbone is to be loaded in 4 bits."""
        return self.method == "qlora"

    @property
    def soft_prompt(self) -> int:
        """Soft tokens to add to the vocabulary."""
        return self.soft_tokens if self.method == "prompt" else 0


def adapt(
    model: PreTrainedModel, config: AdaptConfig, *, new_tokens: Sequence[int]
) -> PreTrainedModel:
    """Choose the weights that train.

    With tied embeddings one set of new rows serves the input and the output; a plain list of tokens
    would leave an untied output at random.

    Args:
        model: The language model, with vision or without.
        config: What trains.
        new_tokens: Numbers of the tokens that no pretrained model has seen.

    Raises:
        ValueError: When the method does not fit the model.
    """
    if config.quantized != is_quantized(model):
        have, want = ("4 bits", "full") if is_quantized(model) else ("full precision", "4 bits")
        raise ValueError(
            f"the method {config.method!r} wants weights of {want}, but the model has {have}: "
            "build the backbone with quantized=config.quantized"
        )
    if config.method == "full":
        return model
    bridge = _bridge(model)
    if config.method == "cross_attention" and not bridge:
        raise ValueError(
            f"{type(model).__name__} has no cross-attention to train; give it vision, "
            "or take another method, such as lora"
        )
    kept = [weight for weight in bridge if weight.requires_grad]
    if config.method == "last_layer":
        kept += last_layer(model).parameters()
    model.requires_grad_(False)
    adapters = _adapters(model, config, list(new_tokens))
    adapted = model if adapters is None else get_peft_model(model, adapters)
    for weight in kept:
        weight.requires_grad_(True)
    for module in adapted.modules():
        if isinstance(module, TrainableTokensLayer):
            module.trainable_tokens_delta.float()  # small steps would be lost in bfloat16
    return adapted


def merge(model: PreTrainedModel) -> PreTrainedModel:
    """Fold adapters into the weights; a model without them stays as it is.

    Weights of 4 bits are first written out in full: folded in and rounded to 4 bits again, small
    updates would vanish.
    """
    if not isinstance(model, PeftModel):
        return model
    if not is_quantized(model):
        return model.merge_and_unload()
    config = model.peft_config["default"]
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    plain = model.unload()
    for part in list(plain.modules()):
        if getattr(part, "hf_quantizer", None) is not None:
            part.dequantize()
    adapted = get_peft_model(plain, config)
    set_peft_model_state_dict(adapted, state)
    return adapted.merge_and_unload()


def _adapters(model: PreTrainedModel, config: AdaptConfig, new_tokens: list[int]) -> Any:
    """Make the config for PEFT, or ``None`` where there is nothing for it to do."""
    names = embedding_names(model)
    _refuse_unknown_modules(model, config.target_modules)
    if config.method in ("lora", "qlora"):
        return LoraConfig(
            r=config.rank,
            lora_alpha=config.alpha,
            lora_dropout=config.dropout,
            target_modules=list(config.target_modules) or "all-linear",
            exclude_modules=rf"(.*\.)?({'|'.join(_VISION)})\..*" if _bridge(model) else None,
            trainable_token_indices=dict.fromkeys(names, new_tokens) if new_tokens else None,
            task_type="SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM",
        )
    if not new_tokens:
        return None
    return TrainableTokensConfig(token_indices=new_tokens, target_modules=names)


def _refuse_unknown_modules(model: PreTrainedModel, names: Sequence[str]) -> None:
    modules = dict(model.named_modules())
    for name in names:
        if not any(f".{path}".endswith(f".{name}") for path in modules):
            weighty = {
                path.rpartition(".")[2] for path in modules if hasattr(modules[path], "weight")
            }
            raise ValueError(
                f"target_modules names {name!r}, which {type(model).__name__} does not have; its "
                f"modules with weights are {', '.join(sorted(weighty))}"
            )


def _bridge(model: PreTrainedModel) -> list[nn.Parameter]:
    """Return the weights that lead from pictures to text, with those of an encoder that trains."""
    return [w for name, w in model.named_parameters() if {*_VISION} & {*name.split(".")}]


def last_layer(model: PreTrainedModel) -> nn.Module:
    """Find the last layer of a model's decoder.

    Raises:
        ValueError: When the decoder keeps its layers in no list.
    """
    decoder = model.get_decoder()
    for module in decoder.modules():
        if isinstance(module, nn.ModuleList):
            return module[-1]
    raise ValueError(f"{type(decoder).__name__} has no list of layers to take the last of")


def embedding_names(model: PreTrainedModel) -> list[str]:
    """Name the modules that hold rows of tokens; tied ones once, by the input's name."""
    inputs, outputs = model.get_input_embeddings(), model.get_output_embeddings()
    tied = outputs is None or outputs.weight is inputs.weight
    modules = [inputs] if tied else [inputs, outputs]
    # named_modules tells every module once, so the shared rows of a T5 go by their first name.
    names = {module: name.rpartition(".")[2] for name, module in model.named_modules()}
    return [names[module] for module in modules]


def trainable_share(model: nn.Module) -> tuple[int, int]:
    """Count the weights that train and all weights."""
    # ZeRO-3 may have cut weights into shards while they were loaded.
    sizes = [(getattr(p, "ds_numel", p.numel()), p.requires_grad) for p in model.parameters()]
    return sum(n for n, trains in sizes if trains), sum(n for n, _ in sizes)
