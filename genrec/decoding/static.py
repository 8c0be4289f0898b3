"""Beams through tensors of fixed shapes, so that compiled code and CUDA graphs serve every batch.

Shape letters in this file: B requests, P tokens of the longest prompt, K beams that every step
computes, W beams that it has (at most K), S tokens that a row has room for, V vocabulary.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, PreTrainedModel

from genrec.decoding.feeding import Prompt, logits_or_hidden, wrapped_model
from genrec.decoding.static_buffers import Buffers, Shape
from genrec.decoding.steppers import can_decode_trees

PROMPT_MULTIPLE = 64
"""Room for prompts is a multiple of this, so that few shapes serve prompts of all lengths."""

SHAPES_KEPT = 4
"""Buffers are kept for the shapes that were used last: so many of them."""

SHAPES_COMPILED = 256
"""Most shapes that a process compiles steps for."""


class StaticDecoder:
    """Runs a decoder's steps of many searches in buffers that stay where they are.

    Every step of every search has the shape of the others, whatever its level: all beams at once,
    over all tokens that the row will ever hold. What a level does not need yet is masked. So a step
    is compiled once, and a GPU replays it as one CUDA graph instead of being told kernel by kernel.
    Prompts are read as they are by the usual code, which writes keys and values to their places.

    Searches use the same buffers one after the other: never two at a time.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        backend: str | Callable[..., Any] | None = None,
        cuda_graphs: bool | None = None,
    ) -> None:
        """Prepare for a model, on its device, in eval mode.

        Args:
            model: A decoder of which :func:`~genrec.decoding.steppers.can_decode_trees` holds.
            backend: What compiles a step, as ``torch.compile`` takes it, such as ``"inductor"``;
                ``None`` compiles nothing.
            cuda_graphs: Whether to replay steps as CUDA graphs; by default where there is CUDA.

        Raises:
            ValueError: When the model cannot be run so.
        """
        if model.config.is_encoder_decoder or not can_decode_trees(model):
            raise ValueError(
                f"{type(wrapped_model(model)).__name__} cannot run with fixed shapes: that takes a "
                "decoder whose attention obeys a mask alone ('sdpa' or 'eager') and whose cache "
                "holds every token; search without a StaticDecoder"
            )
        on_cuda = model.device.type == "cuda"
        if cuda_graphs and not on_cuda:
            raise ValueError(f"CUDA graphs need a model on CUDA, and this one is on {model.device}")
        self._model = model
        self._uses_graphs = on_cuda if cuda_graphs is None else cuda_graphs
        self._forward = _forward if backend is None else _compiled(backend)
        self._buffers: OrderedDict[Shape, Buffers] = OrderedDict()

    def stepper(
        self,
        input_ids_BP: Tensor,
        attention_mask_BP: Tensor | None = None,
        prompt_inputs: Mapping[str, Tensor] | None = None,
        *,
        beams: int,
        levels: int,
    ) -> "StaticStepper":
        """Take the prompts of a search, as :func:`make_stepper` does.

        Args:
            input_ids_BP: The prompts, padded on the left.
            attention_mask_BP: Zero at padding; ``None`` means that there is none.
            prompt_inputs: What else the model reads with the prompts.
            beams: Most beams of a request (K).
            levels: Tokens of an ID; the last one is never fed.
        """
        mask_BP = torch.ones_like(input_ids_BP) if attention_mask_BP is None else attention_mask_BP
        prompt = Prompt(self._model, input_ids_BP, mask_BP, prompt_inputs)
        requests, longest = input_ids_BP.shape
        shape = Shape(
            requests=1 << (requests - 1).bit_length(),
            prompt=-(-longest // PROMPT_MULTIPLE) * PROMPT_MULTIPLE,
            beams=beams,
            steps=levels - 1,
        )
        return StaticStepper(self._model, self._forward, prompt, self._of_shape(shape))

    def _of_shape(self, shape: Shape) -> Buffers:
        found = self._buffers.pop(shape, None)
        if found is None:
            while len(self._buffers) >= SHAPES_KEPT:
                self._buffers.popitem(last=False)
            found = Buffers(self._model, shape, uses_graphs=self._uses_graphs)
        self._buffers[shape] = found
        return found


class StaticStepper:
    """A :class:`~genrec.decoding.Stepper` over the buffers of a :class:`StaticDecoder`."""

    def __init__(
        self,
        model: PreTrainedModel,
        forward: Callable[..., Tensor],
        prompt: Prompt,
        buffers: Buffers,
    ) -> None:
        self._model = model
        self._forward = forward
        self._prompt = prompt
        self._buffers = buffers
        self._steps_taken = 0

    def prefill(self) -> Tensor:
        """Read the prompts and return the logits of the first token."""
        logits_B1V = self._buffers.read(self._prompt)
        self._steps_taken = 0
        return logits_B1V

    def step(self, token_BW: Tensor, parent_BW: Tensor) -> Tensor:
        """Feed the newest token of every beam and return the logits of the next."""
        batch, width = token_BW.shape
        model, forward, cache = self._model, self._forward, self._buffers.cache
        self._buffers.place(token_BW, parent_BW, number=self._steps_taken)
        self._steps_taken += 1
        out_BKV = self._buffers.run(model, lambda *inputs: forward(model, cache, *inputs))
        return out_BKV[:batch, :width]

    def skip_head(self) -> None:
        """From now on return hidden states in place of logits."""
        self._model = wrapped_model(self._model).base_model


def _compiled(backend: str | Callable[..., Any]) -> Callable[..., Tensor]:
    """Compile a step, once for every shape that comes."""
    forward = torch.compile(_forward, fullgraph=True, dynamic=False, backend=backend)

    def run(*inputs: Any) -> Tensor:
        # By default the ninth shape would be refused: so many tell of a mistake, but not here.
        with torch._dynamo.config.patch(recompile_limit=SHAPES_COMPILED):
            return forward(*inputs)

    return run


def _forward(
    model: PreTrainedModel, cache: Cache, token_BK: Tensor, mask_B1KS: Tensor, position_BK: Tensor
) -> Tensor:
    output = model(
        input_ids=token_BK,
        attention_mask=mask_B1KS,
        position_ids=position_BK,
        past_key_values=cache,
        use_cache=True,
    )
    return logits_or_hidden(output)
