"""The folder of a run: it belongs to one config."""

from pathlib import Path
from typing import Any

from genrec.artifacts import ArtifactError, read_json, write_json


def claim_run_folder(folder: Path, config: dict[str, Any]) -> None:
    """Note the config of a run in its folder, or check that the folder's run has the same one.

    Args:
        folder: Where checkpoints and records go.
        config: Everything that decides what the run computes.

    Raises:
        ArtifactError: When the folder holds a run with another config, naming what differs.
    """
    path = folder / "config.json"
    if not path.is_file():
        write_json(path, config)
        return
    before = read_json(path)
    changed = sorted(key for key in {*before, *config} if before.get(key) != config.get(key))
    if changed:
        raise ArtifactError(
            f"{folder} holds a run with another {', '.join(changed)}: "
            "remove the folder to start anew, or choose another one"
        )
