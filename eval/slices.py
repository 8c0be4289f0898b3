"""The same metrics for parts of the questions: long histories and short, head and tail, and so on.

Shape letters in this file: E questions.
"""

from collections.abc import Mapping
from typing import NamedTuple

from genrec.eval.background import Background
from genrec.eval.divisions import divisions
from genrec.eval.intervals import Comparison, Interval, bootstrap, compare, holm
from genrec.eval.questions import Bools
from genrec.eval.results import TaskResults


class Part(NamedTuple):
    """Some of the questions, how each method does on them, and who is better there."""

    name: str
    events: int
    values: Mapping[str, Interval]
    """The metric of each method."""

    comparisons: Mapping[str, Comparison]
    """The first method against each other one; corrected over all parts of the division."""


class Division(NamedTuple):
    """The questions divided by one criterion, such as how long the history is."""

    name: str
    parts: tuple[Part, ...]

    def gap(self, method: str) -> float:
        """Tell how far apart the best and the worst served part are, by the metric.

        The accuracy gap between groups of users or items, as in Li et al.
        (https://arxiv.org/abs/2104.10671).
        """
        values = [part.values[method].value for part in self.parts]
        return max(values) - min(values)


def slice_results(
    results: Mapping[str, TaskResults], metric: str, background: Background
) -> list[Division]:
    """Score parts of the questions.

    Args:
        results: How each method did at one task, on the same questions about the background's
            data; the first is compared with the others.
        metric: The metric to tell.
        background: What the questions are divided by.
    """
    first = next(iter(results.values()))
    return [
        Division(name, _parts(groups, results, metric))
        for name, groups in divisions(first.questions, background)
    ]


def _parts(
    groups: Mapping[str, Bools], results: Mapping[str, TaskResults], metric: str
) -> tuple[Part, ...]:
    (_, first), *others = results.items()
    own = first.statistics.only(metric)
    values = {
        part: {
            name: bootstrap(result.statistics.only(metric).where(inside_E))[metric]
            for name, result in results.items()
        }
        for part, inside_E in groups.items()
    }
    found: dict[str, dict[str, Comparison]] = {part: {} for part in groups}
    for name, result in others:
        other = result.statistics.only(metric)
        pairs = [
            compare(own.where(inside_E), other.where(inside_E))[metric]
            for inside_E in groups.values()
        ]
        adjusted = holm([pair.p_value for pair in pairs])
        for part, pair, p_adjusted in zip(groups, pairs, adjusted, strict=True):
            found[part][name] = pair.corrected(p_adjusted)
    return tuple(
        Part(part, int(inside_E.sum()), values[part], found[part])
        for part, inside_E in groups.items()
    )
