"""The settings of one run of the optimizer."""

from dataclasses import dataclass
from typing import Literal

from genrec.training.losses import TokenLoss


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

    focal_gamma: float = 0.0
    """Tokens that the model is sure of count less, by (1 - p) to this power (UniMP, equation 8);
    0 counts all alike."""

    focal_detached: bool = False
    """Take that power for a constant weight, so that no gradient flows through it."""

    logits_at_once: int = 1 << 26
    """Logits that stand in memory at a time: 64 million are 256 MB; 0 takes all of a batch."""

    mixed_precision: Literal["no", "bf16"] = "no"
    """Precision of matrix products; weights stay as they are."""

    compile: bool = False
    """Compile the model; worth it for runs of many minutes."""

    log_every: int = 10
    """Steps between two records of the loss."""

    validate_every: int = 500
    """Steps between two validations; the last step always validates."""

    keep: Literal["best", "last"] = "best"
    """What a run ends with: the weights that validated best, or the last ones, for tasks that the
    validation does not score, such as drawing."""

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
        for name in ("steps", "rows_per_step", "row_tokens", "micro_rows", "log_every",
                     "keep_checkpoints", "validate_every", "checkpoint_every"):  # fmt: skip
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("warmup_steps", "final_share", "weight_decay", "logits_at_once", "threads"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it cannot be negative")
        for name in ("learning_rate", "clip_norm"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"{name} is {getattr(self, name)}; give a number above 0")
        _ = self.token_loss  # refuses nonsense

    @property
    def token_loss(self) -> TokenLoss:
        """How the probability of a token becomes its loss."""
        return TokenLoss(
            label_smoothing=self.label_smoothing,
            focal_gamma=self.focal_gamma,
            focal_detached=self.focal_detached,
        )
