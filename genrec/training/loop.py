"""The training loop that recipes call: exact, resumable, the same for any number of processes."""

import contextlib
import json
import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.logging import get_logger
from torch import nn
from torch.optim.lr_scheduler import LambdaLR
from tqdm import tqdm

from genrec.training.batches import Batch, Position, StepStream
from genrec.training.checkpoints import BestWeights, Checkpoints, Progress
from genrec.training.config import TrainingConfig, TrainingError
from genrec.training.losses import weighted_cross_entropy

log = get_logger(__name__)  # speaks in the main process only

Validate = Callable[[nn.Module], dict[str, float]]


class Trained(NamedTuple):
    """What a run came to."""

    step: int
    """Optimizer steps done."""

    best_step: int
    """The step whose weights the model has now."""

    best_score: float
    """What they validated at."""

    seconds: float
    """How long this call took; a run that was killed had taken some before."""


def train(
    model: nn.Module,
    stream: StepStream,
    config: TrainingConfig,
    *,
    accelerator: Accelerator,
    folder: Path,
    validate: Validate,
    score: str,
    run_config: dict[str, Any] | None = None,
) -> Trained:
    """Train a model, validate it as it goes, and leave the best weights in it.

    A run that was killed goes on from its newest checkpoint in ``folder`` with the losses that it
    would have had.

    Args:
        model: Any Hugging Face model; what requires gradients trains.
        stream: The data, step by step.
        config: The optimizer's settings.
        accelerator: From :func:`make_accelerator`.
        folder: Gets checkpoints, the best weights and ``metrics.jsonl``.
        validate: Scores the bare model in eval mode.
        score: Which of the validation's numbers decides what is best; higher is better.
        run_config: What trackers note about the run.

    Raises:
        TrainingError: When the loss or a weight is not finite.
    """
    began = time.monotonic()
    torch.manual_seed(config.seed + accelerator.process_index)
    bare = model
    optimizer = torch.optim.AdamW(_decay_groups(model, config), lr=config.learning_rate)
    schedule = LambdaLR(optimizer, lambda step: _rate(step, config))
    if config.compile:
        model = torch.compile(model)  # type: ignore[assignment]
    model, optimizer, schedule = accelerator.prepare(model, optimizer, schedule)
    if config.trackers:
        accelerator.init_trackers("genrec", config=_flat(run_config or {}))

    checkpoints = Checkpoints(folder / "checkpoints", accelerator, keep=config.keep_checkpoints)
    best = BestWeights(folder / "best", accelerator)
    progress = checkpoints.restore() or Progress(0, Position(0, 0))
    records = _Records(folder / "metrics.jsonl", accelerator, after=progress.step)
    if progress.step:
        log.info("going on from step %d", progress.step)

    bar = tqdm(
        total=config.steps, initial=progress.step, unit="step", desc="fine-tune",
        disable=None if accelerator.is_main_process else True,
    )  # fmt: skip
    steps = stream.read(progress.position)
    meter = _Meter()
    while progress.step < config.steps:
        position, rows = next(steps)
        batches = stream.share(
            rows, rank=accelerator.process_index, world=accelerator.num_processes,
            micro_rows=config.micro_rows,
        )  # fmt: skip
        model.train()
        loss, tokens = _step(model, batches, optimizer, schedule, accelerator, config)
        progress = Progress(progress.step + 1, position)
        last = progress.step == config.steps
        meter.add(loss, tokens)
        bar.update()
        if progress.step % config.log_every == 0 or last:
            record = meter.flush() | {"learning_rate": schedule.get_last_lr()[0]}
            records.write(progress.step, record)
            bar.set_postfix(
                loss=f"{record['loss']:.3f}", tok_s=f"{record['tokens_per_second']:.0f}"
            )
        if progress.step % config.validate_every == 0 or last:
            model.eval()
            scores = validate(bare)
            better = best.offer(model, score=scores[score], step=progress.step)
            records.write(progress.step, {f"validation/{k}": v for k, v in scores.items()})
            shown = ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
            log.info("step %d: %s%s", progress.step, shown, " (best)" if better else "")
            meter.restart()
        if progress.step % config.checkpoint_every == 0 or last:
            weights = [p.detach().float().sum() for p in bare.parameters()]
            _refuse_infinite(float(torch.stack(weights).sum()), "sum of weights")
            checkpoints.save(progress)
            meter.restart()
    bar.close()
    best.load_into(bare)
    assert best.step is not None
    assert best.score is not None
    return Trained(progress.step, best.step, best.score, time.monotonic() - began)


