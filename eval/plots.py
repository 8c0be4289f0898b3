"""Plots as SVG that an HTML page can hold, in the page's own font."""

from collections.abc import Mapping, Sequence

import numpy as np

from genrec.eval.beyond import Exposure
from genrec.eval.efficiency import Efficiency
from genrec.eval.intervals import Interval
from genrec.eval.ratings import Bin
from genrec.eval.slices import Division
from genrec.figures import GREY, new_figure, svg


def plot_at_k(
    metric: str, methods: Mapping[str, Mapping[str, Interval]], colours: Mapping[str, str]
) -> str:
    """Plot a metric against the length of the ranking, a line a method with its interval.

    Args:
        metric: Its name without the length, such as ``ndcg``.
        methods: The metrics of every method, under names such as ``ndcg@10``.
        colours: The colour of every method.
    """
    figure, axes = new_figure()
    cutoffs = sorted(
        int(name.partition("@")[2])
        for name in next(iter(methods.values()))
        if name.startswith(f"{metric}@")
    )
    for name, metrics in methods.items():
        intervals = [metrics[f"{metric}@{k}"] for k in cutoffs]
        colour = colours[name]
        values, lows, highs = zip(*intervals, strict=True)
        axes.fill_between(cutoffs, lows, highs, color=colour, alpha=0.15, linewidth=0)
        axes.plot(cutoffs, values, color=colour, marker="o", markersize=4, linewidth=2)
    axes.set_title(f"{metric.upper()} at k", loc="left", fontweight="bold")
    axes.set_xlabel("k")
    axes.set_xticks(cutoffs)
    axes.set_ylim(bottom=0)
    axes.grid(axis="y")
    return svg(figure)


def plot_intervals(
    title: str, intervals: Mapping[str, Interval], colours: Mapping[str, str]
) -> str:
    """Plot one metric of all methods, a point with its interval each, the first on top."""
    rows = {name: {name: interval} for name, interval in intervals.items()}
    return _plot_rows(title, rows, colours)


def plot_division(division: Division, metric: str, colours: Mapping[str, str]) -> str:
    """Plot one metric for parts of the events, all methods of a part side by side."""
    rows = {f"{part.name} ({part.events:,})": part.values for part in division.parts}
    return _plot_rows(f"{metric.upper()} by {division.name}", rows, colours)


def plot_exposure(
    exposure: Mapping[str, Sequence[Exposure]], colours: Mapping[str, str], *, wanted: str
) -> str:
    """Plot what share of all attention items of different popularity get, and should get.

    Args:
        exposure: The groups of items, by method.
        colours: The colour of every method.
        wanted: What to call the items that are right.
    """
    groups = next(iter(exposure.values()))
    shares = {name: [group.share for group in found] for name, found in exposure.items()}
    shares[wanted] = [group.wanted for group in groups]
    figure, axes = new_figure(height=1.2 + 0.26 * len(shares))
    left = np.zeros(len(shares))
    least = 0.08 + 0.0045 * max(map(len, shares))  # in narrower bars a label would not fit
    for place, group in enumerate(groups):
        widths = np.array([found[place] for found in shares.values()])
        bars = [colours.get(name, GREY) for name in shares]
        axes.barh(
            list(shares), widths, left=left, color=bars, alpha=(1.0, 0.55, 0.2)[place],
            height=0.62, edgecolor="white", linewidth=1.5,
        )  # fmt: skip
        for row, (start, width) in enumerate(zip(left, widths, strict=True)):
            if width >= least:
                colour = "white" if place == 0 else "#0f172a"
                axes.text(
                    start + width / 2, row, f"{group.group.split()[0]} {width:.0%}", ha="center",
                    va="center", fontsize=8, color=colour,
                )  # fmt: skip
        left += widths
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter("{x:.0%}")
    # Not over the axes: long names of methods leave them too little width for it.
    figure.suptitle("Attention by popularity", x=0.01, ha="left", fontsize=13, fontweight="bold")
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    return svg(figure)


def plot_reliability(bins: Mapping[str, Sequence[Bin]], colours: Mapping[str, str]) -> str:
    """Plot what was given against what was predicted; calibrated methods lie on the diagonal."""
    figure, axes = new_figure()
    every = [number for found in bins.values() for one in found for number in one[:2]]
    low, high = min(every), max(every)
    axes.plot([low, high], [low, high], color=GREY, linewidth=1, linestyle="--")
    for name, found in bins.items():
        largest = max(one.events for one in found)
        axes.plot(
            [one.predicted for one in found], [one.given for one in found],
            color=colours[name], linewidth=1.5, alpha=0.6,
        )  # fmt: skip
        axes.scatter(
            [one.predicted for one in found], [one.given for one in found], color=colours[name],
            s=[12 + 90 * one.events / largest for one in found], linewidth=0,
        )  # fmt: skip
    axes.set_title("Given where predicted", loc="left", fontweight="bold")
    axes.set_xlabel("mean prediction; large dots are many events")
    axes.set_ylabel("mean rating")
    axes.grid()
    return svg(figure)


def plot_latency(costs: Mapping[str, Efficiency], colours: Mapping[str, str]) -> str:
    """Plot the latency of single answers: the median, and a line to the 99th percentile."""
    figure, axes = new_figure(height=1.2 + 0.32 * len(costs))
    for row, (name, cost) in enumerate(costs.items()):
        colour = colours[name]
        axes.plot([cost.median_ms, cost.p99_ms], [row, row], color=colour, linewidth=3, alpha=0.35)
        axes.plot(cost.median_ms, row, "o", color=colour, markersize=7)
        axes.plot(cost.p95_ms, row, "|", color=colour, markersize=11, markeredgewidth=2)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_yticks(range(len(costs)), list(costs))
    axes.set_ylim(len(costs) - 0.5, -0.5)
    axes.set_title("Milliseconds to one answer", loc="left", fontweight="bold")
    axes.set_xlabel("median, 95th and 99th percentile")
    axes.grid(axis="x")
    return svg(figure)


def _plot_rows(
    title: str, rows: Mapping[str, Mapping[str, Interval]], colours: Mapping[str, str]
) -> str:
    """Plot points with intervals, in rows of one or several methods, the first on top."""
    methods = max(len(values) for values in rows.values())
    figure, axes = new_figure(height=1.1 + (0.22 + 0.13 * methods) * len(rows))
    for row, values in enumerate(rows.values()):
        for place, (name, (value, low, high)) in enumerate(values.items()):
            y = row + 0.72 * ((place + 0.5) / len(values) - 0.5)
            axes.plot([low, high], [y, y], color=colours[name], linewidth=3, alpha=0.35)
            axes.plot(value, y, "o", color=colours[name], markersize=7 if methods == 1 else 5)
    figure.suptitle(title, x=0.01, ha="left", fontsize=12, fontweight="bold")
    axes.set_yticks(range(len(rows)), list(rows))
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.grid(axis="x")
    return svg(figure)
