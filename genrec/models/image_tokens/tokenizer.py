"""Pictures as grids of codes, by the VQ models of diffusers.

A picture becomes height x width codes of one codebook and back again (VQ-GAN,
https://arxiv.org/abs/2012.09841, section 3.1), so that a language model can say it token by token.

Shape letters in this file: N items, U pictures, S side of a picture in pixels, H and W height and
width of the grid of codes, T its H x W codes, line by line, D their dimension.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from tqdm import tqdm

from genrec.artifacts import ArtifactError, write_directory
from genrec.data import Catalogue
from genrec.data.pictures import open_picture
from genrec.optional import require

Codes = np.ndarray[Any, np.dtype[np.int32]]

NO_PICTURE = -1
"""The codes of an item that has no picture."""

_AT_ONCE = 64


@dataclass(frozen=True, kw_only=True)
class ImageTokenizerConfig:
    """A small VQ model, made anew for the pictures of one shop."""

    size: int = 64
    """Side of a picture in pixels."""

    channels: tuple[int, ...] = (16, 32, 64, 64)
    """Width of each stage; every stage but the first halves the sides, so that four stages make a
    grid of 8 x 8 codes of a picture of 64 x 64 pixels."""

    codebook_size: int = 256
    """Codes, each of which becomes a token of the language model."""

    code_dim: int = 16
    """Width of a code."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        if not self.channels or any(width < 8 or width % 8 for width in self.channels):
            raise ValueError(
                f"channels is {self.channels}; give multiples of 8, one for each stage"
            )
        stride = 2 ** (len(self.channels) - 1)
        if self.size < stride or self.size % stride:
            raise ValueError(
                f"size is {self.size}, but {len(self.channels)} stages need a multiple of {stride}"
            )
        if self.codebook_size < 2 or self.code_dim < 1:
            raise ValueError(
                f"codebook_size is {self.codebook_size} and code_dim {self.code_dim}; "
                "there must be at least 2 codes of at least 1 dimension"
            )


