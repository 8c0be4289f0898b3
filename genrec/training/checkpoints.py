"""Checkpoints that are whole or not there, the newest few of them, and the best weights."""

import contextlib
import math
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from accelerate import Accelerator
from accelerate.logging import get_logger
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from genrec.artifacts import ArtifactError, read_json, sync, write_directory, write_json
from genrec.training.batches import Position
from genrec.training.config import TrainingError
from genrec.training.shards import all_finite, trained_weights

log = get_logger(__name__)  # speaks in the main process only

_PROGRESS = "progress.json"
_WEIGHTS = "trained.safetensors"
_SCORE = "best.json"


class Progress(NamedTuple):
    """How far a run has come."""

    step: int
    """Optimizer steps done."""

    position: Position
    """Where in the data the next step begins."""

    losses: tuple[float, ...] = ()
    """Losses of the steps that no record tells of yet."""


class Checkpoints:
    """The checkpoints of one run, in ``folder/step-00000100`` and so on."""

    def __init__(self, folder: Path, accelerator: Accelerator, *, keep: int) -> None:
        self._folder = folder
        self._accelerator = accelerator
        self._keep = keep

    def save(self, progress: Progress, model: nn.Module) -> None:
        """Write model, optimizer, random states and progress, then drop the oldest.

        All processes must call it. Weights that are no numbers are refused, so that what is kept
        is always good to go on from.

        The directory gets its name when it is complete and on the disk: a kill leaves only a
        partial one behind, which the next run removes.

        Raises:
            TrainingError: When a weight is not finite, or the checkpoint cannot be written, such
                as to a full disk.
        """
        refuse_broken_weights(model, self._accelerator)
        final = self._folder / f"step-{progress.step:08d}"
        partial = self._folder / f".partial-{progress.step:08d}"
        accelerator = self._accelerator
        accelerator.wait_for_everyone()
        with _or_stop(f"the checkpoint of step {progress.step}", partial):
            accelerator.save_state(str(partial), safe_serialization=True)
        accelerator.wait_for_everyone()
        if accelerator.is_main_process:
            with _or_stop(f"the checkpoint of step {progress.step}", partial):
                sizes = {name: path.stat().st_size for name, path in _files(partial).items()}
                write_json(
                    partial / _PROGRESS,
                    {"step": progress.step, "epoch": progress.position.epoch,
                     "epoch_step": progress.position.step, "losses": progress.losses,
                     "processes": accelerator.num_processes,
                     "kind": _kind(accelerator), "sizes": sizes},
                )  # fmt: skip
                for path in [*_files(partial).values(), partial]:
                    sync(path)
                shutil.rmtree(final, ignore_errors=True)
                partial.rename(final)
                sync(self._folder)
            for old in self._complete()[: -self._keep]:
                shutil.rmtree(old)
        accelerator.wait_for_everyone()

    def restore(self) -> Progress | None:
        """Load the newest checkpoint that is whole, or tell that there is none at all.

        One that lost a part since it was written is passed over with a warning.

        Raises:
            TrainingError: When no checkpoint is whole, or when it was written by another number of
                processes or another kind of launch.
        """
        if self._accelerator.is_main_process:
            for partial in self._folder.glob(".partial-*"):
                shutil.rmtree(partial)
        self._accelerator.wait_for_everyone()
        complete = self._complete()
        for folder in reversed(complete):
            try:
                saved = read_whole(folder)
            except ArtifactError as error:
                log.warning("%s; taking the checkpoint before it", error)
                continue
            self._refuse_other_launch(folder, saved)
            self._accelerator.load_state(str(folder))
            position = Position(saved["epoch"], saved["epoch_step"])
            return Progress(saved["step"], position, tuple(saved["losses"]))
        if complete:
            raise TrainingError(
                f"none of the checkpoints in {self._folder} is whole; "
                "remove the folder to begin anew"
            )
        return None

    def _refuse_other_launch(self, folder: Path, saved: dict[str, Any]) -> None:
        accelerator = self._accelerator
        now = {"processes": accelerator.num_processes, "kind": _kind(accelerator)}
        before = {name: saved[name] for name in now}
        if before != now:
            raise TrainingError(
                f"{folder} was written by {before['processes']} processes ({before['kind']}), but "
                f"there are {now['processes']} ({now['kind']}) now; launch as before, or begin in "
                "another folder"
            )

    def _complete(self) -> list[Path]:
        return sorted(self._folder.glob("step-*"))


