"""Settings of all tests."""

from collections.abc import Iterator

import pytest
from accelerate.state import AcceleratorState, GradientState, PartialState
from hypothesis import settings

# How long an example takes says more about the machine's other work than about the code. The same
# examples every time, so that a change is never blamed for what another draw would have found.
settings.register_profile("genrec", deadline=None, derandomize=True)
settings.load_profile("genrec")


@pytest.fixture(autouse=True)
def _forget_how_a_process_was_launched() -> Iterator[None]:
    """Let every test launch anew: accelerate remembers its first launch for good."""
    yield
    AcceleratorState._reset_state()
    PartialState._reset_state()
    GradientState._reset_state()