def _refuse_infinite(value: float, what: str) -> None:
    """Stop before weights that are no numbers reach a checkpoint."""
    if not math.isfinite(value):
        raise TrainingError(
            f"the {what} is {value}; the last checkpoint is intact: "
            "lower learning_rate or raise warmup_steps, then start again"
        )


def _step(
    model: nn.Module,
    batches: list[Batch],
    optimizer: torch.optim.Optimizer,
    schedule: LambdaLR,
    accelerator: Accelerator,
    config: TrainingConfig,
) -> tuple[float, int]:
    """Take one optimizer step; returns the loss a weighted token and the tokens, both global.

    Every token counts the same however rows fall into batches and processes: sums of losses are
    divided by the weight of the whole step, not by that of a batch.
    """
    device = accelerator.device
    weight = torch.stack([batch.weights_RT.sum() for batch in batches]).sum().to(device)
    weight = accelerator.reduce(weight, reduction="sum").clamp(min=1e-9)
    total = torch.zeros((), device=device)
    for number, batch in enumerate(batches, start=1):
        inputs, labels_RT, weights_RT = batch.to(device)
        with _synchronized(model, accelerator, number == len(batches)):
            # transformers tells packed examples apart only where it keeps no cache.
            logits_RTV = model(**inputs, use_cache=False).logits
            loss = weighted_cross_entropy(
                logits_RTV.flatten(0, 1), labels_RT.flatten(), weights_RT.flatten(),
                label_smoothing=config.label_smoothing,
            )  # fmt: skip
            # Processes average their gradients; the sum is meant.
            accelerator.backward(loss / weight * accelerator.num_processes)
        total += loss.detach()
    mean = float(accelerator.reduce(total, reduction="sum") / weight)
    _refuse_infinite(mean, "loss")
    accelerator.clip_grad_norm_(model.parameters(), config.clip_norm)
    optimizer.step()
    schedule.step()
    optimizer.zero_grad()
    tokens = sum(batch.labels_RT.numel() for batch in batches) * accelerator.num_processes
    return mean, tokens


def _synchronized(
    model: nn.Module, accelerator: Accelerator, last: bool
) -> contextlib.AbstractContextManager[None]:
    """Share gradients between processes only with the last batch of a step."""
    return contextlib.nullcontext() if last else accelerator.no_sync(model)


def _decay_groups(model: nn.Module, config: TrainingConfig) -> list[dict[str, Any]]:
    trains = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trains if p.dim() >= 2], "weight_decay": config.weight_decay},
        {"params": [p for p in trains if p.dim() < 2], "weight_decay": 0.0},
    ]


def _rate(step: int, config: TrainingConfig) -> float:
    """Share of the highest learning rate: a linear warm-up, then half a cosine."""
    if step < config.warmup_steps:
        return (step + 1) / config.warmup_steps
    done = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, done)))
    return config.final_share + (1 - config.final_share) * cosine


class _Meter:
    """Mean loss and speed since the last record."""

    def __init__(self) -> None:
        self._losses: list[float] = []
        self._tokens = 0
        self._began = time.monotonic()

    def add(self, loss: float, tokens: int) -> None:
        self._losses.append(loss)
        self._tokens += tokens

    def flush(self) -> dict[str, float]:
        seconds = max(time.monotonic() - self._began, 1e-9)
        record = {
            "loss": sum(self._losses) / len(self._losses),
            "tokens_per_second": self._tokens / seconds,
        }
        self._losses = []
        self.restart()
        return record

    def restart(self) -> None:
        self._tokens = 0
        self._began = time.monotonic()


class _Records:
    """``metrics.jsonl`` and the trackers; lines of steps that will be done again are dropped."""

    def __init__(self, path: Path, accelerator: Accelerator, *, after: int) -> None:
        self._path = path
        self._accelerator = accelerator
        if accelerator.is_main_process:
            path.parent.mkdir(parents=True, exist_ok=True)
            kept = [line for line in _lines(path) if json.loads(line)["step"] <= after]
            path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def write(self, step: int, values: dict[str, float]) -> None:
        self._accelerator.log(values, step=step)
        if self._accelerator.is_main_process:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": step, **values}) + "\n")


def _lines(path: Path) -> Iterator[str]:
    """Yield the complete lines of a file; a kill may have cut the last one."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    yield from text.splitlines() if text.endswith("\n") else text.splitlines()[:-1]


def _flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings to the plain values that trackers take."""
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value if isinstance(value, (int, float, str, bool)) else str(value)
    return flat
