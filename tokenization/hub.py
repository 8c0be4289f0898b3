"""Tokenizers on the Hugging Face hub: the same directory, uploaded and fetched."""

import re
from pathlib import Path

import huggingface_hub

from genrec.artifacts import ArtifactError

_REPOSITORY = re.compile(r"[\w.-]+/[\w.-]+")


def upload(folder: Path, repository: str, *, private: bool, message: str) -> str:
    """Upload a directory as a model repository, which is made where there is none.

    Returns:
        The address of the commit.

    Raises:
        ArtifactError: When the hub cannot be reached or refuses; the message says why.
    """
    api = huggingface_hub.HfApi()
    try:
        api.create_repo(repository, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repository, folder_path=folder, commit_message=message, delete_patterns="*"
        )
    except Exception as error:  # the client raises errors of whichever HTTP library it uses
        raise ArtifactError(f"{repository} could not be written on the hub: {error}") from error
    return str(commit.commit_url)


def local_folder(name: Path | str, *, revision: str | None = None) -> Path:
    """Find a directory: the path itself, or what the hub has under a name such as ``shop/ids``.

    A text is looked up on the hub where no such path exists here; a ``Path`` never is.

    Raises:
        ArtifactError: When it is neither here nor there.
    """
    path = Path(name)
    if path.exists() or isinstance(name, Path) or not _REPOSITORY.fullmatch(name):
        return path
    try:
        return Path(huggingface_hub.snapshot_download(name, revision=revision))
    except Exception as error:  # as above
        raise ArtifactError(
            f"there is no folder {name} here, and none could be had from the hub: {error}"
        ) from error
