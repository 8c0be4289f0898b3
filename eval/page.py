"""The report as one HTML page that needs nothing else: numbers, plots, and users to look at."""

import json
from collections.abc import Mapping
from itertools import cycle
from pathlib import Path
from typing import Any, Final, NamedTuple

from genrec.eval.details import Block, cost_block, plot_calibration, stress_block, task_blocks
from genrec.eval.findings import Findings
from genrec.eval.intervals import Comparison, Interval
from genrec.eval.plots import plot_at_k, plot_intervals
from genrec.eval.results import Ranked, TaskResults
from genrec.eval.showcase import Showcase, WrittenText, showcase, written_texts
from genrec.eval.table import number, shown_metrics
from genrec.eval.tasks import CONVERSE, RANKING_TASKS, REPLY, kind_of_answer
from genrec.figures import GREY, PALETTE, stylesheet
from genrec.optional import require

_TEMPLATE: Final = "report.html"
_TEXTS_SHOWN: Final = 5

_HEADINGS: Final = {
    "recommend": "What comes next",
    "search": "Search",
    "direct": "The best of some candidates",
    "select": "All that fit among some candidates",
    "rate": "Ratings",
    "preference": "Ratings read from reviews",
    "explain": "Explanations",
    "explain_rated": "Explanations of a rating",
    "explain_hint": "Explanations with a word as hint",
    "summarize": "Summaries of reviews",
    "query_to_item": "Items that a query leads to",
    "titles_to_item": "What comes next, told by titles",
    "history_to_title": "The title of what comes next",
    "title_to_item": "Items found by their titles",
    "description_to_item": "Items found by what is known of them",
    "picture_to_item": "Items found by their pictures",
    "item_to_title": "Titles told by items",
    "attribute": "Attributes told by items",
    CONVERSE: "What a dialogue asks for",
    REPLY: "What is said next in a dialogue",
}


class Cell(NamedTuple):
    """One number of a table."""

    value: str
    half_width: str
    is_best: bool


class Row(NamedTuple):
    """One method in the table of a task."""

    name: str
    colour: str
    is_optimum: bool
    cells: list[Cell]
    comparison: Comparison | None
    """The subject against this method by the main metric; ``None`` for the subject itself."""

    share: float | None
    """The part of the optimum that this method reaches by the main metric."""


class Highlight(NamedTuple):
    """One number that stands on top of the page."""

    value: str
    label: str


class Section(NamedTuple):
    """One task."""

    task: str
    heading: str
    requests: int
    unit: str
    """What is drawn together for intervals and tests."""

    columns: list[str]
    main: str
    """The metric that comparisons and shares are about."""

    rows: list[Row]
    counts: list[str]
    """What was asked and what went wrong, method by method."""

    plots: list[str]
    texts: list[WrittenText]
    blocks: list[Block]

    @property
    def ranked(self) -> str:
        """What rankings are drawn from, as a part of a sentence."""
        if not self.main.startswith("ndcg"):
            return ""
        is_whole = self.task != "direct"
        return f", ranked over {'the whole catalogue' if is_whole else 'the candidates of each'}"

    @property
    def is_compared(self) -> bool:
        """Whether there is a method to compare the subject with."""
        return any(row.comparison for row in self.rows)

    @property
    def has_optimum(self) -> bool:
        """Whether shares of the optimum are known."""
        return any(row.share is not None for row in self.rows)


def render_page(findings: Findings, *, about: Mapping[str, Any], users_shown: int) -> str:
    """Render the page.

    Args:
        findings: What to tell.
        about: The content of ``results.json``, whose provenance stands at the foot of the page.
        users_shown: How many users to show with their pictures.
    """
    jinja2 = require("jinja2", extra="eval", why="the report")
    colours = _colours(findings)
    subject = findings.results[findings.subject]
    shown = next((task for task in subject.tasks if task in RANKING_TASKS), None)
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(Path(__file__).with_name(_TEMPLATE).read_text("utf-8"))
    provenance = {key: about[key] for key in ("versions", "git_revision", "seeds", "config")}
    blocks = (stress_block(findings), cost_block(findings, colours))
    page: str = template.render(
        stylesheet=stylesheet(),
        subject=findings.subject,
        dataset=findings.dataset,
        sections=[_section(task, findings, colours) for task in findings.tasks],
        blocks=[block for block in blocks if block is not None],
        highlights=_highlights(shown, findings) if shown else [],
        bootstrap=about["bootstrap"],
        showcase=_showcase(shown, findings, count=users_shown) if shown else None,
        colours=colours,
        provenance=json.dumps(provenance, indent=2),
    )
    return page


def _showcase(task: str, findings: Findings, *, count: int) -> Showcase:
    rankings = {
        name: result
        for name, result in findings.of(task).items()
        if isinstance(result.answers, Ranked)
    }
    return showcase(rankings, findings.dataset, count=count, rival=findings.rival(task))


