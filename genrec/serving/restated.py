"""What an evaluation asks of a model directory beside answers: other words, and its size."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from safetensors import safe_open

from genrec.artifacts import check_same, fingerprint, read_json
from genrec.data import Catalogue, Dataset
from genrec.prompts import Renderer, Tasks
from genrec.recommender import Recommender, Request
from genrec.semantic_ids import SemanticIds
from genrec.serving.api import GenRec
from genrec.serving.bundle import follow, model_directory
from genrec.serving.learned import learned_tasks


class Evaluated(NamedTuple):
    """A model directory with all that an evaluation can do with it."""

    recommender: Recommender

    tasks: tuple[str, ...]
    """The tasks that it learned; all that it has words for, where its directory does not say."""

    make: Callable[[Any], Recommender]
    """Makes it for another setting: one with a ``catalogue`` and ``is_unseen``."""

    ids: SemanticIds
    """The semantic IDs that it names items by."""

    prompt_tokens: Callable[[Request], int]
    """Counts the tokens of a request's prompt."""

    weights: tuple[int, int | None]
    """How many weights it has, and how many of them were trained where it tells."""

    identity: Mapping[str, Any]
    """What tells its answers from those of another model."""


def open_for_evaluation(path: Path, dataset: Dataset, *, beams: int) -> Evaluated:
    """Load a model directory to be scored on a data set.

    Args:
        path: The model directory.
        dataset: What it is asked about.
        beams: Fewest beams of its searches.

    Raises:
        ArtifactError: When there is no model, or it was made for another catalogue.
    """
    engine: Any = GenRec.from_pretrained(path, beams=beams).recommender
    renderer = engine.renderer
    check_same(
        "catalogue", renderer.catalogue.fingerprint, dataset.catalogue.fingerprint,
        ours_from=str(path), theirs_from=dataset.name,
    )  # fmt: skip
    return Evaluated(
        recommender=engine, tasks=tuple(learned_tasks(path) or renderer.tasks), ids=renderer.ids,
        make=lambda setting: engine.following(
            restated(renderer, setting.catalogue, unseen=setting.is_unseen)
        ),
        prompt_tokens=lambda request: len(renderer.render(request).prompt),
        weights=count_weights(path), identity={"model": identity(path), "beams": beams},
    )  # fmt: skip


def restated(renderer: Renderer, catalogue: Catalogue, *, unseen: bool = False) -> Renderer:
    """Write the same prompts with other facts about the same items, or in words never trained on.

    Args:
        renderer: What writes the prompts.
        catalogue: What is told of the items; their rows and semantic IDs stay.
        unseen: Whether to use the phrasing of each task that is kept out of training, where it has
            one.

    Raises:
        ArtifactError: When the catalogue has other attributes.
    """
    told = follow(renderer, catalogue, renderer.ids)
    if not unseen:
        return told
    tasks = Tasks(
        {
            name: replace(task, prompts=(task.unseen,) if task.unseen else task.prompts)
            for name, task in renderer.tasks.items()
        }
    )
    return Renderer(
        vocabulary=renderer.vocabulary, ids=renderer.ids, catalogue=catalogue, tasks=tasks,
        config=renderer.config,
    )  # fmt: skip


def count_weights(path: Path | str) -> tuple[int, int | None]:
    """Count the weights of a model directory, and those that were trained where it tells."""
    folder, total = model_directory(path), 0
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="np") as weights:
            for name in weights.keys():  # noqa: SIM118 - it is no mapping
                count = 1
                for size in weights.get_slice(name).get_shape():
                    count *= size
                total += count
    return total, read_json(folder / "genrec.json")["training"].get("trained_weights")


def identity(path: Path | str) -> str:
    """Hash all files that a model's answers depend on, so that another model is told apart."""
    folder = model_directory(path)
    files = [*sorted(folder.glob("*.safetensors")), folder / "config.json", folder / "genrec.json"]
    digests = []
    for each in files:
        with each.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").digest())
    return fingerprint(*digests)
