"""A model directory: a Hugging Face model with all that its prompts and beams need.

Beside ``config.json``, ``model.safetensors`` and the tokenizer it holds a folder with the items and
their semantic IDs, and ``genrec.json`` with the hash of each. Loading checks them and refuses what
does not fit.
"""

import dataclasses
import itertools
import logging
import os
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import torch
from transformers import PreTrainedModel

import genrec
from genrec.artifacts import ArtifactError, check_same, read_json, write_directory, write_json
from genrec.config import to_dict
from genrec.data import Catalogue
from genrec.models import FlamingoForCausalLM, PictureStore, load_pretrained
from genrec.models.image_tokens import ImageTokenizer
from genrec.prompts import PromptConfig, Renderer, Task, Tasks, Vocabulary
from genrec.semantic_ids import SemanticIds
from genrec.serving.ratings import Calibration

log = logging.getLogger(__name__)

FORMAT = 2

# In a folder of their own: vLLM takes every .safetensors beside the model's for weights.
_ITEMS = Path("catalogue", "items.parquet")
_IDS = Path("catalogue", "semantic_ids.safetensors")
_PICTURES = "pictures"
_IMAGES = "image_tokenizer"


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
    calibration: Calibration | None = None,
    images: ImageTokenizer | None = None,
) -> None:
    """Write a model directory in one step.

    Args:
        path: The directory; one that stands there is replaced.
        model: The model, with adapters merged.
        renderer: Its prompts, vocabulary, catalogue and semantic IDs.
        info: How the model came to be; kept in ``genrec.json`` under ``training``.
        calibration: How to read the model's probabilities of ratings, where that was fitted.
        images: Makes pictures of the model's image tokens, for a model that draws.
    """
    _check_pictures(model, renderer)
    with write_directory(path) as folder:
        model.save_pretrained(str(folder))
        renderer.vocabulary.save(folder)
        (folder / _ITEMS).parent.mkdir()
        renderer.catalogue.table.write_parquet(folder / _ITEMS)
        renderer.ids.save(folder / _IDS)
        if images is not None:
            images.model.save_pretrained(str(folder / _IMAGES))
        record = {
            "format": FORMAT,
            "genrec": genrec.__version__,
            "hashes": _hashes(renderer),
            "prompts": to_dict(renderer.config),
            "tasks": [dataclasses.asdict(task) for task in renderer.tasks.values()],
            "calibration": None if calibration is None else to_dict(calibration),
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
    renderer = load_renderer(path)
    folder = str(model_directory(path))
    model = load_pretrained(folder, dtype=dtype, vocabulary_size=len(renderer.vocabulary))
    _check_pictures(model, renderer)
    return Bundle(model.eval(), renderer)


def load_pictures(
    path: Path | str, bundle: Bundle, *, progress: bool = False
) -> PictureStore | None:
    """Find the pictures for a model that sees them; ``None`` for one that does not.

    What the encoder makes of them is kept beside the model in the folder ``pictures``, so that only
    the first call computes it. Where nothing can be written it is kept in memory alone.

    Args:
        path: The directory that the bundle was loaded from.
        bundle: The model, on its device, and its renderer.
        progress: Whether to show a bar.
    """
    model, renderer = bundle
    if not renderer.config.pictures or not isinstance(model, FlamingoForCausalLM):
        return None
    if model.config.fusion == "none":
        return None
    home = model_directory(path)
    folder = home / _PICTURES
    is_kept = os.access(folder if folder.exists() else home, os.W_OK)
    if not is_kept:
        log.warning("%s cannot be written, so its pictures are encoded at every start", home)
    return PictureStore.for_model(
        model, renderer.catalogue, folder=folder if is_kept else None, progress=progress
    )


def load_renderer(path: Path | str) -> Renderer:
    """Read all of a model directory but the model; see :func:`load_bundle`."""
    folder = model_directory(path)
    record = _read_record(folder)
    ids = SemanticIds.load(folder / _IDS)
    tasks = [Task(**task) for task in record["tasks"]]
    prompts = record["prompts"]
    renderer = Renderer(
        vocabulary=Vocabulary.load(folder, ids.codebook_sizes),
        ids=ids,
        catalogue=_read_catalogue(folder / _ITEMS),
        tasks=Tasks({task.name: task for task in tasks}),
        config=PromptConfig(**prompts),
    )
    for name, value in _hashes(renderer).items():
        check_same(
            name.replace("_", " "), str(record["hashes"].get(name)), value,
            ours_from=str(folder / "genrec.json"), theirs_from="the files beside it",
        )  # fmt: skip
    return renderer


def follow(renderer: Renderer, catalogue: Catalogue, ids: SemanticIds) -> Renderer:
    """Write the same prompts about another catalogue of the same tokenizer.

    Raises:
        ArtifactError: When the model knows other codes, or its prompts other attributes.
    """
    if ids.codebook_sizes != renderer.ids.codebook_sizes:
        raise ArtifactError(
            f"the model knows codebooks of {renderer.ids.codebook_sizes} codes, but the catalogue "
            f"has IDs of {ids.codebook_sizes}; let its own tokenizer give them"
        )
    if catalogue.table.schema != renderer.catalogue.table.schema:
        raise ArtifactError(
            f"the catalogue has the columns {dict(catalogue.table.schema)}, but the model learned "
            f"from {dict(renderer.catalogue.table.schema)}"
        )
    return Renderer(
        vocabulary=renderer.vocabulary, ids=ids, catalogue=catalogue, tasks=renderer.tasks,
        config=renderer.config,
    )  # fmt: skip


def old_rows(before: Renderer, after: Renderer) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Tell for each item its row in the catalogue before, as :meth:`TokenTrie.updated` wants it.

    Items that came, changed their ID or moved forward count as new, with -1.
    """
    row_of = dict(zip(before.catalogue.item_ids, itertools.count()))
    old_N = np.array([row_of.get(name, -1) for name in after.catalogue.item_ids], dtype=np.int64)
    has_old_N = old_N >= 0
    is_same_N = has_old_N.copy()
    is_same_N[has_old_N] = (
        before.ids.codes_NL[old_N[has_old_N]] == after.ids.codes_NL[has_old_N]
    ).all(axis=1)
    old_N[~is_same_N] = -1
    latest_N = np.maximum.accumulate(np.concatenate([[-1], old_N[:-1]]))
    old_N[old_N <= latest_N] = -1
    return old_N


def update_catalogue(path: Path | str, catalogue: Catalogue, ids: SemanticIds) -> None:
    """Let a model directory follow its catalogue, in one step; the weights stay as they are.

    Args:
        path: The directory, or the run's directory that holds it as ``model``.
        catalogue: All items there are now.
        ids: Their IDs, by the tokenizer that gave the old ones theirs.

    Raises:
        ArtifactError: When the directory is incomplete, or catalogue and IDs are not for its model.
    """
    folder = model_directory(path)
    renderer = follow(load_renderer(folder), catalogue, ids)
    record = _read_record(folder)
    with write_directory(folder) as new:
        shutil.copytree(folder, new, dirs_exist_ok=True, copy_function=_link)
        for file in (_ITEMS, _IDS, Path("genrec.json")):
            (new / file).unlink()
        catalogue.table.write_parquet(new / _ITEMS)
        ids.save(new / _IDS)
        write_json(new / "genrec.json", record | {"hashes": _hashes(renderer)})


def _link(source: str, target: str) -> None:
    """Give a file that never changes a second name, or copy it where that cannot be."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def draws_pictures(path: Path | str) -> bool:
    """Tell whether a model directory has what makes pictures of image tokens."""
    return (model_directory(path) / _IMAGES).is_dir()


def load_image_tokenizer(path: Path | str) -> ImageTokenizer:
    """Load what makes pictures of a model's image tokens.

    Raises:
        ArtifactError: When the model directory has none.
    """
    folder = model_directory(path)
    if not draws_pictures(folder):
        raise ArtifactError(
            f"the model in {folder} draws no pictures: it has no {_IMAGES}; fine-tune it with one "
            "and a task such as 'imagine'"
        )
    return ImageTokenizer.from_pretrained(folder / _IMAGES)


def load_calibration(path: Path | str) -> Calibration | None:
    """Read how ratings were calibrated; ``None`` where they were not."""
    record = _read_record(model_directory(path))
    return None if record["calibration"] is None else Calibration(**record["calibration"])


def save_calibration(path: Path | str, calibration: Calibration) -> None:
    """Keep in a model directory how to read its model's probabilities of ratings."""
    folder = model_directory(path)
    record = _read_record(folder)
    write_json(folder / "genrec.json", record | {"calibration": to_dict(calibration)})


def model_directory(path: Path | str) -> Path:
    """Find the model directory: the path itself, or one called ``model`` in it."""
    path = Path(path)
    for folder in (path, path / "model"):
        if (folder / "genrec.json").is_file():
            return folder
    raise ArtifactError(
        f"{path} is no model directory: neither it nor {path / 'model'} holds a genrec.json; "
        "recipes/finetune.py writes one"
    )


def _read_record(folder: Path) -> dict[str, Any]:
    record: dict[str, Any] = read_json(folder / "genrec.json")
    if record.get("format") != FORMAT:
        raise ArtifactError(
            f"{folder} has format {record.get('format')}, but this version of genrec reads "
            f"format {FORMAT}; fine-tune again, or install genrec {record.get('genrec')}"
        )
    return record


def _check_pictures(model: PreTrainedModel, renderer: Renderer) -> None:
    """Refuse prompts with other marks than a model puts latents in the places of."""
    if not renderer.config.pictures or not isinstance(model, FlamingoForCausalLM):
        return
    marks, latents = renderer.config.picture_tokens, model.config.latents
    if model.config.fusion == "early" and marks != latents:
        raise ValueError(
            f"prompts have {marks} [IMG] tokens a picture, but early fusion makes {latents} "
            f"latents of it; set picture_tokens of the prompts to {latents}"
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
