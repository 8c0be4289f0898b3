import numpy as np
import pytest

from genrec.artifacts import ArtifactError
from genrec.data import DataError
from genrec.tokenization.blend import Blend

ITEMS = 400


def linked(items: int = ITEMS, seed: int = 0) -> dict[str, np.ndarray]:
    """Draw texts and pictures that tell much of the same, and something of their own."""
    draw = np.random.default_rng(seed)
    maps = np.random.default_rng(7).normal(size=(2, 3, 8))
    shared_NZ = draw.normal(size=(items, 3))
    return {
        name: (shared_NZ @ maps[number] + 0.3 * draw.normal(size=(items, 8)) + number).astype(
            np.float32
        )
        for number, name in enumerate(("text", "pictures"))
    }


def without(source_NF: np.ndarray, rows) -> np.ndarray:
    copy_NF = source_NF.copy()
    copy_NF[rows] = np.nan
    return copy_NF


def spread(x_NF: np.ndarray) -> float:
    return float(np.square(x_NF - x_NF.mean(axis=0)).sum(axis=1).mean())


def neighbours(x_NF: np.ndarray, row: int, count: int = 10) -> set[int]:
    return set(np.square(x_NF - x_NF[row]).sum(axis=1).argsort()[1 : count + 1].tolist())


def test_a_lone_source_stays_bit_for_bit():
    x_NF = linked()["text"]
    np.testing.assert_array_equal(Blend.fit({"text": x_NF}).apply({"text": x_NF}), x_NF)


def test_weights_are_ratios_of_spread():
    sources = linked()
    sources["pictures"] = 100 * sources["pictures"]
    blended_NF = Blend.fit(sources, [2.0, 1.0]).apply(sources)
    np.testing.assert_array_equal(blended_NF[:, :8], sources["text"])
    assert spread(blended_NF[:, 8:]) == pytest.approx(spread(sources["text"]) / 4, rel=1e-4)


def test_a_missing_part_is_the_conditional_mean():
    draw = np.random.default_rng(0)
    text_N1 = draw.normal(3, 1, size=(20_000, 1))
    pictures_N1 = 5 + 2 * text_N1 + draw.normal(size=(20_000, 1))
    sources = {"text": text_N1.astype(np.float32), "pictures": pictures_N1.astype(np.float32)}
    blend = Blend.fit(sources)
    one = {"text": np.array([[4.0]], np.float32), "pictures": np.array([[np.nan]], np.float32)}
    assert blend.apply(one)[0, 1] / blend.scale_S[1] == pytest.approx(13, abs=0.1)
    other = {"text": np.array([[np.nan]], np.float32), "pictures": np.array([[13]], np.float32)}
    # The slope the other way is cov / var = 2 / 5.
    assert blend.apply(other)[0, 0] == pytest.approx(3 + 2 / 5 * (13 - 11), abs=0.1)


def test_items_without_pictures_keep_the_neighbours_that_they_would_have_with_them():
    sources = linked()
    blank = np.arange(0, ITEMS, 4)
    gapped = {**sources, "pictures": without(sources["pictures"], blank)}
    whole_NF = Blend.fit(sources).apply(sources)
    filled_NF = Blend.fit(gapped).apply(gapped)
    zeroed_NF = np.concatenate([gapped["text"], np.nan_to_num(gapped["pictures"])], axis=1)

    def kept(x_NF: np.ndarray) -> float:
        return np.mean([len(neighbours(x_NF, row) & neighbours(whole_NF, row)) for row in blank])

    def blank_share(x_NF: np.ndarray) -> float:
        return np.mean([len(neighbours(x_NF, row) & set(blank.tolist())) / 10 for row in blank])

    assert kept(filled_NF) > 1.4 * kept(zeroed_NF)
    # A quarter of the items lack pictures: these should be about a quarter of their neighbours.
    assert blank_share(filled_NF) < 0.4
    assert blank_share(zeroed_NF) > 0.6


def test_a_part_that_tells_nothing_of_the_other_leaves_the_mean():
    draw = np.random.default_rng(0)
    sources = {name: draw.normal(size=(5000, 4)).astype(np.float32) for name in ("a", "b")}
    gapped = {**sources, "b": without(sources["b"], slice(0, 10))}
    blend = Blend.fit(gapped)
    filled_NF = blend.apply(gapped)[:10, 4:] / blend.scale_S[1]
    np.testing.assert_allclose(filled_NF, np.tile(blend.mean_F[4:], (10, 1)), atol=0.15)


