"""Which weights of a language model train: all of them, or LoRA and the new tokens' rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from peft import LoraConfig, PeftModel, get_peft_model
from torch import nn
from transformers import PreTrainedModel


@dataclass(frozen=True, kw_only=True)
class AdaptConfig:
    """How a language model is fine-tuned."""

    method: Literal["full", "lora"] = "full"
    """``full`` trains every weight; ``lora`` low-rank updates and the rows of new tokens."""

    rank: int = 16
    """Rank of the updates (https://arxiv.org/abs/2106.09685)."""

    alpha: int = 32
    """The updates are scaled by alpha / rank."""

    dropout: float = 0.05
    """Share of the adapters' input that is dropped."""

    target_modules: tuple[str, ...] = ()
    """Names of the linear layers to adapt; empty takes all of them."""


def adapt(
    model: PreTrainedModel, config: AdaptConfig, *, new_tokens: Sequence[int]
) -> PreTrainedModel:
    """Choose the weights that train; with LoRA, the rows of new tokens train on both sides.

    Rows of old tokens stay as they were. With tied embeddings one set of new rows serves the input
    and the output; a plain list of tokens would leave an untied output at random.
    """
    if config.method == "full":
        return model
    lora = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,
        lora_dropout=config.dropout,
        target_modules=list(config.target_modules) or "all-linear",
        trainable_token_indices={
            name: list(new_tokens) for name in embedding_names(model)
        },
        task_type="SEQ_2_SEQ_LM" if model.config.is_encoder_decoder else "CAUSAL_LM",
    )  # fmt: skip
    return get_peft_model(model, lora)


def merge(model: PreTrainedModel) -> PreTrainedModel:
    """Fold adapters into the weights; a model without them stays as it is."""
    return model.merge_and_unload() if isinstance(model, PeftModel) else model


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
    sizes = [(p.numel(), p.requires_grad) for p in model.parameters()]
    return sum(n for n, trains in sizes if trains), sum(n for n, _ in sizes)
