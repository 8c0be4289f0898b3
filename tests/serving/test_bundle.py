import json
import shutil
from pathlib import Path

import polars as pl
import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from genrec.artifacts import ArtifactError
from genrec.recommender import Request
from genrec.semantic_ids import SemanticIds
from genrec.serving import load_bundle
from tests.small_shop import small_bundle


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "model"
    return path, *small_bundle(path)


def copy(path: Path, to: Path) -> Path:
    return shutil.copytree(path, to)


def test_loaded_it_is_the_same_model_with_the_same_prompts(saved):
    path, model, renderer = saved
    bundle = load_bundle(path)
    request = Request(task="rate", history=(0, 1), item=4)
    prompt = renderer.render(request).prompt
    assert bundle.renderer.fingerprint == renderer.fingerprint
    assert bundle.renderer.render(request).prompt.tolist() == prompt.tolist()
    tokens = torch.from_numpy(prompt)[None].long()
    torch.testing.assert_close(bundle.model(tokens).logits, model(tokens).logits)


def test_transformers_loads_the_directory_too(saved):
    path, model, renderer = saved
    tokenizer = AutoTokenizer.from_pretrained(path)
    assert tokenizer.convert_tokens_to_ids("<a_0>") == renderer.vocabulary.first_code
    loaded = AutoModelForCausalLM.from_pretrained(path)
    tokens = torch.arange(5)[None]
    torch.testing.assert_close(loaded(tokens).logits, model(tokens).logits)


def test_the_directory_of_the_run_will_do(saved):
    path, _, renderer = saved
    assert load_bundle(path.parent).renderer.fingerprint == renderer.fingerprint


def test_no_weights_but_the_models_lie_where_vllm_looks_for_them(saved):
    assert [file.name for file in saved[0].glob("*.safetensors")] == ["model.safetensors"]


def test_nothing_in_it_is_pickled(saved):
    endings = {file.suffix for file in saved[0].rglob("*") if file.is_file()}
    assert endings <= {".json", ".safetensors", ".parquet", ".model", ".jinja"}


def test_semantic_ids_of_another_tokenizer_are_refused(saved, tmp_path):
    path, _, renderer = saved
    broken = copy(path, tmp_path / "model")
    other = SemanticIds(renderer.ids.codes_NL[::-1].copy(), renderer.ids.codebook_sizes)
    other.save(broken / "catalogue" / "semantic_ids.safetensors")
    with pytest.raises(ArtifactError, match=r"semantic ids of .*genrec.json is \w{16}, but"):
        load_bundle(broken)


def test_another_catalogue_is_refused(saved, tmp_path):
    broken = copy(saved[0], tmp_path / "model")
    file = broken / "catalogue" / "items.parquet"
    pl.read_parquet(file).with_columns(title=pl.lit("other")).write_parquet(file)
    with pytest.raises(ArtifactError, match="the catalogue of"):
        load_bundle(broken)


def test_other_words_of_a_task_are_refused(saved, tmp_path):
    broken = copy(saved[0], tmp_path / "model")
    record = json.loads((broken / "genrec.json").read_text())
    record["tasks"][0]["prompts"][0] += " Something else:"
    (broken / "genrec.json").write_text(json.dumps(record))
    with pytest.raises(ArtifactError, match="the prompts of"):
        load_bundle(broken)


def test_a_format_of_the_future_is_refused(saved, tmp_path):
    broken = copy(saved[0], tmp_path / "model")
    record = json.loads((broken / "genrec.json").read_text())
    (broken / "genrec.json").write_text(json.dumps(record | {"format": 99}))
    with pytest.raises(ArtifactError, match="has format 99"):
        load_bundle(broken)


@pytest.mark.parametrize("name", ["semantic_ids.safetensors", "items.parquet"])
def test_a_missing_part_is_named(saved, tmp_path, name):
    broken = copy(saved[0], tmp_path / "model")
    (broken / "catalogue" / name).unlink()
    with pytest.raises(ArtifactError, match=f"{name} does not exist"):
        load_bundle(broken)


def test_a_folder_that_holds_no_model_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match=r"is no model directory.*recipes/finetune.py"):
        load_bundle(tmp_path)
