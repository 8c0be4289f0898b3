"""The language model: any Hugging Face decoder or encoder-decoder, or a tiny one from scratch."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
    T5Config,
    T5ForConditionalGeneration,
)

from genrec.models.dropout import add_residual_dropout
from genrec.models.quantization import keep_learning, nf4


@dataclass(frozen=True, kw_only=True)
class TinyConfig:
    """A small model with random weights, for catalogues that a laptop trains on."""

    architecture: Literal["llama", "qwen3", "t5"] = "llama"
    """``llama`` and ``qwen3`` are decoders; ``t5`` has an encoder too, as TIGER and P5 do."""

    hidden_size: int = 128
    """Width of the residual stream."""

    layers: int = 4
    """Layers of the decoder; a T5 has as many in its encoder."""

    heads: int = 4
    """Attention heads; the width must be a multiple of them."""

    intermediate_size: int = 512
    """Width inside the feed-forward layers."""

    dropout: float = 0.1
    """Share of each layer's output that is dropped in training."""

    text_pieces: int = 2000
    """Size at most of the SentencePiece vocabulary that is trained on the catalogue."""

    @property
    def tokenizer_kind(self) -> Literal["llama", "t5"]:
        """Whose tokenizer goes with the model."""
        return "t5" if self.architecture == "t5" else "llama"

    def __post_init__(self) -> None:
        for name in ("hidden_size", "layers", "heads", "intermediate_size", "text_pieces"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.hidden_size % self.heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of the {self.heads} heads"
            )
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; it must be at least 0 and below 1")


@dataclass(frozen=True, kw_only=True)
class BackboneConfig:
    """Which language model to start from."""

    path: str | None = None
    """Name or folder of a Hugging Face model with its tokenizer; none trains ``tiny``."""

    tiny: TinyConfig = field(default_factory=TinyConfig)
    """The model to make when no path is given."""

    dtype: Literal["float32", "bfloat16"] = "float32"
    """In what precision a pretrained model's weights are held."""


SpecialTokens = Mapping[str, int | None]
"""Numbers of ``bos_token_id``, ``eos_token_id`` and ``pad_token_id``, as model configs take."""


def build_backbone(
    config: BackboneConfig,
    *,
    vocabulary_size: int,
    special: SpecialTokens,
    max_tokens: int,
    seed: int,
    quantized: bool = False,
) -> PreTrainedModel:
    """Load the pretrained model that the config names, or make a tiny one.

    Args:
        config: Which model.
        vocabulary_size: Rows of the embeddings.
        special: Numbers of the special tokens.
        max_tokens: Longest prompt and answer together, for a tiny model.
        seed: Decides new weights.
        quantized: Load the linear layers in 4 bits, as QLoRA wants them.

    Raises:
        ValueError: When a tiny model is to be quantised.
    """
    if config.path is None:
        if quantized:
            raise ValueError(
                "weights of 4 bits cannot be trained from scratch; set backbone.path to a "
                "pretrained model, or take another method than qlora"
            )
        return build_tiny(
            config.tiny, vocabulary_size=vocabulary_size, special=special, max_tokens=max_tokens,
            seed=seed,
        )  # fmt: skip
    dtype = torch.bfloat16 if config.dtype == "bfloat16" else torch.float32
    with torch.random.fork_rng():
        torch.manual_seed(seed)  # new rows of the embeddings are drawn
        return load_pretrained(
            config.path, dtype=dtype, vocabulary_size=vocabulary_size, quantized=quantized
        )


def build_tiny(
    config: TinyConfig, *, vocabulary_size: int, special: SpecialTokens, max_tokens: int, seed: int
) -> PreTrainedModel:
    """Make a small model with random weights that depend on the seed alone.

    Args:
        config: Its shape.
        vocabulary_size: Rows of the embeddings.
        special: Numbers of the special tokens.
        max_tokens: Longest prompt and answer together; a T5 knows no such bound.
        seed: Decides the weights.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return _TINY[config.architecture](config, vocabulary_size, special, max_tokens)


def load_pretrained(
    path: str, *, dtype: torch.dtype, vocabulary_size: int, quantized: bool = False
) -> PreTrainedModel:
    """Load a decoder or an encoder-decoder and make room for new tokens.

    New rows of the embeddings start at the mean of the old ones plus noise, so that they begin as
    likely as an average token (https://nlp.stanford.edu/~johnhew/vocab-expansion.html).
    """
    config = AutoConfig.from_pretrained(path)
    family = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    quantization = {"quantization_config": nf4(dtype)} if quantized else {}
    model = family.from_pretrained(path, dtype=dtype, **quantization)
    keep_learning(model)
    if model.get_input_embeddings().num_embeddings < vocabulary_size:
        model.resize_token_embeddings(vocabulary_size, mean_resizing=True)
    return model


def _llama(config: TinyConfig, size: int, special: SpecialTokens, max_tokens: int) -> Any:
    shape = LlamaConfig(**_decoder_shape(config, size, max_tokens), **special)
    return add_residual_dropout(LlamaForCausalLM(shape), config.dropout)


def _qwen3(config: TinyConfig, size: int, special: SpecialTokens, max_tokens: int) -> Any:
    head_dim = config.hidden_size // config.heads
    shape = Qwen3Config(
        **_decoder_shape(config, size, max_tokens), head_dim=head_dim, use_sliding_window=False,
        **special,
    )  # fmt: skip
    return add_residual_dropout(Qwen3ForCausalLM(shape), config.dropout)


def _decoder_shape(config: TinyConfig, size: int, max_tokens: int) -> dict[str, Any]:
    return {
        "vocab_size": size,
        "hidden_size": config.hidden_size,
        "intermediate_size": config.intermediate_size,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "num_key_value_heads": config.heads,
        "max_position_embeddings": max_tokens,
        # Dropout inside attention would take the slow kernel; the residual branches have theirs.
        "attention_dropout": 0.0,
        "tie_word_embeddings": True,
    }


def _t5(config: TinyConfig, size: int, special: SpecialTokens, max_tokens: int) -> Any:
    del max_tokens  # relative positions have no end
    shape = T5Config(
        vocab_size=size,
        d_model=config.hidden_size,
        d_kv=config.hidden_size // config.heads,
        d_ff=config.intermediate_size,
        num_layers=config.layers,
        num_decoder_layers=config.layers,
        num_heads=config.heads,
        dropout_rate=config.dropout,
        feed_forward_proj="gated-gelu",
        decoder_start_token_id=special["pad_token_id"],
        **{key: value for key, value in special.items() if key != "bos_token_id"},
    )
    return T5ForConditionalGeneration(shape)


_TINY = {"llama": _llama, "qwen3": _qwen3, "t5": _t5}
