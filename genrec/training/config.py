"""The settings of one run of the optimizer."""

from dataclasses import dataclass
from typing import Literal


class TrainingError(RuntimeError):
    """The run cannot go on; the last checkpoint is intact."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """One run of the optimizer."""

    steps: int
    """Optimizer steps."""

    rows_per_step: int = 16
    """Rows of an optimizer step over all processes: packed rows, or prompts of a T5."""

    row_tokens: int = 512
    """Tokens of a packed row; no example may be longer."""

    micro_rows: int = 16
    """Rows that a process computes at once; gradients of more rows are accumulated."""

    learning_rate: float = 1e-3
    """Highest learning rate, reached after the warm-up."""

    warmup_steps: int = 100
    """Steps over which the learning rate rises from 0."""

    final_share: float = 0.1
    """Share of the highest learning rate that the cosine ends at."""

    weight_decay: float = 0.05
    """AdamW's decay of matrices; vectors such as norms do not decay."""

    clip_norm: float = 1.0
    """Longest gradient."""

    label_smoothing: float = 0.0
    """Share of the probability that is spread over the vocabulary."""

    mixed_precision: Literal["no", "bf16"] = "no"
    """Precision of matrix products; weights stay as they are."""

    compile: bool = False
    """Compile the model; worth it for runs of many minutes."""

    log_every: int = 10
    """Steps between two records of the loss."""

    validate_every: int = 500
    """Steps between two validations; the last step always validates."""

    checkpoint_every: int = 500
    """Steps between two checkpoints."""

    threads: int = 0
    """Threads of a process on CPUs; 0 shares the machine's cores among its processes."""

    keep_checkpoints: int = 2
    """Newest checkpoints that are kept."""

    trackers: tuple[str, ...] = ()
    """Trackers of accelerate to log to, such as ``tensorboard``."""

    seed: int = 0
    """Decides dropout; data and weights have seeds of their own."""

    def __post_init__(self) -> None:
        for name in ("steps", "rows_per_step", "micro_rows", "log_every", "keep_checkpoints",
                     "validate_every", "checkpoint_every"):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
