import colorsys
import io
import itertools

import numpy as np
import polars as pl
import pytest
from PIL import Image

from genrec.data.catalogue import Catalogue
from genrec.data.toy_pictures import SHAPES, contact_sheet, encode_png, toy_picture
from genrec.data.toy_world import CATEGORIES, COLOURS, PATTERNS


def hue(picture: Image.Image) -> float:
    """Return the commonest hue among the saturated pixels, in 36 steps round the wheel."""
    pixels_P3 = np.asarray(picture).reshape(-1, 3) / 255
    hsv_P3 = np.array([colorsys.rgb_to_hsv(*pixel) for pixel in pixels_P3])
    vivid_P = hsv_P3[(hsv_P3[:, 1] > 0.4) & (hsv_P3[:, 2] > 0.5), 0]
    return np.bincount((vivid_P * 36).astype(int)).argmax() / 36


def test_every_category_has_a_shape_of_its_own():
    pictures = {toy_picture(name, "blue", "plain").tobytes() for name in SHAPES}
    assert set(SHAPES) == {category.name for category in CATEGORIES}
    assert len(pictures) == len(SHAPES)


@pytest.mark.parametrize("pattern", PATTERNS)
@pytest.mark.parametrize("category", ["phone", "tripod", "earbuds", "pan"])
def test_the_colour_can_be_read_off_a_picture_whatever_its_shape_and_pattern(category, pattern):
    rng = np.random.default_rng(0)
    upright = [hue(toy_picture("tent", colour, "plain")) for colour in COLOURS]
    for number, colour in enumerate(COLOURS):
        seen = hue(toy_picture(category, colour, pattern, rng))
        distances = [abs((seen - known + 0.5) % 1 - 0.5) for known in upright]
        assert int(np.argmin(distances)) == number


@pytest.mark.parametrize("category", SHAPES)
def test_patterns_look_different_on_every_shape(category):
    pictures = [np.asarray(toy_picture(category, "blue", name), dtype=int) for name in PATTERNS]
    for one, other in itertools.combinations(pictures, 2):
        assert np.abs(one - other).max(axis=2).astype(bool).mean() > 0.02


def test_encoded_pictures_decode_to_64_pixels_of_rgb():
    encoded = encode_png(toy_picture("mug", "teal", "dots", np.random.default_rng(0)))
    picture = Image.open(io.BytesIO(encoded))
    assert (picture.format, picture.size, picture.mode) == ("PNG", (64, 64), "RGB")


def test_items_of_the_same_look_have_different_pictures_but_the_same_seed_gives_the_same():
    def draw_two(seed: int) -> list[bytes]:
        rng = np.random.default_rng(seed)
        return [encode_png(toy_picture("tent", "red", "checks", rng)) for _ in range(2)]

    assert len(set(draw_two(0))) == 2
    assert draw_two(0) == draw_two(0)


def test_a_contact_sheet_shows_pictures_titles_and_what_is_missing():
    picture = encode_png(toy_picture("pan", "red", "plain"))
    catalogue = Catalogue(
        pl.DataFrame(
            {
                "item_id": ["a", "b", "c"],
                "title": ["Calder pan", "A pan whose title is longer than its picture", "Pan"],
                "picture": [picture, None, picture],
            }
        )
    )
    sheet = contact_sheet(catalogue, [0, 1, 2], columns=2)
    assert sheet.size == (274, 342)
    assert hue(sheet.crop((6, 6, 134, 134))) == hue(catalogue.picture(0))
    assert np.asarray(sheet.crop((140, 6, 268, 134)).convert("HSV"))[:, :, 1].max() == 0
