import json

import pytest

from genrec.data import DataError
from genrec.data.toy_shop import ToyShopConfig, toy_shop
from recipes.benchmarks.drift import Config, main, withheld


def test_a_withheld_category_drifts_further_than_random_items(tmp_path, capsys):
    main(Config(features=tmp_path, quick=True))
    rows = {
        row["withheld"]: row for row in json.loads(capsys.readouterr().out.splitlines()[-1])["rows"]
    }
    assert rows.keys() == {"random 20%", "camera"}
    assert rows["camera"]["items"] == 20
    assert rows["camera"]["error"] > 1.5 * rows["camera"]["training_error"]
    assert rows["camera"]["worse_share"] > rows["random 20%"]["worse_share"]


def test_a_category_that_nobody_has_is_refused_with_those_that_there_are():
    catalogue = toy_shop(
        ToyShopConfig(categories=5, items_per_category=20, users=20)
    ).dataset.catalogue
    config = Config(label="category", categories=("yacht",), shares=())
    with pytest.raises(
        DataError, match=r"no item has the category 'yacht' in 'category'; there are .*camera"
    ):
        list(withheld(catalogue, config))
