import pytest

from genrec.config import ConfigError
from genrec.data import leave_one_out
from genrec.eval import ItemKNNRecommender
from genrec.eval.methods import METHODS, check_methods, make_method
from genrec.recommender import Request
from tests.eval.written import written

SHOP = written({"ann": [3, 1, 4], "bob": [1, 5, 9]}, ratings={"ann": [5, 2, 1], "bob": [1, 4, 3]})
SPLIT = leave_one_out(SHOP.interactions)


def test_a_method_is_made_with_its_settings():
    values = {"window": 3, "decay": 0.5}
    made = make_method("item_knn", SHOP, SPLIT, settings=values)
    assert isinstance(made, ItemKNNRecommender)
    assert (made._config.window, made._config.decay) == (3, 0.5)


def test_a_wrong_name_is_answered_with_the_right_one():
    with pytest.raises(ValueError, match="'popularty'; did you mean 'popularity'"):
        make_method("popularty", SHOP, SPLIT)


def test_settings_that_a_method_lacks_are_refused():
    with pytest.raises(ConfigError, match="did you mean 'window'"):
        make_method("item_knn", SHOP, SPLIT, settings={"windo": 3})
    with pytest.raises(ConfigError, match="the settings of item_knn"):
        make_method("item_knn", SHOP, SPLIT, settings={"window": "wide"})
    with pytest.raises(ValueError, match="'popularity' has no settings"):
        make_method("popularity", SHOP, SPLIT, settings={"decay": 1})


def test_settings_of_a_method_that_is_not_asked_for_are_refused():
    with pytest.raises(ValueError, match="settings for 'item_knn'"):
        check_methods(("popularity",), {"item_knn": {}})


@pytest.mark.parametrize("name", ["popularity", "item_knn"])
def test_the_seed_orders_items_that_are_alike(name):
    settings = {} if name == "item_knn" else None  # not tuned
    first, same, other = (
        make_method(name, SHOP, SPLIT, settings=settings, seed=seed).recommend([Request()], 12)[0]
        for seed in (0, 0, 1)
    )
    assert first.items.tolist() == same.items.tolist()
    assert first.items.tolist() != other.items.tolist()


@pytest.mark.parametrize("name", ["popularity", "mean_rating"])
def test_a_method_without_settings_chooses_its_own(name):
    assert set(make_method(name, SHOP, SPLIT).tasks) == set(METHODS[name].tasks)
