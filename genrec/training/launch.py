"""The accelerator for the way a recipe was launched: one process, several, or DeepSpeed."""

import logging
import os
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs, ProjectConfiguration

from genrec.training.config import TrainingConfig, TrainingError


def make_accelerator(config: TrainingConfig, *, logging_dir: Path) -> Accelerator:
    """Make the accelerator for the way the process was launched.

    On a machine without a GPU, DeepSpeed needs gloo named and must not be told ``cpu=True``, which
    silently turns it off. A launch that asked for several processes and got one is refused.
    ``accelerate launch`` gives every process one thread, so threads are set here.
    """
    logging.getLogger("accelerate").setLevel(logging.WARNING)  # it tells of every file it saves
    on_deepspeed = os.environ.get("ACCELERATE_USE_DEEPSPEED") == "true"
    on_cpu = not torch.accelerator.is_available()
    if on_cpu:
        neighbours = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
        torch.set_num_threads(config.threads or max(1, (cores or 1) // neighbours))
    accelerator = Accelerator(
        cpu=on_cpu and not on_deepspeed,
        mixed_precision=config.mixed_precision,
        # The schedule counts optimizer steps, however many processes take one together.
        step_scheduler_with_optimizer=False,
        log_with=list(config.trackers) or None,
        project_config=ProjectConfiguration(str(logging_dir), logging_dir=str(logging_dir)),
        kwargs_handlers=(
            [InitProcessGroupKwargs(backend="gloo")] if on_deepspeed and on_cpu else []
        ),
    )
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if accelerator.num_processes != world:
        raise TrainingError(
            f"{world} processes were launched, but accelerate runs {accelerator.num_processes}; "
            "on CPUs launch with: accelerate launch --multi_gpu --num_processes N"
        )
    return accelerator
