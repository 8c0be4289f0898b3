"""Write what an evaluation found: for machines, for whoever checks single users, and to look at."""

import importlib.metadata
import json
import math
import platform
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from genrec.artifacts import write_directory, write_json
from genrec.data import Dataset
from genrec.eval.background import Background
from genrec.eval.beyond import Beyond
from genrec.eval.findings import Findings
from genrec.eval.intervals import LEVEL, RESAMPLES, bootstrap
from genrec.eval.page import render_page
from genrec.eval.questions import NO_ITEM, Question
from genrec.eval.ratings import reliability
from genrec.eval.results import Chosen, Ranked, Rated, Results, TaskResults
from genrec.eval.slices import Division
from genrec.eval.tasks import kind_of_answer
from genrec.eval.under_stress import Spared, Stressed
from genrec.recommender import Request

RESULTS_FILE: Final = "results.json"
SAMPLES_FILE: Final = "samples.jsonl"
PAGE_FILE: Final = "report.html"

SCHEMA: Final = 2
"""Version of the layout of results.json; ``results.schema.json`` beside this file describes it."""

_PACKAGES: Final = ("genrec", "torch", "transformers", "numpy", "polars")


def write_report(
    directory: Path | str,
    results: Mapping[str, Results],
    dataset: Dataset,
    *,
    summary: Mapping[str, Any] | None = None,
    optimum: str | None = None,
    seeds: Mapping[str, int] | None = None,
    config: Mapping[str, Any] | None = None,
    prompt_of: Callable[[Request], str] | None = None,
    background: Background | None = None,
    stressed: Mapping[str, Sequence[Stressed | Spared]] | None = None,
    users_shown: int = 12,
) -> Path:
    """Write ``results.json``, ``samples.jsonl`` and ``report.html`` into a new directory.

    Args:
        directory: Where the report goes; a directory that stands there is replaced.
        results: The methods by name. The first is the subject: the report compares it with every
            other one and shows its rankings.
        dataset: The data that they were evaluated on.
        summary: The few numbers that stand on top of ``results.json``.
        optimum: The name of the method that is the best achievable one, where it is known.
        seeds: Seeds that decided anything, by what they decided.
        config: What it takes to do it again.
        prompt_of: Writes the subject's prompt of a request, to be kept with the samples.
        background: What is known beside the answers; with it the report tells of parts of the
            questions and of what lies beyond accuracy.
        stressed: What stress did to methods, by method; see ``put_under_stress``.
        users_shown: How many users the page shows with their pictures.

    Returns:
        The path of ``report.html``.

    Raises:
        ValueError: When there is nothing to report, or the methods were asked about other events.
        MissingDependencyError: When jinja2 or matplotlib is not installed.
    """
    findings = Findings(results, dataset, optimum, background, stressed or {})
    about = {
        "schema": SCHEMA,
        "summary": dict(summary or {}),
        **_contents(findings),
        "seeds": dict(seeds or {}),
        "config": dict(config or {}),
        "versions": versions(),
        "git_revision": git_revision(),
    }
    page = render_page(findings, about=about, users_shown=users_shown)
    with write_directory(directory) as path:
        write_json(path / RESULTS_FILE, about)
        with (path / SAMPLES_FILE).open("w", encoding="utf-8") as file:
            for sample in samples(findings, prompt_of=prompt_of):
                file.write(json.dumps(sample, ensure_ascii=False) + "\n")
        (path / PAGE_FILE).write_text(page, encoding="utf-8")
    return Path(directory) / PAGE_FILE


def summarize(results: Mapping[str, Results], *, subject: str) -> dict[str, Any]:
    """Pick the few numbers that matter: NDCG and recall of recommendations, the invalid rate.

    The subject's stand under bare names such as ``ndcg@10``, those of another method under
    ``ndcg@10_popularity``; ``_interval`` behind a name is its 95 % interval.
    """
    told: dict[str, Any] = {}
    for name, result in results.items():
        if "recommend" not in result.tasks:
            continue
        found, suffix = result["recommend"], "" if name == subject else f"_{name}"
        for family in ("ndcg", "recall"):
            metric = [known for known in found.metrics if known.startswith(f"{family}@")][-1]
            value, low, high = found.metrics[metric]
            told |= {f"{metric}{suffix}": value, f"{metric}{suffix}_interval": [low, high]}
        if name == subject:
            told["invalid_rate"] = found.counts["invalid"] / max(found.counts["named"], 1)
    return told


def samples(
    findings: Findings, *, prompt_of: Callable[[Request], str] | None = None
) -> Iterator[dict[str, Any]]:
    """Yield one record for every task and event: the request, the truth, all methods' answers.

    Items and users go by their raw ids; an item that does not exist is ``None``.
    """
    for task in findings.tasks:
        found = findings.of(task)
        first = next(iter(found.values()))
        for e, question in enumerate(first.questions):
            sample = _asked(question, first.questions.user_name(question), findings.dataset)
            if prompt_of is not None:
                sample["prompt"] = prompt_of(question.request)
            sample["answers"] = {
                name: _answer(result, e, findings.dataset) for name, result in found.items()
            }
            yield sample


