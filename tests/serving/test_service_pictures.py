"""A model that sees, behind the service: pictures of new items, and of a catalogue that changes."""

import base64

import numpy as np
import pytest

from genrec.recommender import Request
from genrec.serving import TransformersRecommender
from genrec.serving.bundle import follow, load_pictures, save_bundle
from genrec.serving.guests import GuestRenderer
from genrec.serving.service.people import dismiss, host
from genrec.serving.service.schemas import NewItem
from genrec.serving.service.versions import CatalogueVersion
from tests.serving.test_pictures import make_bundle


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeing")
    bundle = make_bundle()
    save_bundle(folder / "model", *bundle)
    return TransformersRecommender(*bundle, pictures=load_pictures(folder, bundle))


class Codes:
    """Gives new items the codes of an item of the catalogue."""

    def __init__(self, engine, row):
        self._codes_L = engine.renderer.ids.codes_NL[row]

    def codes(self, table):
        return np.stack([self._codes_L] * table.height)


def scores(engine, *histories):
    found = engine.recommend([Request(history=history) for history in histories], k=12)
    return np.stack([ranking.scores for ranking in found])


def test_the_picture_of_a_new_item_is_seen(engine):
    renderer = engine.renderer
    hosting = GuestRenderer.like(renderer, catalogue=renderer.catalogue, ids=renderer.ids)
    version = CatalogueVersion(1, engine.following(hosting))
    known = renderer.catalogue.describe(4)
    files = renderer.catalogue.table["picture"]
    looks = {"twin": files[4], "other": files[7], "blind": None}
    items = [
        NewItem(
            item_id=name, attributes=known,
            picture=None if file is None else base64.b64encode(file).decode(),
        )
        for name, file in looks.items()
    ]  # fmt: skip
    guests = {}
    host(version, items, Codes(engine, 4), guests, picture_pixels=1_000)
    histories = [(2, guests[name], 0) for name in looks]
    twin, other, blind = scores(version.engine, *histories)
    np.testing.assert_allclose(twin, scores(engine, (2, 4, 0))[0], atol=1e-4)
    assert np.abs(twin - other).max() > 1e-4
    assert np.abs(twin - blind).max() > 1e-4
    dismiss(version, guests)
    with pytest.raises(KeyError):
        scores(version.engine, histories[0])


def test_pictures_follow_their_items_to_new_rows(engine):
    rows = [1, 4, 5, 7, 11]
    renderer = engine.renderer
    ids = type(renderer.ids)(renderer.ids.codes_NL[rows], renderer.ids.codebook_sizes)
    after = engine.following(follow(renderer, renderer.catalogue.select(rows), ids))
    found = after.recommend([Request(history=(0, 1), exclude=(0,))], k=4)[0]
    only = Request(history=(1, 4), only=(4, 5, 7, 11))
    expected = engine.recommend([only], k=4)[0]
    assert [rows[row] for row in found.items] == expected.items.tolist()
    np.testing.assert_allclose(found.scores, expected.scores, atol=1e-4)
