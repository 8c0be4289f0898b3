"""The recipe learns, survives a kill at any moment, and several processes learn what one does."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from accelerate.state import AcceleratorState, PartialState
from transformers import LlamaConfig, LlamaForCausalLM

from genrec import GenRec
from genrec.artifacts import ArtifactError
from genrec.config import load_config
from genrec.prompts import Tasks, corpus, train_tokenizer
from genrec.recommender import Request, TaskError
from genrec.serving import TransformersRecommender, load_bundle
from genrec.tokenization import RQKMeansConfig, SemanticTokenizer
from genrec.training import TrainingError
from recipes.finetune import Config, main
from tests.small_shop import small_dataset, with_pictures

RECIPES = Path(__file__).parents[2] / "recipes"
SHIPPED = sorted(RECIPES.glob("configs/finetune_*.yaml"))

YAML = """
tasks: {recommend: 1.0, search: 0.5, rate: 0.5}
validation_users: 10
beams: 5
backbone:
  tiny: {hidden_size: 32, layers: 2, heads: 2, intermediate_size: 64, text_pieces: 400}
prompts: {prompt_tokens: 100, answer_tokens: 20}
training:
  steps: 12
  rows_per_step: 4
  micro_rows: 4
  row_tokens: 128
  warmup_steps: 2
  log_every: 1
  validate_every: 6
  checkpoint_every: 3
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Save a data set with semantic IDs, as the steps before this one do."""
    folder = tmp_path_factory.mktemp("shop")
    dataset = with_pictures(small_dataset())
    dataset.save(folder / "data")
    features = np.random.default_rng(0).normal(size=(len(dataset.catalogue), 8))
    tokenizer = SemanticTokenizer.train(
        features.astype(np.float32), RQKMeansConfig(codebook_sizes=(4, 4)),
        catalogue=dataset.catalogue,
    )  # fmt: skip
    tokenizer.save_pretrained(folder / "tokenizer")
    (folder / "finetune.yaml").write_text(
        f"dataset: {folder / 'data'}\ntokenizer: {folder / 'tokenizer'}\n" + YAML
    )
    return folder


def options(folder):
    return [f"--out={folder / 'model'}", f"--work={folder / 'work'}"]


def finetune(shop, folder, *more):
    """Run the recipe in this process."""
    AcceleratorState._reset_state()
    PartialState._reset_state()
    main(load_config(Config, shop / "finetune.yaml", [*options(folder), *more]))


def command(shop, folder, *launch):
    script = [str(RECIPES / "finetune.py"), f"--config={shop / 'finetune.yaml'}", *options(folder)]
    return [sys.executable, *launch, *script]


def losses(folder):
    path = folder / "work" / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    records = [json.loads(line) for line in lines if line.endswith("}")]
    return {record["step"]: record["loss"] for record in records if "loss" in record}


def test_the_model_it_writes_recommends_items_of_the_shop(shop, tmp_path):
    finetune(shop, tmp_path)
    rec = GenRec.from_pretrained(tmp_path, device="cpu")
    found = [item for item, _ in rec.recommend(["sku-1", "sku-2"], k=10)]
    assert len(set(found)) == 10
    assert not {"sku-1", "sku-2"} & set(found)


@pytest.mark.parametrize("architecture", ["t5", "qwen3"])
def test_other_architectures_train_the_same_way(shop, tmp_path, architecture):
    finetune(shop, tmp_path, "--training.steps=2", f"--backbone.tiny.architecture={architecture}")
    assert len(GenRec.from_pretrained(tmp_path, device="cpu").recommend(["sku-1"], k=3)) == 3


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory):
    """Save a small checkpoint with its tokenizer, as a hub's would be."""
    folder = tmp_path_factory.mktemp("pretrained")
    dataset = small_dataset()
    everything = np.ones(len(dataset.interactions), dtype=bool)
    tokenizer = train_tokenizer(corpus(dataset, everything, Tasks.load()), size=400)
    tokenizer.save_pretrained(folder)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, bos_token_id=1, eos_token_id=2, pad_token_id=3,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("method", ["lora", "full", "last_layer", "prompt", "qlora"])
def test_any_pretrained_model_is_fine_tuned(shop, pretrained, tmp_path, method):
    if method == "qlora":
        pytest.importorskip("bitsandbytes")
    finetune(
        shop, tmp_path, "--training.steps=2", f"--backbone.path={pretrained}",
        f"--adapt.method={method}",
    )  # fmt: skip
    assert len(GenRec.from_pretrained(tmp_path, device="cpu").recommend(["sku-1"], k=3)) == 3


def test_a_model_that_sees_is_trained_saved_and_served_with_its_pictures(shop, tmp_path):
    finetune(
        shop, tmp_path, "--training.steps=2", "--vision.tiny.image_size=16",
        "--vision.tiny.layers=1", "--vision.gate=1.0",
    )  # fmt: skip
    rec = GenRec.from_pretrained(tmp_path, device="cpu")
    assert len(rec.recommend(["sku-1"], k=3)) == 3
    asked = [Request(task="rate", history=(1,), item=2)]
    blind = TransformersRecommender(*load_bundle(tmp_path)).rating_log_probs(asked)
    assert np.abs(rec.recommender.rating_log_probs(asked) - blind).max() > 1e-3


def test_a_run_is_not_gone_on_with_another_config(shop, tmp_path):
    finetune(shop, tmp_path, "--training.steps=2")
    with pytest.raises(ArtifactError, match="another training"):
        finetune(shop, tmp_path, "--training.steps=3")


@pytest.mark.parametrize(
    ("bad", "error", "message"),
    [
        ("--tasks.summarize=1.0", TaskError, "no training examples for summarize"),
        ("--training.row_tokens=8", TrainingError, "raise row_tokens"),
    ],
)
def test_a_start_that_was_refused_does_not_block_the_corrected_one(
    shop, tmp_path, bad, error, message
):
    with pytest.raises(error, match=message):
        finetune(shop, tmp_path, "--training.steps=2", bad)
    finetune(shop, tmp_path, "--training.steps=2")
    assert sorted(losses(tmp_path)) == [1, 2]


@pytest.mark.slow
def test_killed_at_any_moment_it_goes_on_with_the_same_losses(shop, tmp_path):
    subprocess.run(command(shop, tmp_path / "whole"), check=True)
    for kill_after in (1, 4, 8):
        process = subprocess.Popen(command(shop, tmp_path / "killed"))
        while len(losses(tmp_path / "killed")) < kill_after and process.poll() is None:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command(shop, tmp_path / "killed"), check=True)
    assert losses(tmp_path / "killed") == losses(tmp_path / "whole")
    assert sorted(losses(tmp_path / "whole")) == list(range(1, 13))


@pytest.mark.slow
def test_two_processes_learn_what_one_does(shop, tmp_path):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    alone = ("--backbone.tiny.dropout=0.0",)  # two processes draw other numbers than one
    launch = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2")
    subprocess.run([*command(shop, tmp_path / "one"), *alone], check=True, env=environment)
    subprocess.run([*command(shop, tmp_path / "two", *launch), *alone], check=True, env=environment)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-4)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_config_loads_and_learns_tasks_that_there_are(path, monkeypatch):
    monkeypatch.chdir(RECIPES.parent)
    config = load_config(Config, path)
    assert config.training.steps > 0
    assert Tasks.load(config.task_folders).only(config.tasks)
