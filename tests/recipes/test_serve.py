"""The recipe that serves: its config, and what it says when parts are missing."""

from pathlib import Path

import pytest

from genrec.artifacts import ArtifactError
from genrec.config import load_config
from genrec.serving import GenRec, save_bundle
from genrec.serving.service import learned_tasks, load_store
from recipes import serve
from tests.serving.small_service import client_of, make_engine

CONFIG = Path(serve.__file__).parent / "configs" / "serve_toy.yaml"


def test_the_shipped_config_is_one():
    config = load_config(serve.Config, CONFIG, ["--service.limits.history=7"])
    assert config.model == Path("runs/demo/model")
    assert config.service.limits.history == 7


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A model directory with the tokenizer that belongs to it."""
    folder = tmp_path_factory.mktemp("run")
    engine, tokenizer = make_engine(folder)
    info = {"config": {"tasks": {"recommend": 1.0, "search": 0.2}}}
    save_bundle(folder / "model", engine._model, engine.renderer, info=info)
    tokenizer.save_pretrained(folder / "tokenizer")
    return folder


def test_a_model_directory_is_served_with_what_it_learned(run, tmp_path):
    rec = GenRec.from_pretrained(run, device="cpu")
    store = load_store(rec, tokenizer=run / "tokenizer", state=tmp_path)
    with client_of(store, tasks=learned_tasks(run)) as client:
        told = client.get("/v1/catalogue").json()
    assert told["tasks"] == ["recommend", "search"]
    assert told["can_add"]


def test_another_tokenizer_is_refused(run, tmp_path):
    rec = GenRec.from_pretrained(run, device="cpu")
    store = load_store(rec, tokenizer=run / "tokenizer")
    tokenizer = store.newcomers.tokenizer
    tokenizer.remove(["sku-1"])
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    with pytest.raises(ArtifactError, match=r"semantic IDs of the tokenizer is"):
        load_store(rec, tokenizer=tmp_path / "tokenizer")


def test_an_engine_that_cannot_follow_is_refused(run):
    class Fixed:
        def recommend(self, requests, k): ...
        def generate(self, requests): ...

    rec = GenRec(Fixed(), GenRec.from_pretrained(run, device="cpu").catalogue)
    with pytest.raises(TypeError, match="Fixed cannot follow"):
        load_store(rec)


@pytest.mark.parametrize(("field", "value"), [("port", 65536), ("threads", 0), ("shutdown_s", -1)])
def test_a_number_that_no_service_can_run_with_is_refused(field, value):
    with pytest.raises(ValueError, match=f"{field} is {value}; "):
        serve.Config(model=Path("runs/demo/model"), **{field: value})
