import io

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from genrec.artifacts import ArtifactError
from genrec.data import Catalogue, DataError
from genrec.data.pictures import without_broken_pictures
from genrec.models import PictureStore, Preprocessing, VisionConfig, add_vision, picture_parts
from genrec.models.picture_makers import features_by, pixels_by
from tests.models.small_flamingo import LANGUAGE_MODELS, small_flamingo

SIZE = Preprocessing(height=16, width=16)


def png(seed, size=(20, 24)):
    noise = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


def shop(*pictures):
    names = [f"sku-{row}" for row in range(len(pictures))]
    column = pl.Series("picture", list(pictures), dtype=pl.Binary)
    return Catalogue(pl.DataFrame({"item_id": names}).with_columns(column))


@pytest.fixture
def model():
    preprocessing = {"height": 16, "width": 16, "mean": [0.5] * 3, "std": [0.5] * 3}
    return small_flamingo(preprocessing=preprocessing)


@pytest.fixture
def catalogue():
    return shop(png(0), None, png(1), png(0), png(2))


def counted(make):
    """Note how many pictures are encoded at a time."""
    sizes = []

    def encode(pixels):
        sizes.append(len(pixels))
        return make.encode(pixels)

    return make._replace(encode=encode), sizes


def test_features_are_those_of_the_encoder(model, catalogue):
    store = PictureStore(catalogue, features_by(model, dtype=torch.float32), batch_size=2)
    pixels = [SIZE.normalise(torch.tensor(SIZE.pixels(catalogue.picture(row)))) for row in (4, 0)]
    expected = model.encode_pictures(torch.stack(pixels))
    torch.testing.assert_close(store.features([4, 0]), expected, rtol=1e-5, atol=1e-5)
    assert store.inputs([4, 0]).keys() == {"picture_features"}


def test_features_are_kept_in_half_precision(model, catalogue):
    exact = PictureStore(catalogue, features_by(model, dtype=torch.float32)).features([0, 2])
    halved = PictureStore(catalogue, features_by(model)).features([0, 2])
    assert halved.dtype == torch.float32
    assert not torch.equal(halved, exact)
    torch.testing.assert_close(halved, exact, rtol=1e-3, atol=1e-3)


def test_a_training_in_another_precision_changes_no_feature(model, catalogue):
    expected = PictureStore(catalogue, features_by(model), batch_size=2).features([0, 2, 4])
    with torch.autocast("cpu", torch.bfloat16):
        found = PictureStore(catalogue, features_by(model), batch_size=2).features([0, 2, 4])
    assert torch.equal(found, expected)


def test_pixels_are_those_of_the_preprocessing(catalogue):
    store = PictureStore(catalogue, pixels_by(SIZE))
    expected = SIZE.normalise(torch.tensor(SIZE.pixels(catalogue.picture(2))))
    torch.testing.assert_close(store.pixels([2])[0], expected, rtol=0, atol=0)
    assert store.inputs(np.array([2])).keys() == {"pixel_values"}


def test_equal_pictures_are_encoded_once(model, catalogue, tmp_path):
    make, sizes = counted(features_by(model))
    store = PictureStore(catalogue, make, folder=tmp_path, batch_size=2)
    assert sizes == [2, 1]
    torch.testing.assert_close(store.features([0]), store.features([3]), rtol=0, atol=0)


def test_a_second_run_encodes_only_new_pictures(model, catalogue, tmp_path):
    first = PictureStore(catalogue, features_by(model), folder=tmp_path)
    make, sizes = counted(features_by(model))
    larger = shop(png(7), png(2), None, png(0))
    second = PictureStore(larger, make, folder=tmp_path)
    assert sizes == [1]
    torch.testing.assert_close(second.features([1, 3]), first.features([4, 0]), rtol=0, atol=0)


