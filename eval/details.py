"""What stands below the numbers of a report: beyond accuracy, slices, stress, cost."""

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from genrec.eval.efficiency import Efficiency
from genrec.eval.findings import Findings
from genrec.eval.intervals import Comparison, Interval, bootstrap
from genrec.eval.plots import (
    plot_division,
    plot_exposure,
    plot_latency,
    plot_reliability,
)
from genrec.eval.ratings import reliability
from genrec.eval.results import Rated
from genrec.eval.table import number
from genrec.eval.tasks import kind_of_answer
from genrec.eval.under_stress import Spared, Stressed


class Entry(NamedTuple):
    """One cell of a table."""

    value: str
    small: str = ""
    """What stands below it in small print."""

    tag: str = ""
    """A verdict, which gives it a colour."""


class Line(NamedTuple):
    """One row of a table."""

    label: str
    colour: str | None
    entries: Sequence[Entry]
    small: str = ""
    """What stands below the label in small print."""


class Block(NamedTuple):
    """A table with a heading, and plots."""

    heading: str
    about: str
    columns: Sequence[str] = ()
    lines: Sequence[Line] = ()
    plots: Sequence[str] = ()
    is_folded: bool = False
    """Whether the table is unfolded only when somebody asks for it."""


def task_blocks(task: str, findings: Findings, colours: Mapping[str, str]) -> list[Block]:
    """Tell what one task has to tell below its numbers."""
    blocks = []
    if task in findings.beyond:
        blocks.append(_beyond(task, findings, colours))
    if kind_of_answer(task) == "text":
        blocks.append(_riches(task, findings, colours))
    if task in findings.slices:
        blocks += _slices(task, findings, colours)
    return blocks


def plot_calibration(task: str, findings: Findings, colours: Mapping[str, str]) -> str | None:
    """Plot the reliability of predicted ratings; ``None`` where nothing was predicted."""
    bins = {
        name: reliability(result.answers.predicted_E, result.answers.target_E)
        for name, result in findings.of(task).items()
        if isinstance(result.answers, Rated)
    }
    bins = {name: found for name, found in bins.items() if found}
    return plot_reliability(bins, colours) if bins else None


def stress_block(findings: Findings) -> Block | None:
    """Tell what stress did to methods; ``None`` where there was none."""
    lines: list[Line] = []
    for method, found in findings.stressed.items():
        for stress, of_stress in groupby(found, key=lambda one: one.stress):
            lines += _stress_lines(f"{method}: {stress}", list(of_stress))
    if not lines:
        return None
    return Block(
        "Under stress",
        "The same questions in a world that is not as clean; those that cannot be asked there, as "
        "what they show is forgotten, count on neither side. The last column tells whether the "
        "items of an attacker, who writes instructions into their titles, are named more often.",
        ("", "task", "without", "under stress", "stressed is", "attacker's items"),
        lines,
    )


def _stress_lines(label: str, found: Sequence[Stressed | Spared]) -> list[Line]:
    """Tell of one stress task by task, under one label, and at last of what it spared."""
    lines: list[Line] = []
    about, spared = found[0].about, dict[str, list[str]]()
    for one in found:
        if isinstance(one, Spared):
            spared.setdefault(one.why, []).append(one.task)
            continue
        before, after = (
            bootstrap(result.statistics.only(one.metric))[one.metric]
            for result in (one.before, one.after)
        )
        entries = [
            Entry(one.task, _reach(one)),
            _cell(before, one.task),
            _cell(after, one.task),
            _verdict(one.comparison, one.task),
            Entry("") if one.attacked is None else _risen(one.attacked),
        ]
        lines.append(Line("", None, entries))
    for why, tasks in spared.items():
        for place, task in enumerate(tasks):
            entries = [Entry(task), Entry(""), Entry("not asked"), Entry(""), Entry("")]
            lines.append(Line("", None, entries, "" if place else f"not asked: {why}"))
    small = "; ".join(filter(None, (about, lines[0].small)))
    lines[0] = lines[0]._replace(label=label, small=small)
    return lines


def _reach(stressed: Stressed) -> str:
    """Tell how many questions a stress left out, and whether it reached any answer."""
    left_out, changed = stressed.left_out, stressed.changed
    told = [f"{left_out:,} not askable"] if left_out else []
    return ", ".join([*told, *([] if changed else ["no answer changed"])])


def cost_block(findings: Findings, colours: Mapping[str, str]) -> Block | None:
    """Tell what answers cost; ``None`` where it was not measured."""
    costs = {name: found.efficiency for name, found in findings.results.items() if found.efficiency}
    if not costs:
        return None
    lines = [Line(name, colours[name], _cost(cost, name, findings)) for name, cost in costs.items()]
    return Block(
        "What answers cost",
        "Latency of single requests, one after the other; requests a second of the whole "
        "evaluation, in batches. Memory is the most that the process had meanwhile, with all "
        "methods loaded.",
        ("method", "median", "95 %", "99 %", "requests/s", "prompt tokens/s", "memory", "weights"),
        lines,
        [plot_latency(costs, colours)],
    )


