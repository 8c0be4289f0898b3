"""A launch does what it was asked for, or is refused with what to do instead."""

import pytest
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState

from genrec.training import TrainingConfig, TrainingError, make_accelerator
from genrec.training.launch import refuse_other_launch

LAUNCH = ["python", "/usr/bin/accelerate", "launch"]


@pytest.fixture
def alone():
    AcceleratorState._reset_state()
    PartialState._reset_state()
    return Accelerator(cpu=True)


@pytest.fixture
def config_file(tmp_path):
    def write(kind):
        path = tmp_path / "launch.yaml"
        path.write_text(f"distributed_type: {kind}\nnum_processes: 1\n")
        return str(path)

    return write


@pytest.mark.parametrize(
    "environment",
    [
        {},  # python recipes/finetune.py
        {"MASTER_PORT": "29500"},  # the same on a cluster that exports addresses
        {"ACCELERATE_MIXED_PRECISION": "no"},  # accelerate launch, one process
        {"ACCELERATE_MIXED_PRECISION": "no", "WORLD_SIZE": "1", "MASTER_PORT": "29500"},
    ],
)
def test_one_process_that_was_asked_for_is_fine(alone, environment):
    refuse_other_launch(alone, environment, LAUNCH)


def test_one_process_in_place_of_several_is_refused(alone):
    # What `accelerate launch --cpu --num_processes 2` leaves; see tests/recipes/test_launch.py.
    left = {"ACCELERATE_MIXED_PRECISION": "no", "ACCELERATE_USE_CPU": "True",
            "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}  # fmt: skip
    with pytest.raises(TrainingError, match="accelerate launched one; launch with --multi_gpu"):
        refuse_other_launch(alone, left, LAUNCH)


def test_copies_that_know_nothing_of_each_other_are_refused(alone):
    with pytest.raises(TrainingError, match="2 processes were launched, but accelerate runs 1"):
        refuse_other_launch(alone, {"WORLD_SIZE": "2"}, LAUNCH)


@pytest.mark.parametrize("kind", ["DEEPSPEED", "FSDP"])
def test_a_launch_that_drops_deepspeed_or_fsdp_is_refused(alone, kind, config_file):
    with pytest.raises(TrainingError, match=f"{kind} was asked for, but accelerate runs NO"):
        refuse_other_launch(alone, {f"ACCELERATE_USE_{kind}": "true"}, LAUNCH)
    # `accelerate launch --cpu` leaves no trace of them but in the file that it was given.
    for option in (["--config_file", config_file(kind)], [f"--config_file={config_file(kind)}"]):
        with pytest.raises(TrainingError, match=f"{kind} was asked for"):
            refuse_other_launch(alone, {}, [*LAUNCH, "--cpu", *option, "recipes/finetune.py"])


def test_a_config_file_that_was_obeyed_or_is_no_launch_config_is_fine(alone, config_file):
    deepspeed = config_file("DEEPSPEED")
    refuse_other_launch(alone, {}, ["make", "--cpu", "--config_file", deepspeed])
    refuse_other_launch(alone, {}, [*LAUNCH, "--multi_gpu", "--config_file", deepspeed])
    refuse_other_launch(alone, {}, [*LAUNCH, "--cpu", "--config_file", "no-such-file.yaml"])
    refuse_other_launch(alone, {}, [*LAUNCH, "--cpu", "--config_file", config_file("NO")])


@pytest.mark.parametrize(
    ("tracker", "told"),
    [("tensorbored", "did you mean 'tensorboard'"), ("clearml", "'clearml' is not installed")],
)
def test_trackers_that_cannot_be_logged_to_are_refused(tmp_path, tracker, told):
    with pytest.raises(ValueError, match=told):
        make_accelerator(TrainingConfig(steps=1, trackers=(tracker,)), logging_dir=tmp_path)


def test_deepspeed_without_a_compiler_is_refused(monkeypatch, tmp_path):
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    with pytest.raises(TrainingError, match="ninja is not on the PATH; activate"):
        make_accelerator(TrainingConfig(steps=1), logging_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "value"), [("gradient_clipping", 0.5), ("gradient_accumulation_steps", 4)]
)
def test_deepspeed_settings_that_contradict_the_recipe_are_refused(name, value):
    from genrec.training.launch import _fill_deepspeed

    with pytest.raises(TrainingError, match=f"{name} {value}, but the recipe says 1"):
        _fill_deepspeed({name: value}, TrainingConfig(steps=1))
    settings = {name: "auto"}
    _fill_deepspeed(settings, TrainingConfig(steps=1, micro_rows=3))
    assert settings == {
        "train_micro_batch_size_per_gpu": 3,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": 1.0,
    }
