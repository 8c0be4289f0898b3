"""Pictures of the toy shop: the shape is the category, colour and pattern are the item's look.

Shape letters in this file: S side of the canvas in pixels, N items.
"""

import functools
import io
import textwrap
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

from genrec.data.catalogue import Catalogue
from genrec.data.toy_world import COLOURS, PATTERNS

PICTURE_SIZE = 64
"""Side of a picture in pixels."""

_CANVAS = 3 * PICTURE_SIZE
"""Side of the canvas that a picture is drawn on before it is scaled down."""

_PERIOD = _CANVAS // 7
"""Pixels of the canvas after which a pattern repeats."""

_OUTLINE = 7
"""Width of the filter that widens a body to its dark outline; odd."""

_PAPER = (247, 246, 243)
_INK = (45, 45, 52)
_RGB = {
    "red": (205, 38, 44),
    "orange": (242, 133, 28),
    "yellow": (248, 213, 44),
    "green": (62, 158, 62),
    "teal": (26, 172, 176),
    "blue": (44, 88, 204),
    "purple": (132, 64, 176),
    "pink": (243, 126, 178),
}

Mark = tuple[str, tuple[float, ...]]
"""What to draw on a canvas of 100 x 100, and where.

A ``polygon`` has the x and y of its corners; all others begin with their left, top, right and
bottom. Then a ``box`` has the radius of its corners, a ``line`` its width, an ``arc`` the degrees
of its ends (clockwise from the right) and its width, and an ``oval`` nothing.
"""


class Shape(NamedTuple):
    """How a category is drawn."""

    body: tuple[Mark, ...]
    """What has the item's colour and pattern."""

    ink: tuple[Mark, ...] = ()
    """Dark details above the body."""

    holes: tuple[Mark, ...] = ()
    """What is cut out of the body."""


