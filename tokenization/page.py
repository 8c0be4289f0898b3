"""The quality report as one HTML page that needs nothing else: numbers, plots, items to look at.

Shape letters in this file: N items, L levels, K codes of one level, E entries of the ledger.
"""

import json
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from genrec.figures import GREY, PALETTE, new_figure, stylesheet, svg
from genrec.optional import require
from genrec.tokenization.examples import draw_examples
from genrec.tokenization.items import ItemTable
from genrec.tokenization.semantic_tokenizer import SemanticTokenizer

_TEMPLATE: Final = "quality.html"


class Highlight(NamedTuple):
    """One number that stands on top of the page."""

    value: str
    label: str


def render_page(
    tokenizer: SemanticTokenizer, items: ItemTable, *, label: str | None = None, seed: int = 0
) -> str:
    """Render the page.

    Args:
        tokenizer: What to tell of.
        items: The items that have its IDs, in the same order.
        label: An attribute that classes items.
        seed: Draws the examples.

    Raises:
        ValueError: When the items are others.
        MissingDependencyError: When jinja2 or matplotlib is not installed.
    """
    if items.fingerprint != tokenizer.catalogue:
        raise ValueError(
            f"the tokenizer's catalogue is {tokenizer.catalogue}, but that of the items is "
            f"{items.fingerprint}; update the tokenizer first"
        )
    jinja2 = require("jinja2", extra="eval", why="the quality page")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    template = environment.from_string(Path(__file__).with_name(_TEMPLATE).read_text("utf-8"))
    page: str = template.render(
        stylesheet=stylesheet(),
        tokenizer=tokenizer,
        quality=tokenizer.quality,
        versions=tokenizer.ledger.versions,
        drift=tokenizer.drift,
        highlights=_highlights(tokenizer),
        codebook_plots=[_plot_usage(tokenizer), _plot_prefixes(tokenizer)],
        error_plot=_plot_errors(tokenizer),
        examples=draw_examples(tokenizer.ids, items, label=label, seed=seed),
        label=label,
        recipe=json.dumps(tokenizer.recipe, indent=2),
    )
    return page


def _highlights(tokenizer: SemanticTokenizer) -> list[Highlight]:
    """Pick what to say first."""
    quality = tokenizer.quality
    least = min(level.used / level.codes for level in quality.levels)
    told = [
        Highlight(f"{quality.collision_rate:.2%}", "of items in collision before resolution"),
        Highlight(f"{quality.final_collision_rate:.2%}", "in collision in the end"),
        Highlight(f"{quality.reconstruction_error:.1%}", "of the features' variance is lost"),
        Highlight(f"{least:.0%}", "of the codes are used at the least used level"),
    ]
    if quality.neighbours_kept is not None:
        told.append(Highlight(f"{quality.neighbours_kept:.0%}", "of the 10 nearest items are kept"))
    if quality.label_agreement is not None:
        share = f"{quality.label_agreement:.0%}"
        words = f"same label under one first code, by chance {quality.random_label_agreement:.0%}"
        told.append(Highlight(share, words))
    return told


def _plot_usage(tokenizer: SemanticTokenizer) -> str:
    """Plot how many items have each code of a level, most frequent first."""
    figure, axes = new_figure()
    ids = tokenizer.ids
    for level, size in enumerate(ids.codebook_sizes):
        counts_K = np.sort(np.bincount(ids.codes_NL[:, level], minlength=size))[::-1]
        colour = PALETTE[level % len(PALETTE)]
        axes.plot(np.arange(size) / size, counts_K * size / len(ids), color=colour, linewidth=2)
        axes.plot([], [], color=colour, linewidth=3, label=f"level {level}")
    axes.axhline(1, color=GREY, linewidth=1, linestyle="--")
    axes.set_title("Items per code", loc="left", fontweight="bold")
    axes.set_xlabel("codes, most frequent first")
    axes.set_ylabel("times the even share")
    axes.xaxis.set_major_formatter("{x:.0%}")
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=9)
    axes.grid(axis="y")
    return svg(figure)


def _plot_prefixes(tokenizer: SemanticTokenizer) -> str:
    """Plot what items have in common the longer the prefix is that they share."""
    figure, axes = new_figure()
    quality = tokenizer.quality
    lengths = [prefix.length for prefix in quality.prefixes]
    curves = {"items that share it": [prefix.shared_share for prefix in quality.prefixes]}
    if quality.random_label_agreement is not None:
        curves["pairs under it with the same label"] = [
            prefix.label_agreement or 0.0 for prefix in quality.prefixes
        ]
        axes.axhline(
            quality.random_label_agreement, color=GREY, linewidth=1, linestyle="--",
            label="the same label by chance",
        )  # fmt: skip
    for (name, values), colour in zip(curves.items(), PALETTE, strict=False):
        axes.plot(lengths, values, color=colour, marker="o", markersize=5, linewidth=2, label=name)
    axes.set_title("What a shared prefix tells", loc="left", fontweight="bold")
    axes.set_xlabel("codes in the prefix")
    axes.set_xticks(lengths)
    axes.set_ylim(0, 1.05)
    axes.yaxis.set_major_formatter("{x:.0%}")
    figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=9)
    axes.grid(axis="y")
    return svg(figure)


def _plot_errors(tokenizer: SemanticTokenizer) -> str:
    """Plot the distribution of reconstruction errors, of new items beside those of training."""
    figure, axes = new_figure()
    ledger = tokenizer.ledger
    trained = ledger.changes[0].came
    since = ledger.rows_N[~np.isin(ledger.rows_N, trained)]
    error_E = ledger.entries.error_E
    shown = error_E[np.concatenate([trained, since])]
    edges = np.linspace(0, max(float(np.quantile(shown, 0.999)), 1e-6), 50)
    for name, rows, colour in (
        ("training", trained, PALETTE[0]),
        ("added since", since, PALETTE[1]),
    ):
        if len(rows) > 0:
            weights = np.full(len(rows), 1 / len(rows))
            axes.hist(
                error_E[rows].clip(max=edges[-1]), bins=edges, weights=weights,
                color=colour, alpha=0.55, label=f"{name}, {len(rows):,} items",
            )  # fmt: skip
    limit = float(np.quantile(error_E[trained], 0.99))
    axes.axvline(limit, color=GREY, linewidth=1, linestyle="--", label="99th percentile")
    axes.set_title("What is lost of an item", loc="left", fontweight="bold")
    axes.set_xlabel("squared error, in units of the features' variance")
    axes.set_ylabel("share of items")
    axes.yaxis.set_major_formatter("{x:.0%}")
    figure.legend(loc="outside lower left", ncols=2, frameon=False, fontsize=9)
    axes.grid(axis="y")
    return svg(figure)
