"""Typed configs from a YAML file and the command line."""

import dataclasses
import difflib
import itertools
import re
import sys
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml
from jsonargparse import ArgumentParser, Namespace, set_parsing_settings

T = TypeVar("T")

# The docstrings under the fields are the help texts.
set_parsing_settings(docstring_parse_attribute_docstrings=True)


class ConfigError(ValueError):
    """A config names a field that does not exist or gives a value that makes no sense."""


class _OneLineParser(ArgumentParser):
    """A parser that tells what is wrong in one line, without a page of usage before it."""

    def error(self, message: str, ex: Exception | None = None) -> NoReturn:
        if not self.exit_on_error:
            super().error(message, ex)
        self.exit(2, f"{self.prog}: error: {_plain(message)}\n")
        raise AssertionError("exit does not return")


def parse_args(config: type[T], doc: str | None, args: Sequence[str] | None = None) -> T:
    """Build a config dataclass from ``--config file.yaml`` and ``--field value`` options.

    Later options win over earlier ones, so options after ``--config`` change what the file says. A
    switch may stand alone: ``--quick`` is ``--quick=true``.
    Prints the problem and exits with status 2 when the input is wrong, as command lines do.

    Args:
        config: The dataclass to build; the docstrings under its fields become the help texts.
        doc: Text shown above the options, usually the recipe's ``__doc__``.
        args: Options to parse; the process's own when left out.
    """
    args = _switched_on(config, list(sys.argv[1:] if args is None else args))
    parser = _OneLineParser(description=doc, exit_on_error=True)
    parser.add_argument("--config", action="config", help="a YAML file with values of the fields")
    parser.add_class_arguments(config)
    try:
        for path in _config_paths(args):
            _refuse_unknown_fields(config, read_yaml(path), source=str(path))
        _refuse_unknown_options(config, args)
        namespace = parser.parse_args(args)
        try:
            namespace = parser.instantiate(namespace)
        except ValueError as error:  # a config inside this one refuses its values
            raise ConfigError(_reason(error)) from error
        return _build(config, namespace)
    except ConfigError as error:
        parser.error(str(error))
        raise  # parser.error does not return


def load_config(config: type[T], path: Path | str, overrides: Sequence[str] = ()) -> T:
    """Build a config dataclass from a YAML file, as :func:`parse_args` does from its options.

    Raises:
        ConfigError: When the file holds an unknown field or a value that makes no sense.
    """
    _refuse_unknown_fields(config, read_yaml(Path(path)), source=str(path))
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--config", action="config")
    parser.add_class_arguments(config)
    try:
        namespace = parser.parse_args([f"--config={path}", *overrides])
        return _build(config, parser.instantiate(namespace))
    except (ValueError, TypeError) as error:
        raise ConfigError(f"{path}: {_plain(str(error))}") from error
    except Exception as error:  # jsonargparse's ArgumentError is not a ValueError
        raise ConfigError(f"{path}: {_plain(str(error))}") from error


def from_dict(config: type[T], values: Mapping[str, Any], *, source: str) -> T:
    """Build a config dataclass from plain values, such as a part of a YAML file.

    Raises:
        ConfigError: When there is an unknown field or a value that makes no sense; the message
            calls the values ``source``.
    """
    _refuse_unknown_fields(config, dict(values), source=source)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(config)
    try:
        return _build(config, parser.instantiate(parser.parse_object(dict(values))))
    except Exception as error:  # jsonargparse's ArgumentError is not a ValueError
        raise ConfigError(f"{source}: {_plain(str(error))}") from error


