import subprocess

import numpy as np
import pytest

from genrec.data.toy_shop import ToyShopConfig, toy_shop
from recipes.benchmarks.drawing_shop import make, open_shop

MADE = ("data", "encoder", "tokenizer", "images", "model")


def test_the_truth_of_a_shop_is_planted_again_from_its_data_set(tmp_path):
    shop = toy_shop(ToyShopConfig(categories=4, users=20), seed=3)
    shop.dataset.save(tmp_path / "data")
    again = open_shop(tmp_path)
    np.testing.assert_array_equal(again.taste_U, shop.taste_U)
    assert again.dataset.catalogue.item_ids == shop.dataset.catalogue.item_ids


def test_what_is_there_is_not_made_again_and_what_is_not_is_told_by_its_recipe(tmp_path):
    for name in MADE:
        (tmp_path / name).mkdir()
    make(tmp_path, seed=0)
    assert not any(any((tmp_path / name).iterdir()) for name in MADE)
    (tmp_path / "tokenizer").rmdir()
    with pytest.raises(subprocess.CalledProcessError, match=r"train_tokenizer\.py"):
        make(tmp_path, seed=0)  # the data set is empty