class BestWeights:
    """The weights that validated best so far, kept on disk in ``folder/step-00000100``."""

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
        """Keep the weights if they are better than the best; all processes must call it.

        Args:
            model: The bare model; its weights may lie in shards.
            score: What they validated at; higher is better.
            step: The step they come from.

        Raises:
            TrainingError: When a weight or the score is not finite, or the disk is full.
        """
        refuse_broken_weights(model, self._accelerator)
        if not math.isfinite(score):
            raise TrainingError(f"the validation of step {step} scored {score}")
        before = self.score
        if before is not None and score <= before:
            return False
        weights = trained_weights(model, self._accelerator)
        if self._accelerator.is_main_process:
            folder = self._folder / f"step-{step:08d}"
            with _or_stop(f"the best weights, of step {step},", folder):
                # Under a name of its own, so that at every moment one of the two is whole.
                with write_directory(folder) as partial:
                    save_file(weights, partial / _WEIGHTS)
                    write_json(partial / _SCORE, {"score": score, "step": step})
                partials = self._folder.glob(".step-*")  # of a run that was killed
                for old in [*_best(self._folder)[:-1], *partials]:
                    shutil.rmtree(old)
        self._accelerator.wait_for_everyone()
        return True

    def load_into(self, model: nn.Module) -> None:
        """Set the trained weights of a bare model, whole ones, to the best."""
        load_best(model, self._folder)

    def _record(self) -> dict[str, Any] | None:
        found = _best(self._folder)
        return read_json(found[-1] / _SCORE) if found else None


def load_best(model: nn.Module, folder: Path) -> None:
    """Set the trained weights of a model to those that :class:`BestWeights` kept in a folder.

    Raises:
        ArtifactError: When there are none, or they were trained in another model.
    """
    found = _best(folder)
    if not found:
        raise ArtifactError(f"{folder} holds no weights; did the run come to a validation?")
    set_weights(model, load_file(found[-1] / _WEIGHTS), source=found[-1])


def set_weights(model: nn.Module, weights: Mapping[str, Tensor], *, source: Path) -> None:
    """Set weights of a whole model; all that train must be among them.

    Raises:
        ArtifactError: When they do not fit the model; the message names their source.
    """
    missing, unexpected = model.load_state_dict(weights, strict=False)
    needed = {name for name, p in model.named_parameters() if p.requires_grad}
    if unexpected or needed & set(missing):
        raise ArtifactError(f"{source} does not fit the model: {unexpected or missing}")


def read_whole(folder: Path) -> dict[str, Any]:
    """Read the progress of a checkpoint whose files all have the size they were written with.

    Raises:
        ArtifactError: When they have not.
    """
    saved = read_json(folder / _PROGRESS)
    for name, size in saved["sizes"].items():
        path = folder / name
        found = path.stat().st_size if path.is_file() else None
        if found != size:
            state = "is missing" if found is None else f"has {found} bytes instead of {size}"
            raise ArtifactError(f"{folder} is damaged: {name} {state}")
    return saved


def refuse_broken_weights(model: nn.Module, accelerator: Accelerator) -> None:
    """Stop before weights that are no numbers are kept; all processes must call it.

    Raises:
        TrainingError: When a weight is not finite.
    """
    if not all_finite(model, accelerator):
        raise TrainingError(
            "a weight is no longer a finite number; what was saved before is intact: "
            "begin anew with a lower learning_rate or a higher warmup_steps"
        )


def _kind(accelerator: Accelerator) -> str:
    """Name what decides how a checkpoint is laid out, such as ``DEEPSPEED ZeRO-3``."""
    kind = accelerator.distributed_type
    plugin = accelerator.state.deepspeed_plugin
    return str(kind.value) if plugin is None else f"{kind.value} ZeRO-{plugin.zero_stage}"


def _best(folder: Path) -> list[Path]:
    """List what was kept, the best last: whatever came later was better."""
    return sorted(folder.glob("step-*"))


def _files(folder: Path) -> dict[str, Path]:
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {name: path for name, path in sorted(paths.items()) if path.is_file()}


@contextlib.contextmanager
def _or_stop(what: str, folder: Path) -> Iterator[None]:
    """Turn a failed write into a message, and give back the space that it took."""
    try:
        yield
    except Exception as error:  # each writer has its own: OSError, RuntimeError, SafetensorError
        free = shutil.disk_usage(folder.parent).free / 2**20
        shutil.rmtree(folder, ignore_errors=True)
        raise TrainingError(
            f"{what} could not be written to {folder.parent} ({free:.0f} MiB are free): {error}; "
            "what was saved before is intact: make room, then start again"
        ) from error
