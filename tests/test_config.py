from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import pytest

from genrec.config import ConfigError, load_config, parse_args, to_dict


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    lr: float = 1e-3
    """Learning rate."""

    def __post_init__(self) -> None:
        if self.lr <= 0:
            raise ValueError(f"lr is {self.lr}; it must be above 0")


@dataclass(frozen=True, kw_only=True)
class Settings:
    out: Path
    """Where to write."""

    sizes: tuple[int, ...] = (256, 256)
    tasks: dict[str, float] = field(default_factory=dict)
    optimizer: Optimizer = field(default_factory=Optimizer)
    more: dict[str, Optimizer] = field(default_factory=dict)
    maybe: Optimizer | None = None
    kind: Literal["a", "b"] = "a"


def yaml(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    return path


def test_values_come_from_the_file_and_options_win(tmp_path):
    path = yaml(tmp_path, "out: runs/a\nsizes: [8, 4]\noptimizer:\n  lr: 0.5\ntasks: {a: 1.0}\n")
    config = parse_args(Settings, "doc", [f"--config={path}", "--optimizer.lr", "0.25"])
    assert config == Settings(
        out=Path("runs/a"), sizes=(8, 4), optimizer=Optimizer(lr=0.25), tasks={"a": 1.0}
    )


def test_configs_by_name_are_built_one_by_one(tmp_path):
    path = yaml(tmp_path, "out: x\nmore: {slow: {lr: 0.5}, plain: {}}\n")
    built = {"slow": Optimizer(lr=0.5), "plain": Optimizer()}
    assert load_config(Settings, path).more == built


def test_defaults_fill_what_is_not_given():
    assert parse_args(Settings, None, ["--out=x"]) == Settings(out=Path("x"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("out: x\nsize: [1]", r"Settings has no field 'size'; did you mean 'sizes'"),
        ("out: x\noptimizer: {learn: 1}", r"optimizer: Optimizer has no field 'learn'; it has lr"),
        (
            "out: x\nmore: {slow: {learn: 1}}",
            r"more: slow: Optimizer has no field 'learn'; it has lr",
        ),
        ("out: x\noptimizer: {lr: fast}", "lr"),
        ("out: x\noptimizer: {lr: -1}", "must be above 0"),
        ("sizes: [1]", "out"),
        ("[1, 2]", "holds a list"),
        ("out: [", "is not YAML"),
    ],
)
def test_a_wrong_file_is_refused_by_name(tmp_path, text, message):
    with pytest.raises(ConfigError, match=rf"(?s)config.yaml.*{message}"):
        load_config(Settings, yaml(tmp_path, text))


def test_the_command_line_says_what_is_wrong_and_exits_with_2(tmp_path, capsys):
    path = yaml(tmp_path, "out: x\nsize: [1]")
    with pytest.raises(SystemExit) as exit_:
        parse_args(Settings, None, ["--config", str(path)])
    assert exit_.value.code == 2
    assert "did you mean 'sizes'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--size=[1]", "--size: Settings has no field 'size'; did you mean 'sizes'?"),
        ("--optimizer.lrr=1", "--optimizer.lrr: Optimizer has no field 'lrr'; did you mean 'lr'?"),
        ("--maybe.lrr=1", "--maybe.lrr: Optimizer has no field 'lrr'; did you mean 'lr'?"),
        ("--optimizer.lr=0", "lr is 0.0; it must be above 0"),
        ("--maybe.lr=0", "lr is 0.0; it must be above 0"),
        ("--optimizer.lr=fast", "optimizer.lr is fast; give a number"),
        ("--maybe.lr=fast", "maybe.lr is fast; give a number"),
        ("--maybe=5", "maybe is 5; give fields of Optimizer or null"),
        ("--kind=c", "kind is c; give one of 'a', 'b'"),
        ("--config=.", ". is a folder; give a YAML file"),
    ],
)
def test_an_option_that_cannot_be_is_told_in_one_line(capsys, option, message):
    with pytest.raises(SystemExit, match="2"):
        parse_args(Settings, None, ["--out=x", option])
    told = capsys.readouterr().err
    assert told.endswith(f"error: {message}\n")
    assert told.count("\n") == 1


def test_a_file_that_is_no_yaml_is_told_with_its_line(tmp_path):
    with pytest.raises(ConfigError, match=r"^\S*config.yaml is not YAML in line 2, column 4: exp"):
        load_config(Settings, yaml(tmp_path, "sizes: [1\nout: x"))


@dataclass(frozen=True, kw_only=True)
class Switched:
    quick: bool = False
    steps: int = 10


@pytest.mark.parametrize(
    ("options", "quick"),
    [
        (["--quick"], True),
        (["--quick", "--steps=3"], True),
        (["--steps=3", "--quick"], True),
        (["--quick=false"], False),
        (["--quick", "false"], False),
        ([], False),
    ],
)
def test_a_switch_may_stand_alone(options, quick):
    assert parse_args(Switched, None, options).quick is quick


def test_options_reach_into_configs_and_plain_values():
    config = parse_args(Settings, None, ["--out", "x", "--maybe.lr", "2", "--tasks.a=3"])
    assert config.maybe == Optimizer(lr=2.0)
    assert config.tasks == {"a": 3.0}


def test_the_help_shows_the_docstrings_of_the_fields(capsys):
    with pytest.raises(SystemExit):
        parse_args(Settings, "What the recipe does.", ["--help"])
    out = capsys.readouterr().out
    assert "What the recipe does." in out
    assert "Learning rate." in out


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere.yaml does not exist"):
        load_config(Settings, tmp_path / "nowhere.yaml")


def test_a_config_becomes_plain_values():
    config = Settings(out=Path("a/b"), sizes=(1, 2), tasks={"x": 0.5})
    assert to_dict(config) == {
        "out": "a/b", "sizes": [1, 2], "tasks": {"x": 0.5}, "optimizer": {"lr": 1e-3}, "more": {},
        "maybe": None, "kind": "a",
    }  # fmt: skip
