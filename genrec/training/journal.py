"""What a run tells about itself: ``metrics.jsonl``, the trackers and a progress bar."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from tqdm import tqdm

from genrec.training.checkpoints import Progress
from genrec.training.config import TrainingError
from genrec.training.learner import Taken


class Journal:
    """The records of one run; lines of steps that will be done again are dropped."""

    def __init__(self, path: Path, accelerator: Accelerator, *, steps: int, done: Progress) -> None:
        """Go on with the records of a run.

        Args:
            path: The file of records, one JSON object a line.
            accelerator: Whose main process writes, and whose trackers get the same numbers.
            steps: Steps of the whole run.
            done: How far the run came before.
        """
        self._path = path
        self._accelerator = accelerator
        self._losses = list(done.losses)
        self._bar = tqdm(
            total=steps, initial=done.step, unit="step", desc="fine-tune",
            disable=None if accelerator.is_main_process else True,
        )  # fmt: skip
        if accelerator.is_main_process:
            path.parent.mkdir(parents=True, exist_ok=True)
            kept = [line for line in _lines(path) if json.loads(line)["step"] <= done.step]
            path.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")
        self.restart_clock()

    @property
    def unwritten(self) -> tuple[float, ...]:
        """Losses of the steps since the last record of progress."""
        return tuple(self._losses)

    def add(self, taken: Taken) -> None:
        """Count a step."""
        self._losses.append(taken.loss)
        self._tokens += taken.tokens
        self._bar.update()

    def write_progress(self, step: int, *, learning_rate: float) -> None:
        """Record the mean loss and the speed since the last such record."""
        loss = sum(self._losses) / len(self._losses)
        speed = self._tokens / max(time.monotonic() - self._began, 1e-9)
        self._losses = []
        self.write(step, {"loss": loss, "tokens_per_second": speed, "learning_rate": learning_rate})
        self._bar.set_postfix(loss=f"{loss:.3f}", tok_s=f"{speed:.0f}")
        self.restart_clock()

    def write(self, step: int, values: dict[str, float]) -> None:
        """Record numbers of a step.

        Raises:
            TrainingError: When the disk is full.
        """
        self._accelerator.log(values, step=step)
        if self._accelerator.is_main_process:
            try:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(json.dumps({"step": step, **values}) + "\n")
            except OSError as error:
                raise TrainingError(
                    f"{self._path} could not be written: {error}; what was saved before is "
                    "intact: make room, then start again"
                ) from error

    def restart_clock(self) -> None:
        """Leave out of the speed what was done since the last step."""
        self._tokens = 0
        self._began = time.monotonic()

    def close(self) -> None:
        """End the progress bar."""
        self._bar.close()


def _lines(path: Path) -> Iterator[str]:
    """Yield the complete lines of a file; a kill may have cut the last one."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    yield from text.splitlines() if text.endswith("\n") else text.splitlines()[:-1]


def flat(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings to the plain values that trackers take."""
    plain: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, dict):
            plain |= flat(value, f"{prefix}{key}.")
        else:
            known = isinstance(value, (int, float, str, bool))
            plain[prefix + key] = value if known else str(value)
    return plain
