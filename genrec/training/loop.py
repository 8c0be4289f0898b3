"""The training loop that recipes call: exact, resumable, the same for any number of processes."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from accelerate import Accelerator
from accelerate.logging import get_logger
from transformers import PreTrainedModel

from genrec.models import trainable_share
from genrec.training.batches import Position, StepStream
from genrec.training.checkpoints import BestWeights, Checkpoints, Progress
from genrec.training.config import TrainingConfig
from genrec.training.journal import Journal, flat
from genrec.training.learner import Learner, learning_rate
from genrec.training.shards import in_shards, whole_model
from genrec.training.with_loss import ModelWithLoss

log = get_logger(__name__)  # speaks in the main process only

Validate = Callable[[Any], dict[str, float]]


class Trained(NamedTuple):
    """What a run came to."""

    step: int
    """Optimizer steps done."""

    best_step: int
    """The step that validated best."""

    best_score: float
    """What it validated at; the step itself where the last weights are kept."""

    seconds: float
    """How long this call took; a run that was killed had taken some before."""

    trained_weights: int
    """How many weights trained."""


def train(
    model: PreTrainedModel,
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

    Weights that lie in shards stay in shards, those of the last step; :func:`load_best` sets the
    best ones of any run in a model that was made anew.

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
        TrainingError: When the loss or a weight is not finite, or the disk is full.
    """
    began = time.monotonic()
    trained_weights, weights = trainable_share(model)
    log.info("weights that train: %d of %d", trained_weights, weights)
    torch.manual_seed(config.seed + accelerator.process_index)
    with_loss = ModelWithLoss(
        model, config.token_loss, logits_at_once=config.logits_at_once, compiled=config.compile
    )
    learner = Learner.prepare(with_loss, config, accelerator)
    if config.trackers:
        accelerator.init_trackers("genrec", config=flat(run_config or {}))
    checkpoints = Checkpoints(folder / "checkpoints", accelerator, keep=config.keep_checkpoints)
    best = BestWeights(folder / "best", accelerator)
    progress = checkpoints.restore() or Progress(0, Position(0, 0))
    if progress.step:
        log.info("going on from step %d", progress.step)
    journal = Journal(folder / "metrics.jsonl", accelerator, steps=config.steps, done=progress)

    steps = stream.read(progress.position)
    while progress.step < config.steps:
        position, rows = next(steps)
        batches = stream.share(
            rows, rank=accelerator.process_index, world=accelerator.num_processes,
            micro_rows=config.micro_rows,
        )  # fmt: skip
        journal.add(learner.step(batches, number=progress.step))
        progress = Progress(progress.step + 1, position)
        if _due(progress, config.log_every, config):
            journal.write_progress(
                progress.step, learning_rate=learning_rate(progress.step, config)
            )
        if _due(progress, config.validate_every, config):
            with whole_model(model, learner.engine.model), accelerator.autocast():
                scores = validate(model.eval())
            worth = progress.step if config.keep == "last" else scores[score]
            better = best.offer(model, score=worth, step=progress.step)
            journal.write(progress.step, {f"validation/{k}": v for k, v in scores.items()})
            shown = ", ".join(f"{name} {value:.4f}" for name, value in scores.items())
            log.info("step %d: %s%s", progress.step, shown, f" ({config.keep})" if better else "")
            journal.restart_clock()
        if _due(progress, config.checkpoint_every, config):
            checkpoints.save(progress._replace(losses=journal.unwritten), model)
            journal.restart_clock()
    journal.close()
    with_loss.release()
    if not in_shards(model):
        best.load_into(model)
    assert best.step is not None
    assert best.score is not None
    seconds = time.monotonic() - began
    return Trained(progress.step, best.step, best.score, seconds, trained_weights)


def _due(progress: Progress, every: int, config: TrainingConfig) -> bool:
    return progress.step % every == 0 or progress.step == config.steps
