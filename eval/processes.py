"""The processes that share an evaluation, as ``accelerate launch`` or torchrun started them."""

import os
from collections.abc import Callable
from typing import NamedTuple


def _alone() -> None:
    """Wait for nobody."""


class Processes(NamedTuple):
    """Which of how many processes this is."""

    rank: int = 0
    size: int = 1
    wait: Callable[[], None] = _alone
    """Returns when all processes have called it."""

    @property
    def told(self) -> str:
        """Tell which process this is, behind other words; nothing where it is alone."""
        return f" (process {self.rank} of {self.size})" if self.size > 1 else ""


def launched_processes() -> Processes:
    """Find out how this process was launched; alone unless a launcher says otherwise.

    Raises:
        RuntimeError: When several processes were launched that know nothing of each other, which
            would each do everything.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        return Processes()
    import torch  # most evaluations need neither
    from accelerate.state import PartialState

    state = PartialState(cpu=not torch.accelerator.is_available())
    if state.num_processes != count:
        raise RuntimeError(
            f"{count} processes were launched, but accelerate runs {state.num_processes} that know "
            "nothing of each other; on CPUs launch with: accelerate launch --multi_gpu "
            "--num_processes N"
        )
    return Processes(state.process_index, count, state.wait_for_everyone)
