"""Teach a small picture encoder to see, from pictures and what words say of them.

    python recipes/pretrain_encoder.py --toy_pictures 4000 --out runs/encoders/toy
    python recipes/pretrain_encoder.py --dataset runs/movielens/data --captions [genres,title] \
        --out runs/encoders/posters

For shops whose pictures no pretrained encoder knows, or machines that cannot hold one. Writes a
CLIP checkpoint of transformers, which ``--vision.encoder=runs/encoders/toy`` of recipes/finetune.py
loads. Nothing of users goes into it.
"""

import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from genrec.artifacts import check_writable
from genrec.data import Catalogue, Dataset
from genrec.data.toy_pictures import Captioned, captioned_pictures
from genrec.models.picture_pretraining import PretrainingConfig, pretrain_encoder, save_encoder
from genrec.models.vision import Preprocessing
from genrec.prompts import train_tokenizer
from genrec.recipe import run_recipe
from genrec.tokenization import item_texts


@dataclass(frozen=True, kw_only=True)
class Config:
    out: Path
    """Where the checkpoint goes; one that stands there is replaced when all went well."""

    dataset: Path | None = None
    """Learn from the pictures of this data set's catalogue, which recipes/prepare.py wrote."""

    captions: tuple[str, ...] = ()
    """Attributes of an item that make its caption, such as ``[title, brand]``; empty takes all."""

    toy_pictures: int = 0
    """Or learn from so many toy pictures, which are drawn for this and belong to no shop."""

    text_pieces: int = 1000
    """Size at most of the SentencePiece vocabulary that is trained on the captions."""

    pretraining: PretrainingConfig = field(default_factory=PretrainingConfig)
    seed: int = 0
    """Decides the toy pictures, the weights, what is held out, and the order."""

    def __post_init__(self) -> None:
        if (self.dataset is None) == (self.toy_pictures == 0):
            raise ValueError("give either dataset or toy_pictures: what the encoder learns from")


def main(config: Config) -> None:
    check_writable(config.out, sign="config.json")
    captioned = collect(config)
    # T5's numbers of special tokens: CLIP takes the number 2 of an end token for another thing.
    tokenizer = train_tokenizer(captioned.captions, size=config.text_pieces, kind="t5")
    side = config.pretraining.encoder.image_size
    eyes = Preprocessing(height=side, width=side)
    pixels_U3HW = np.stack([eyes.pixels(picture) for picture in captioned.pictures])
    pretrained = pretrain_encoder(
        pixels_U3HW, captioned.captions, tokenizer, config.pretraining, seed=config.seed,
        progress=sys.stderr.isatty(),
    )  # fmt: skip
    save_encoder(config.out, pretrained.model, tokenizer)
    print(
        f"{len(captioned.captions)} pictures; of those held out, {pretrained.found:.1%} find their "
        f"caption (by chance {pretrained.chance:.1%}); the encoder stands in {config.out}"
    )


def collect(config: Config) -> Captioned:
    """Draw toy pictures, or read those of a catalogue with the texts of their items."""
    if config.dataset is None:
        return captioned_pictures(config.toy_pictures, seed=config.seed)
    catalogue = Dataset.load(config.dataset).catalogue
    rows = np.flatnonzero(catalogue.has_picture)
    shown = Catalogue(catalogue.table[rows])
    pictures = [picture for row in range(len(shown)) if (picture := shown.picture(row))]
    return Captioned(pictures, item_texts(shown, config.captions or None))


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
