"""How beams are fed to a model: what the search knows of it, and three ways to run one.

Shape letters in this file: B requests, P tokens of the longest prompt, W beams of a request, R rows
with a beam each, T tokens of all beams of a row so far, D hidden dimensions, V vocabulary.
"""

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor
from transformers import DynamicCache, EncoderDecoderCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from genrec.decoding.feeding import (
    Prompt,
    four_axes,
    last_logits,
    logits_or_hidden,
    takes,
    wrapped_model,
)


class Stepper(Protocol):
    """A model that was given the prompts of a batch and is then led on, token by token."""

    def prefill(self) -> Tensor:
        """Read the prompts and return the logits of the first token, of shape (B, 1, V)."""
        ...

    def step(self, token_BW: Tensor, parent_BW: Tensor) -> Tensor:
        """Feed the newest token of every beam and return the logits of the next, (B, W, V).

        Args:
            token_BW: The token that each beam has just taken.
            parent_BW: The beam of the step before that each one continues. Before the first step
                every request has one beam, its prompt; W may change from step to step.
        """
        ...


class PromptedStepper(Stepper, Protocol):
    """A stepper over a Hugging Face model."""

    def skip_head(self) -> None:
        """From now on return hidden states, of shape (B, W, D), in place of logits.

        For decoders whose ``base_model`` is the model without its output matrix.
        """
        ...


def make_stepper(
    model: PreTrainedModel,
    input_ids_BP: Tensor,
    attention_mask_BP: Tensor | None = None,
    prompt_inputs: Mapping[str, Tensor] | None = None,
) -> PromptedStepper:
    """Choose how to run a model.

    Encoder-decoders run as :class:`EncoderDecoderStepper`, decoders as :class:`TreeStepper`
    where :func:`can_decode_trees` holds and else as :class:`ReorderStepper`.

    Args:
        model: The model, in eval mode.
        input_ids_BP: The prompts; those of a decoder are padded on the left.
        attention_mask_BP: Zero at padding; ``None`` means that there is none.
        prompt_inputs: What else the model reads with the prompts, and with them alone, such as
            the pictures of a vision-language model.
    """
    if model.training:
        raise ValueError("the model is in training mode; call model.eval() before decoding")
    mask_BP = torch.ones_like(input_ids_BP) if attention_mask_BP is None else attention_mask_BP
    if mask_BP.shape != input_ids_BP.shape:
        raise ValueError(
            f"attention_mask has the shape {tuple(mask_BP.shape)}, "
            f"but input_ids has {tuple(input_ids_BP.shape)}"
        )
    if not takes(model, "past_key_values"):
        raise ValueError(
            f"{type(wrapped_model(model)).__name__} takes no past_key_values; beams need a model "
            "that can go on from the keys and values of a prompt"
        )
    if model.config.is_encoder_decoder:
        return EncoderDecoderStepper(model, input_ids_BP, mask_BP, prompt_inputs)
    if can_decode_trees(model):
        return TreeStepper(model, input_ids_BP, mask_BP, prompt_inputs)
    return ReorderStepper(model, input_ids_BP, mask_BP, prompt_inputs)


def can_decode_trees(model: PreTrainedModel) -> bool:
    """Tell whether a decoder can take all beams of a request as tokens of one row.

    It must attend through the library's own interface, where our mask alone decides who sees whom
    (unlike flash attention); take positions from outside (unlike ALiBi, which counts places in the
    row); and hold every token in its cache (unlike sliding windows and recurrent states, which
    depend on the order of the row).
    """
    config = model.config.get_text_config(decoder=True)
    return (
        bool(wrapped_model(model)._supports_attention_backend)
        and config._attn_implementation in ("sdpa", "eager")
        and takes(model, "position_ids")
        and not getattr(config, "alibi", False)
        and all(type(layer) is DynamicLayer for layer in DynamicCache(config=config).layers)
    )


