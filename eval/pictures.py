"""How good drawn pictures are: do they fit their words, resemble real ones, and copy none?

Shape letters in this file: U drawn pictures, N real ones, F their numbers (pixels times channels).
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from genrec.optional import require

Floats = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

_AT_ONCE = 64


class Nearest(NamedTuple):
    """The real picture that each drawn one is most like."""

    picture_U: Ints
    distance_U: Floats
    """Root of the mean squared difference of their channels, where black to white is 1."""


def nearest_pictures(drawn: Sequence[Image.Image], real: Sequence[Image.Image]) -> Nearest:
    """Find for each drawn picture the most similar real one: a copy has a distance near 0."""
    if not drawn or not real:
        raise ValueError("there is nothing to compare; give drawn and real pictures")
    drawn_UF, real_NF = _flat(drawn, drawn[0].size), _flat(real, drawn[0].size)
    squared_UN = (
        np.square(drawn_UF).sum(axis=1)[:, None]
        - 2 * drawn_UF @ real_NF.T
        + np.square(real_NF).sum(axis=1)
    )
    picture_U = squared_UN.argmin(axis=1)
    squared_U = np.square(drawn_UF - real_NF[picture_U]).mean(axis=1)  # exact also near 0
    return Nearest(picture_U, np.sqrt(squared_U))


def clip_scores(
    drawn: Sequence[Image.Image], texts: Sequence[str], *, model: str, device: str = "cpu"
) -> Floats:
    """Score how well pictures fit their words: 2.5 max(cos, 0) of CLIP's two embeddings.

    CLIPScore (https://arxiv.org/abs/2104.08718, equation 1).

    Args:
        drawn: Pictures.
        texts: What each was asked to show.
        model: Name or folder of a CLIP model with its processor.
        device: Where it runs.
    """
    import torch
    from transformers import CLIPModel, CLIPProcessor

    if len(drawn) != len(texts):
        raise ValueError(f"there are {len(drawn)} pictures, but {len(texts)} texts; give one each")
    clip = CLIPModel.from_pretrained(model).to(device).eval()
    processor = CLIPProcessor.from_pretrained(model)
    scores = [np.zeros(0)]
    for start in range(0, len(drawn), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        inputs = processor(
            text=list(texts[part]), images=list(drawn[part]), return_tensors="pt", padding=True,
            truncation=True,
        ).to(device)  # fmt: skip
        with torch.no_grad():
            found = clip(**inputs)
        cosine_U = torch.cosine_similarity(found.image_embeds, found.text_embeds)
        scores.append(2.5 * cosine_U.clamp(min=0).double().cpu().numpy())
    return np.concatenate(scores)


def frechet_distance(
    drawn: Sequence[Image.Image], real: Sequence[Image.Image], *, features: Any, size: int
) -> float:
    """Return the Frechet distance of drawn and real pictures' features, by torchmetrics.

    FID (https://arxiv.org/abs/1706.08500) is this distance for the features of Inception, whose
    weights must be at hand; those of any other network make distances comparable with each other,
    but with no published FID.

    Args:
        drawn: Pictures.
        real: Pictures of the catalogue.
        features: A ``torch.nn.Module`` from bytes of shape (pictures, 3, size, size) to features,
            or 2048 for Inception's (which then needs torch-fidelity).
        size: Side of the pictures in pixels.
    """
    import torch

    fid = require("torchmetrics.image.fid", extra="images", why="frechet_distance")
    distance = fid.FrechetInceptionDistance(feature=features, input_img_size=(3, size, size))
    for pictures, is_real in ((real, True), (drawn, False)):
        for start in range(0, len(pictures), _AT_ONCE):
            arrays = [
                np.asarray(picture.convert("RGB").resize((size, size)))
                for picture in pictures[start : start + _AT_ONCE]
            ]
            bytes_U3SS = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
            distance.update(bytes_U3SS, real=is_real)
    return float(distance.compute())


def _flat(pictures: Sequence[Image.Image], size: tuple[int, int]) -> Floats:
    arrays = [np.asarray(picture.convert("RGB").resize(size)).ravel() for picture in pictures]
    return np.stack(arrays) / 255.0
