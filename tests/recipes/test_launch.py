"""The recipe under every launch config that is shipped, in two processes and across a kill."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import yaml
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from genrec.prompts import Tasks, corpus, train_tokenizer
from genrec.tokenization import RQKMeansConfig, SemanticTokenizer
from genrec.training import load_checkpoint
from tests.small_shop import small_dataset

ROOT = Path(__file__).parents[2]
CONFIGS = ROOT / "recipes" / "accelerate"

# Steps of two parts a process, some gradients clipped and some not: a gradient that is scaled
# wrongly shows. Two processes draw other dropout than one, so there is none.
YAML = """
tasks: {recommend: 1.0, rate: 0.5}
validation_users: 6
beams: 4
backbone:
  tiny:
    {hidden_size: 32, layers: 2, heads: 2, intermediate_size: 64, text_pieces: 400, dropout: 0.0}
prompts: {prompt_tokens: 100, answer_tokens: 20}
adapt: {dropout: 0.0}
training:
  steps: 9
  rows_per_step: 4
  micro_rows: 1
  row_tokens: 128
  warmup_steps: 2
  learning_rate: 3.0e-3
  clip_norm: 1.5
  log_every: 1
  validate_every: 6
  checkpoint_every: 2
"""


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Save a data set with semantic IDs and a config of the recipe."""
    folder = tmp_path_factory.mktemp("shop")
    dataset = small_dataset()
    dataset.save(folder / "data")
    features = np.random.default_rng(0).normal(size=(len(dataset.catalogue), 8))
    tokenizer = SemanticTokenizer.train(
        features.astype(np.float32), RQKMeansConfig(codebook_sizes=(4, 4)),
        catalogue=dataset.catalogue,
    )  # fmt: skip
    tokenizer.save_pretrained(folder / "tokenizer")
    paths = f"dataset: {folder / 'data'}\ntokenizer: {folder / 'tokenizer'}\n"
    (folder / "finetune.yaml").write_text(paths + YAML)
    return folder


@pytest.fixture(scope="module")
def alone(shop, tmp_path_factory):
    """Run the recipe in one process."""
    folder = tmp_path_factory.mktemp("alone")
    subprocess.run(command(shop, folder), check=True, env=environment())
    return folder


def environment():
    tools = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # ninja lies there
    return os.environ | {"OMP_NUM_THREADS": "1", "PATH": tools}


def command(shop, folder, *launch, options=()):
    launcher = ["-m", "accelerate.commands.launch", *launch] if launch else []
    return [
        sys.executable, *launcher, str(ROOT / "recipes" / "finetune.py"),
        f"--config={shop / 'finetune.yaml'}", f"--out={folder / 'model'}",
        f"--work={folder / 'work'}", *options,
    ]  # fmt: skip


def two(name):
    if name != "ddp" and shutil.which("g++") is None:
        pytest.skip("DeepSpeed compiles its communication for CPUs, and g++ is not here")
    return ("--num_processes=2", "--main_process_port=0", f"--config_file={CONFIGS / name}.yaml")


def losses(folder):
    path = folder / "work" / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.is_file() else []
    records = [json.loads(line) for line in lines if line.endswith("}")]
    return {record["step"]: record["loss"] for record in records if "loss" in record}


def kill(process):
    """Kill a launcher and all its processes at once, as a power cut would."""
    family = [*psutil.Process(process.pid).children(recursive=True), process]
    for member in family:
        member.send_signal(signal.SIGKILL)
    process.wait()


def weights(folder):
    return AutoModelForCausalLM.from_pretrained(folder / "model").state_dict()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "killed_after"), [("ddp", 3), ("zero2", 5), ("zero3", 6), ("fsdp", 7)]
)
def test_two_processes_across_a_kill_learn_what_one_does(shop, alone, tmp_path, name, killed_after):
    launch = command(shop, tmp_path, *two(name))
    process = subprocess.Popen(launch, env=environment())
    while len(losses(tmp_path)) < killed_after and process.poll() is None:
        time.sleep(0.005)
    kill(process)
    assert not (tmp_path / "model").exists()
    subprocess.run(launch, check=True, env=environment())
    assert losses(tmp_path) == pytest.approx(losses(alone), rel=1e-5)
    expected, found = weights(alone), weights(tmp_path)
    for weight in expected:
        torch.testing.assert_close(found[weight], expected[weight], rtol=0, atol=1e-5)
    # The newest checkpoint, whatever its shards, becomes one model as well.
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert load_checkpoint(model, tmp_path / "work" / "checkpoints" / "step-00000009") == 9


@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "launch"),
    # On CPUs PEFT's rows of new tokens do not know of weights that are loaded into shards.
    [("full", ()), ("lora", ("--zero3_init_flag=false",))],
)
def test_a_pretrained_model_learns_in_shards(shop, tmp_path, method, launch):
    dataset = small_dataset()
    everything = np.ones(len(dataset.interactions), dtype=bool)
    tokenizer = train_tokenizer(corpus(dataset, everything, Tasks.load()), size=400)
    tokenizer.save_pretrained(tmp_path / "pretrained")
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
        num_attention_heads=2, bos_token_id=1, eos_token_id=2, pad_token_id=3,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(tmp_path / "pretrained")
    options = (
        f"--backbone.path={tmp_path / 'pretrained'}", f"--adapt.method={method}",
        "--training.steps=4",
    )  # fmt: skip
    one, shards = tmp_path / "one", tmp_path / "shards"
    subprocess.run(command(shop, one, options=options), check=True, env=environment())
    in_shards = command(shop, shards, *two("zero3"), *launch, options=options)
    subprocess.run(in_shards, check=True, env=environment())
    assert losses(shards) == pytest.approx(losses(one), rel=1e-5)
    expected, found = weights(one), weights(shards)
    for weight in expected:
        torch.testing.assert_close(found[weight], expected[weight], rtol=0, atol=1e-5)


@pytest.mark.parametrize("launch", [("--cpu", "--num_processes=2")], ids=" ".join)
def test_a_launch_that_runs_one_process_in_place_of_two_is_refused(shop, tmp_path, launch):
    run = subprocess.run(
        command(shop, tmp_path, *launch), env=environment(), capture_output=True, text=True
    )
    assert run.returncode != 0
    assert "several processes were asked for, but accelerate launched one" in run.stderr
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_launch_config_is_one_that_accelerate_reads(path):
    from accelerate.commands.config.config_args import load_config_from_file

    config = load_config_from_file(str(path))
    assert config.distributed_type == yaml.safe_load(path.read_text())["distributed_type"]
