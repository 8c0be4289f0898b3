"""The folder of a run: it belongs to one config."""

import json
from pathlib import Path
from typing import Any

from accelerate import Accelerator, PartialState

from genrec.artifacts import ArtifactError, fingerprint, read_json, write_json

_CONFIG = "config.json"


class RunFolder:
    """The folder of one run, which belongs to its config from the claim on.

    A run claims its folder when nothing can refuse its config any more: what never began shall not
    stand in the way of what comes after it.
    """

    def __init__(self, path: Path, config: dict[str, Any]) -> None:
        """Refuse a folder that holds a run with another config, and write nothing.

        Args:
            path: Where checkpoints and records go.
            config: Everything that decides what the run computes.

        Raises:
            ArtifactError: When the configs differ, naming what does.
        """
        self._path, self._config = path, config
        _check(path, config)

    @property
    def vocabulary(self) -> Path:
        """Where the vocabulary is kept, which is made before the claim.

        Its name tells the config, so that a run never finds that of one which was refused.
        """
        told = fingerprint(json.dumps(self._config, sort_keys=True))
        return self._path / f"vocabulary-{told}"

    @property
    def pictures(self) -> Path:
        """Where what the encoder makes of pictures is kept, by what makes it."""
        return self._path / "pictures"

    def claim(self, processes: Accelerator | PartialState) -> None:
        """Claim the folder, the main process first. See :func:`claim_run_folder`."""
        with processes.main_process_first():
            claim_run_folder(self._path, self._config)


def claim_run_folder(folder: Path, config: dict[str, Any]) -> None:
    """Note the config of a run in its folder, or check that the folder's run has the same one.

    Args:
        folder: Where checkpoints and records go.
        config: Everything that decides what the run computes.

    Raises:
        ArtifactError: When the folder holds a run with another config, naming what differs.
    """
    path = folder / _CONFIG
    if not path.is_file():
        write_json(path, config)
    _check(folder, config)


def _check(folder: Path, config: dict[str, Any]) -> None:
    path = folder / _CONFIG
    if not path.is_file():
        return
    before = read_json(path)
    changed = sorted(key for key in {*before, *config} if before.get(key) != config.get(key))
    if changed:
        raise ArtifactError(
            f"{folder} holds a run with another {', '.join(changed)}: "
            "remove the folder to start anew, or choose another one"
        )
