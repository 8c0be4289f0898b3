"""Whatever happens to a run or its disk, what was saved before can be gone on from."""

import json
import resource
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from torch import nn

from genrec.artifacts import ArtifactError
from genrec.data import leave_one_out
from genrec.models import TinyConfig, build_tiny
from genrec.prompts import Mixture
from genrec.training import (
    BestWeights,
    StepStream,
    TrainingConfig,
    TrainingError,
    load_checkpoint,
    make_accelerator,
    make_collator,
    train,
)
from genrec.training.checkpoints import load_best
from tests.small_shop import small_dataset, small_renderer

STEPS = 8


@pytest.fixture(scope="module")
def shop():
    dataset = small_dataset()
    return dataset, small_renderer(dataset)


def make_model(shop):
    vocabulary = shop[1].vocabulary
    shape = TinyConfig(hidden_size=32, layers=2, heads=2, intermediate_size=64)
    return build_tiny(
        shape, vocabulary_size=len(vocabulary), special=vocabulary.special, max_tokens=256, seed=0
    )


def run(shop, folder, *, validate=None, **changes):
    """Train a small model from its beginning, or from a checkpoint in the folder."""
    AcceleratorState._reset_state()
    PartialState._reset_state()
    dataset, renderer = shop
    defaults = {
        "steps": STEPS, "rows_per_step": 4, "micro_rows": 4, "row_tokens": 160, "warmup_steps": 2,
        "log_every": 1, "validate_every": 1, "checkpoint_every": 2,
    }  # fmt: skip
    config = TrainingConfig(**(defaults | changes))
    model = make_model(shop)
    mixture = Mixture(
        dataset=dataset, train=leave_one_out(dataset.interactions).train, renderer=renderer,
        weights={"recommend": 1.0}, every_position=True,
    )  # fmt: skip
    stream = StepStream(
        mixture=mixture,
        collator=make_collator(model, pad=renderer.vocabulary.pad, row_tokens=config.row_tokens),
        rows_per_step=config.rows_per_step,
    )
    train(
        model, stream, config, accelerator=make_accelerator(config, logging_dir=folder / "logs"),
        folder=folder, validate=validate or falling(), score="score",
    )  # fmt: skip
    return model


