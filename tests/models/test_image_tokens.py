"""Pictures become codes and come back; the codes are learnt from a catalogue's own pictures."""

import io

import numpy as np
import polars as pl
import pytest
import torch
from PIL import Image

from genrec.artifacts import ArtifactError
from genrec.data import Catalogue, DataError
from genrec.models.image_tokens import (
    ImageTokenizer,
    ImageTokenizerConfig,
    ImageTrainingConfig,
    measure,
    side_by_side,
    train_image_tokenizer,
)
from genrec.models.image_tokens.quality import perplexity

pytest.importorskip("diffusers")

TINY = ImageTokenizerConfig(size=16, channels=(8, 8), codebook_size=12, code_dim=4)
COLOURS = ("red", "blue", "white", "lime")


def png(picture):
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def plain(colour, size=(16, 16)):
    return Image.new("RGB", size, colour)


def shop(*pictures):
    ids = [f"sku-{row}" for row in range(len(pictures))]
    column = pl.Series("picture", pictures, dtype=pl.Binary)
    return Catalogue(pl.DataFrame({"item_id": ids}).with_columns(column))


@pytest.fixture(scope="module")
def learnt():
    """Teach a tiny tokenizer pictures of one colour each."""
    catalogue = shop(*(png(plain(colour)) for colour in COLOURS), None)
    tokenizer = ImageTokenizer.new(TINY, seed=0)
    config = ImageTrainingConfig(
        steps=140, batch_size=8, learning_rate=5e-3, warmup_steps=5, continuous_steps=90,
        revive_every=10, shift=0, colour_weight=0.0, mixed_precision=False,
    )  # fmt: skip
    losses = train_image_tokenizer(tokenizer, catalogue, range(4), config, seed=0)
    return tokenizer, catalogue, losses


def test_codes_are_a_grid_of_the_codebook():
    tokenizer = ImageTokenizer.new(TINY, seed=0)
    codes_UT = tokenizer.encode([plain("red"), plain("blue", (40, 10))])
    assert codes_UT.shape == (2, 64)
    assert 0 <= codes_UT.min() <= codes_UT.max() < 12
    assert (tokenizer.side, tokenizer.length, tokenizer.codebook_size) == (8, 64, 12)


def test_it_draws_what_the_model_itself_makes_of_a_picture():
    tokenizer = ImageTokenizer.new(TINY, seed=1)
    pixels_U3SS = tokenizer.pixels([plain("red"), plain("blue")])
    with torch.no_grad():
        expected_U3SS = tokenizer.model(pixels_U3SS).sample
        codes_UT = torch.from_numpy(tokenizer.encode([plain("red"), plain("blue")]))
        torch.testing.assert_close(tokenizer.draw(codes_UT.long()), expected_U3SS)


def test_a_picture_is_fitted_into_a_square_and_never_cut():
    tokenizer = ImageTokenizer.new(TINY, seed=0)
    pixels_133 = tokenizer.pixels([plain("black", (32, 16))])[0]
    assert (pixels_133[:, 4:12] == -1).all()
    assert (pixels_133[:, :4] == 1).all()
    assert (pixels_133[:, 12:] == 1).all()


def test_learning_makes_the_pictures_recognisable(learnt):
    tokenizer, catalogue, losses = learnt
    assert np.mean(losses[-10:]) < 0.4 * np.mean(losses[:10])
    pictures = [catalogue.picture(row) for row in range(4)]
    quality = measure(tokenizer, pictures)
    assert quality.absolute_error < 0.1
    drawn = tokenizer.decode(tokenizer.encode(pictures))
    means_U3 = np.stack([np.asarray(picture).mean(axis=(0, 1)) for picture in drawn])
    truth_U3 = np.stack([np.asarray(picture).mean(axis=(0, 1)) for picture in pictures])
    nearest_U = np.abs(means_U3[:, None] - truth_U3).sum(axis=2).argmin(axis=1)
    assert nearest_U.tolist() == [0, 1, 2, 3]