SHAPES = {
    "phone": Shape(
        (("box", (30, 6, 70, 94, 7)),),
        (("box", (35, 14, 65, 50, 2)), ("oval", (46, 80, 54, 88)), ("line", (45, 10, 55, 10, 2))),
    ),
    "phone case": Shape(
        (("box", (22, 8, 78, 92, 12)),),
        (("line", (78, 40, 78, 58, 4)),),
        (("box", (30, 15, 54, 38, 7)),),
    ),
    "charger": Shape(
        (("box", (26, 34, 74, 82, 10)),),
        (
            ("box", (36, 14, 42, 34, 1)),
            ("box", (58, 14, 64, 34, 1)),
            ("line", (50, 82, 50, 97, 4)),
        ),
    ),
    "earbuds": Shape(
        (
            ("oval", (12, 14, 44, 46)),
            ("box", (24, 30, 35, 84, 5)),
            ("oval", (56, 14, 88, 46)),
            ("box", (65, 30, 76, 84, 5)),
        ),
        (("oval", (18, 23, 30, 35)), ("oval", (70, 23, 82, 35))),
    ),
    "camera": Shape(
        (("box", (8, 30, 92, 80, 7)), ("box", (36, 19, 62, 36, 3))),
        (
            ("arc", (31, 36, 69, 74, 0, 360, 5)),
            ("oval", (40, 45, 60, 65)),
            ("box", (14, 23, 26, 29, 1)),
        ),
    ),
    "lens": Shape(
        (
            ("polygon", (20, 30, 62, 24, 62, 76, 20, 70)),
            ("box", (60, 16, 86, 84, 4)),
        ),
        (
            ("box", (11, 34, 20, 66, 2)),
            ("line", (34, 29, 34, 71, 3)),
            ("line", (46, 27, 46, 73, 3)),
        ),
    ),
    "tripod": Shape(
        (
            ("polygon", (45, 28, 55, 28, 24, 96, 14, 96)),
            ("polygon", (45, 28, 55, 28, 86, 96, 76, 96)),
            ("box", (44, 28, 56, 96, 2)),
            ("box", (30, 8, 70, 28, 4)),
        ),
        (("line", (70, 20, 92, 32, 3)),),
    ),
    "camera bag": Shape(
        (("box", (14, 40, 86, 90, 8)),),
        (
            ("arc", (16, 8, 84, 76, 180, 360, 4)),
            ("line", (14, 54, 86, 54, 3)),
            ("oval", (41, 62, 59, 80)),
            ("box", (44, 50, 56, 58, 1)),
        ),
    ),
    "tent": Shape(
        (("polygon", (50, 12, 96, 86, 4, 86)),),
        (("polygon", (50, 40, 66, 86, 34, 86)), ("line", (2, 87, 98, 87, 3))),
    ),
    "sleeping bag": Shape(
        (("oval", (31, 4, 69, 44)), ("box", (26, 24, 74, 94, 20))),
        (("oval", (40, 10, 60, 30)), ("line", (50, 34, 50, 72, 2))),
    ),
    "lantern": Shape(
        (("box", (30, 30, 70, 80, 14)), ("box", (24, 80, 76, 92, 3))),
        (
            ("arc", (32, 12, 68, 48, 180, 360, 4)),
            ("box", (32, 26, 68, 32, 1)),
            ("line", (50, 46, 50, 66, 4)),
        ),
    ),
    "camp stove": Shape(
        (("box", (8, 52, 92, 84, 6)),),
        (
            ("line", (20, 40, 80, 40, 4)),
            ("line", (28, 40, 28, 52, 4)),
            ("line", (72, 40, 72, 52, 4)),
            ("oval", (22, 63, 34, 75)),
            ("oval", (66, 63, 78, 75)),
            ("polygon", (50, 22, 57, 36, 43, 36)),
        ),
    ),
    "sneaker": Shape(
        (
            (
                "polygon",
                (8, 34, 20, 38, 34, 32, 46, 40, 60, 54, 88, 60, 95, 72, 95, 76, 8, 76),
            ),
        ),
        (
            ("box", (6, 76, 96, 84, 3)),
            ("line", (40, 46, 50, 37, 3)),
            ("line", (48, 53, 58, 44, 3)),
            ("line", (57, 60, 66, 50, 3)),
        ),
    ),
    "socks": Shape(
        (
            ("polygon", (30, 6, 58, 6, 58, 52, 90, 68, 90, 86, 80, 92, 62, 92, 30, 70)),
            ("oval", (70, 67, 94, 91)),
        ),
        (("line", (30, 16, 58, 16, 3)),),
    ),
    "water bottle": Shape(
        (("box", (32, 30, 68, 96, 9)), ("polygon", (42, 18, 58, 18, 68, 38, 32, 38))),
        (("box", (41, 6, 59, 19, 3)), ("line", (32, 78, 68, 78, 2))),
    ),
    "gym bag": Shape(
        (("box", (4, 42, 96, 84, 20)),),
        (
            ("arc", (26, 26, 74, 74, 180, 360, 4)),
            ("line", (28, 50, 28, 84, 3)),
            ("line", (72, 50, 72, 84, 3)),
        ),
    ),
    "kettle": Shape(
        (
            ("polygon", (34, 30, 64, 30, 76, 88, 22, 88)),
            ("polygon", (30, 42, 14, 34, 10, 40, 26, 62)),
        ),
        (
            ("arc", (46, 32, 90, 76, 270, 450, 5)),
            ("oval", (44, 20, 54, 30)),
            ("box", (20, 86, 78, 94, 2)),
        ),
    ),
    "mug": Shape(
        (("box", (16, 26, 66, 88, 7)),),
        (("arc", (50, 38, 86, 76, 270, 450, 6)), ("line", (17, 28, 65, 28, 3))),
    ),
    "teapot": Shape(
        (
            ("oval", (22, 34, 76, 88)),
            ("polygon", (26, 66, 6, 44, 2, 34, 14, 36, 36, 56)),
            ("oval", (36, 27, 62, 42)),
        ),
        (
            ("arc", (56, 40, 92, 76, 270, 450, 5)),
            ("oval", (45, 20, 53, 28)),
            ("line", (32, 88, 66, 88, 5)),
        ),
    ),
    "pan": Shape(
        (("oval", (4, 24, 68, 88)),),
        (("line", (59, 33, 92, 4, 8)), ("arc", (14, 34, 58, 78, 0, 360, 2))),
    ),
}


def toy_picture(
    category: str, colour: str, pattern: str, rng: np.random.Generator | None = None
) -> Image.Image:
    """Draw an item on a light ground.

    Args:
        category: A key of ``SHAPES``.
        colour: One of ``COLOURS``.
        pattern: One of ``PATTERNS``.
        rng: Turns, moves and scales the item a little; without one it stands straight.
    """
    angle, scale, right, down, phase = 0.0, 1.0, 0.0, 0.0, 0
    if rng is not None:
        angle, scale = rng.uniform(-0.15, 0.15), rng.uniform(0.8, 0.95)
        right, down = rng.uniform(-6, 6, size=2)
        phase = int(rng.integers(_PERIOD))
    layers = _layers(category)
    image = Image.new("RGB", (_CANVAS, _CANVAS), _PAPER)
    image.paste(_INK, mask=layers.outline)
    image.paste(_RGB[colour], mask=layers.body)
    image.paste(_tint(colour), mask=ImageChops.darker(layers.body, _pattern(pattern, phase)))
    image.paste(_INK, mask=layers.ink)
    cos, sin, centre = np.cos(angle) / scale, np.sin(angle) / scale, _CANVAS / 2
    x, y = centre + right, centre + down
    image = image.transform(
        image.size,
        Image.Transform.AFFINE,
        (cos, sin, centre - cos * x - sin * y, -sin, cos, centre + sin * x - cos * y),
        Image.Resampling.BILINEAR,
        fillcolor=_PAPER,
    )
    return image.resize((PICTURE_SIZE, PICTURE_SIZE), Image.Resampling.BOX)


