"""Recommenders from a model directory: one for each of the engines that compute answers."""

from pathlib import Path
from typing import Literal

import torch

from genrec.decoding import StaticDecoder
from genrec.serving.bundle import (
    load_bundle,
    load_calibration,
    load_pictures,
    load_renderer,
    model_directory,
)
from genrec.serving.transformers_engine import TransformersRecommender
from genrec.serving.vllm import VLLMConfig, VLLMRecommender

Engine = Literal["transformers", "vllm"]


def load_recommender(
    path: Path | str,
    *,
    engine: Engine,
    device: str | None,
    dtype: torch.dtype,
    beams: int,
    batch_size: int,
    progress: bool,
    fixed_shapes: bool,
    vllm: VLLMConfig | None,
) -> TransformersRecommender | VLLMRecommender:
    """Load what answers; see :meth:`GenRec.from_pretrained`."""
    for name, number in (("beams", beams), ("batch_size", batch_size)):
        if number < 1:
            raise ValueError(f"{name} is {number}; it must be at least 1")
    if engine == "transformers":
        place = _best_device() if device is None else _device(device)
        bundle = load_bundle(path, dtype=dtype)
        model, renderer = bundle
        model.to(place)
        return TransformersRecommender(
            model, renderer, beams=beams, batch_size=batch_size, progress=progress,
            calibration=load_calibration(path),
            pictures=load_pictures(path, bundle, progress=progress),
            static=StaticDecoder(model) if fixed_shapes else None,
        )  # fmt: skip
    if engine != "vllm":
        raise ValueError(f"there is no engine {engine!r}; there are 'transformers' and 'vllm'")
    if device is not None:
        raise ValueError(
            f"vLLM cannot be told to use {device!r}: it computes where its package was built "
            "for; leave the device out"
        )
    if fixed_shapes:
        raise ValueError("vLLM fixes shapes by itself; leave fixed_shapes out")
    renderer = load_renderer(path)
    pictures = None
    if renderer.config.pictures:
        bundle = load_bundle(path, dtype=dtype)
        pictures = load_pictures(path, bundle, progress=progress)
        # vLLM has the decoder; only the encoder is needed here, for pictures of items to come.
        bundle.model.language_model = None
    return VLLMRecommender(
        model_directory(path), renderer, config=vllm, dtype=dtype, beams=beams,
        batch_size=batch_size, progress=progress, calibration=load_calibration(path),
        pictures=pictures,
    )  # fmt: skip


def _best_device() -> torch.device:
    return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")


def _device(name: str) -> torch.device:
    try:
        return torch.device(name)
    except RuntimeError as error:
        raise ValueError(f"there is no device {name!r}; give 'cpu', 'cuda' or the like") from error
