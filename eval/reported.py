"""Read back what a report holds, so that runs can be compared long after they were evaluated."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from genrec.artifacts import ArtifactError, check_same, read_json
from genrec.data import Dataset
from genrec.eval.harness import evaluate
from genrec.eval.questions import Asked
from genrec.eval.report import RESULTS_FILE, SAMPLES_FILE, SCHEMA
from genrec.eval.results import Results, TaskResults
from genrec.eval.tasks import DIALOGUE_TASKS, ITEM_TASKS
from genrec.recommender import Ranking, Rating

Told = dict[int, Any]
"""An answer of a report for every event."""


def read_report(
    folder: Path | str, dataset: Dataset, *, methods: tuple[str, ...] = ()
) -> dict[str, Results]:
    """Score the answers that a report kept, as they were scored when it was written.

    Args:
        folder: The report: a directory with ``results.json`` and ``samples.jsonl``.
        dataset: The data that it is about.
        methods: The methods to read; the report's subject when left out.

    Returns:
        The results by method. Dialogues, semantic IDs and further scores of texts, which a report
        does not keep, are left out.

    Raises:
        ArtifactError: When the report is about other data, or has no such method.
    """
    folder = Path(folder)
    about = read_json(folder / RESULTS_FILE)
    if about.get("schema") != SCHEMA:
        raise ArtifactError(
            f"{folder} has the schema {about.get('schema')}, but this version of genrec reads "
            f"{SCHEMA}; evaluate again"
        )
    check_same(
        "data set", dataset.fingerprint, about["dataset"]["fingerprint"],
        ours_from=dataset.name, theirs_from=str(folder),
    )  # fmt: skip
    for method in methods:
        if method not in about["methods"]:
            known = ", ".join(about["methods"])
            raise ArtifactError(f"{folder} has no method {method!r}; it has {known}")
    told = _read_samples(folder / SAMPLES_FILE)
    return {
        method: _score(method, about["methods"][method], told, dataset)
        for method in methods or (about["subject"],)
    }


def _read_samples(path: Path) -> dict[tuple[str, str], Told]:
    """Read the answers by task and method."""
    if not path.is_file():
        raise ArtifactError(f"{path} does not exist; without it a report cannot be compared")
    told: dict[tuple[str, str], Told] = {}
    with path.open(encoding="utf-8") as file:
        for line in file:
            sample = json.loads(line)
            for method, answer in sample["answers"].items():
                told.setdefault((sample["task"], method), {})[sample["event"]] = answer
    return told


def _score(
    method: str,
    contents: Mapping[str, Any],
    told: Mapping[tuple[str, str], Told],
    dataset: Dataset,
) -> Results:
    results: dict[str, TaskResults] = {}
    for task, found in contents.items():
        if task not in DIALOGUE_TASKS:
            answers = told[task, method]
            recorded, rows = _Reported(answers, dataset), np.fromiter(answers, dtype=np.int64)
            events, items = (rows[:0], rows) if task in ITEM_TASKS else (rows, None)
            results |= evaluate(
                recorded, dataset, events, tasks=[task], items=items, **found["protocol"]
            ).tasks
    return Results(results)


class _Reported:
    """Answers of a report, for ``evaluate``."""

    def __init__(self, told: Told, dataset: Dataset) -> None:
        self._told = told
        self._row_of = {name: row for row, name in enumerate(dataset.catalogue.item_ids)}

    def recorded(self, asked: Asked, k: int) -> Iterator[Any]:
        """See :class:`~genrec.eval.asking.Recorded`."""
        for question in asked:
            yield self._answer(self._told[question.event])

    def _answer(self, told: Any) -> Any:
        if isinstance(told, str):
            return told
        if "expected" in told:
            return Rating(*(np.nan if told[name] is None else told[name] for name in told))
        # An item that did not exist has no raw id; it gets a row that does not exist either.
        rows = [self._row_of.get(name, len(self._row_of)) for name in told["items"]]
        if "rank" in told:
            return Ranking(np.array(rows, np.int64), np.zeros(len(rows), np.float32))
        return tuple(rows)