def _highlights(task: str, findings: Findings) -> list[Highlight]:
    """Pick what to say first about the subject's rankings."""
    found = findings.of(task)
    subject = found[findings.subject]
    main = findings.main(task)
    value = subject.metrics[main].value
    highlights = [Highlight(number(value, task), main.upper())]
    for name, result in found.items():
        other = result.metrics[main].value
        if name == findings.optimum and other:
            highlights.append(Highlight(f"{value / other:.0%}", "of the best achievable"))
        elif name != findings.subject and other:
            highlights.append(Highlight(f"{value / other:.1f}x", f"the {main.upper()} of {name}"))
    invalid, named = subject.counts["invalid"], subject.counts["named"]
    share = f"{invalid / named:.2%}" if invalid else "0"
    return [*highlights, Highlight(share, "items that do not exist or are not allowed")]


def _section(task: str, findings: Findings, colours: Mapping[str, str]) -> Section:
    found = findings.of(task)
    metrics = {name: result.metrics for name, result in found.items()}
    columns = shown_metrics(metrics, task)
    main = findings.main(task)
    texts = []
    if kind_of_answer(task) == "text" and findings.subject in found:
        texts = written_texts(found[findings.subject], findings.dataset, count=_TEXTS_SHOWN)
    return Section(
        task=task,
        heading=_HEADINGS[task],
        requests=len(next(iter(found.values())).event_E),
        unit=next(iter(found.values())).questions.unit,
        columns=columns,
        main=main,
        rows=_rows(task, findings, colours, columns=columns, main=main),
        counts=[_told(name, result) for name, result in found.items()],
        plots=_plots(task, findings, colours),
        texts=texts,
        blocks=task_blocks(task, findings, colours),
    )


def _rows(
    task: str, findings: Findings, colours: Mapping[str, str], *, columns: list[str], main: str
) -> list[Row]:
    found = findings.of(task)
    best = {column: _best(column, found, findings.optimum) for column in columns}
    optimum = found[findings.optimum].metrics[main] if findings.optimum in found else None
    rows = []
    for name, result in found.items():
        cells = [
            Cell(
                number(result.metrics[column].value, task),
                number(result.metrics[column].half_width, task),
                is_best=best[column] == name,
            )
            for column in columns
        ]
        is_optimum, comparison, share = name == findings.optimum, None, None
        if not is_optimum:
            comparison = findings.comparisons.get(name, {}).get(task, {}).get(main)
        if optimum is not None and optimum.value and result.statistics.goal(main) == "higher":
            share = result.metrics[main].value / optimum.value
        rows.append(Row(name, colours[name], is_optimum, cells, comparison, share))
    return rows


def _best(column: str, found: Mapping[str, TaskResults], optimum: str | None) -> str | None:
    """Name the best method of a column; the optimum is out of competition."""
    worths = {
        name: result.statistics.worth(column) for name, result in found.items() if name != optimum
    }
    return max(worths, key=lambda name: worths[name]) if len(worths) > 1 else None


def _told(name: str, result: TaskResults) -> str:
    """Tell the counts of a method in words."""
    counts = dict(result.counts)
    requests, named = counts.pop("requests"), counts.pop("named", None)
    told = [f"{requests:,} requests"]
    if named is not None:
        told = [f"{named:,} items in {requests:,} rankings"]
    told.append(", ".join(f"{count:,} {what}" for what, count in counts.items()))
    if result.seconds:
        told.append(f"{requests / result.seconds:,.0f} requests a second")
    return f"{name}: {'; '.join(filter(None, told))}"


def _plots(task: str, findings: Findings, colours: Mapping[str, str]) -> list[str]:
    metrics = {name: result.metrics for name, result in findings.of(task).items()}
    kind = kind_of_answer(task)
    if kind == "ranking":
        return [plot_at_k(metric, metrics, colours) for metric in ("hr", "ndcg")]
    if kind == "rating":
        calibration = plot_calibration(task, findings, colours)
        errors = [] if len(metrics) == 1 else [_plot("rmse", metrics, colours)]
        return [*errors, *([] if calibration is None else [calibration])]
    if len(metrics) == 1:
        return []
    names = ("bleu-4", "rouge-l") if kind == "text" else ("precision", "f1")
    return [_plot(name, metrics, colours) for name in names]


def _plot(
    name: str, metrics: Mapping[str, Mapping[str, Interval]], colours: Mapping[str, str]
) -> str:
    return plot_intervals(
        name.upper(), {method: found[name] for method, found in metrics.items()}, colours
    )


def _colours(findings: Findings) -> dict[str, str]:
    names = [name for name in findings.results if name != findings.optimum]
    colours = dict(zip(names, cycle(PALETTE), strict=False))
    return colours if findings.optimum is None else {**colours, findings.optimum: GREY}
