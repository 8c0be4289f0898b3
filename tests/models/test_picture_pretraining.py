import math

import numpy as np
import pytest
import torch

from genrec.data.toy_pictures import captioned_pictures
from genrec.models import TinyVisionConfig
from genrec.models.picture_pretraining import (
    PretrainingConfig,
    contrastive_loss,
    pretrain_encoder,
    save_encoder,
)
from genrec.models.vision import Preprocessing, load_encoder
from genrec.prompts import train_tokenizer

SMALL = PretrainingConfig(
    encoder=TinyVisionConfig(image_size=16, patch_size=8, hidden_size=32, layers=1),
    steps=60, batch_size=32, learning_rate=3e-3, held_out=0.2,
)  # fmt: skip
EYES = Preprocessing(height=16, width=16)


def test_different_captions_give_the_loss_of_clip():
    similarity_BB = torch.tensor([[2.0, 0.0], [1.0, 3.0]])
    by_picture = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-2))) / 2
    by_caption = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(-3))) / 2
    loss = contrastive_loss(similarity_BB, torch.tensor([0, 1]))
    assert loss.item() == pytest.approx((by_picture + by_caption) / 2)


def test_pairs_that_say_the_same_are_right_for_each_other():
    alike = contrastive_loss(torch.zeros(3, 3), torch.tensor([5, 5, 5]))
    assert alike.item() == pytest.approx(math.log(3))
    sure_BB = torch.tensor([[9.0, 9.0, -9.0], [9.0, 9.0, -9.0], [-9.0, -9.0, 9.0]])
    shared = contrastive_loss(sure_BB, torch.tensor([0, 0, 1])).item()
    assert shared == pytest.approx(2 / 3 * math.log(2), abs=1e-4)
    assert contrastive_loss(sure_BB, torch.tensor([0, 1, 2])).item() == pytest.approx(shared)


@pytest.fixture(scope="module")
def told():
    """Plain squares, which a word each tells apart."""
    colours = {"red": (200, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 200), "grey": (90, 90, 90)}
    names = list(colours) * 20
    rng = np.random.default_rng(0)
    flat_U3 = np.array([colours[name] for name in names]) + rng.integers(0, 40, size=(80, 3))
    pixels_U3HW = np.broadcast_to(flat_U3[:, :, None, None], (80, 3, 16, 16)).astype(np.uint8)
    return pixels_U3HW, names, train_tokenizer(names, size=60, kind="t5")


@pytest.fixture(scope="module")
def pretrained(told):
    return pretrain_encoder(*told, SMALL, seed=0)


def test_held_out_pictures_find_their_caption(pretrained):
    assert pretrained.found > 0.9
    assert pretrained.chance < 0.5


def test_a_seed_decides_everything(told, pretrained):
    again = pretrain_encoder(*told, SMALL, seed=0)
    assert again.loss == pretrained.loss


def test_the_checkpoint_is_an_encoder_that_a_decoder_sees_through(told, pretrained, tmp_path):
    save_encoder(tmp_path / "encoder", pretrained.model, told[2])
    path = str(tmp_path / "encoder")
    assert Preprocessing.from_pretrained(path) == EYES
    pixels = EYES.normalise(torch.from_numpy(told[0][:2]))
    encoder = load_encoder(path).eval()
    with torch.no_grad():
        expected = pretrained.model.vision_model(pixels).last_hidden_state
        torch.testing.assert_close(encoder(pixels).last_hidden_state, expected)


def test_a_tokenizer_whose_end_clip_misreads_is_refused(told):
    llama = train_tokenizer(told[1], size=300, kind="llama")
    with pytest.raises(ValueError, match="kind='t5'"):
        pretrain_encoder(told[0], told[1], llama, SMALL, seed=0)


def test_too_few_pictures_are_refused(told):
    with pytest.raises(ValueError, match="2 pictures with captions, too few"):
        pretrain_encoder(told[0][:2], told[1][:2], told[2], SMALL, seed=0)


@pytest.mark.parametrize(
    "setting", [{"steps": 0}, {"batch_size": 0}, {"held_out": 0.0}, {"held_out": 1.0}]
)
def test_nonsense_is_refused(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        PretrainingConfig(**setting)


def test_captions_say_what_toy_pictures_show():
    drawn = captioned_pictures(40, seed=1)
    assert len(set(drawn.captions)) > 30
    reds = [
        np.asarray(picture)
        for picture, caption in zip(*drawn, strict=True)
        if caption.startswith(("red", "blue"))
    ]
    kinds = [c.split()[0] for c in drawn.captions if c.startswith(("red", "blue"))]
    for picture, kind in zip(reds, kinds, strict=True):
        coloured = picture[np.ptp(picture.astype(int), axis=2) > 60].mean(axis=0)
        assert (coloured[0] > coloured[2]) == (kind == "red")
    assert captioned_pictures(40, seed=1).captions == drawn.captions
    assert captioned_pictures(40, seed=2).captions != drawn.captions


@pytest.mark.parametrize("edge", [None, 20])
def test_preprocessing_is_read_as_it_was_written(tmp_path, edge):
    written = Preprocessing(
        height=16, width=18, shortest_edge=edge, resample="lanczos", mean=(0.1, 0.2, 0.3)
    )
    written.save_pretrained(tmp_path)
    assert Preprocessing.from_pretrained(str(tmp_path)) == written
