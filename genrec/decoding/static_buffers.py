"""The tensors of fixed shape that a :class:`~genrec.decoding.StaticDecoder` computes in.

Shape letters in this file: B requests, rounded up, P tokens of the longest prompt, rounded up,
K beams, W beams that a step has (at most K), S tokens that a row has room for: P of its prompt and
K for each step, V vocabulary.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import Cache, DynamicCache, PreTrainedModel
from transformers.cache_utils import StaticLayer

from genrec.decoding.feeding import Prompt, four_axes

Advance = Callable[[Tensor, Tensor, Tensor], Tensor]


class Shape(NamedTuple):
    """What is fixed."""

    requests: int
    prompt: int
    beams: int
    steps: int

    @property
    def tokens(self) -> int:
        """For how many tokens a row has room (S)."""
        return self.prompt + self.steps * self.beams


class Buffers:
    """All tensors of one shape that a step reads and writes."""

    def __init__(self, model: PreTrainedModel, shape: Shape, *, uses_graphs: bool) -> None:
        device = model.device
        self._shape = shape
        self._place_K = torch.zeros(shape.beams, dtype=torch.long, device=device)
        layers = len(DynamicCache(config=model.config).layers)
        self._layers = [_Slots(shape, self._place_K) for _ in range(layers)]
        self.cache = Cache(layers=list(self._layers))
        self._token_BK = self._place_K.new_zeros((shape.requests, shape.beams))
        self._position_BK = torch.zeros_like(self._token_BK)
        self._sees_BKS = torch.zeros(
            (shape.requests, shape.beams, shape.tokens), dtype=torch.bool, device=device
        )
        self._mask_B1KS = four_axes(model, self._sees_BKS)
        self._uses_graphs = uses_graphs
        self._graphs: dict[PreTrainedModel, _Graph] = {}

    def read(self, prompt: Prompt) -> Tensor:
        """Let a model read prompts into the cache, and forget what was there before."""
        for layer in self._layers:
            layer.begin()
        logits_B1V = prompt.read(self.cache)
        if len(self.cache.layers) > len(self._layers):
            del self.cache.layers[len(self._layers) :]
            raise ValueError(
                "the model keeps more between tokens than keys and values, such as the pictures of "
                "all items (exclusive=False); search without a StaticDecoder"
            )
        for layer in self._layers:
            layer.reads_prompt = False
        batch, longest = prompt.mask_BP.shape
        self._sees_BKS.zero_()
        own_BP = prompt.mask_BP[:, None]
        self._sees_BKS[:batch, :, self._shape.prompt - longest : self._shape.prompt] = own_BP
        self._position_BK.zero_()
        self._position_BK[:batch] = prompt.length_B1 - 1
        return logits_B1V

    def place(self, token_BW: Tensor, parent_BW: Tensor, *, number: int) -> None:
        """Write down what the step of this number, from 0 on, is to read."""
        batch, width = token_BW.shape
        _, prompt, beams, _ = self._shape
        self._token_BK.zero_()
        self._token_BK[:batch, :width] = token_BW
        self._position_BK += 1
        parent_BK = torch.zeros_like(self._token_BK)
        parent_BK[:batch, :width] = parent_BW
        first = prompt + number * beams
        own_K = torch.arange(first, first + beams, device=token_BW.device)
        self._place_K.copy_(own_K)
        path_BKS = self._sees_BKS[:, :, prompt:]
        path_BKS.copy_(path_BKS.gather(1, parent_BK[..., None].expand_as(path_BKS)))
        self._sees_BKS[:, torch.arange(beams, device=own_K.device), own_K] = True

    def run(self, model: PreTrainedModel, advance: Advance) -> Tensor:
        """Take the step, and return what the model says, of shape (B, K, ...)."""
        self._mask_B1KS.copy_(four_axes(model, self._sees_BKS))
        inputs = (self._token_BK, self._mask_B1KS, self._position_BK)
        if not self._uses_graphs:
            return advance(*inputs)
        if model not in self._graphs:
            self._graphs[model] = _Graph(lambda: advance(*inputs))
        return self._graphs[model].replay()


class _Slots(StaticLayer):  # type: ignore[misc]  # transformers is not typed
    """Keys and values of one layer, whose places a tensor tells."""

    def __init__(self, shape: Shape, place_K: Tensor) -> None:
        super().__init__(max_cache_len=shape.tokens)
        self._shape = shape
        self._place_K = place_K
        self.reads_prompt = True

    def begin(self) -> None:
        """Make room for new prompts."""
        self.reads_prompt = True
        if self.is_initialized:
            # What is masked counts 0 times, which is not 0 where NaN stands.
            self.keys.zero_()
            self.values.zero_()

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write keys and values, and return those to attend to: a prompt sees itself alone."""
        if not self.is_initialized:
            rows = (self._shape.requests, *key_states.shape[1:])
            self.lazy_initialization(key_states.new_empty(rows), value_states.new_empty(rows))
        if self.reads_prompt:
            batch, _, longest, _ = key_states.shape
            end = self._shape.prompt
            self.keys[:batch, :, end - longest : end] = key_states
            self.values[:batch, :, end - longest : end] = value_states
            return key_states, value_states
        self.keys.index_copy_(2, self._place_K, key_states)
        self.values.index_copy_(2, self._place_K, value_states)
        return self.keys, self.values

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Tell how many keys there are for a prompt, and from where on; steps bring a mask."""
        return query_length, 0

    def get_seq_length(self) -> int:
        """Count no tokens: positions and masks come from outside."""
        return 0


class _Graph:
    """A CUDA graph of a function of tensors that stay where they are."""

    def __init__(self, run: Callable[[], Tensor]) -> None:
        """Run the function until nothing is left to be set up, and record it."""
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            for _ in range(2):
                run()
        torch.cuda.current_stream().wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._out = run()

    def replay(self) -> Tensor:
        """Run it again; what it returned before is overwritten."""
        self._graph.replay()
        return self._out