class TreeStepper:
    """Runs a decoder with all beams of a request as tokens of one row.

    A mask lets every beam's token see the prompt, the tokens of its own path and itself. So the
    keys and values of a prompt are computed once, stored once and shared by its beams, and the
    cache only grows: it is neither copied for each beam nor put into a new order. SpecInfer
    (https://arxiv.org/abs/2305.09781) verifies many continuations at once by the same mask.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        input_ids_BP: Tensor,
        attention_mask_BP: Tensor,
        prompt_inputs: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._prompt = Prompt(model, input_ids_BP, attention_mask_BP, prompt_inputs)
        self._model = model
        self._cache = DynamicCache(config=model.config)
        self._position_B1 = self._prompt.length_B1
        # Which of the beam tokens in the cache lie on the path of each beam.
        self._path_BWT = torch.zeros(
            (len(input_ids_BP), 1, 0), dtype=torch.bool, device=input_ids_BP.device
        )

    def prefill(self) -> Tensor:
        """Read the prompts and return the logits of the first token."""
        return self._prompt.read(self._cache)

    def step(self, token_BW: Tensor, parent_BW: Tensor) -> Tensor:
        """Feed the newest token of every beam and return the logits of the next."""
        batch, width = token_BW.shape
        inherited_BWT = self._path_BWT.gather(
            1, parent_BW[..., None].expand(-1, -1, self._path_BWT.shape[2])
        )
        itself_WW = torch.eye(width, dtype=torch.bool, device=token_BW.device)
        self._path_BWT = torch.cat([inherited_BWT, itself_WW.expand(batch, -1, -1)], dim=2)
        prompt_BWP = self._prompt.mask_BP[:, None].expand(-1, width, -1)
        output = self._model(
            input_ids=token_BW,
            attention_mask=four_axes(self._model, torch.cat([prompt_BWP, self._path_BWT], dim=2)),
            position_ids=self._position_B1.expand(-1, width),
            past_key_values=self._cache,
            use_cache=True,
        )
        self._position_B1 = self._position_B1 + 1
        return logits_or_hidden(output)

    def skip_head(self) -> None:
        """From now on return hidden states in place of logits."""
        self._model = wrapped_model(self._model).base_model


class ReorderStepper:
    """Runs a decoder with one row per beam and a cache whose rows follow the beams.

    Any decoder can run so. The prompt is still computed once, but its cache is copied for each
    beam and put into the order of the surviving beams at every step.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        input_ids_BP: Tensor,
        attention_mask_BP: Tensor,
        prompt_inputs: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._prompt = Prompt(model, input_ids_BP, attention_mask_BP, prompt_inputs)
        self._model = model
        self._cache = DynamicCache(config=model.config)
        self._mask_RT = self._prompt.mask_BP
        self._width = 1

    def prefill(self) -> Tensor:
        """Read the prompts and return the logits of the first token."""
        return self._prompt.read(self._cache)

    def step(self, token_BW: Tensor, parent_BW: Tensor) -> Tensor:
        """Feed the newest token of every beam and return the logits of the next."""
        row_R = _rows_of(parent_BW, self._width)
        self._width = token_BW.shape[1]
        self._cache.reorder_cache(row_R)
        mask_RT = self._mask_RT[row_R]
        self._mask_RT = torch.cat([mask_RT, torch.ones_like(mask_RT[:, :1])], dim=1)
        logits_RV = last_logits(
            self._model, token_BW.reshape(-1, 1), self._mask_RT, cache=self._cache
        )
        return logits_RV.view(*token_BW.shape, -1)

    def skip_head(self) -> None:
        """From now on return hidden states in place of logits."""
        self._model = wrapped_model(self._model).base_model


class EncoderDecoderStepper:
    """Runs an encoder once per request and a decoder with one row per beam."""

    def __init__(
        self,
        model: PreTrainedModel,
        input_ids_BP: Tensor,
        attention_mask_BP: Tensor,
        prompt_inputs: Mapping[str, Tensor] | None = None,
    ) -> None:
        start_token = getattr(model.config, "decoder_start_token_id", None)
        if start_token is None:
            raise ValueError("the model's config has no decoder_start_token_id; set one")
        self._model = model
        self._start_token = start_token
        self._input_ids_BP = input_ids_BP
        self._mask_RP = attention_mask_BP
        self._prompt_inputs = dict(prompt_inputs or {})
        self._encoded: Any = None
        self._cache = EncoderDecoderCache(
            DynamicCache(config=model.config), DynamicCache(config=model.config)
        )
        self._width = 1

    def prefill(self) -> Tensor:
        """Read the prompts and return the logits of the first token."""
        self._encoded = self._model.get_encoder()(
            input_ids=self._input_ids_BP, attention_mask=self._mask_RP, **self._prompt_inputs
        )
        return self._decode(torch.full_like(self._input_ids_BP[:, :1], self._start_token))

    def step(self, token_BW: Tensor, parent_BW: Tensor) -> Tensor:
        """Feed the newest token of every beam and return the logits of the next."""
        row_R = _rows_of(parent_BW, self._width)
        self._cache.self_attention_cache.reorder_cache(row_R)
        if token_BW.shape[1] != self._width:
            # All beams of a request look at the same prompt: only their number matters here.
            self._cache.cross_attention_cache.reorder_cache(row_R)
            self._mask_RP = self._mask_RP[row_R]
            self._encoded.last_hidden_state = self._encoded.last_hidden_state[row_R]
            self._width = token_BW.shape[1]
        return self._decode(token_BW.reshape(-1, 1)).view(*token_BW.shape, -1)

    def skip_head(self) -> None:
        """Refuse: some encoder-decoders scale what their output matrix is given."""
        raise ValueError("an encoder-decoder cannot run without its head")

    def _decode(self, token_R1: Tensor) -> Tensor:
        logits_R1V: Tensor = self._model(
            encoder_outputs=self._encoded,
            attention_mask=self._mask_RP,
            decoder_input_ids=token_R1,
            past_key_values=self._cache,
            use_cache=True,
        ).logits
        return logits_R1V


def _rows_of(parent_BW: Tensor, width: int) -> Tensor:
    """Number the rows of a batch of ``width`` beams per request that each beam continues."""
    first_B1 = torch.arange(len(parent_BW), device=parent_BW.device)[:, None] * width
    return (first_B1 + parent_BW).flatten()
