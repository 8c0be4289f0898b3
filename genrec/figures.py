"""Plots and pictures for HTML pages that need nothing else."""

import base64
import io
from pathlib import Path
from typing import Any, Final

from PIL import Image

from genrec.optional import require

PALETTE: Final = (
    "#2563eb", "#d97706", "#0d9488", "#9333ea", "#dc2626", "#4d7c0f", "#0f172a", "#db2777",
    "#78350f", "#0ea5e9",
)  # fmt: skip
"""Colours of what is compared, in order; dark enough to read on white, apart enough for most
eyes."""

GREY: Final = "#94a3b8"
"""Colour of a yardstick."""

_STYLE: Final = {
    "svg.fonttype": "none",
    "svg.hashsalt": "genrec",
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#cbd5e1",
    "axes.labelcolor": "#475569",
    "axes.titlecolor": "#0f172a",
    "xtick.color": "#64748b",
    "ytick.color": "#64748b",
    "grid.color": "#e2e8f0",
}


def stylesheet() -> str:
    """Read the styles that all pages have in common."""
    return Path(__file__).with_name("page.css").read_text(encoding="utf-8")


def new_figure(*, height: float = 3.1) -> tuple[Any, Any]:
    """Make a matplotlib figure with one pair of axes, in the style of all pages."""
    figure_module = require("matplotlib.figure", extra="eval", why="the report")
    with require("matplotlib", extra="eval", why="the report").rc_context(_STYLE):
        figure = figure_module.Figure(figsize=(5.2, height), layout="constrained")
        axes = figure.subplots()
    axes.set_axisbelow(True)
    return figure, axes


def svg(figure: Any) -> str:
    """Write a figure without XML prologue, date or background, so that it can stand in a page."""
    buffer = io.StringIO()
    with require("matplotlib", extra="eval", why="the report").rc_context(_STYLE):
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def data_uri(picture: Image.Image, *, pixels: int = 128) -> str:
    """Write a picture, shrunk to a number of pixels, so that it can stand in a page."""
    picture.thumbnail((pixels, pixels))
    encoded = io.BytesIO()
    picture.save(encoded, format="WEBP", quality=82)
    return f"data:image/webp;base64,{base64.b64encode(encoded.getvalue()).decode()}"
