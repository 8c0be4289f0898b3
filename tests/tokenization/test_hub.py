import shutil
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest

from genrec.artifacts import ArtifactError
from genrec.tokenization import RQKMeansConfig, SemanticTokenizer


class Hub:
    """A hub in a folder, as far as tokenizers need it."""

    def __init__(self, root: Path) -> None:
        self.root, self.created = root, []

    def HfApi(self) -> "Hub":
        return self

    def create_repo(self, name: str, *, private: bool, exist_ok: bool) -> None:
        assert exist_ok
        self.created.append((name, private))

    def upload_folder(self, *, repo_id, folder_path, commit_message, delete_patterns):
        assert delete_patterns == "*"
        shutil.copytree(folder_path, self.root / repo_id)
        return SimpleNamespace(commit_url=f"https://hub/{repo_id}?{commit_message}")

    def snapshot_download(self, name: str, *, revision: str | None) -> str:
        if not (self.root / name).is_dir():
            raise ConnectionError(f"no repository {name} at {revision}")
        return str(self.root / name)


@pytest.fixture
def hub(tmp_path, monkeypatch):
    found = Hub(tmp_path / "hub")
    monkeypatch.setattr(huggingface_hub, "HfApi", found.HfApi)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", found.snapshot_download)
    return found


def tokenizer() -> SemanticTokenizer:
    features_NF = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
    return SemanticTokenizer.train(
        features_NF, RQKMeansConfig(codebook_sizes=(4, 4, 4), components=4)
    )


def test_what_is_pushed_is_fetched_by_its_name(hub):
    pushed = tokenizer()
    address = pushed.push_to_hub("shop/ids", private=True, message="first")
    assert address == "https://hub/shop/ids?first"
    assert hub.created == [("shop/ids", True)]
    assert SemanticTokenizer.from_pretrained("shop/ids").ids == pushed.ids


def test_a_folder_wins_over_the_hub(hub, tmp_path, monkeypatch):
    tokenizer().push_to_hub("shop/ids")
    monkeypatch.chdir(tmp_path)
    mine = tokenizer()
    mine.remove(["3"])
    mine.save_pretrained("shop/ids")
    assert len(SemanticTokenizer.from_pretrained("shop/ids").ids) == 39


def test_a_path_is_never_looked_up_on_the_hub(hub):
    tokenizer().push_to_hub("shop/ids")
    with pytest.raises(ArtifactError, match=r"config\.json does not exist"):
        SemanticTokenizer.from_pretrained(Path("shop/ids"))


def test_a_name_that_is_nowhere_is_refused(hub):
    with pytest.raises(ArtifactError, match="no folder shop/none here, and none could be had"):
        SemanticTokenizer.from_pretrained("shop/none", revision="v1")


def test_a_hub_that_refuses_is_named(hub, monkeypatch):
    def refuse(*args, **options):
        raise PermissionError("log in first")

    monkeypatch.setattr(hub, "create_repo", refuse)
    with pytest.raises(ArtifactError, match="shop/ids could not be written on the hub: log in"):
        tokenizer().push_to_hub("shop/ids")