def versions() -> dict[str, str | None]:
    """Tell the versions of Python and of the packages that decide results."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            found[package] = None
    return found


def git_revision() -> str | None:
    """Tell the commit that this code is of, ``-dirty`` if changed; ``None`` outside a checkout."""
    here = Path(__file__).resolve()
    tracked = ["git", "-C", str(here.parent), "ls-files", "--error-unmatch", here.name]
    describe = ["git", "-C", str(here.parent), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        subprocess.run(tracked, check=True, capture_output=True)
        told = subprocess.run(
            [*describe, "--exclude=*"], check=True, capture_output=True, text=True
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return told.stdout.strip()


def _contents(findings: Findings) -> dict[str, Any]:
    dataset = findings.dataset
    return {
        "dataset": {
            "name": dataset.name,
            "fingerprint": dataset.fingerprint,
            "counts": dataset.counts,
            "info": dataset.info,
        },
        "subject": findings.subject,
        "optimum": findings.optimum,
        "methods": {
            name: {
                task: _task_contents(result, findings.beyond.get(task, {}).get(name))
                for task, result in found.tasks.items()
            }
            for name, found in findings.results.items()
        },
        "comparisons": _to_json(findings.comparisons),
        "slices": {
            task: [_division_contents(division) for division in found]
            for task, found in findings.slices.items()
        },
        "stress": [
            _stress_contents(method, one)
            for method, found in findings.stressed.items()
            for one in found
            if isinstance(one, Stressed)
        ],
        "spared": [
            {"method": method, **_to_json(one)}
            for method, found in findings.stressed.items()
            for one in found
            if isinstance(one, Spared)
        ],
        "efficiency": {
            name: _to_json(found.efficiency)
            for name, found in findings.results.items()
            if found.efficiency is not None
        },
        "bootstrap": {"resamples": RESAMPLES, "level": LEVEL, "by": "user"},
    }


def _task_contents(result: TaskResults, beyond: Beyond | None) -> dict[str, Any]:
    contents: dict[str, Any] = {
        "metrics": _to_json(result.metrics),
        "figures": _to_json(result.figures),
        "counts": dict(result.counts),
        "seconds": round(result.seconds, 3),
    }
    k = result.answers.items_EK.shape[1] if isinstance(result.answers, Ranked) else 1
    contents["unit"] = result.questions.unit
    contents["protocol"] = {"k": k, **result.questions.protocol}
    if isinstance(result.answers, Rated):
        bins = reliability(result.answers.predicted_E, result.answers.target_E)
        contents["reliability"] = _to_json(bins)
    if beyond is not None:
        contents["beyond"] = {
            "metrics": _to_json(bootstrap(beyond.statistics)),
            "figures": _to_json(beyond.figures),
            "exposure": [_to_json(one) | {"gap": one.gap} for one in beyond.exposure],
        }
    return contents


def _division_contents(division: Division) -> dict[str, Any]:
    methods = division.parts[0].values
    gaps = {method: _to_json(division.gap(method)) for method in methods}
    return {**_to_json(division), "gaps": gaps}


def _stress_contents(method: str, stressed: Stressed) -> dict[str, Any]:
    metric = stressed.metric
    return {
        "method": method,
        "stress": stressed.stress,
        "about": stressed.about,
        "task": stressed.task,
        "metric": metric,
        "requests": len(stressed.after.questions),
        "left_out": stressed.left_out,
        "changed": stressed.changed,
        "before": _to_json(bootstrap(stressed.before.statistics.only(metric))[metric]),
        "after": _to_json(bootstrap(stressed.after.statistics.only(metric))[metric]),
        "comparison": _to_json(stressed.comparison),
        "attacked": _to_json(stressed.attacked),
    }


def _asked(question: Question, user: str, dataset: Dataset) -> dict[str, Any]:
    request, ids = question.request, dataset.catalogue.item_ids
    sample: dict[str, Any] = {
        "task": request.task,
        "event": question.event,
        "user": user,
        "history": [ids[item] for item in request.history],
        "target": None if question.target == NO_ITEM else ids[question.target],
    }
    if request.attribute is not None:
        sample["attribute"] = request.attribute
    if request.query is not None:
        sample["query"] = request.query
    if request.dialogue:
        sample["dialogue"] = [f"{turn.speaker}: {turn.text}" for turn in request.dialogue]
    if request.candidates:
        sample["candidates"] = [ids[item] for item in request.candidates]
        sample["fitting"] = [ids[item] for item in question.fitting]
    kind = kind_of_answer(request.task)
    if kind == "rating":
        sample["rating"] = question.rating
    if kind == "text":
        sample["text"] = question.text
    return sample


def _answer(result: TaskResults, e: int, dataset: Dataset) -> Any:
    answers, ids = result.answers, dataset.catalogue.item_ids
    if isinstance(answers, Ranked):
        rank, items = int(answers.rank_E[e]), answers.items_EK[e].tolist()
        named = [ids[item] if 0 <= item < len(ids) else None for item in items if item != -1]
        return {"rank": rank, "items": named}
    if isinstance(answers, Rated):
        told = {"expected": answers.predicted_E[e], "likeliest": answers.likeliest_E[e]}
        return _to_json({name: float(number) for name, number in told.items()})
    if isinstance(answers, Chosen):
        return {"items": [ids[item] for item in answers.chosen[e]]}
    return answers.answers[e]


def _to_json(value: Any) -> Any:
    """Turn named values into objects, and what is not finite, which JSON lacks, into null."""
    if isinstance(value, tuple) and hasattr(value, "_asdict"):
        return {name: _to_json(part) for name, part in value._asdict().items()}
    if isinstance(value, Mapping):
        return {name: _to_json(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