class ImageTokenizer:
    """Writes pictures as codes and draws pictures from codes, by a ``VQModel`` of diffusers."""

    def __init__(self, model: Any, *, size: int | None = None) -> None:
        """Take a model as it is.

        Args:
            model: A ``diffusers.VQModel``.
            size: Side of the pictures in pixels; by default what the model's config says.
        """
        stride = 2 ** (len(model.config.block_out_channels) - 1)
        size = model.config.sample_size if size is None else size
        if size < stride or size % stride:
            raise ValueError(f"pictures have {size} pixels a side; give a multiple of {stride}")
        model.register_to_config(sample_size=size)
        self.model = model.eval()
        self.size: int = size
        self.side: int = size // stride
        """Codes in a line of the grid, and lines of it."""

    @classmethod
    def new(cls, config: ImageTokenizerConfig, *, seed: int) -> "ImageTokenizer":
        """Make a model with random weights that depend on the seed alone."""
        stages = len(config.channels)
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            model = _diffusers().VQModel(
                down_block_types=("DownEncoderBlock2D",) * stages,
                up_block_types=("UpDecoderBlock2D",) * stages,
                block_out_channels=config.channels,
                latent_channels=2 * config.code_dim,
                vq_embed_dim=config.code_dim,
                num_vq_embeddings=config.codebook_size,
                # Few groups, for a norm of each channel alone would forget colours.
                norm_num_groups=math.gcd(*config.channels) // 8,
                sample_size=config.size,
            )
        return cls(model)

    @classmethod
    def from_pretrained(
        cls, path: Path | str, *, subfolder: str | None = None, size: int | None = None
    ) -> "ImageTokenizer":
        """Load any VQ model of diffusers, such as one that :meth:`save_pretrained` wrote.

        Args:
            path: Name on the hub or folder, such as ``amused/amused-256``.
            subfolder: Where in it the model lies, such as ``vqvae``.
            size: Side of the pictures in pixels; by default what its config says.

        Raises:
            ArtifactError: When there is no such model.
        """
        try:
            model = _diffusers().VQModel.from_pretrained(str(path), subfolder=subfolder)
        except (OSError, ValueError) as error:
            raise ArtifactError(
                f"{path} holds no VQ model of diffusers ({error}); "
                "recipes/train_image_tokenizer.py writes one"
            ) from error
        return cls(model, size=size)

    def save_pretrained(self, path: Path | str) -> None:
        """Write the model in the Hugging Face way, in one step."""
        with write_directory(path) as folder:
            self.model.save_pretrained(str(folder))

    @property
    def codebook_size(self) -> int:
        """How many codes there are."""
        return int(self.model.config.num_vq_embeddings)

    @property
    def length(self) -> int:
        """Codes of a picture (T)."""
        return self.side**2

    def pixels(self, pictures: Sequence[Image.Image]) -> Tensor:
        """Fit pictures into a square, on white where they are none, of shape (U, 3, S, S).

        Values go from -1 to 1, as the model takes them.
        """
        arrays = [np.asarray(squared(picture, self.size)) for picture in pictures]
        pixels_USS3 = torch.from_numpy(np.stack(arrays))
        return pixels_USS3.permute(0, 3, 1, 2).float() / 127.5 - 1

    @torch.no_grad()
    def encode(self, pictures: Sequence[Image.Image]) -> Codes:
        """Write pictures as codes, of shape (U, T)."""
        parts = [np.zeros((0, self.length), dtype=np.int32)]
        for start in range(0, len(pictures), _AT_ONCE):
            pixels_U3SS = self.pixels(pictures[start : start + _AT_ONCE]).to(self.model.device)
            latents_UDHW = self.model.encode(pixels_U3SS).latents
            codes = self.model.quantize(latents_UDHW)[2][2]
            parts.append(codes.view(-1, self.length).cpu().numpy().astype(np.int32))
        return np.concatenate(parts)

    @torch.no_grad()
    def decode(self, codes_UT: Codes) -> list[Image.Image]:
        """Draw the pictures of some codes.

        Raises:
            ValueError: When there are too many or too few codes, or one that the model has not.
        """
        codes_UT = np.asarray(codes_UT, dtype=np.int64)
        if codes_UT.ndim != 2 or codes_UT.shape[1] != self.length:
            raise ValueError(
                f"codes have the shape {codes_UT.shape}; a picture has {self.side} x {self.side}, "
                f"so give (pictures, {self.length})"
            )
        if codes_UT.size and not 0 <= codes_UT.min() <= codes_UT.max() < self.codebook_size:
            raise ValueError(
                f"codes go from {codes_UT.min()} to {codes_UT.max()}, but the codebook has "
                f"0 to {self.codebook_size - 1}"
            )
        pictures: list[Image.Image] = []
        for start in range(0, len(codes_UT), _AT_ONCE):
            some_UT = torch.from_numpy(codes_UT[start : start + _AT_ONCE]).to(self.model.device)
            pixels_U3SS = self.draw(some_UT).clamp(-1, 1)
            bytes_USS3 = ((pixels_U3SS + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu()
            pictures += [Image.fromarray(picture) for picture in bytes_USS3.numpy()]
        return pictures

    def draw(self, codes_UT: Tensor) -> Tensor:
        """Turn codes into pixels of -1 to 1, of shape (U, 3, S, S)."""
        quantize = self.model.quantize
        shape = (len(codes_UT), self.side, self.side, quantize.vq_embed_dim)
        return self.draw_latents(quantize.get_codebook_entry(codes_UT.flatten(), shape))

    def draw_latents(self, latents_UDHW: Tensor) -> Tensor:
        """Turn the vectors of codes into pixels; ``VQModel.decode`` would take them or codes."""
        model = self.model
        given = latents_UDHW if model.config.norm_type == "spatial" else None
        pixels_U3SS: Tensor = model.decoder(model.post_quant_conv(latents_UDHW), given)
        return pixels_U3SS

    def encode_catalogue(self, catalogue: Catalogue, *, progress: bool = False) -> Codes:
        """Write the pictures of all items, of shape (N, T); ``NO_PICTURE`` where there is none.

        Raises:
            DataError: When a picture cannot be decoded; the message names its item.
        """
        codes_NT = np.full((len(catalogue), self.length), NO_PICTURE, dtype=np.int32)
        rows = np.flatnonzero(catalogue.has_picture)
        starts = range(0, len(rows), _AT_ONCE)
        for start in tqdm(starts, desc="image tokens", unit="batch", disable=not progress):
            some = rows[start : start + _AT_ONCE]
            codes_NT[some] = self.encode([open_picture(catalogue, int(row)) for row in some])
        return codes_NT


def squared(picture: Image.Image, size: int) -> Image.Image:
    """Fit a picture into a square of so many pixels a side, on white where it has none."""
    return ImageOps.pad(picture.convert("RGB"), (size, size), color="white")


def _diffusers() -> Any:
    return require("diffusers", extra="images", why="ImageTokenizer")
