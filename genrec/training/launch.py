"""The accelerator for the way a recipe was launched: one process, several, DeepSpeed or FSDP.

A launch that would compute something else than it was asked for is refused: accelerate runs one
process where it was told ``--cpu --num_processes 2``, independent copies where DDP finds no
devices, and DDP where DeepSpeed or FSDP was meant for CPUs, all without a word.
"""

import itertools
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import yaml
from accelerate import Accelerator
from accelerate.state import PartialState
from accelerate.utils import DistributedType, InitProcessGroupKwargs, ProjectConfiguration
from transformers.integrations import unset_hf_deepspeed_config

from genrec.training.config import TrainingConfig, TrainingError
from genrec.training.trackers import check_trackers

_SHARDERS = {
    DistributedType.DEEPSPEED: "ACCELERATE_USE_DEEPSPEED",
    DistributedType.FSDP: "ACCELERATE_USE_FSDP",
}

_ACCELERATE = {"launch", "accelerate-launch", "accelerate.commands.launch"}


def make_accelerator(config: TrainingConfig, *, logging_dir: Path) -> Accelerator:
    """Make the accelerator for the way the process was launched, or refuse the launch.

    ``accelerate launch`` gives every process one thread, so threads are set here.

    Raises:
        TrainingError: When the launch was asked for something that it would not do.
    """
    check_trackers(config.trackers)
    logging.getLogger("accelerate").setLevel(logging.WARNING)  # it tells of every file it saves
    logging.getLogger("accelerate.utils.other").setLevel(logging.ERROR)  # and of tied weights
    on_cpu = not torch.accelerator.is_available()
    on_deepspeed = _asked("ACCELERATE_USE_DEEPSPEED")
    if on_cpu:
        torch.set_num_threads(config.threads or _cores_of_a_process())
    if on_cpu and on_deepspeed:
        _refuse_missing_compiler()
    if on_cpu and _asked("ACCELERATE_USE_FSDP"):
        _let_fsdp_onto_cpus()
    accelerator = Accelerator(
        # DeepSpeed that is told of CPUs is turned off without a word; it needs gloo named instead.
        cpu=on_cpu and not on_deepspeed,
        mixed_precision=config.mixed_precision,
        log_with=list(config.trackers) or None,
        project_config=ProjectConfiguration(str(logging_dir), logging_dir=str(logging_dir)),
        kwargs_handlers=(
            [InitProcessGroupKwargs(backend="gloo")] if on_deepspeed and on_cpu else []
        ),
    )
    refuse_other_launch(accelerator, os.environ, _launcher())
    if config.rows_per_step % accelerator.num_processes:
        raise TrainingError(
            f"rows_per_step {config.rows_per_step} cannot be shared evenly among "
            f"{accelerator.num_processes} processes; make it a multiple of them"
        )
    if on_deepspeed:
        plugin = accelerator.state.deepspeed_plugin
        _fill_deepspeed(plugin.deepspeed_config, config)
        if not plugin.zero3_init_flag:
            unset_hf_deepspeed_config()  # transformers would cut what it loads into shards anyway
    return accelerator


def refuse_other_launch(
    accelerator: Accelerator, environment: Mapping[str, str], launcher: Sequence[str]
) -> None:
    """Compare what a launcher was asked for with what came of it.

    Args:
        accelerator: What came of it.
        environment: The environment variables that the launcher has left.
        launcher: The command line of the process that started this one.

    Raises:
        TrainingError: When they differ.
    """
    found, processes = accelerator.distributed_type, accelerator.num_processes
    world = int(environment.get("WORLD_SIZE", processes))
    if processes != world:
        raise TrainingError(
            f"{world} processes were launched, but accelerate runs {processes} that know nothing "
            "of each other; on CPUs launch with: accelerate launch --multi_gpu --num_processes N"
        )
    by_accelerate = "ACCELERATE_MIXED_PRECISION" in environment
    # What accelerate uses for a single process names a port only if it was asked for several.
    if by_accelerate and "WORLD_SIZE" not in environment and "MASTER_PORT" in environment:
        raise TrainingError(
            "several processes were asked for, but accelerate launched one; launch with "
            "--multi_gpu or with a --config_file of recipes/accelerate, without --cpu "
            "(if one process is meant, unset MASTER_PORT)"
        )
    for wanted, variable in _SHARDERS.items():
        asked = _asked(variable, environment) or _named_type(launcher) == wanted.value
        if asked and found != wanted:
            raise TrainingError(
                f"{wanted.value} was asked for, but accelerate runs {found.value}; launch without "
                "--cpu, and FSDP with at least 2 processes"
            )
    if found == DistributedType.FSDP and not accelerator.is_fsdp2:
        raise TrainingError("FSDP was asked for in version 1; set fsdp_version: 2")


def _named_type(launcher: Sequence[str]) -> str | None:
    """Read the distributed type in a config file that ``accelerate launch --cpu`` passes over."""
    words = {Path(word).name for word in launcher}
    if "--cpu" not in words or not words & _ACCELERATE:
        return None
    for option, after in itertools.pairwise([*launcher, ""]):
        name, _, value = option.partition("=")
        if name == "--config_file":
            path = Path(value or after)
            found = yaml.safe_load(path.read_text(encoding="utf-8")) if path.is_file() else None
            return str(found.get("distributed_type")) if isinstance(found, dict) else None
    return None


def _launcher() -> list[str]:
    """Return the command line of the parent process, or nothing where the system tells none."""
    path = Path(f"/proc/{os.getppid()}/cmdline")
    try:
        return path.read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []


def _asked(name: str, environment: Mapping[str, str] = os.environ) -> bool:
    return environment.get(name, "false").lower() == "true"


def _cores_of_a_process() -> int:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, (cores or 1) // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def _refuse_missing_compiler() -> None:
    for tool in ("ninja", "g++"):
        if shutil.which(tool) is None:
            raise TrainingError(
                f"DeepSpeed compiles its communication for CPUs, but {tool} is not on the PATH; "
                "activate the virtual environment (ninja lies in it), and install g++"
            )


def _let_fsdp_onto_cpus() -> None:
    """Tell accelerate that these processes have devices: else it turns FSDP to DDP on CPUs."""
    state = PartialState(cpu=True)
    if state.distributed_type == DistributedType.MULTI_CPU:
        state._shared_state["distributed_type"] = DistributedType.MULTI_GPU


def _fill_deepspeed(settings: dict[str, Any], config: TrainingConfig) -> None:
    """Set what the recipe decides and DeepSpeed must know.

    Raises:
        TrainingError: When the launch says something else.
    """
    wanted = {
        "train_micro_batch_size_per_gpu": config.micro_rows,
        "gradient_accumulation_steps": 1,  # the loop itself adds the parts of a step
        "gradient_clipping": config.clip_norm,
    }
    for name, value in wanted.items():
        if settings.get(name, "auto") not in ("auto", value):
            raise TrainingError(
                f"DeepSpeed was given {name} {settings[name]}, but the recipe says {value}; leave "
                'it out or say "auto": training.rows_per_step, micro_rows and clip_norm decide'
            )
        settings[name] = value
