"""The recipe from a catalogue's pictures to a VQ model with its error and a sheet to look at."""

import io
import json

import numpy as np
import polars as pl
import pytest
from PIL import Image

from genrec.artifacts import ArtifactError
from genrec.config import load_config
from genrec.data import Catalogue, DataError, Dataset
from genrec.models.image_tokens import ImageTokenizer
from recipes.train_image_tokenizer import Config, main
from tests.recipes.test_finetune import RECIPES
from tests.small_shop import small_dataset

pytest.importorskip("diffusers")

TINY = (
    "--model.size=16", "--model.channels=[8,8]", "--model.codebook_size=12",
    "--training.steps=4", "--training.continuous_steps=1", "--training.batch_size=2",
)  # fmt: skip


def png(seed):
    noise = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """Save a data set with pictures, one missing and one broken."""
    folder, dataset = tmp_path_factory.mktemp("shop"), small_dataset()
    pictures = [png(row) for row in range(10)] + [None, b"no picture"]
    table = dataset.catalogue.table.with_columns(pl.Series("picture", pictures, dtype=pl.Binary))
    Dataset(catalogue=Catalogue(table), interactions=dataset.interactions, name="small").save(
        folder / "data"
    )
    return folder


def run(shop, out, *options):
    config = RECIPES / "configs" / "image_tokenizer_toy.yaml"
    main(load_config(Config, config, [f"--dataset={shop / 'data'}", f"--out={out}", *options]))


def test_it_writes_a_model_its_error_and_a_sheet(shop, tmp_path, capsys):
    run(shop, tmp_path / "images", *TINY)
    assert ImageTokenizer.from_pretrained(tmp_path / "images").side == 8
    quality = json.loads((tmp_path / "images" / "quality.json").read_text())
    assert (quality["learnt"]["pictures"], quality["held_out"]["pictures"]) == (9, 1)
    assert Image.open(tmp_path / "images" / "held_out.webp").size[0] > 16
    assert "8 x 8 of 12 codes" in capsys.readouterr().out
    again = ("--training=null", f"--pretrained={tmp_path / 'images'}", "--model.size=8")
    run(shop, tmp_path / "taken", *again)
    assert ImageTokenizer.from_pretrained(tmp_path / "taken").size == 8


def test_a_catalogue_without_pictures_is_refused(tmp_path):
    small_dataset().save(tmp_path / "data")
    with pytest.raises(DataError, match="0 items have a picture"):
        run(tmp_path, tmp_path / "images", *TINY)
    assert not (tmp_path / "images").exists()


def test_settings_that_make_no_sense_are_refused(shop, tmp_path):
    with pytest.raises(ArtifactError, match="holds no VQ model"):
        run(shop, tmp_path / "images", f"--pretrained={tmp_path}")
    for options, message in (
        (("--training=null",), "a new model must be trained"),
        (("--held_out=0",), "held_out is 0"),
    ):
        with pytest.raises(ValueError, match=message):
            run(shop, tmp_path / "images", *options)
