"""A model whose catalogue changes while its weights stay."""

import numpy as np
import polars as pl
import pytest

from genrec.artifacts import ArtifactError
from genrec.data import Catalogue
from genrec.recommender import Request
from genrec.semantic_ids import SemanticIds
from genrec.serving import TransformersRecommender, load_bundle, load_renderer
from genrec.serving.bundle import follow, old_rows, update_catalogue
from genrec.serving.guests import GuestRenderer
from tests.small_shop import small_bundle, small_ids, small_model, small_renderer


@pytest.fixture(scope="module")
def renderer():
    return small_renderer()


@pytest.fixture(scope="module")
def engine(renderer):
    return TransformersRecommender(small_model(renderer), renderer)


def changed(renderer, rows, *, new=()):
    """Keep some items, in this order, and add new ones with given codes behind them."""
    catalogue = renderer.catalogue.select(rows)
    added = pl.DataFrame({
        "item_id": [name for name, _ in new], "title": ["green chair"] * len(new),
        "brand": ["Bolt"] * len(new), "price": [5.0] * len(new),
    }, schema=catalogue.table.schema)  # fmt: skip
    codes_NL = [*renderer.ids.codes_NL[list(rows)].tolist(), *(codes for _, codes in new)]
    ids = SemanticIds(np.array(codes_NL), renderer.ids.codebook_sizes)
    return Catalogue(pl.concat([catalogue.table, added])), ids


@pytest.mark.parametrize(
    ("rows", "new"),
    [
        ([0, 1, 2, 5, 6, 9, 11], []),
        (range(12), [("new-1", [1, 1]), ("new-0", [0, 2])]),
        ([3, 4, 7, 8], [("new-0", [2, 2]), ("sku-1", [0, 1])]),
        ([8, 2, 5, 0], []),
        (range(12), []),
    ],
)
def test_it_answers_as_one_that_was_built_for_the_catalogue(renderer, engine, rows, new):
    catalogue, ids = changed(renderer, list(rows), new=new)
    after = follow(renderer, catalogue, ids)
    requests = [Request(history=(0, 2)), Request(task="search", query="lamp", exclude=(1,))]
    before = engine.recommend(requests, 4)
    expected = TransformersRecommender(engine._model, after).recommend(requests, 4)
    for one, other in zip(engine.following(after).recommend(requests, 4), expected, strict=True):
        assert one.items.tolist() == other.items.tolist()
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
    for one, other in zip(engine.recommend(requests, 4), before, strict=True):
        assert one.items.tolist() == other.items.tolist()


def test_items_that_moved_forward_or_changed_their_id_count_as_new(renderer):
    catalogue, ids = changed(renderer, [1, 0, 5, 6, 4], new=[("sku-9", [0, 1])])
    assert old_rows(renderer, follow(renderer, catalogue, ids)).tolist() == [1, -1, 5, 6, -1, -1]


def test_a_catalogue_of_other_codes_or_columns_is_refused(renderer):
    catalogue, ids = renderer.catalogue, renderer.ids
    with pytest.raises(ArtifactError, match=r"codebooks of \(4, 3\) codes.* IDs of \(4, 9\)"):
        follow(renderer, catalogue, SemanticIds(ids.codes_NL, (4, 9)))
    other = Catalogue(catalogue.table.drop("brand"))
    with pytest.raises(ArtifactError, match="the model learned from"):
        follow(renderer, other, ids)


def test_a_model_directory_follows_its_catalogue(tmp_path):
    bundle = small_bundle(tmp_path / "model")
    catalogue, ids = changed(bundle.renderer, [0, 3, 4], new=[("new-0", [2, 2])])
    update_catalogue(tmp_path, catalogue, ids)
    loaded = load_bundle(tmp_path)
    assert loaded.renderer.catalogue == catalogue
    assert loaded.renderer.ids == ids
    for name, weight in bundle.model.state_dict().items():
        np.testing.assert_array_equal(weight, loaded.model.state_dict()[name])
    with pytest.raises(ArtifactError, match="codebooks"):
        update_catalogue(tmp_path, catalogue, SemanticIds(ids.codes_NL, (5, 3)))
    assert load_renderer(tmp_path).catalogue == catalogue


def chair(**columns):
    row = {"item_id": "mine", "title": "oak chair", "brand": None, "price": 9.0} | columns
    return pl.DataFrame([row], schema_overrides={"brand": pl.String})


def test_prompts_speak_of_a_guest_as_of_an_item(renderer):
    hosting = GuestRenderer.like(renderer, catalogue=renderer.catalogue, ids=renderer.ids)
    row = hosting.host(renderer.catalogue.table[4].with_columns(item_id=pl.lit("x")), ids_of(4))
    for ours, theirs in [
        (Request(history=(2, row, 0)), Request(history=(2, 4, 0))),
        (Request(task="rate", history=(1,), item=row), Request(task="rate", history=(1,), item=4)),
        (Request(task="explain", item=row), Request(task="explain", item=4)),
    ]:
        expected = renderer.render(theirs)
        assert hosting.render(ours).prompt.tolist() == expected.prompt.tolist()


def ids_of(row):
    return small_ids().codes_NL[row]


def test_guests_are_told_apart_and_forgotten(renderer):
    hosting = GuestRenderer.like(renderer, catalogue=renderer.catalogue, ids=renderer.ids)
    one = hosting.host(chair(), ids_of(3))
    other = hosting.host(chair(title="glass door"), ids_of(5))
    prompts = [
        hosting.render(Request(task="explain", item=row)).prompt.tolist() for row in (one, other)
    ]
    assert prompts[0] != prompts[1]
    hosting.dismiss(one)
    with pytest.raises(KeyError):
        hosting.render(Request(task="explain", item=one))
    assert hosting.render(Request(task="explain", item=other)).prompt.tolist() == prompts[1]


def test_a_guest_is_in_a_history_and_never_in_an_answer(renderer, engine):
    hosting = GuestRenderer.like(renderer, catalogue=renderer.catalogue, ids=renderer.ids)
    row = hosting.host(chair(), ids_of(7))
    ranking = engine.following(hosting).recommend([Request(history=(0, row))], 12)[0]
    assert sorted(ranking.items.tolist()) == list(range(12))
