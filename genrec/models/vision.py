"""Pictures for a language model: their encoder, their pixels, and the two put together.

Shape letters in this file: U pictures, H height, W width.
"""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from transformers import AutoConfig, AutoModel, PreTrainedModel, ViTConfig, ViTModel
from transformers.image_processing_utils import BaseImageProcessor
from transformers.utils import logging

from genrec.artifacts import ArtifactError, write_json
from genrec.models.flamingo import FlamingoConfig, FlamingoForCausalLM, Fusion

Resample = Literal["nearest", "box", "bilinear", "bicubic", "lanczos"]
Pixels = np.ndarray[Any, np.dtype[np.uint8]]

TRIPLE = tuple[float, float, float]
HALF: TRIPLE = (0.5, 0.5, 0.5)


@dataclass(frozen=True, kw_only=True)
class Preprocessing:
    """How a picture of any size becomes the pixels that an encoder reads."""

    height: int = 64
    """Height in pixels."""

    width: int = 64
    """Width in pixels."""

    shortest_edge: int | None = None
    """Scale the shorter side to so many pixels and cut out the middle, as CLIP has it; none scales
    both sides, as SigLIP and ViT have it."""

    resample: Resample = "bicubic"
    """How colours between pixels are found."""

    mean: TRIPLE = HALF
    """What is taken from red, green and blue, which lie between 0 and 1."""

    std: TRIPLE = HALF
    """What they are divided by then."""

    def __post_init__(self) -> None:
        if self.shortest_edge is not None and self.shortest_edge < max(self.height, self.width):
            raise ValueError(
                f"the shorter side is scaled to {self.shortest_edge} pixels, which is too few to "
                f"cut out {self.height} x {self.width}"
            )

    @classmethod
    def from_pretrained(cls, path: str) -> "Preprocessing":
        """Read what stands beside a pretrained encoder in ``preprocessor_config.json``.

        Raises:
            ValueError: When it brings pictures to their size in a way that is not known here.
        """
        settings, _ = BaseImageProcessor.get_image_processor_dict(path)
        size = settings["size"]
        edge = size if isinstance(size, int) else size.get("shortest_edge")
        is_cut = settings.get("do_center_crop", False)
        box = settings.get("crop_size", size) if is_cut else size
        if isinstance(box, int):
            box = {"height": box, "width": box}
        if "height" not in box:
            raise ValueError(
                f"the pictures of {path} keep their proportions ({size}); "
                "take an encoder whose preprocessor_config.json gives height and width"
            )
        if is_cut and edge is None and box != size:
            raise ValueError(
                f"the pictures of {path} are scaled to {size} and then cut to {box}, which is not "
                "known here; take an encoder that scales the shorter side or does not cut"
            )
        return cls(
            height=box["height"],
            width=box["width"],
            shortest_edge=edge if is_cut else None,
            resample=_name_of(settings.get("resample", Image.Resampling.BICUBIC)),
            mean=tuple(settings["image_mean"]),
            std=tuple(settings["image_std"]),
        )

    def save_pretrained(self, folder: Path) -> None:
        """Write ``preprocessor_config.json``, which :meth:`from_pretrained` reads."""
        size = {"height": self.height, "width": self.width}
        edge = self.shortest_edge
        how = Image.Resampling[self.resample.upper()]
        settings = {
            "image_processor_type": "CLIPImageProcessor",
            "do_resize": True,
            "size": size if edge is None else {"shortest_edge": edge},
            "resample": int(how),
            "do_center_crop": edge is not None,
            "crop_size": size,
            "do_rescale": True,
            "rescale_factor": 1 / 255,
            "do_normalize": True,
            "image_mean": list(self.mean),
            "image_std": list(self.std),
        }
        write_json(folder / "preprocessor_config.json", settings)

    def pixels(self, picture: Image.Image) -> Pixels:
        """Scale and cut a picture to the encoder's size, of shape (3, H, W)."""
        how = Image.Resampling[self.resample.upper()]
        if self.shortest_edge is None:
            picture = picture.resize((self.width, self.height), how)
        else:
            edge, shorter = self.shortest_edge, min(picture.size)
            picture = picture.resize(
                (edge * picture.width // shorter, edge * picture.height // shorter), how
            )
            left = (picture.width - self.width) // 2
            top = (picture.height - self.height) // 2
            picture = picture.crop((left, top, left + self.width, top + self.height))
        pixels_HW3 = np.asarray(picture.convert("RGB"), dtype=np.uint8)
        return np.ascontiguousarray(pixels_HW3.transpose(2, 0, 1))

    def normalise(self, pixels_U3HW: Tensor) -> Tensor:
        """Turn pixels of 0 to 255 into the floats that an encoder takes."""
        mean_311 = torch.tensor(self.mean, device=pixels_U3HW.device)[:, None, None]
        std_311 = torch.tensor(self.std, device=pixels_U3HW.device)[:, None, None]
        return (pixels_U3HW.float() / 255 - mean_311) / std_311


@dataclass(frozen=True, kw_only=True)
class TinyVisionConfig:
    """A small picture encoder with random weights, for pictures that a laptop learns to see."""

    image_size: int = 64
    """Side of a picture in pixels; the toy shop's have 64."""

    patch_size: int = 8
    """Side of a patch, which becomes one feature."""

    hidden_size: int = 64
    """Width of the features."""

    layers: int = 2
    """Layers of the vision transformer (https://arxiv.org/abs/2010.11929)."""

    heads: int = 4
    """Attention heads; the width must be a multiple of them."""

    def __post_init__(self) -> None:
        for name in ("image_size", "patch_size", "hidden_size", "layers", "heads"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.image_size % self.patch_size:
            raise ValueError(
                f"image_size {self.image_size} is not a multiple of patch_size {self.patch_size}"
            )
        if self.hidden_size % self.heads:
            raise ValueError(
                f"hidden_size {self.hidden_size} is not a multiple of the {self.heads} heads"
            )


@dataclass(frozen=True, kw_only=True)
class VisionConfig:
    """How a language model sees the pictures of items."""

    encoder: str | None = None
    """Name or folder of a Hugging Face picture encoder (CLIP, SigLIP, ViT); none makes ``tiny``."""

    tiny: TinyVisionConfig = field(default_factory=TinyVisionConfig)
    """The encoder to make when no name is given."""

    train_encoder: bool = False
    """Train a pretrained encoder too; a tiny one always trains."""

    fusion: Fusion = "cross"
    """Where pictures meet text: ``cross`` is UniMP; ``early``, ``late`` and ``none`` are its
    ablations."""

    exclusive: bool = True
    """A token sees the picture of its own item, and not all pictures of its prompt so far."""

    every_n_layers: int = 2
    """Cross-attention stands before every n-th layer; UniMP's code has 2."""

    latents: int = 16
    """Latents of a picture."""

    resampler_layers: int = 2
    """Blocks of the Perceiver resampler."""

    resampler_heads: int = 4
    """Its attention heads."""

    gate: float = 0.0
    """Where the gates start, before their tanh: 0 keeps a pretrained decoder as it was at first;
    one from scratch learns to look sooner from 1."""

    @property
    def marks(self) -> int:
        """How many tokens ``[IMG]`` stand for a picture in prompts; 0 where none is shown."""
        return {"none": 0, "early": self.latents}.get(self.fusion, 1)

    @property
    def trains_encoder(self) -> bool:
        """Whether the encoder learns, so that pictures must be encoded in every step."""
        return self.train_encoder or self.encoder is None


def add_vision(
    language_model: PreTrainedModel,
    config: VisionConfig,
    *,
    picture_token: int | None,
    seed: int,
) -> FlamingoForCausalLM:
    """Let a decoder see pictures; until it is trained it says what it said.

    Args:
        language_model: The decoder, which becomes part of the new model.
        config: How it sees.
        picture_token: Number of the ``[IMG]`` token, which early fusion needs.
        seed: Decides the new weights.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        vision_model, preprocessing = _encoder(config)
        shape = FlamingoConfig(
            text_config=language_model.config,
            vision_config=vision_model.config,
            preprocessing=asdict(preprocessing),
            fusion=config.fusion,
            exclusive=config.exclusive,
            every_n_layers=config.every_n_layers,
            latents=config.latents,
            resampler_layers=config.resampler_layers,
            resampler_heads=config.resampler_heads,
            gate=config.gate,
            freeze_vision=not config.trains_encoder,
            picture_token_id=picture_token,
        )
        model = FlamingoForCausalLM(shape, language_model, vision_model)
    return model.to(language_model.device)  # type: ignore[no-any-return]


def preprocessing_of(model: FlamingoForCausalLM) -> Preprocessing:
    """Tell how a model wants its pictures."""
    settings = model.config.preprocessing
    if settings is None:
        raise ValueError("the model's config has no preprocessing; make the model by add_vision")
    return Preprocessing(**settings | {key: tuple(settings[key]) for key in ("mean", "std")})


def load_encoder(path: str) -> PreTrainedModel:
    """Load a picture encoder; of a model of two towers, such as CLIP, the one for pictures.

    Raises:
        ArtifactError: When the checkpoint lacks weights of the encoder, which would be random.
    """
    config = AutoConfig.from_pretrained(path)
    config = getattr(config, "vision_config", config)
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # it would list every weight of the other tower
    try:
        model: PreTrainedModel
        model, told = AutoModel.from_pretrained(path, config=config, output_loading_info=True)
    finally:
        logging.set_verbosity(verbosity)
    # Nobody reads what is pooled, and many a ViT comes without.
    missing = sorted(name for name in told["missing_keys"] if not name.startswith("pooler."))
    if missing:
        raise ArtifactError(
            f"{path} lacks {len(missing)} weights of the picture encoder, such as {missing[0]}; "
            "take a checkpoint of CLIP, SigLIP or ViT"
        )
    return model


def _encoder(config: VisionConfig) -> tuple[PreTrainedModel, Preprocessing]:
    if config.encoder is not None:
        return load_encoder(config.encoder), Preprocessing.from_pretrained(config.encoder)
    tiny = config.tiny
    shape = ViTConfig(
        hidden_size=tiny.hidden_size,
        num_hidden_layers=tiny.layers,
        num_attention_heads=tiny.heads,
        intermediate_size=4 * tiny.hidden_size,
        image_size=tiny.image_size,
        patch_size=tiny.patch_size,
    )
    preprocessing = Preprocessing(height=tiny.image_size, width=tiny.image_size)
    return ViTModel(shape), preprocessing


def _name_of(resample: int) -> Any:
    return Image.Resampling(resample).name.lower()
