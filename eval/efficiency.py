"""What answers cost: time, memory, and the size of the model."""

import os
import resource
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from genrec.recommender import Recommender, Request

_MARK: Final = Path("/proc/self/clear_refs")


class Efficiency(NamedTuple):
    """The cost of single answers: one caller, one request at a time, after a first one unmeasured.

    What batches save is told by the requests a second of each task.
    """

    requests: int
    """How many answers were timed."""

    median_ms: float
    """The latency that half of the answers keep below."""

    p95_ms: float
    """The latency that 95 % of the answers keep below."""

    p99_ms: float
    """The latency that 99 % of the answers keep below."""

    peak_memory_mib: float
    """Most memory that the process had while it answered: on the accelerator where there is one,
    else in all, other methods that are loaded included. Elsewhere than on Linux, which alone lets
    the mark be set back, it is the most that the process ever had."""

    parameters: int | None = None
    """Weights of the model; ``None`` where it has none or does not tell."""

    trained_parameters: int | None = None
    """How many of them were trained, where that is known."""

    tokens_per_second: float | None = None
    """Prompt tokens that are read in a second, for a language model."""


def measure_efficiency(
    recommender: Recommender,
    requests: Sequence[Request],
    k: int,
    *,
    prompt_tokens: Callable[[Request], int] | None = None,
    parameters: int | None = None,
    trained_parameters: int | None = None,
) -> Efficiency:
    """Time the answers to requests, one by one.

    Args:
        recommender: Anything that ranks.
        requests: What to ask. The first one is asked once more before, to warm up.
        k: Length of the rankings.
        prompt_tokens: Counts the tokens of a request's prompt, for a language model.
        parameters: Weights of the model, where known.
        trained_parameters: Those that were trained, where known.

    Raises:
        ValueError: When there is no request.
    """
    if not requests:
        raise ValueError("there is no request to time an answer to")
    _forget_peak()
    recommender.recommend(requests[:1], k)
    seconds = []
    for request in requests:
        started = time.perf_counter()
        recommender.recommend([request], k)
        seconds.append(time.perf_counter() - started)
    median, p95, p99 = (1000 * np.quantile(seconds, [0.5, 0.95, 0.99])).tolist()
    speed = None
    if prompt_tokens is not None:
        speed = sum(map(prompt_tokens, requests)) / sum(seconds)
    return Efficiency(
        requests=len(requests),
        median_ms=median,
        p95_ms=p95,
        p99_ms=p99,
        peak_memory_mib=_peak_memory() / 2**20,
        parameters=parameters,
        trained_parameters=trained_parameters,
        tokens_per_second=speed,
    )


def _forget_peak() -> None:
    """Set the mark of the most memory in use back to what is in use now, where that can be done."""
    if (torch := _torch_with_gpu()) is not None:
        torch.cuda.reset_peak_memory_stats()
    elif os.access(_MARK, os.W_OK):
        _MARK.write_text("5", encoding="ascii")  # see proc(5)


def _peak_memory() -> int:
    """Return the most bytes that were in use since the mark was set back."""
    if (torch := _torch_with_gpu()) is not None:
        return int(torch.cuda.max_memory_allocated())
    if _MARK.exists():  # rusage tells the most that ever was, whatever the mark
        told = _MARK.with_name("status").read_text(encoding="ascii", errors="replace")
        (high,) = (line for line in told.splitlines() if line.startswith("VmHWM:"))
        return 1024 * int(high.split()[1])
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak


def _torch_with_gpu() -> Any:
    """Return torch where it runs on a GPU; who has not imported it has nothing there."""
    torch: Any = sys.modules.get("torch")
    return torch if torch is not None and torch.cuda.is_available() else None