class Captioned(NamedTuple):
    """Pictures and what they show, in words."""

    pictures: list[Image.Image]
    captions: list[str]


def captioned_pictures(count: int, *, seed: int) -> Captioned:
    """Draw pictures that belong to no shop, captioned like ``red phone with dots``.

    Category, colour and pattern are each drawn at random, so nothing is told of the items of any
    shop, what goes with what in it, or who likes what.
    """
    rng = np.random.default_rng([seed, count])
    pictures, captions = [], []
    for _ in range(count):
        category, colour, pattern = (
            str(rng.choice(names)) for names in (tuple(SHAPES), COLOURS, PATTERNS)
        )
        pictures.append(toy_picture(category, colour, pattern, rng))
        captions.append(f"{colour} {category} with {pattern}")
    return Captioned(pictures, captions)


def encode_png(picture: Image.Image) -> bytes:
    """Write a picture as PNG bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def contact_sheet(catalogue: Catalogue, rows: Sequence[int], *, columns: int = 8) -> Image.Image:
    """Lay out items of a catalogue in a grid, each with its title below its picture."""
    cell, caption, gap = 2 * PICTURE_SIZE, 34, 6
    lines = -(-len(rows) // columns)
    size = (columns * (cell + gap) + gap, lines * (cell + caption + gap) + gap)
    sheet = Image.new("RGB", size, "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(12)
    for place, row in enumerate(rows):
        line, column = divmod(place, columns)
        x, y = gap + column * (cell + gap), gap + line * (cell + caption + gap)
        picture = catalogue.picture(row)
        if picture is None:
            pen.rectangle((x, y, x + cell - 1, y + cell - 1), outline="lightgrey")
            pen.text((x + cell / 2, y + cell / 2), "no picture", "grey", font, anchor="mm")
        else:
            sheet.paste(picture.resize((cell, cell), Image.Resampling.LANCZOS), (x, y))
        title = "\n".join(textwrap.wrap(str(catalogue.describe(row)["title"]), 18)[:2])
        pen.multiline_text((x + 2, y + cell + 2), title, "black", font)
    return sheet


class _Layers(NamedTuple):
    """Masks of a shape, each drawn above the one before."""

    outline: Image.Image
    body: Image.Image
    ink: Image.Image


@functools.cache
def _layers(category: str) -> _Layers:
    shape = SHAPES[category]
    body, ink = Image.new("L", (_CANVAS, _CANVAS)), Image.new("L", (_CANVAS, _CANVAS))
    for mark in shape.body:
        _draw(ImageDraw.Draw(body), mark, 255)
    for mark in shape.holes:
        _draw(ImageDraw.Draw(body), mark, 0)
    for mark in shape.ink:
        _draw(ImageDraw.Draw(ink), mark, 255)
    return _Layers(body.filter(ImageFilter.MaxFilter(_OUTLINE)), body, ink)


def _draw(pen: ImageDraw.ImageDraw, mark: Mark, value: int) -> None:
    kind, numbers = mark
    unit = _CANVAS / 100
    if kind == "polygon":
        pen.polygon([number * unit for number in numbers], fill=value)
        return
    corners = [number * unit for number in numbers[:4]]
    if kind == "box":
        pen.rounded_rectangle(corners, radius=numbers[4] * unit, fill=value)
    elif kind == "oval":
        pen.ellipse(corners, fill=value)
    elif kind == "line":
        pen.line(corners, fill=value, width=round(numbers[4] * unit))
    else:
        assert kind == "arc", kind
        pen.arc(corners, numbers[4], numbers[5], fill=value, width=round(numbers[6] * unit))


def _pattern(pattern: str, phase: int) -> Image.Image:
    """Draw the mask of what is light in a pattern, moved by some pixels."""
    x_S = np.arange(phase, phase + _CANVAS) % _PERIOD
    y_S1, half = x_S[:, None], _PERIOD // 2
    if pattern == "stripes":
        light_SS = (x_S + y_S1) % _PERIOD < half
    elif pattern == "checks":
        light_SS = (x_S < half) ^ (y_S1 < half)
    elif pattern == "dots":
        light_SS = (x_S - half) ** 2 + (y_S1 - half) ** 2 < (0.6 * half) ** 2
    else:
        assert pattern == "plain", pattern
        light_SS = np.zeros((_CANVAS, _CANVAS), dtype=bool)
    return Image.fromarray(light_SS.astype(np.uint8) * 255)


def _tint(colour: str) -> tuple[int, ...]:
    return tuple((level + 3 * 255) // 4 for level in _RGB[colour])
