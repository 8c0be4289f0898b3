"""How tokens are fed to a Hugging Face model, and what comes back.

Shape letters in this file: B requests, P tokens of the longest prompt, R rows, S tokens of each
that are fed (in masks of W beams: that they may see), T tokens that it has then.
"""

import inspect
from collections.abc import Mapping

import torch
from torch import Tensor
from transformers import Cache, PreTrainedModel
from transformers.utils import ModelOutput


class Prompt:
    """The prompts of a batch for a decoder, padded on the left."""

    def __init__(
        self,
        model: PreTrainedModel,
        input_ids_BP: Tensor,
        attention_mask_BP: Tensor,
        prompt_inputs: Mapping[str, Tensor] | None = None,
    ) -> None:
        self._model = model
        self._input_ids_BP = input_ids_BP
        self._inputs = dict(prompt_inputs or {})
        self.mask_BP = attention_mask_BP.bool()
        ends_early_B = (self.mask_BP[:, 1:] < self.mask_BP[:, :-1]).any(dim=1)
        is_refused_B = ends_early_B | ~self.mask_BP[:, -1]
        if is_refused_B.any():
            raise ValueError(
                f"prompt {int(is_refused_B.nonzero()[0])} is empty or not padded on the left; "
                "set padding_side='left' on the tokenizer"
            )
        self.length_B1 = self.mask_BP.sum(dim=1, keepdim=True)

    def read(self, cache: Cache) -> Tensor:
        """Read the prompts into a cache and return the logits after them."""
        return last_logits(
            self._model, self._input_ids_BP, self.mask_BP, cache=cache, **self._inputs
        )


def last_logits(
    model: PreTrainedModel,
    token_RS: Tensor,
    mask_RT: Tensor,
    *,
    cache: Cache,
    **inputs: Tensor,
) -> Tensor:
    """Feed tokens, the last ones that the mask covers, and return the logits after them."""
    options: dict[str, Tensor | int] = dict(inputs)
    if takes(model, "position_ids"):
        position_RT = (mask_RT.cumsum(dim=1) - 1).clamp_min(0)
        options["position_ids"] = position_RT[:, -token_RS.shape[1] :]
    if takes(model, "logits_to_keep"):
        options["logits_to_keep"] = 1
    output = model(
        input_ids=token_RS,
        attention_mask=mask_RT,
        past_key_values=cache,
        use_cache=True,
        **options,
    )
    return logits_or_hidden(output)[:, -1:]


def logits_or_hidden(output: ModelOutput) -> Tensor:
    """Read what a model, or one without its output matrix, gives."""
    found: Tensor = output.logits if "logits" in output else output.last_hidden_state
    return found


def four_axes(model: PreTrainedModel, sees_BWS: Tensor) -> Tensor:
    """Write a mask over all S tokens with four axes: attention takes such a one as it is."""
    sees_B1WS = sees_BWS[:, None]
    if model.config.get_text_config(decoder=True)._attn_implementation == "sdpa":
        return sees_B1WS
    hidden = torch.finfo(model.dtype).min
    return torch.zeros_like(sees_B1WS, dtype=model.dtype).masked_fill(~sees_B1WS, hidden)


def takes(model: PreTrainedModel, argument: str) -> bool:
    """Tell whether a model can be given an argument of this name."""
    return argument in inspect.signature(wrapped_model(model).forward).parameters


def wrapped_model(model: PreTrainedModel) -> PreTrainedModel:
    """Return the model itself, without what PEFT puts around it."""
    # PEFT puts a model into one that says nothing of its own about what it can do.
    return model.get_base_model() if hasattr(model, "get_base_model") else model
