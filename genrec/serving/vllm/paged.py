"""Beams on vLLM's own attention: the prompts' blocks are shared, each beam has a tail of its own.

vLLM keeps keys and values in blocks of some tokens, and a table says which blocks a sequence reads.
For the time of a search the layers get other tensors than vLLM's cache: a copy of the prompts' full
blocks, each once, which all beams of a request read, and behind it a few blocks for each beam, its
tail. A tail holds the rest of the prompt and the codes of the beam; where one beam becomes several,
it is copied. vLLM's cache is only read, so its scheduler and its prefix caching notice nothing.

The logits after a prompt are not kept by vLLM. So the last token of every prompt is computed once
more, by the same step as the beams' tokens.

Shape letters in this file: B prompts, K slots for beams of each, W beams of a step, R all rows of a
step, T tokens of a path, C tokens that may follow, M blocks of a row, J blocks of a tail, X blocks
to copy, V vocabulary.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from vllm.forward_context import set_forward_context
from vllm.multimodal.utils import group_and_batch_mm_kwargs
from vllm.v1.attention.backend import CommonAttentionMetadata

METADATA = frozenset({
    "query_start_loc", "query_start_loc_cpu", "seq_lens", "seq_lens_cpu_upper_bound", "num_reqs",
    "num_actual_tokens", "max_query_len", "max_seq_len", "block_table_tensor", "slot_mapping",
    "causal", "is_prefilling", "positions",
})  # fmt: skip
"""What vLLM's attention is told of a step."""

LOGITS_AT_ONCE = 2**26
"""Most logits that stand in memory at once."""


class CachedPrompt(NamedTuple):
    """A prompt whose keys and values are in vLLM's cache."""

    last_token: int
    length: int
    blocks: tuple[int, ...]
    """Blocks of the cache that hold it, in order."""

    seen: Any = None
    """The picture that its last token sees, as vLLM's item of that kind."""