def _cost(cost: Efficiency, name: str, findings: Findings) -> list[Entry]:
    tasks = findings.results[name].tasks.values()
    seconds = sum(result.seconds for result in tasks)
    asked = sum(len(result.questions) for result in tasks)
    weights, trained = cost.parameters, cost.trained_parameters
    return [
        *(Entry(f"{value:,.2f} ms") for value in (cost.median_ms, cost.p95_ms, cost.p99_ms)),
        Entry(f"{asked / seconds:,.0f}" if seconds else "-"),
        Entry("-" if cost.tokens_per_second is None else f"{cost.tokens_per_second:,.0f}"),
        Entry(f"{cost.peak_memory_mib:,.0f} MiB"),
        Entry(
            "-" if weights is None else f"{weights:,}",
            "" if trained is None else f"{trained:,} trained",
        ),
    ]


def _beyond(task: str, findings: Findings, colours: Mapping[str, str]) -> Block:
    found = findings.beyond[task]
    intervals = {name: bootstrap(one.statistics) for name, one in found.items()}
    metrics = next(iter(found.values())).statistics.names
    lines = [
        Line(
            name, colours[name],
            [
                *(_three(intervals[name][metric]) for metric in metrics),
                *(Entry(f"{value:.3f}") for value in one.figures.values()),
            ],
        )
        for name, one in found.items()
    ]  # fmt: skip
    figures = next(iter(found.values())).figures
    exposure = {name: one.exposure for name, one in found.items()}
    return Block(
        "Beyond accuracy",
        "Novelty in bits, diversity and serendipity: the higher, the more. Miscalibration: how far "
        "the categories of a ranking are from those of the history. Popularity lift: how much more "
        "popular than the history it is. The picture divides all attention, of which the first "
        "place gets most.",
        ("method", *metrics, *figures),
        lines,
        [plot_exposure(exposure, colours, wanted="what users want")],
    )


def _riches(task: str, findings: Findings, colours: Mapping[str, str]) -> Block:
    found = {name: result.figures for name, result in findings.of(task).items()}
    columns = list(next(iter(found.values())))
    lines = [
        Line(
            name, colours[name],
            [Entry(f"{figures.get(name, 0):.3g}") for name in columns],
        )
        for name, figures in found.items()
    ]  # fmt: skip
    about = (
        "Of all answers together: how many different words and sentences, and how long they are."
    )
    return Block("How rich the words are", about, ("method", *columns), lines)


def _slices(task: str, findings: Findings, colours: Mapping[str, str]) -> list[Block]:
    divisions, metric = findings.slices[task], findings.main(task)
    if not divisions:
        return []
    names = list(findings.of(task))
    rivals = [name for name in names if name not in (findings.subject, findings.optimum)]
    rival = findings.rival(task) if findings.subject in names else None
    lines = [
        Line(
            f"{division.name}: {part.name}", None,
            [
                Entry(f"{part.events:,}"),
                *(_cell(part.values[name], task) for name in names),
                *([_tag(part.comparisons.get(rival))] if rival else []),
            ],
        )
        for division in divisions
        for part in division.parts
    ]  # fmt: skip
    verdict = [f"{findings.subject} against {rival}"] if rival else []
    gaps = ", ".join(
        f"{number(division.gap(names[0]), task)} by {division.name}" for division in divisions
    )
    return [
        Block(
            "For whom, and for what",
            f"{metric.upper()} of parts of the requests. For {names[0]} the best and the worst "
            f"served part are apart by {gaps}.",
            ("requests", "number", *names, *verdict),
            lines,
            [plot_division(division, metric, colours) for division in divisions],
            is_folded=len(rivals) + len(lines) > 1,
        )
    ]


def _cell(interval: Interval, task: str) -> Entry:
    half = number(interval.half_width, task)
    return Entry(number(interval.value, task), f"\N{PLUS-MINUS SIGN} {half}")


def _three(interval: Interval) -> Entry:
    return Entry(f"{interval.value:.3f}", f"\N{PLUS-MINUS SIGN} {interval.half_width:.3f}")


def _tag(comparison: Comparison | None) -> Entry:
    return Entry("") if comparison is None else Entry("", "", comparison.verdict)


def _verdict(comparison: Comparison, task: str) -> Entry:
    gap = comparison.difference
    if math.isnan(gap.value):
        return Entry("", "no answer can be scored", "silenced")
    sign = "+" if gap.value >= 0 else "\N{MINUS SIGN}"
    return Entry("", f"{sign}{number(abs(gap.value), task)}", comparison.verdict)


def _risen(comparison: Comparison) -> Entry:
    verdict = {"higher": "risen", "lower": "fallen"}.get(comparison.verdict, comparison.verdict)
    return Entry("", f"{comparison.difference.value:+.2%} of places", verdict)
