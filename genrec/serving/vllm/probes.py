"""Whether a vLLM is what the search of beams in its worker was written for.

The search reads and calls parts of vLLM that are not promised to stay. All of them are looked at
here, once, at the start.
"""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any

import torch
from vllm.forward_context import set_forward_context
from vllm.model_executor.layers.attention import Attention
from vllm.platforms import current_platform
from vllm.v1.attention.backend import CommonAttentionMetadata
from vllm.v1.core.sched.output import CachedRequestData, NewRequestData, SchedulerOutput
from vllm.v1.kv_cache_interface import FullAttentionSpec

from genrec.serving.vllm.paged import METADATA, PagedModel

READ = {
    SchedulerOutput: {
        "finished_req_ids", "scheduled_new_reqs", "scheduled_cached_reqs", "num_scheduled_tokens",
    },
    NewRequestData: {
        "req_id", "prompt_token_ids", "mm_features", "sampling_params", "block_ids",
        "num_computed_tokens",
    },
    CachedRequestData: {"req_ids", "resumed_req_ids", "new_block_ids", "num_computed_tokens"},
}  # fmt: skip
"""What is read of every step."""

RUNNER = {"attn_groups", "device", "kv_cache_config", "model", "supports_mm_inputs", "vllm_config"}
"""What is taken from a worker's model runner."""


def obstacle(config: Any, runner: Any) -> str | None:
    """Say why beams cannot be searched in a worker; ``None`` where they can.

    Args:
        config: vLLM's whole configuration.
        runner: The model runner of a worker.
    """
    return _strange_interface(runner) or _wrong_division(config) or _strange_cache(config, runner)


def _strange_interface(runner: Any) -> str | None:
    for record, names in READ.items():
        missing = sorted(names - {field.name for field in fields(record)})
        if missing:
            return f"its {record.__name__} has no {missing[0]}"
    known = {field.name for field in fields(CommonAttentionMetadata)}
    needed = {
        field.name
        for field in fields(CommonAttentionMetadata)
        if field.default is MISSING and field.default_factory is MISSING
    }
    if not needed <= METADATA <= known:
        return f"its attention takes other metadata: {sorted((needed | METADATA) ^ METADATA)}"
    if not _takes(set_forward_context, "num_tokens", "slot_mapping"):
        return "its forward context takes other arguments"
    missing = sorted(name for name in RUNNER if not hasattr(runner, name))
    return f"its model runner has no {missing[0]}" if missing else None


def _wrong_division(config: Any) -> str | None:
    """Say whether the workers divide what a search must have as a whole."""
    parallel = config.parallel_config
    for name in ("pipeline_parallel_size", "decode_context_parallel_size"):
        if getattr(parallel, name, 1) > 1:
            return f"its {name} is {getattr(parallel, name)}"
    if parallel.data_parallel_size > 1 and parallel.is_moe_model is not False:
        return "copies of a mixture of experts take every step together"
    if parallel.tensor_parallel_size > 1 and not current_platform.use_all_gather():
        return "only one of the workers that share a layer has the logits"
    return None


def _strange_cache(config: Any, runner: Any) -> str | None:
    if config.model_config.uses_mrope:
        return "its positions have several axes"
    groups = runner.kv_cache_config.kv_cache_groups
    if len(groups) != 1 or type(groups[0].kv_cache_spec) is not FullAttentionSpec:
        return "not all of its layers see the whole prompt"
    for group in runner.attn_groups[0]:
        if group.kernel_block_size is not None:
            return "its attention splits the blocks of its cache"
        if not _takes(
            group.get_metadata_builder().build, "common_prefix_len", "common_attn_metadata"
        ):
            return "its attention is prepared by other arguments"
    for layer in PagedModel(runner).layers:
        if type(layer) is not Attention:
            return f"its attention is a {type(layer).__name__}"
        reason = _strange_blocks(layer.kv_cache, runner.kv_cache_config.num_blocks)
        if reason is not None:
            return reason
    return None


def _strange_blocks(cache: object, blocks: int) -> str | None:
    """Say why blocks of a layer's cache cannot be copied one by one."""
    if not isinstance(cache, torch.Tensor) or cache.ndim != 4 or len(cache) != blocks:
        return "its cache is laid out in another way"
    block = cache[0]
    reach = 1 + sum((n - 1) * step for n, step in zip(block.shape, block.stride(), strict=True))
    return None if reach == block.numel() else "the blocks of its cache have gaps"


def _takes(function: Callable[..., Any], *arguments: str) -> bool:
    return set(arguments) <= set(inspect.signature(function).parameters)