def test_items_without_a_picture_have_no_codes(learnt):
    tokenizer, catalogue, _ = learnt
    codes_NT = tokenizer.encode_catalogue(catalogue)
    assert (codes_NT[4] == -1).all()
    assert (codes_NT[:4] >= 0).all()
    np.testing.assert_array_equal(codes_NT[:1], tokenizer.encode([catalogue.picture(0)]))


def test_a_saved_tokenizer_writes_the_same_codes(learnt, tmp_path):
    tokenizer, catalogue, _ = learnt
    tokenizer.save_pretrained(tmp_path / "images")
    assert (tmp_path / "images" / "diffusion_pytorch_model.safetensors").is_file()
    loaded = ImageTokenizer.from_pretrained(tmp_path / "images")
    assert loaded.size == 16
    np.testing.assert_array_equal(
        loaded.encode_catalogue(catalogue), tokenizer.encode_catalogue(catalogue)
    )


def test_any_vq_model_of_diffusers_will_do(tmp_path):
    from diffusers import VQModel

    foreign = VQModel(
        block_out_channels=(32, 32), down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2, norm_num_groups=32, num_vq_embeddings=9,
        lookup_from_codebook=True, norm_type="spatial", mid_block_add_attention=False,
    )  # fmt: skip
    foreign.save_pretrained(tmp_path / "model" / "vqvae")
    tokenizer = ImageTokenizer.from_pretrained(tmp_path / "model", subfolder="vqvae", size=8)
    assert tokenizer.encode([plain("red")]).shape == (1, 16)
    assert tokenizer.decode(np.zeros((2, 16), dtype=np.int32))[1].size == (8, 8)


def test_perplexity_counts_codes_that_are_used_equally_often():
    assert perplexity(np.array([[0, 1], [2, 3]])) == pytest.approx(4)
    assert perplexity(np.array([[5, 5]])) == pytest.approx(1)
    assert perplexity(np.array([[0, 0, 0, 1]])) == pytest.approx(4 / 3**0.75)


def test_quality_is_that_of_what_is_drawn():
    class Mirror(ImageTokenizer):
        def decode(self, codes_UT):
            return [plain("white")] * len(codes_UT)

    quality = measure(
        Mirror(ImageTokenizer.new(TINY, seed=0).model), [plain("white"), plain("red")]
    )
    assert quality.absolute_error == pytest.approx(2 / 3 / 2)
    assert quality.psnr == pytest.approx(-10 * np.log10(1 / 3))
    assert quality.pictures == 2


def test_originals_stand_above_what_is_drawn(learnt):
    tokenizer, catalogue, _ = learnt
    sheet = side_by_side(tokenizer, [catalogue.picture(row) for row in range(4)], columns=2)
    assert sheet.size == (2 * 20 + 4, 2 * 44 + 4)
    assert sheet.getpixel((12, 12)) == (255, 0, 0)


def test_what_cannot_be_is_refused_with_a_reason(tmp_path):
    tokenizer = ImageTokenizer.new(TINY, seed=0)
    with pytest.raises(ValueError, match=r"\(1, 63\); a picture has 8 x 8"):
        tokenizer.decode(np.zeros((1, 63), dtype=np.int32))
    with pytest.raises(ValueError, match="go from 0 to 12, but the codebook has 0 to 11"):
        tokenizer.decode(np.array([[0] * 63 + [12]]))
    with pytest.raises(ArtifactError, match="holds no VQ model"):
        ImageTokenizer.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="give a multiple of 2"):
        ImageTokenizer(tokenizer.model, size=15)
    with pytest.raises(ValueError, match="need a multiple of 8"):
        ImageTokenizerConfig(size=60)
    with pytest.raises(ValueError, match="no pictures to learn from"):
        train_image_tokenizer(tokenizer, shop(None), [], ImageTrainingConfig())
    with pytest.raises(ValueError, match="codes must be learnt"):
        ImageTrainingConfig(steps=50)
    with pytest.raises(ValueError, match="no pictures to measure"):
        measure(tokenizer, [])


def test_a_broken_picture_is_named():
    tokenizer = ImageTokenizer.new(TINY, seed=0)
    with pytest.raises(DataError, match="picture of the item 'sku-1' cannot be decoded"):
        tokenizer.encode_catalogue(shop(png(plain("red")), b"no picture"))