@dataclass(frozen=True)
class Tails:
    """Where the blocks of a search lie: the prompts' first, then one tail for each slot."""

    table_BKM: Tensor
    """The blocks that the beam in each slot reads."""

    tail_BKJ: Tensor
    """Which of them are its own."""

    source_X: Tensor
    """Blocks of vLLM's cache to copy ..."""

    place_X: Tensor
    """... and where to."""

    blocks: int
    """How many there are in all."""

    @classmethod
    def lay_out(
        cls, prompts: Sequence[CachedPrompt], *, slots: int, levels: int, block_size: int
    ) -> "Tails":
        """Lay out the blocks of a search.

        Args:
            prompts: The prompts.
            slots: Beams of each that need a place (K).
            levels: Codes of an ID; the last of them is never fed to the model.
            block_size: Tokens of a block.
        """
        # The last token of a prompt is computed anew, so its block cannot be a shared one.
        full_B = [(prompt.length - 1) // block_size for prompt in prompts]
        tail = max(
            (prompt.length + levels - 2) // block_size - full + 1
            for prompt, full in zip(prompts, full_B, strict=True)
        )
        # Prompts that begin alike have blocks in common already in vLLM's cache.
        place_of: dict[int, int] = {}
        own = [
            [place_of.setdefault(block, len(place_of)) for block in prompt.blocks[:full]]
            for prompt, full in zip(prompts, full_B, strict=True)
        ]
        first = len(place_of)
        tail_BKJ = first + torch.arange(len(prompts) * slots * tail).view(-1, slots, tail)
        table_BKM = torch.zeros(len(prompts), slots, max(full_B) + tail, dtype=torch.long)
        for row, full in enumerate(full_B):
            table_BKM[row, :, :full] = torch.tensor(own[row])
            table_BKM[row, :, full : full + tail] = tail_BKJ[row]
        # The first slot begins with the rest of the prompt, from which the others are copied.
        rests = [prompt.blocks[full] for prompt, full in zip(prompts, full_B, strict=True)]
        return cls(
            table_BKM=table_BKM,
            tail_BKJ=tail_BKJ,
            source_X=torch.tensor([*place_of, *rests]),
            place_X=torch.cat([torch.arange(first), tail_BKJ[:, 0, 0]]),
            blocks=first + tail_BKJ.numel(),
        )

    def to(self, device: torch.device) -> "Tails":
        """Return the same on another device."""
        return Tails(
            table_BKM=self.table_BKM.to(device),
            tail_BKJ=self.tail_BKJ.to(device),
            source_X=self.source_X.to(device),
            place_X=self.place_X.to(device),
            blocks=self.blocks,
        )


def assign_slots(slot_BW: Tensor, parent_BV: Tensor, slots: int) -> tuple[Tensor, Tensor]:
    """Give every new beam a slot: the first child of a beam its parent's, the others free ones.

    Args:
        slot_BW: The slot of each beam of the step before.
        parent_BV: The beam that each new one continues; at most ``slots`` of them (V here).
        slots: How many slots a prompt has.

    Returns:
        The slot of each new beam, and the one whose tail it continues.
    """
    from_BV = slot_BW.gather(1, parent_BV)
    same_BVV = parent_BV[:, :, None] == parent_BV[:, None, :]
    is_first_BV = ~same_BVV.tril(diagonal=-1).any(dim=2)
    kept_BK = torch.zeros(len(slot_BW), slots + 1, dtype=torch.bool, device=slot_BW.device)
    kept_BK.scatter_(1, from_BV.masked_fill(~is_first_BV, slots), value=True)  # a place for none
    free_BK = kept_BK[:, :slots].byte().argsort(dim=1, stable=True)
    nth_BV = ((~is_first_BV).cumsum(dim=1) - 1).clamp_min(0)
    return torch.where(is_first_BV, from_BV, free_BK.gather(1, nth_BV)), from_BV


class Workspace:
    """Keys and values for beams, one tensor a layer, in the layout of vLLM's cache.

    It is kept from one search to the next and grows when a search needs more.
    """

    def __init__(self, layers: Sequence[Any]) -> None:
        """Prepare for the attention layers of a model."""
        self._layers = layers
        self._caches: list[Tensor] = []

    @property
    def block_bytes(self) -> int:
        """Memory of one block in all layers."""
        return sum(layer.kv_cache[0].nbytes for layer in self._layers)

    def clear(self) -> None:
        """Give the memory back, and what may stand in it."""
        self._caches = []

    @contextmanager
    def in_place_of_cache(self, tails: Tails) -> Iterator["Workspace"]:
        """Copy the prompts' blocks here and let the layers read and write here for a while."""
        if not self._caches or len(self._caches[0]) < tails.blocks:
            self.clear()  # before more is asked for
            self._caches = [_like(layer.kv_cache, tails.blocks) for layer in self._layers]
        cached = [layer.kv_cache for layer in self._layers]
        for ours, theirs in zip(self._caches, cached, strict=True):
            ours[tails.place_X] = theirs[tails.source_X]
        try:
            for layer, ours in zip(self._layers, self._caches, strict=True):
                layer.kv_cache = ours
            yield self
        finally:
            for layer, theirs in zip(self._layers, cached, strict=True):
                layer.kv_cache = theirs

    def copy(self, source_X: Tensor, place_X: Tensor) -> None:
        """Copy blocks within the workspace."""
        for cache in self._caches:
            cache[place_X] = cache[source_X]


def _like(cache_NHSD: Tensor, blocks: int) -> Tensor:
    """Make a cache of zeros whose blocks are laid out as those of another one."""
    block = cache_NHSD[0]
    # Zeros, for a kernel may read what it masks, and 0 times NaN is NaN.
    flat = torch.zeros(blocks * block.numel(), dtype=block.dtype, device=block.device)
    return flat.as_strided((blocks, *block.shape), (block.numel(), *block.stride()))


class Rows(NamedTuple):
    """Tokens to feed to a model, each at the end of a sequence."""

    token_R: Tensor
    position_R: Tensor
    """Where each stands; what comes before it is in the cache."""

    table_RM: Tensor
    """The blocks of every sequence."""

    seen: Sequence[Any] = ()
    """The picture that each token sees, or ``None``; empty where none sees any."""

    def cut(self, size: int) -> Iterator["Rows"]:
        """Cut into pieces of so many rows."""
        # vLLM's kernels read memory in one piece, whatever strides a tensor has.
        token_R, position_R = self.token_R.int().contiguous(), self.position_R.contiguous()
        for start in range(0, len(token_R), size):
            some = slice(start, start + size)
            yield Rows(token_R[some], position_R[some], self.table_RM[some], self.seen[some])


class PagedModel:
    """The model of a vLLM worker, fed with one token a row."""

    def __init__(self, runner: Any) -> None:
        """Use what a worker's model runner has built."""
        self._runner = runner
        self.device: torch.device = runner.device
        groups = runner.attn_groups[0]
        self._builders = [(group.get_metadata_builder(), group.layer_names) for group in groups]
        known = runner.vllm_config.compilation_config.static_forward_context
        self.layers = [known[name] for _, names in self._builders for name in names]
        scheduler = runner.vllm_config.scheduler_config
        self._rows_at_once = min(scheduler.max_num_seqs, scheduler.max_num_batched_tokens)
        self.block_size = int(runner.kv_cache_config.kv_cache_groups[0].kv_cache_spec.block_size)

    def hidden(self, rows: Rows, *, longest: int) -> Tensor:
        """Return the hidden states after one token of every row, of shape (R, D).

        Args:
            rows: The tokens.
            longest: At least the length of the longest sequence.
        """
        # Some kernels have room for no more rows than vLLM's own steps may have.
        return torch.cat([self._hidden(some, longest) for some in rows.cut(self._rows_at_once)])

    def _hidden(self, rows: Rows, longest: int) -> Tensor:
        metadata, slots = self._metadata(rows, longest)
        inputs: dict[str, Tensor | None] = {"input_ids": rows.token_R, "inputs_embeds": None}
        if self._runner.supports_mm_inputs:
            inputs = {"input_ids": None, "inputs_embeds": self._embed(rows)}
        with set_forward_context(
            metadata, self._runner.vllm_config, num_tokens=len(rows.token_R), slot_mapping=slots
        ):
            hidden_RD: Tensor = self._runner.model(
                positions=rows.position_R, intermediate_tensors=None, **inputs
            )
        return hidden_RD

    def _metadata(self, rows: Rows, longest: int) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Tell every layer what the rows may read, and where they write."""
        number, position_R = len(rows.token_R), rows.position_R
        block_R1 = rows.table_RM.gather(1, (position_R // self.block_size)[:, None])
        slot_R = block_R1[:, 0] * self.block_size + position_R % self.block_size
        start_cpu = torch.arange(number + 1, dtype=torch.int32)
        common = CommonAttentionMetadata(
            query_start_loc=start_cpu.to(self.device),
            query_start_loc_cpu=start_cpu,
            seq_lens=(position_R + 1).int(),
            seq_lens_cpu_upper_bound=torch.full((number,), longest, dtype=torch.int32),
            num_reqs=number,
            num_actual_tokens=number,
            max_query_len=1,
            max_seq_len=longest,
            block_table_tensor=rows.table_RM.int().contiguous(),
            slot_mapping=slot_R,
            causal=True,
            is_prefilling=torch.zeros(number, dtype=torch.bool),
            positions=position_R,
        )
        metadata: dict[str, Any] = {}
        slots: dict[str, Tensor] = {}
        for builder, names in self._builders:
            built = builder.build(common_prefix_len=0, common_attn_metadata=common)
            metadata |= dict.fromkeys(names, built)
            slots |= dict.fromkeys(names, slot_R)
        return metadata, slots

    def _embed(self, rows: Rows) -> Tensor:
        """Embed tokens for a model that sees, as vLLM's own steps do."""
        model = self._runner.model
        items = [("image", item) for item in rows.seen if item is not None]
        seen = []
        for _, _, inputs in group_and_batch_mm_kwargs(items, device=self.device):
            # A picture gives a row for each of its tokens; of these one is here.
            seen += [each_TX[:1] for each_TX in model.embed_multimodal(**inputs)]
        is_seeing_R = None
        if seen:
            is_seeing_R = torch.tensor([item is not None for item in rows.seen], device=self.device)
        embedded_RD: Tensor = model.embed_input_ids(
            rows.token_R, seen or None, is_multimodal=is_seeing_R
        )
        return embedded_RD

    def log_probs(self, hidden_RD: Tensor, next_RC: Tensor) -> Tensor:
        """Return log-probabilities of tokens in the whole vocabulary, float32 of shape (R, C)."""
        vocabulary = self._runner.vllm_config.model_config.get_vocab_size()
        rows = max(1, LOGITS_AT_ONCE // vocabulary)
        found = []
        for start in range(0, len(hidden_RD), rows):
            some = slice(start, start + rows)
            logit_RV = self._runner.model.compute_logits(hidden_RD[some]).float()
            logit_RC = logit_RV.gather(1, next_RC[some])
            found.append(logit_RC - logit_RV.logsumexp(dim=1, keepdim=True))
        return torch.cat(found)


class PagedScorer:
    """A :class:`~genrec.decoding.Scorer` over prompts in vLLM's cache."""

    def __init__(
        self, model: PagedModel, workspace: Workspace, prompts: Sequence[CachedPrompt], tails: Tails
    ) -> None:
        """Begin a search; the workspace stands in the place of the cache until it ends."""
        device = model.device
        self._model = model
        self._workspace = workspace
        self._tails = tails
        self._last_B1 = torch.tensor([[prompt.last_token] for prompt in prompts], device=device)
        self._length_B1 = torch.tensor([[prompt.length] for prompt in prompts], device=device)
        self._seen = [prompt.seen for prompt in prompts]
        self._longest = max(prompt.length for prompt in prompts)
        self._slot_BW = torch.zeros_like(self._last_B1)

    def log_probs(
        self, path_BWT: Tensor, parent_BW: Tensor, next_BWC: Tensor, mask_BWC: Tensor
    ) -> Tensor:
        """Score tokens in the whole vocabulary."""
        del mask_BWC  # a gather of all costs less than to leave some out
        width, codes = path_BWT.shape[1:]
        if codes > 0:
            self._follow(parent_BW)
        token_BW = path_BWT[..., -1] if codes > 0 else self._last_B1
        position_BW = (self._length_B1 - 1 + codes).expand(-1, width)
        table_BKM = self._tails.table_BKM
        table_BWM = table_BKM.take_along_dim(self._slot_BW[..., None], dim=1)
        seen = self._seen if codes == 0 else ()  # a code belongs to no picture
        rows = Rows(token_BW.flatten(), position_BW.flatten(), table_BWM.flatten(0, 1), seen)
        hidden_RD = self._model.hidden(rows, longest=self._longest + codes)
        return self._model.log_probs(hidden_RD, next_BWC.flatten(0, 1)).view(next_BWC.shape)

    def _follow(self, parent_BW: Tensor) -> None:
        """Let every beam have the tail of its parent."""
        tail_BKJ = self._tails.tail_BKJ
        self._slot_BW, from_BW = assign_slots(self._slot_BW, parent_BW, tail_BKJ.shape[1])
        moves_BW = self._slot_BW != from_BW
        place_BWJ, source_BWJ = (
            tail_BKJ.take_along_dim(slot_BW[..., None], dim=1)
            for slot_BW in (self._slot_BW, from_BW)
        )
        self._workspace.copy(source_BWJ[moves_BW].flatten(), place_BWJ[moves_BW].flatten())
