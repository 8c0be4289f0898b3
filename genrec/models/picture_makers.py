"""What is kept of a picture: features of an encoder that stands, or pixels for one that trains.

Shape letters in this file: U pictures, S features of each, D their width, H height, W width.
"""

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from genrec.artifacts import fingerprint
from genrec.models.flamingo import FlamingoForCausalLM
from genrec.models.vision import Preprocessing, preprocessing_of


class PictureMaker(NamedTuple):
    """What a store keeps of a picture."""

    kind: Literal["features", "pixels"]
    fingerprint: str
    """Hash of all that decides the result beside the picture."""

    preprocessing: Preprocessing
    encode: Callable[[Tensor], Tensor]
    """From the pixels of a batch to what is kept of them."""

    finish: Callable[[Tensor], Tensor]
    """From what was kept to what the model takes."""


def features_by(model: FlamingoForCausalLM, *, dtype: torch.dtype = torch.float16) -> PictureMaker:
    """Keep the features of a model's encoder, by default in half precision.

    A CLIP ViT-L makes 257 x 1024 of them, half a megabyte a picture.
    """
    preprocessing = preprocessing_of(model)

    @torch.no_grad()
    def encode(pixels_U3HW: Tensor) -> Tensor:
        was_training = model.vision_model.training
        model.vision_model.eval()
        found_USD = model.encode_pictures(preprocessing.normalise(pixels_U3HW.to(model.device)))
        model.vision_model.train(was_training)
        kept_USD = found_USD.to("cpu", dtype)
        if not kept_USD.isfinite().all():
            raise ValueError(
                f"features of the encoder are not finite as {dtype}: either its weights are no "
                "numbers, or they need features_by(model, dtype=torch.float32)"
            )
        return kept_USD

    name = fingerprint(
        "features", str(dtype), json.dumps(asdict(preprocessing)), weights_of(model.vision_model)
    )
    return PictureMaker("features", name, preprocessing, encode, finish=lambda kept: kept)


def pixels_by(preprocessing: Preprocessing) -> PictureMaker:
    """Keep pixels, for an encoder whose weights change."""
    name = fingerprint("pixels", json.dumps(asdict(preprocessing)))
    return PictureMaker(
        "pixels", name, preprocessing, encode=lambda pixels: pixels, finish=preprocessing.normalise
    )


def weights_of(model: nn.Module) -> str:
    """Hash the weights of a model."""
    digests = []
    for name, weight in sorted(model.state_dict().items()):
        raw = weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        digests.append(fingerprint(name, str(weight.dtype), str(tuple(weight.shape)), raw))
    return fingerprint(*digests)
