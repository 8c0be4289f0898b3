"""What the toy shop's users asked to see, and whether drawn pictures show it.

Shape letters in this file: E events, U drawn pictures, N items with a picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from genrec import GenRec
from genrec.data.toy_process import Ints
from genrec.data.toy_queries import ToyQueries
from genrec.data.toy_shop import ToyShop
from genrec.data.toy_world import CATEGORIES
from genrec.decoding.drawing import Drawing
from genrec.eval.intervals import Statistics
from genrec.eval.pictures import nearest_pictures
from genrec.models.image_tokens import ImageTokenizer
from recipes.benchmarks.looks import Eye

SHOWN_QUERIES = ("sneaker", "kettle", "camera bag", "tent", "mug", "earbuds")
SHOWN_USERS = 6


@dataclass(frozen=True)
class Asked:
    """Queries with the histories before them, and what should be on the pictures."""

    histories: list[list[str]]
    queries: list[str]
    user_E: Ints
    shapes_E: list[set[int]]
    """The categories that a query may mean: vague ones name a department."""

    colour_E: Ints
    pattern_E: Ints
    """The user's planted wishes."""

    pictured: Ints
    """Rows of the items that have a picture."""

    shape_N: Ints
    colour_N: Ints
    pattern_N: Ints
    """What their pictures show."""

    @classmethod
    def about(cls, shop: ToyShop, event_E: Ints) -> "Asked":
        """Read some events of a shop."""
        events, process = shop.dataset.interactions, shop.process
        queries = events.column("query")
        assert queries is not None
        item_ids = shop.dataset.catalogue.item_ids
        user_E = events.user_of[event_E].astype(np.int64)
        histories = [
            [item_ids[row] for row in events.item[events.offsets[user] : event]]
            for user, event in zip(user_E, event_E, strict=True)
        ]
        asked = [str(queries[int(event)]) for event in event_E]
        fits = ToyQueries(process)
        shapes_E = [
            set(process.items.category_N[fits.likelihood(query) > 0].tolist()) for query in asked
        ]
        taste_E, items = shop.taste_U[user_E], process.items
        pictured = np.flatnonzero(shop.dataset.catalogue.has_picture)
        return cls(
            histories, asked, user_E, shapes_E, process.tastes.colour_T[taste_E],
            process.tastes.pattern_T[taste_E], pictured, items.category_N[pictured],
            items.colour_N[pictured], items.pattern_N[pictured],
        )  # fmt: skip

    def check(
        self, eye: Eye, real: Sequence[Image.Image], images: ImageTokenizer
    ) -> dict[str, Any]:
        """Measure the eye on the shop's pictures, and on what their image tokens draw again."""
        found: dict[str, Any] = {}
        again = images.decode(images.encode(real))
        for name, pictures in (("classifier", real), ("classifier_on_tokens", again)):
            looks = eye.read(pictures)
            right_N = np.stack([
                looks.shape_U == self.shape_N, looks.colour_U == self.colour_N,
                looks.pattern_U == self.pattern_N,
            ])  # fmt: skip
            found[f"{name}_accuracy"] = float(right_N.mean())
            for attribute, right in zip(("shape", "colour", "pattern"), right_N, strict=True):
                found[f"{name}_accuracy_{attribute}"] = float(right.mean())
        return found

    def score(self, eye: Eye, drawn: Sequence[Image.Image]) -> Statistics:
        """Tell of each picture whether it shows what was asked for, in the look that is liked."""
        looks = eye.read(drawn)
        fits = [shape in may for shape, may in zip(looks.shape_U, self.shapes_E, strict=True)]
        scores = {
            "shape": np.array(fits, dtype=np.float64),
            "colour": (looks.colour_U == self.colour_E).astype(np.float64),
            "pattern": (looks.pattern_U == self.pattern_E).astype(np.float64),
        }
        return Statistics.of_means(scores, self.user_E)


def grid(
    rec: GenRec, shop: ToyShop, asked: Asked, eye: Eye, *, guides: int, how: Drawing
) -> tuple[Image.Image, float]:
    """Draw the same queries for several users of different tastes.

    Returns:
        A sheet with a line a user, the last three items of the history first, and the share of
        pairs of users whose pictures for the same query differ in colour or pattern.
    """
    names = {category.name for category in CATEGORIES[: shop.process.config.categories]}
    queries = [query for query in SHOWN_QUERIES if query in names]
    _, first = np.unique(asked.colour_E, return_index=True)  # users of different colours
    chosen = np.sort(first)[:SHOWN_USERS].tolist()
    histories = [asked.histories[number] for number in chosen for _ in queries]
    drawn = rec.imagine_many(histories, queries * len(chosen), guides=guides, how=how)
    pictures = [one.pictures[0] for one in drawn]
    looks = eye.read(pictures)
    look_UQ = (looks.colour_U * 100 + looks.pattern_U).reshape(len(chosen), len(queries))
    one, other = np.triu_indices(len(chosen), k=1)
    differ = float((look_UQ[one] != look_UQ[other]).mean())
    catalogue = shop.dataset.catalogue
    lines = []
    for place, number in enumerate(chosen):
        bought = catalogue.rows(asked.histories[number][-3:])
        past = [catalogue.picture(row) for row in bought]
        lines.append([*past, *pictures[place * len(queries) : (place + 1) * len(queries)]])
    return _sheet(lines, ["bought", "before", "", *queries]), differ


def beside_nearest(
    drawn: Sequence[Image.Image], real: Sequence[Image.Image], *, columns: int = 9
) -> Image.Image:
    """Put some drawn pictures above the real ones that they are most like: a copy would show."""
    some = list(drawn[:columns])
    found = nearest_pictures(some, real)
    titles = [f"{distance:.3f} apart" for distance in found.distance_U]
    return _sheet([some, [real[number] for number in found.picture_U]], titles)


def _sheet(lines: Sequence[Sequence[Image.Image | None]], titles: Sequence[str]) -> Image.Image:
    cell, gap, head = 96, 6, 18
    size = (len(titles) * (cell + gap) + gap, len(lines) * (cell + gap) + gap + head)
    sheet = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(13)
    for column, title in enumerate(titles):
        pen.text((gap + column * (cell + gap), 3), title, "black", font)
    for line, pictures in enumerate(lines):
        for column, picture in enumerate(pictures):
            corner = (gap + column * (cell + gap), head + gap + line * (cell + gap))
            if picture is not None:
                sheet.paste(picture.resize((cell, cell), Image.Resampling.LANCZOS), corner)
    return sheet
