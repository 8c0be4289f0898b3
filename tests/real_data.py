"""Find the real data sets that some tests use; they are not shipped with the project."""

import os
from pathlib import Path

import pytest

_FOLDERS = [
    Path(os.environ.get("GENREC_DATA", "data")),
    Path(__file__).parents[2] / "shared" / "data",
]


def real_data(name: str) -> Path:
    """Return the folder of a data set, or skip the test where it is absent."""
    for folder in _FOLDERS:
        if (folder / name).is_dir():
            return folder / name
    pytest.skip(f"the data set {name} is not here; set GENREC_DATA to the folder that holds it")