def losses(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


def names(folder):
    return sorted(path.name for path in folder.iterdir())


class PowerCutError(Exception):
    pass


def falling(*, at=None, happens=None):
    """Make a validation whose first score is the best, and in one of which something happens."""
    calls = []

    def validate(_):
        calls.append(1)
        if len(calls) == at:
            happens()
        return {"score": -float(len(calls))}

    return validate


def power_cut():
    raise PowerCutError


@pytest.fixture(scope="module")
def whole(shop, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    run(shop, folder)
    return losses(folder)


@pytest.fixture
def small_disk():
    """Give a function after which no file can grow beyond 50 kB, as on a disk that is full."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    yield lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_ends_the_run_and_leaves_the_checkpoint_before(
    shop, whole, tmp_path, small_disk
):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with pytest.raises(TrainingError, match=r"of step 6 could not be written.*make room"):
        run(shop, tmp_path, validate=falling(at=5, happens=small_disk))
    assert names(tmp_path / "checkpoints") == ["step-00000002", "step-00000004"]
    resource.setrlimit(resource.RLIMIT_FSIZE, before)  # room was made
    run(shop, tmp_path)
    assert losses(tmp_path) == whole


def test_a_full_disk_leaves_the_best_weights_before(shop, tmp_path, small_disk):
    scores = iter([1.0, 2.0])

    def validate(_):
        score = next(scores)
        if score == 2.0:
            small_disk()
        return {"score": score}

    with pytest.raises(TrainingError, match="best weights, of step 2, could not be written"):
        run(shop, tmp_path, validate=validate)
    assert names(tmp_path / "best") == ["step-00000001"]
    load_best(make_model(shop), tmp_path / "best")


@pytest.mark.parametrize("damage", ["shorten", "remove", "cut the record"])
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(shop, whole, tmp_path, caplog, damage):
    with pytest.raises(PowerCutError):
        run(shop, tmp_path, validate=falling(at=5, happens=power_cut))
    newest = tmp_path / "checkpoints" / "step-00000004"
    if damage == "remove":
        (newest / "random_states_0.pkl").unlink()
    else:
        name = "optimizer.bin" if damage == "shorten" else "progress.json"
        content = (newest / name).read_bytes()
        (newest / name).write_bytes(content[: len(content) // 2])
    run(shop, tmp_path, steps=STEPS)
    assert losses(tmp_path) == whole
    assert any("taking the checkpoint before it" in line for line in caplog.messages)


def test_a_run_is_not_begun_anew_where_all_checkpoints_are_damaged(shop, tmp_path):
    with pytest.raises(PowerCutError):
        run(shop, tmp_path, validate=falling(at=5, happens=power_cut))
    for folder in (tmp_path / "checkpoints").iterdir():
        (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(TrainingError, match="none of the checkpoints"):
        run(shop, tmp_path)


def test_another_number_of_processes_is_refused(shop, tmp_path):
    with pytest.raises(PowerCutError):
        run(shop, tmp_path, validate=falling(at=3, happens=power_cut))
    path = tmp_path / "checkpoints" / "step-00000002" / "progress.json"
    path.write_text(path.read_text().replace('"processes": 1', '"processes": 8'))
    with pytest.raises(TrainingError, match=r"by 8 processes .* launch as before"):
        run(shop, tmp_path)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_records_that_find_no_room_end_the_run(shop, tmp_path):
    (tmp_path / "metrics.jsonl").symlink_to("/dev/full")
    with pytest.raises(TrainingError, match=r"metrics.jsonl could not be written: .*No space left"):
        run(shop, tmp_path, steps=1)


def test_records_of_several_steps_survive_a_cut_within_them(shop, tmp_path):
    run(shop, tmp_path / "whole", log_every=3)
    with pytest.raises(PowerCutError):
        run(shop, tmp_path / "cut", log_every=3, validate=falling(at=5, happens=power_cut))
    run(shop, tmp_path / "cut", log_every=3)
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    assert sorted(losses(tmp_path / "cut")) == [3, 6, 8]


def test_a_checkpoint_becomes_a_model_again(shop, tmp_path):
    model = run(shop, tmp_path, validate=lambda _: {"score": 0.0}, validate_every=STEPS)
    anew = make_model(shop)
    assert load_checkpoint(anew, tmp_path / "checkpoints" / "step-00000008") == 8
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, anew.state_dict()[name]), name


def test_a_checkpoint_of_another_model_is_refused(shop, tmp_path):
    run(shop, tmp_path, steps=1)
    with pytest.raises(ArtifactError, match="does not fit"):
        load_checkpoint(nn.Linear(2, 2), tmp_path / "checkpoints" / "step-00000001")


class TestBestWeights:
    def test_only_the_better_are_kept(self, tmp_path):
        model, best = nn.Linear(2, 2), BestWeights(tmp_path, Accelerator(cpu=True))
        assert best.offer(model, score=0.5, step=10)
        first = model.weight.clone()
        with torch.no_grad():
            model.weight += 1
        assert not best.offer(model, score=0.5, step=20)
        best.load_into(model)
        assert torch.equal(model.weight, first)
        assert (best.score, best.step) == (0.5, 10)
        (tmp_path / ".step-00000025.killed").mkdir()
        assert best.offer(model, score=0.6, step=30)
        assert names(tmp_path) == ["step-00000030"]

    @pytest.mark.parametrize("poison", [float("nan"), float("inf")])
    def test_weights_that_are_no_numbers_are_refused(self, tmp_path, poison):
        model, best = nn.Linear(2, 2), BestWeights(tmp_path, Accelerator(cpu=True))
        assert best.offer(model, score=0.5, step=10)
        with torch.no_grad():
            model.weight[0, 0] = poison
        with pytest.raises(TrainingError, match="finite"):
            best.offer(model, score=0.9, step=20)
        assert best.step == 10

    def test_a_score_that_is_no_number_is_refused(self, tmp_path):
        best = BestWeights(tmp_path, Accelerator(cpu=True))
        with pytest.raises(TrainingError, match="step 10 scored nan"):
            best.offer(nn.Linear(2, 2), score=float("nan"), step=10)
        with pytest.raises(ArtifactError, match="no weights"):
            best.load_into(nn.Linear(2, 2))
