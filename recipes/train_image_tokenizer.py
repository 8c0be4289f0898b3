"""Learn to write a catalogue's pictures as tokens, or take over a VQ model that can.

    python recipes/train_image_tokenizer.py --config recipes/configs/image_tokenizer_toy.yaml
    python recipes/train_image_tokenizer.py --dataset runs/demo/data --out runs/demo/images \
        --pretrained amused/amused-256 --subfolder vqvae --training null

Writes a ``VQModel`` of diffusers with its error in ``quality.json`` and a sheet of originals above
what their tokens draw, of pictures that were held out. Fine-tuning with ``image_tokenizer`` then
teaches a language model to draw.
"""

import logging
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from genrec.artifacts import check_writable, write_directory, write_json
from genrec.config import to_dict
from genrec.data import Catalogue, DataError, Dataset
from genrec.data.pictures import open_picture, without_broken_pictures
from genrec.models.image_tokens import (
    ImageTokenizer,
    ImageTokenizerConfig,
    ImageTrainingConfig,
    measure,
    side_by_side,
    train_image_tokenizer,
)
from genrec.recipe import run_recipe

SHOWN = 32
"""Pictures of the sheet."""


@dataclass(frozen=True, kw_only=True)
class Config:
    dataset: Path
    """The data set that recipes/prepare.py wrote; its items' pictures are learnt."""

    out: Path
    """Where the tokenizer goes; one that stands there is replaced when all went well."""

    pretrained: str | None = None
    """Name or folder of a VQ model of diffusers to start from; none makes ``model``."""

    subfolder: str | None = None
    """Where in it the model lies, such as ``vqvae``."""

    model: ImageTokenizerConfig = field(default_factory=ImageTokenizerConfig)
    training: ImageTrainingConfig | None = field(default_factory=ImageTrainingConfig)
    """The optimizer; ``null`` takes a pretrained model as it is."""

    held_out: float = 0.1
    """Share of the pictures that is not learnt but measured."""

    seed: int = 0
    """Decides weights, the order of the pictures and which are held out."""

    def __post_init__(self) -> None:
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out is {self.held_out}; give a share between 0 and 1")
        if self.training is None and self.pretrained is None:
            raise ValueError("a new model must be trained; give training or pretrained")


def split_rows(catalogue: Catalogue, held_out: float, seed: int) -> tuple[list[int], list[int]]:
    """Draw the items whose pictures are learnt, and those that are held out."""
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(catalogue.has_picture))
    if len(rows) < 2:
        raise DataError(f"{len(rows)} items have a picture; learning and measuring need at least 2")
    count = max(1, round(held_out * len(rows)))
    return rows[count:].tolist(), rows[:count].tolist()


def make(config: Config) -> ImageTokenizer:
    if config.pretrained is not None:
        tokenizer = ImageTokenizer.from_pretrained(
            config.pretrained, subfolder=config.subfolder, size=config.model.size
        )
    else:
        tokenizer = ImageTokenizer.new(config.model, seed=config.seed)
    device = torch.accelerator.current_accelerator(check_available=True) or "cpu"
    tokenizer.model.to(device)
    return tokenizer


def main(config: Config) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    check_writable(config.out, sign="quality.json")
    catalogue = without_broken_pictures(Dataset.load(config.dataset).catalogue)
    learnt, held_out = split_rows(catalogue, config.held_out, config.seed)
    tokenizer = make(config)
    if config.training is not None:
        train_image_tokenizer(
            tokenizer, catalogue, learnt, config.training, seed=config.seed, progress=True
        )

    def pictures(rows: list[int]) -> list[Image.Image]:
        return [open_picture(catalogue, row) for row in rows]

    known, fresh = measure(tokenizer, pictures(learnt)), measure(tokenizer, pictures(held_out))
    with write_directory(config.out) as folder:
        tokenizer.model.save_pretrained(str(folder))
        record = {"learnt": known._asdict(), "held_out": fresh._asdict()}
        write_json(folder / "quality.json", record | {"config": to_dict(config)})
        side_by_side(tokenizer, pictures(held_out[:SHOWN])).save(folder / "held_out.webp")
    print(f"{'':<10}{'pictures':>9}{'error':>8}{'PSNR':>7}{'codes used':>12}{'perplexity':>12}")
    for name, quality in (("learnt", known), ("held out", fresh)):
        print(
            f"{name:<10}{quality.pictures:>9}{quality.absolute_error:>8.4f}{quality.psnr:>7.1f}"
            f"{quality.codes_used:>12.1%}{quality.perplexity:>12.1f}"
        )
    print(f"{config.out}: {tokenizer.side} x {tokenizer.side} of {tokenizer.codebook_size} codes")


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
