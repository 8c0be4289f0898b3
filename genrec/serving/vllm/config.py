"""How vLLM runs."""

from dataclasses import dataclass
from typing import Literal

Route = Literal["auto", "worker", "portable"]


@dataclass(frozen=True, kw_only=True)
class VLLMConfig:
    """How vLLM runs; fields that vLLM knows have the names that it gives them."""

    route: Route = "auto"
    """Where beams are searched: ``worker`` in the process of the model, which is fast; ``portable``
    by requests from outside, which every vLLM can answer; ``auto`` in the worker where it can."""

    beam_memory_bytes: int = 2**30
    """Memory, beside vLLM's, for the beams' keys and values in the worker. Prompts whose beams do
    not fit in together are searched one group after the other."""

    max_model_len: int | None = None
    """Longest prompt and answer, in tokens; ``None`` takes what the model's prompts may need."""

    max_num_seqs: int = 512
    """Requests that are computed at once. On the portable route every beam is one; beyond that they
    wait in line."""

    max_num_batched_tokens: int | None = None
    """Tokens of a step; longer prompts are computed in several. ``None`` leaves it to vLLM."""

    gpu_memory_utilization: float = 0.9
    """Share of a GPU's memory for weights, keys and values."""

    kv_cache_memory_bytes: int | None = None
    """Memory for keys and values alone; ``None`` takes the share above, or 1 GiB without a GPU."""

    tensor_parallel_size: int = 1
    """GPUs that share each layer of the model."""

    pipeline_parallel_size: int = 1
    """Groups of GPUs that each hold some of the layers; beams then take the portable route."""

    data_parallel_size: int = 1
    """Copies of the model, each run by a process of its own that ``torchrun`` starts; see
    ``distributed_executor_backend``."""

    distributed_executor_backend: Literal["mp", "ray", "external_launcher"] | None = None
    """Who starts the processes of several GPUs: ``mp`` on one machine, ``ray`` on a cluster, or
    ``external_launcher``, which is ``torchrun``; ``None`` leaves it to vLLM."""

    enforce_eager: bool = False
    """Start in seconds, compiling nothing and capturing no graphs, and compute more slowly."""

    def __post_init__(self) -> None:
        if self.route not in ("auto", "worker", "portable"):
            raise ValueError(
                f"route is {self.route!r}; choose 'worker', 'portable', or 'auto' for the first "
                "that works"
            )
        if not 0 < self.gpu_memory_utilization <= 1:
            raise ValueError(
                f"gpu_memory_utilization is {self.gpu_memory_utilization}; "
                "give a share above 0 and up to 1"
            )
        for name in (
            "beam_memory_bytes", "max_model_len", "max_num_seqs", "max_num_batched_tokens",
            "kv_cache_memory_bytes", "tensor_parallel_size", "pipeline_parallel_size",
            "data_parallel_size",
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name} is {value}; it must be at least 1")
        if self.data_parallel_size > 1 and self.distributed_executor_backend != "external_launcher":
            raise ValueError(
                f"data_parallel_size is {self.data_parallel_size}, but one process asks one copy "
                "of the model; start this script with torchrun and "
                "distributed_executor_backend='external_launcher', or one service per copy behind "
                "a load balancer"
            )
