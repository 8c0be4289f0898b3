"""The loop learns, goes on after a break as if nothing had happened, and stops when it must."""

import json

import pytest
import torch
from accelerate.state import AcceleratorState, PartialState
from safetensors.torch import load_file

from genrec.artifacts import ArtifactError
from genrec.data import leave_one_out
from genrec.models import TinyConfig, build_tiny
from genrec.prompts import Mixture
from genrec.training import (
    RunFolder,
    StepStream,
    TrainingConfig,
    TrainingError,
    claim_run_folder,
    make_accelerator,
    make_collator,
    train,
)
from tests.small_shop import small_dataset, small_renderer

STEPS = 9


@pytest.fixture(scope="module")
def renderers():
    dataset = small_dataset()
    return {kind: (dataset, small_renderer(dataset, kind=kind)) for kind in ("llama", "t5")}


def run(renderers, folder, *, architecture="llama", dropout=0.1, validate=None, **changes):
    """Train a small model from its beginning, or from a checkpoint in the folder."""
    AcceleratorState._reset_state()
    PartialState._reset_state()
    dataset, renderer = renderers["t5" if architecture == "t5" else "llama"]
    vocabulary = renderer.vocabulary
    shape = TinyConfig(
        architecture=architecture,
        hidden_size=32,
        layers=2,
        heads=2,
        intermediate_size=64,
        dropout=dropout,
    )
    model = build_tiny(
        shape, vocabulary_size=len(vocabulary), special=vocabulary.special, max_tokens=256, seed=0
    )
    defaults = {
        "steps": STEPS, "rows_per_step": 4, "micro_rows": 4, "row_tokens": 160, "warmup_steps": 2,
        "log_every": 1, "validate_every": 4, "checkpoint_every": 2, "learning_rate": 3e-3,
    }  # fmt: skip
    config = TrainingConfig(**(defaults | changes))
    mixture = Mixture(
        dataset=dataset, train=leave_one_out(dataset.interactions).train, renderer=renderer,
        weights={"recommend": 1.0, "rate": 1.0}, every_position=architecture != "t5",
    )  # fmt: skip
    stream = StepStream(
        mixture=mixture,
        collator=make_collator(model, pad=vocabulary.pad, row_tokens=config.row_tokens),
        rows_per_step=config.rows_per_step,
    )
    trained = train(
        model, stream, config, accelerator=make_accelerator(config, logging_dir=folder / "logs"),
        folder=folder, validate=validate or (lambda _: {"score": 0.0}), score="score",
    )  # fmt: skip
    return model, trained


def losses(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line["loss"] for line in lines if "loss" in line}


class PowerCutError(Exception):
    pass


def cut_at(step):
    """Make a validation that ends the run as a kill would, at one of its steps."""
    seen = []

    def validate(_):
        seen.append(1)
        if len(seen) == step:
            raise PowerCutError
        return {"score": float(len(seen))}

    return validate


@pytest.mark.parametrize("architecture", ["llama", "t5"])
@pytest.mark.parametrize("cut", [1, 3, 6])
def test_a_run_that_was_cut_goes_on_with_the_same_losses(renderers, tmp_path, architecture, cut):
    options = {"architecture": architecture, "validate_every": 1}
    run(renderers, tmp_path / "whole", **options)
    with pytest.raises(PowerCutError):
        run(renderers, tmp_path / "cut", validate=cut_at(cut), **options)
    run(renderers, tmp_path / "cut", **options)
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")


def test_learning_lowers_the_loss(renderers, tmp_path):
    run(renderers, tmp_path, steps=40)
    record = losses(tmp_path)
    assert record[40] < 0.75 * record[1]


@pytest.mark.parametrize("changes", [{}, {"focal_gamma": 2.0, "logits_at_once": 20_000}])
def test_accumulated_gradients_are_those_of_the_whole_step(renderers, tmp_path, changes):
    # Dropout draws other numbers for other shapes, so it is off in this comparison.
    run(renderers, tmp_path / "whole", micro_rows=4, dropout=0.0, **changes)
    run(renderers, tmp_path / "parts", micro_rows=3, dropout=0.0, **changes)
    assert losses(tmp_path / "parts") == pytest.approx(losses(tmp_path / "whole"), rel=1e-4)


