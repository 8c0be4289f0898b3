"""Checkpoints that are whole or not there, the newest few of them, and the best weights."""

import shutil
from pathlib import Path
from typing import Any, NamedTuple

from accelerate import Accelerator
from safetensors.torch import load_file, save_file
from torch import nn

from genrec.artifacts import read_json, write_directory, write_json
from genrec.training.batches import Position

_PROGRESS = "progress.json"


class Progress(NamedTuple):
    """How far a run has come."""

    step: int
    """Optimizer steps done."""

    position: Position
    """Where in the data the next step begins."""


class Checkpoints:
    """The checkpoints of one run, in ``folder/step-00000100`` and so on."""

    def __init__(self, folder: Path, accelerator: Accelerator, *, keep: int) -> None:
        self._folder = folder
        self._accelerator = accelerator
        self._keep = keep

    def save(self, progress: Progress) -> None:
        """Write model, optimizer, schedule, random states and progress, then drop the oldest.

        The directory gets its name when it is complete: a kill leaves only a partial one behind,
        which the next run removes.
        """
        final = self._folder / f"step-{progress.step:08d}"
        partial = self._folder / f".partial-{progress.step:08d}"
        self._accelerator.wait_for_everyone()
        self._accelerator.save_state(str(partial), safe_serialization=True)
        self._accelerator.wait_for_everyone()
        if self._accelerator.is_main_process:
            write_json(
                partial / _PROGRESS,
                {"step": progress.step, "epoch": progress.position.epoch,
                 "epoch_step": progress.position.step,
                 "processes": self._accelerator.num_processes},
            )  # fmt: skip
            shutil.rmtree(final, ignore_errors=True)
            partial.rename(final)
            for old in self._complete()[: -self._keep]:
                shutil.rmtree(old)
        self._accelerator.wait_for_everyone()

    def restore(self) -> Progress | None:
        """Load the newest complete checkpoint, or tell that there is none.

        Raises:
            ValueError: When the checkpoint was written by another number of processes.
        """
        if self._accelerator.is_main_process:
            for partial in self._folder.glob(".partial-*"):
                shutil.rmtree(partial)
        self._accelerator.wait_for_everyone()
        complete = self._complete()
        if not complete:
            return None
        saved = read_json(complete[-1] / _PROGRESS)
        if saved["processes"] != self._accelerator.num_processes:
            raise ValueError(
                f"{complete[-1]} was written by {saved['processes']} processes, but there are "
                f"{self._accelerator.num_processes} now; launch as many, or start elsewhere"
            )
        self._accelerator.load_state(str(complete[-1]))
        return Progress(saved["step"], Position(saved["epoch"], saved["epoch_step"]))

    def _complete(self) -> list[Path]:
        return sorted(self._folder.glob("step-*"))


class BestWeights:
    """The weights that validated best so far, kept on disk."""

    def __init__(self, folder: Path, accelerator: Accelerator) -> None:
        self._folder = folder
        self._accelerator = accelerator

    @property
    def score(self) -> float | None:
        """The best score so far, or ``None`` before the first."""
        record = self._record()
        return None if record is None else float(record["score"])

    @property
    def step(self) -> int | None:
        """The step that the best weights come from."""
        record = self._record()
        return None if record is None else int(record["step"])

    def offer(self, model: nn.Module, *, score: float, step: int) -> bool:
        """Keep the weights if they are better than the best; all processes must call it."""
        before = self.score
        if before is not None and score <= before:
            return False
        state = self._accelerator.get_state_dict(model)
        if self._accelerator.is_main_process:
            unwrapped = self._accelerator.unwrap_model(model, keep_torch_compile=False)
            trains = {name for name, p in unwrapped.named_parameters() if p.requires_grad}
            with write_directory(self._folder) as folder:
                weights = {name: state[name].contiguous() for name in sorted(trains)}
                save_file(weights, folder / "trained.safetensors")
                write_json(folder / "best.json", {"score": score, "step": step})
        self._accelerator.wait_for_everyone()
        return True

    def load_into(self, model: nn.Module) -> None:
        """Set the trained weights of a bare model to the best ones."""
        trained = load_file(self._folder / "trained.safetensors")
        missing, unexpected = model.load_state_dict(trained, strict=False)
        needed = {name for name, p in model.named_parameters() if p.requires_grad}
        if unexpected or needed & set(missing):
            raise ValueError(f"{self._folder} does not fit the model: {unexpected or missing}")

    def _record(self) -> dict[str, Any] | None:
        path = self._folder / "best.json"
        return read_json(path) if path.is_file() else None