def test_few_items_do_not_support_a_wide_regression():
    draw = np.random.default_rng(0)
    sources = {name: draw.normal(size=(20, 60)).astype(np.float32) for name in ("a", "b")}
    fresh = {"a": draw.normal(size=(500, 60)).astype(np.float32), "b": np.full((500, 60), np.nan)}
    filled_NF = Blend.fit(sources).apply(fresh)[:, 60:]
    assert spread(filled_NF) < 0.5 * spread(sources["b"])


def test_an_item_that_has_nothing_is_the_mean_of_all():
    sources = linked()
    blend = Blend.fit(sources)
    nothing = {name: np.full((1, 8), np.nan, np.float32) for name in sources}
    middle_F = blend.apply(sources).mean(axis=0)
    np.testing.assert_allclose(blend.apply(nothing)[0], middle_F, rtol=1e-4, atol=1e-4)


def test_a_source_that_no_item_has_may_be_left_out():
    sources = linked()
    blend = Blend.fit(sources)
    blank = {**sources, "pictures": np.full((ITEMS, 8), np.nan, np.float32)}
    np.testing.assert_array_equal(blend.apply({**sources, "pictures": None}), blend.apply(blank))


def test_three_sources_with_gaps_everywhere_are_filled():
    sources = {**linked(), "users": linked(seed=0)["text"][:, :4] * 2}
    draw = np.random.default_rng(3)
    gapped = {name: without(x, draw.random(ITEMS) < 0.5) for name, x in sources.items()}
    assert np.isfinite(Blend.fit(gapped).apply(gapped)).all()


def test_sources_that_no_item_shares_are_filled_with_their_means():
    sources = linked()
    gapped = {
        "text": without(sources["text"], slice(0, ITEMS // 2)),
        "pictures": without(sources["pictures"], slice(ITEMS // 2, None)),
    }
    blend = Blend.fit(gapped)
    filled_NF = blend.apply(gapped)[: ITEMS // 2, :8]
    np.testing.assert_allclose(filled_NF, np.tile(blend.mean_F[:8], (ITEMS // 2, 1)), atol=1e-5)


def test_blending_in_pieces_to_a_file_gives_the_same(tmp_path, monkeypatch):
    sources = linked()
    sources["pictures"] = without(sources["pictures"], slice(50, 90))
    blend = Blend.fit(sources)
    whole_NF = blend.apply(sources)
    monkeypatch.setattr("genrec.tokenization.blend.ROWS_AT_ONCE", 64)
    np.testing.assert_allclose(Blend.fit(sources).covariance_FF, blend.covariance_FF, atol=1e-4)
    np.testing.assert_allclose(
        blend.write(sources, tmp_path / "new" / "x.npy"), whole_NF, atol=1e-5
    )


def test_what_is_saved_comes_back(tmp_path):
    sources = linked()
    blend = Blend.fit(sources, [1.0, 0.5])
    blend.save(tmp_path / "blend.safetensors")
    gapped = {**sources, "pictures": without(sources["pictures"], 3)}
    again = Blend.load(tmp_path / "blend.safetensors")
    np.testing.assert_array_equal(again.apply(gapped), blend.apply(gapped))


def test_a_broken_file_is_refused(tmp_path):
    (tmp_path / "blend.safetensors").write_bytes(b"nothing")
    with pytest.raises(ArtifactError, match="does not hold a blend"):
        Blend.load(tmp_path / "blend.safetensors")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"pictures": np.full((ITEMS, 8), np.nan)}, "no item has pictures features"),
        ({"pictures": np.ones((ITEMS, 8))}, f"pictures features of all {ITEMS} items are equal"),
    ],
)
def test_a_source_that_says_nothing_is_refused(change, words):
    with pytest.raises(DataError, match=words):
        Blend.fit({**linked(), **change})


def test_what_does_not_fit_is_refused():
    sources = linked()
    blend = Blend.fit(sources)
    with pytest.raises(ValueError, match=r"weights \[1.0, 0.0\] must be positive"):
        Blend.fit(sources, [1.0, 0.0])
    with pytest.raises(ValueError, match="the sources differ in length"):
        Blend.fit({"text": sources["text"], "pictures": sources["pictures"][:5]})
    with pytest.raises(
        ValueError, match=r"sources are \['text'\], but were \['pictures', 'text'\]"
    ):
        blend.apply({"text": sources["text"]})
    with pytest.raises(ValueError, match="pictures features are 3 wide, but were 8"):
        blend.apply({**sources, "pictures": sources["pictures"][:, :3]})