def test_the_model_ends_with_the_weights_that_validated_best(renderers, tmp_path):
    norms = []

    def validate(model):
        norms.append(model.lm_head.weight.norm().item())
        return {"score": -abs(len(norms) - 2)}  # the second of three is best

    model, trained = run(renderers, tmp_path, validate=validate)
    assert trained.best_step == 8
    assert model.lm_head.weight.norm().item() == pytest.approx(norms[1])
    assert norms[1] != norms[2]


def test_the_model_ends_with_the_last_weights_where_these_are_to_be_kept(renderers, tmp_path):
    norms = []

    def validate(model):
        norms.append(model.lm_head.weight.norm().item())
        return {"score": -len(norms)}  # the first is best

    model, trained = run(renderers, tmp_path, validate=validate, keep="last")
    assert (trained.best_step, len(norms)) == (STEPS, 3)
    assert model.lm_head.weight.norm().item() == pytest.approx(norms[-1])
    assert norms[-1] != norms[0]


def test_only_the_newest_checkpoints_are_kept(renderers, tmp_path):
    run(renderers, tmp_path, keep_checkpoints=2)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["step-00000008", "step-00000009"]


def test_a_partial_checkpoint_is_not_gone_on_from(renderers, tmp_path):
    with pytest.raises(PowerCutError):
        run(renderers, tmp_path, validate=cut_at(1), validate_every=5)
    (tmp_path / "checkpoints" / ".partial-00000005").mkdir()
    run(renderers, tmp_path)
    assert not list((tmp_path / "checkpoints").glob(".partial*"))
    assert sorted(losses(tmp_path)) == list(range(1, STEPS + 1))


def test_a_loss_that_is_not_finite_ends_the_run_with_a_remedy(renderers, tmp_path):
    with pytest.raises(TrainingError, match="learning_rate"):
        run(
            renderers, tmp_path, learning_rate=1e30, clip_norm=1e30, checkpoint_every=1, log_every=7
        )
    newest = max((tmp_path / "checkpoints").glob("step-*"))
    assert all(torch.isfinite(w).all() for w in load_file(newest / "model.safetensors").values())


def test_records_go_to_the_trackers_of_accelerate(renderers, tmp_path):
    run(renderers, tmp_path, trackers=("tensorboard",))
    assert list((tmp_path / "logs").rglob("events.out.tfevents*"))


def test_a_folder_belongs_to_one_config(tmp_path):
    claim_run_folder(tmp_path, {"seed": 0, "steps": 5})
    claim_run_folder(tmp_path, {"seed": 0, "steps": 5})
    with pytest.raises(ArtifactError, match="another steps"):
        claim_run_folder(tmp_path, {"seed": 0, "steps": 6})


def test_a_folder_is_not_claimed_before_the_claim(tmp_path):
    first, second = (RunFolder(tmp_path, {"seed": seed}) for seed in (0, 1))
    assert not list(tmp_path.iterdir())
    second.claim(PartialState())
    second.claim(PartialState())
    with pytest.raises(ArtifactError, match="another seed"):
        first.claim(PartialState())
    with pytest.raises(ArtifactError, match="another seed"):
        RunFolder(tmp_path, {"seed": 0})


def test_a_vocabulary_belongs_to_a_config(tmp_path):
    one, other, again = (RunFolder(tmp_path, {"seed": seed}).vocabulary for seed in (0, 1, 0))
    assert one != other
    assert one == again


@pytest.mark.parametrize("field", ["steps", "rows_per_step", "keep_checkpoints"])
def test_nonsense_is_refused_at_birth(field):
    with pytest.raises(ValueError, match=f"{field} is 0"):
        TrainingConfig(**({"steps": 1} | {field: 0}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("learning_rate", -1.0),
        ("learning_rate", float("nan")),
        ("clip_norm", 0.0),
        ("warmup_steps", -1),
        ("threads", -1),
    ],
)
def test_numbers_that_no_optimizer_takes_are_refused_at_birth(field, value):
    with pytest.raises(ValueError, match=f"^{field} is {value}; "):
        TrainingConfig(**({"steps": 1} | {field: value}))
