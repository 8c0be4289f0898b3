"""Results as a table of plain text: one row a method, one column a metric."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from genrec.eval.intervals import Interval
from genrec.eval.results import Results
from genrec.eval.tasks import AnswerKind, kind_of_answer

_SHOWN: Final[dict[AnswerKind, tuple[str, ...]]] = {
    "ranking": (
        "hr@1", "hr@5", "hr@10", "ndcg@5", "ndcg@10", "mrr@10", "id-hr@10", "id-ndcg@10",
    ),
    "rating": ("calibration", "mae", "mae-likeliest", "rmse-likeliest", "rmse"),
    "text": (
        "exact-match", "bleu-1", "bleu-4", "rouge-1", "rouge-2", "rouge-l", "meteor",
        "bertscore-f1", "feature-match",
    ),
    "choice": ("precision", "recall", "f1"),
}  # fmt: skip
"""The metrics worth a column, by the kind of the answer."""

_AMONG_CANDIDATES: Final = ("hr@1", "hr@5", "ndcg@5", "mrr@10", "auc")

_DIGITS: Final[dict[AnswerKind, int]] = {"ranking": 4, "rating": 3, "text": 1, "choice": 3}
"""Digits behind the point, by the kind of the answer."""


def main_metric(task: str, metrics: Iterable[str]) -> str:
    """Name the metric that methods are compared by: for rankings the NDCG at the longest cut."""
    if task == "attribute":  # a brand or a price is right or wrong
        return "exact-match"
    kind = kind_of_answer(task)
    if kind != "ranking":
        return {"rating": "rmse", "text": "rouge-l", "choice": "f1"}[kind]
    return [name for name in metrics if name.startswith("ndcg@")][-1]


def text_table(results: Mapping[str, Results], task: str) -> str:
    """Lay out the metrics of one task, each with half the width of its 95 % interval.

    Args:
        results: The methods that were evaluated, by name; those that lack the task are left out.
        task: The task to show.
    """
    shown = {name: result[task].metrics for name, result in results.items() if task in result.tasks}
    names = shown_metrics(shown, task)
    rows = [[task, *names]]
    for name, metrics in shown.items():
        cells = [cell(metrics[metric], task) for metric in names]
        rows.append([name, *cells])
    return layout(rows)


def shown_metrics(shown: Mapping[str, Mapping[str, Interval]], task: str) -> list[str]:
    """Pick the metrics worth a column among those that all methods have.

    Hits of IDs are worth one where they are not those of items, as is so where items share IDs.
    """
    worth = _AMONG_CANDIDATES if task == "direct" else _SHOWN[kind_of_answer(task)]
    common = [name for name in worth if all(name in metrics for metrics in shown.values())]
    return [
        name
        for name in common
        if not name.startswith("id-")
        or any(metrics[name] != metrics[name.removeprefix("id-")] for metrics in shown.values())
    ]


def cell(interval: Interval, task: str) -> str:
    """Write a metric such as ``0.0851 +-0.0036``; a dash where there was nothing to score."""
    value, half_width = number(interval.value, task), number(interval.half_width, task)
    return value if math.isnan(interval.value) else f"{value} +-{half_width}"


def number(value: float, task: str) -> str:
    """Write a number with the digits of its task; a dash where there was nothing to score."""
    return "-" if math.isnan(value) else f"{value:.{_DIGITS[kind_of_answer(task)]}f}"


def layout(rows: Sequence[Sequence[str]]) -> str:
    """Align columns, the first to the left and the others to the right, under a ruled head."""
    columns = list(zip(*rows, strict=True))
    widths = [max(len(text) for text in column) for column in columns]
    first = [text.ljust(widths[0]) for text in columns[0]]
    others = [
        [text.rjust(width) for text in column]
        for column, width in zip(columns[1:], widths[1:], strict=True)
    ]
    lines = ["  ".join(row) for row in zip(first, *others, strict=True)]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])
