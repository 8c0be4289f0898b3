"""A model directory: a Hugging Face model with all that its prompts and beams need.

Beside ``config.json``, ``model.safetensors`` and the tokenizer it holds the semantic IDs, the items
and ``genrec.json`` with the hash of each. Loading checks them and refuses what does not fit.
"""

import dataclasses
import logging
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import torch
from transformers import PreTrainedModel

import genrec
from genrec.artifacts import ArtifactError, check_same, read_json, write_directory, write_json
from genrec.config import to_dict
from genrec.data import Catalogue
from genrec.models import load_pretrained
from genrec.prompts import PromptConfig, Renderer, Task, Tasks, Vocabulary
from genrec.semantic_ids import SemanticIds

log = logging.getLogger(__name__)

FORMAT = 1


class Bundle(NamedTuple):
    """A fine-tuned model and the renderer that writes its prompts."""

    model: PreTrainedModel
    renderer: Renderer


def save_bundle(
    path: Path | str,
    model: PreTrainedModel,
    renderer: Renderer,
    *,
    info: dict[str, Any] | None = None,
) -> None:
    """Write a model directory in one step.

    Args:
        path: The directory; one that stands there is replaced.
        model: The model, with adapters merged.
        renderer: Its prompts, vocabulary, catalogue and semantic IDs.
        info: How the model came to be; kept in ``genrec.json`` under ``training``.
    """
    with write_directory(path) as folder:
        model.save_pretrained(str(folder))
        renderer.vocabulary.save(folder)
        renderer.ids.save(folder / "semantic_ids.safetensors")
        renderer.catalogue.table.write_parquet(folder / "items.parquet")
        record = {
            "format": FORMAT,
            "genrec": genrec.__version__,
            "hashes": _hashes(renderer),
            "prompts": to_dict(renderer.config),
            "tasks": [dataclasses.asdict(task) for task in renderer.tasks.values()],
            "training": info or {},
        }
        write_json(folder / "genrec.json", record)


def load_bundle(path: Path | str, *, dtype: torch.dtype = torch.float32) -> Bundle:
    """Read what :func:`save_bundle` wrote.

    Args:
        path: A model directory, or a run's directory with one called ``model`` in it.
        dtype: The precision to compute in.

    Raises:
        ArtifactError: When a part is missing, or was not made for the others.
    """
    folder = _model_directory(Path(path))
    record = read_json(folder / "genrec.json")
    if record.get("format") != FORMAT:
        raise ArtifactError(
            f"{folder} has format {record.get('format')}, but this version of genrec reads "
            f"format {FORMAT}; fine-tune again, or install genrec {record.get('genrec')}"
        )
    ids = SemanticIds.load(folder / "semantic_ids.safetensors")
    tasks = [Task(**{**task, "prompts": tuple(task["prompts"])}) for task in record["tasks"]]
    prompts = record["prompts"]
    renderer = Renderer(
        vocabulary=Vocabulary.load(folder, ids.codebook_sizes),
        ids=ids,
        catalogue=_read_catalogue(folder / "items.parquet"),
        tasks=Tasks({task.name: task for task in tasks}),
        config=PromptConfig(**{**prompts, "attributes": tuple(prompts["attributes"])}),
    )
    for name, value in _hashes(renderer).items():
        check_same(
            name.replace("_", " "), str(record["hashes"].get(name)), value,
            ours_from=str(folder / "genrec.json"), theirs_from="the files beside it",
        )  # fmt: skip
    model = load_pretrained(str(folder), dtype=dtype, vocabulary_size=len(renderer.vocabulary))
    return Bundle(model.eval(), renderer)


def _model_directory(path: Path) -> Path:
    for folder in (path, path / "model"):
        if (folder / "genrec.json").is_file():
            return folder
    raise ArtifactError(
        f"{path} is no model directory: neither it nor {path / 'model'} holds a genrec.json; "
        "recipes/finetune.py writes one"
    )


def _read_catalogue(path: Path) -> Catalogue:
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist; the model directory is incomplete")
    return Catalogue(pl.read_parquet(path))


def _hashes(renderer: Renderer) -> dict[str, str]:
    return {
        "catalogue": renderer.catalogue.fingerprint,
        "semantic_ids": renderer.ids.fingerprint,
        "vocabulary": renderer.vocabulary.fingerprint,
        "prompts": renderer.fingerprint,
    }
