"""Scores of drawn pictures, against values worked by hand and a tiny CLIP."""

import numpy as np
import pytest
import torch
from PIL import Image

from genrec.eval.pictures import clip_scores, frechet_distance, nearest_pictures
from tests.tokenization.tiny_clip import save_tiny_clip


def plain(colour, size=(8, 8)):
    return Image.new("RGB", size, colour)


def test_a_copy_is_at_distance_0_and_others_at_what_a_channel_differs():
    real = [plain("white"), plain("red"), plain("black", (16, 16))]
    found = nearest_pictures([plain("red"), plain((10, 0, 0))], real)
    assert found.picture_U.tolist() == [1, 2]
    assert found.distance_U == pytest.approx([0.0, 10 / 255 / np.sqrt(3)], abs=1e-9)
    with pytest.raises(ValueError, match="nothing to compare"):
        nearest_pictures([], real)


class Means(torch.nn.Module):
    """Two features: how red and how blue a picture is."""

    num_features = 2

    def forward(self, bytes_U3SS):
        return bytes_U3SS.float().mean(dim=(2, 3))[:, [0, 2]]


def test_the_frechet_distance_is_that_of_two_gaussians():
    pytest.importorskip("torchmetrics")
    rng = np.random.default_rng(0)
    real_N2, drawn_N2 = rng.integers(0, 120, (50, 2)), rng.integers(60, 250, (40, 2))

    def painted(values):
        return [plain((int(red), 0, int(blue))) for red, blue in values]

    found = frechet_distance(painted(drawn_N2), painted(real_N2), features=Means().eval(), size=8)
    mean = np.square(real_N2.mean(axis=0) - drawn_N2.mean(axis=0)).sum()
    one, other = np.cov(real_N2.T), np.cov(drawn_N2.T)
    cross = np.sqrt(np.linalg.eigvals(one @ other)).real.sum()
    assert found == pytest.approx(mean + np.trace(one) + np.trace(other) - 2 * cross, rel=1e-3)


def test_clip_scores_are_those_of_the_models_own_embeddings(tmp_path):
    from transformers import CLIPModel, CLIPProcessor

    save_tiny_clip(tmp_path / "clip")
    path = str(tmp_path / "clip")
    pictures, texts = [plain("red"), plain("blue")], ["red soap", "a blue lamp"]
    found = clip_scores(pictures, texts, model=path)
    clip, processor = CLIPModel.from_pretrained(path).eval(), CLIPProcessor.from_pretrained(path)
    for score, picture, text in zip(found, pictures, texts, strict=True):
        inputs = processor(text=[text], images=[picture], return_tensors="pt", padding=True)
        with torch.no_grad():
            out = clip(**inputs)
        cosine = torch.cosine_similarity(out.image_embeds, out.text_embeds).item()
        assert score == pytest.approx(2.5 * max(cosine, 0), abs=1e-4)
    with pytest.raises(ValueError, match="2 pictures, but 1 texts"):
        clip_scores(pictures, ["red"], model=path)