def to_dict(config: Any) -> Any:
    """Turn a config into plain values that JSON and trackers take."""
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        return {f.name: to_dict(getattr(config, f.name)) for f in dataclasses.fields(config)}
    if isinstance(config, dict):
        return {str(key): to_dict(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return [to_dict(value) for value in config]
    return str(config) if isinstance(config, Path) else config


def _build(config: type[T], namespace: Namespace) -> T:
    assert dataclasses.is_dataclass(config)
    values = {f.name: namespace[f.name] for f in dataclasses.fields(config) if f.name in namespace}
    try:
        return config(**values)
    except ValueError as error:
        raise ConfigError(f"{config.__name__}: {error}") from error


def _reason(error: BaseException) -> str:
    """Tell what a config refused, without what jsonargparse says of the types that it tried."""
    while error.__cause__ is not None:
        error = error.__cause__
    return str(error)


_KINDS = {
    "NoneType": "null", "bool": "true or false", "dict": "names with values", "float": "a number",
    "int": "a whole number", "list": "a list", "str": "text", "tuple": "a list",
}  # fmt: skip


def _plain(message: str) -> str:
    """Say in one line what jsonargparse lays out as a tree of the types that it tried."""
    path = ".".join(re.findall(r'Parser key "([^"]+)"', message))
    tried = re.findall(r"Expected an? (.+?)\. Got value: (.*)", message)
    union = re.search(r"Subtypes: \[(.*)\]\n", message), re.search(r"Given value: (.*)", message)
    if path and tried:
        wanted, value = tried[0]
    elif path and all(union):
        wanted, value = (found[1] for found in union if found)
    else:
        return " ".join(message.split())
    if choices := re.search(r"Literal\[(.+?)\]", wanted):
        kind = f"one of {choices[1]}"
    else:
        names = [name.rpartition(".")[2] for name in re.findall(r"<class '([\w.]+)'>", wanted)]
        kind = " or ".join(_KINDS.get(name, f"fields of {name}") for name in names) or wanted
    return f"{path} is {'null' if value == 'None' else value}; give {kind}"


def _switched_on(config: type[Any], args: Sequence[str]) -> list[str]:
    """Give the value true to switches that stand without one."""
    hints = typing.get_type_hints(config)
    switches = {f"--{f.name}" for f in dataclasses.fields(config) if hints[f.name] is bool}
    follows = [*args, "--"][1:]
    return [
        f"{arg}=true" if arg in switches and after.startswith("--") else arg
        for arg, after in zip(args, follows, strict=True)
    ]


def _config_paths(args: Sequence[str]) -> list[Path]:
    paths = [arg.partition("=")[2] for arg in args if arg.startswith("--config=")]
    paths += [after for arg, after in itertools.pairwise(args) if arg == "--config"]
    return [Path(path) for path in paths]


def read_yaml(path: Path) -> dict[str, Any]:
    """Read the fields that a YAML file has, as they stand there.

    Raises:
        ConfigError: When there is no such file, or it holds no fields.
    """
    if not path.exists():
        raise ConfigError(f"{path} does not exist")
    if path.is_dir():
        raise ConfigError(f"{path} is a folder; give a YAML file")
    try:
        value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", error)
        where = "" if mark is None else f" in line {mark.line + 1}, column {mark.column + 1}"
        raise ConfigError(f"{path} is not YAML{where}: {problem}") from error
    if not isinstance(value, dict):
        raise ConfigError(f"{path} holds a {type(value).__name__}, not fields with values")
    return value


def _refuse_unknown_options(config: Any, args: Sequence[str]) -> None:
    """Refuse ``--a.b`` where ``a`` has no field ``b``; below plain values anything goes."""
    for arg in args:
        option = arg.partition("=")[0]
        path = option.removeprefix("--").split(".")
        if not arg.startswith("--") or path[0] == "config" or path[-1] in ("help", ""):
            continue
        here: Any = config
        for name in path:
            hints = typing.get_type_hints(here)
            names = [f.name for f in dataclasses.fields(here)]
            if name not in names:
                near = _near(name, names)
                raise ConfigError(f"{option}: {here.__name__} has no field {name!r}; {near}")
            nested = [t for t in _alternatives(hints[name]) if dataclasses.is_dataclass(t)]
            if len(nested) != 1 or typing.get_origin(hints[name]) is dict:
                break
            here = nested[0]


def _refuse_unknown_fields(config: Any, values: dict[str, Any], *, source: str) -> None:
    hints = typing.get_type_hints(config)
    names = [f.name for f in dataclasses.fields(config)]
    for key, value in values.items():
        if key not in names:
            near = _near(str(key), names)
            raise ConfigError(f"{source}: {config.__name__} has no field {key!r}; {near}")
        nested = next((t for t in _alternatives(hints[key]) if dataclasses.is_dataclass(t)), None)
        if nested is not None and isinstance(value, dict):
            by_name = value if typing.get_origin(hints[key]) is dict else {None: value}
            for name, one in by_name.items():
                where = key if name is None else f"{key}: {name}"
                if isinstance(one, dict):
                    _refuse_unknown_fields(nested, one, source=f"{source}: {where}")


def _near(name: str, names: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"it has {', '.join(names)}"


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return typing.get_args(hint) or (hint,)