def test_a_killed_run_goes_on_behind_the_last_part(model, catalogue, tmp_path, monkeypatch):
    monkeypatch.setattr(picture_parts, "PART_BYTES", 1)
    make = features_by(model)

    def killed(pixels, calls=[]):  # noqa: B006
        calls.append(pixels)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return make.encode(pixels)

    with pytest.raises(KeyboardInterrupt):
        PictureStore(catalogue, make._replace(encode=killed), folder=tmp_path, batch_size=1)
    again, sizes = counted(make)
    store = PictureStore(catalogue, again, folder=tmp_path, batch_size=1)
    assert sizes == [1, 1]
    whole = PictureStore(catalogue, make)
    torch.testing.assert_close(store.features([0, 2, 4]), whole.features([0, 2, 4]))
    files = [path.name for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 3
    assert all(name.endswith(".safetensors") for name in files)


def test_other_weights_and_other_pixels_are_kept_apart(model, catalogue, tmp_path):
    PictureStore(catalogue, features_by(model), folder=tmp_path)
    with torch.no_grad():
        next(model.vision_model.parameters()).add_(1.0)
    make, sizes = counted(features_by(model))
    PictureStore(catalogue, make, folder=tmp_path)
    assert sizes == [3]
    other, sizes = counted(pixels_by(Preprocessing(height=8, width=8)))
    PictureStore(catalogue, other, folder=tmp_path)
    assert sizes == [3]


def test_an_item_without_a_picture_is_refused_by_name(model, catalogue):
    store = PictureStore(catalogue, features_by(model))
    with pytest.raises(ValueError, match="the item 'sku-1' has no picture"):
        store.features([0, 1])
    with pytest.raises(ValueError, match="no items were named"):
        store.features([])
    bare = PictureStore(Catalogue(pl.DataFrame({"item_id": ["a"]})), features_by(model))
    with pytest.raises(ValueError, match="the item 'a' has no picture"):
        bare.features([0])


def test_a_broken_picture_is_named_and_can_be_taken_out(model, catalogue):
    broken = shop(png(0), png(1)[:200], None)
    with pytest.raises(DataError, match="picture of the item 'sku-1' cannot be decoded"):
        PictureStore(broken, features_by(model))
    mended = without_broken_pictures(broken)
    assert mended.has_picture.tolist() == [True, False, False]
    assert PictureStore(mended, features_by(model)).features([0]).shape == (1, 5, 16)
    assert without_broken_pictures(catalogue) is catalogue


def test_a_file_that_is_no_part_is_refused(model, catalogue, tmp_path):
    make = features_by(model)
    save_file({"else": torch.ones(1)}, _folder(tmp_path, make) / "a.safetensors")
    with pytest.raises(ArtifactError, match=r"a\.safetensors holds no pictures of a PictureStore"):
        PictureStore(catalogue, make, folder=tmp_path)
    (tmp_path / make.fingerprint / "a.safetensors").write_bytes(b"cut off")
    with pytest.raises(ArtifactError, match="delete it"):
        PictureStore(catalogue, make, folder=tmp_path)


def _folder(tmp_path, make):
    (tmp_path / make.fingerprint).mkdir()
    return tmp_path / make.fingerprint


def test_features_that_half_precision_cannot_hold_are_refused(model, catalogue):
    with torch.no_grad():
        model.vision_model.layernorm.weight.fill_(1e6)
    with pytest.raises(ValueError, match=r"not finite as torch\.float16"):
        PictureStore(catalogue, features_by(model))


@pytest.mark.parametrize(
    ("learns", "training", "kind"),
    [(True, True, "pixel_values"), (True, False, "picture_features"),
     (False, True, "picture_features"), (False, False, "picture_features")],
)  # fmt: skip
def test_a_model_gets_pixels_only_to_train_its_encoder(learns, training, kind, catalogue):
    model = add_vision(LANGUAGE_MODELS["llama"](), VisionConfig(), picture_token=4, seed=0)
    model.config.freeze_vision = not learns
    model.train()
    store = PictureStore.for_model(model, catalogue, training=training)
    assert store.inputs([0]).keys() == {kind}
    other = "features" if kind == "pixel_values" else "pixels"
    with pytest.raises(ValueError, match=f"and no {other}"):
        getattr(store, other)([0])
    assert model.vision_model.training == learns  # building the store changes no mode


def test_another_catalogue_costs_its_new_pictures_alone(model, catalogue):
    make, sizes = counted(features_by(model))
    store = PictureStore(catalogue, make)
    later = store.following(shop(png(2), png(7), None, png(0)))
    assert sizes == [3, 1]
    assert torch.equal(later.features([0, 3]), store.features([4, 0]))
    with pytest.raises(ValueError, match="'sku-2' has no picture"):
        later.features([2])
    assert store.features([0]).shape == later.features([1]).shape


def test_a_guest_is_seen_until_it_leaves(model, catalogue):
    store = PictureStore(catalogue, features_by(model))
    store.host(9, catalogue.picture(4))
    found = store.features([0, 9, 2])
    assert torch.equal(found, store.features([0, 4, 2]))
    assert torch.equal(store.features([9]), store.features([4]))
    store.dismiss(9)
    with pytest.raises(IndexError):
        store.features([9])
