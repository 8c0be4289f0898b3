"""Plots as SVG that an HTML page can hold, in the page's own font."""

from collections.abc import Mapping, Sequence

from genrec.eval.intervals import Interval
from genrec.figures import new_figure, svg


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
    figure, axes = new_figure(height=1.1 + 0.35 * len(intervals))
    names: Sequence[str] = list(intervals)
    for row, name in enumerate(names):
        value, low, high = intervals[name]
        axes.plot([low, high], [row, row], color=colours[name], linewidth=3, alpha=0.35)
        axes.plot(value, row, "o", color=colours[name], markersize=7)
    axes.set_title(title, loc="left", fontweight="bold")
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.grid(axis="x")
    return svg(figure)
