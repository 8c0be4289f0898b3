import numpy as np
import pytest

from genrec.data import DataError, Dataset, leave_one_out
from genrec.eval.templates import TemplateConfig, TemplateRecommender, tune_templates
from genrec.recommender import Recommender, Request
from tests.eval.written import written

FINE, LOUD, WARM = "It is fine.", "It is loud!", "It is warm."


def shop(categories=("lamp", "lamp", "sock", "sock"), **texts):
    """Users who meet the items 0, 1, 2, 3 and write of each."""
    dataset = written(
        {user: range(len(said)) for user, said in texts.items()},
        items=4,
        texts=texts,
        ratings={user: [5, 5, 1, 1][: len(said)] for user, said in texts.items()},
    )
    table = dataset.catalogue.table.with_columns(category=np.array(categories))
    return Dataset(type(dataset.catalogue)(table), dataset.interactions, "written")


def templates(dataset, train=None, **config):
    everything = np.ones(len(dataset.interactions), dtype=bool)
    return TemplateRecommender(
        dataset, everything if train is None else train, TemplateConfig(**config)
    )


def explain(recommender, item, **told):
    task = told.pop("task", "explain")
    return recommender.generate([Request(task=task, item=item, **told)])[0]


def test_an_item_is_explained_by_its_most_frequent_sentence():
    dataset = shop(ann=[f"{FINE} {LOUD}", WARM], bob=[LOUD, FINE], cid=[LOUD, FINE])
    assert explain(templates(dataset), 0) == LOUD
    assert explain(templates(dataset), 1) == FINE


def test_several_sentences_are_told_in_the_order_of_their_counts():
    dataset = shop(ann=[f"{FINE} {LOUD} {WARM}"], bob=[f"{LOUD} {FINE}"], cid=[LOUD])
    assert explain(templates(dataset, sentences=2), 0) == f"{LOUD} {FINE}"


def test_an_unknown_item_is_told_of_by_its_category_and_else_by_all():
    dataset = shop(ann=[LOUD, LOUD, FINE, None], bob=[LOUD, LOUD, FINE, None])
    assert explain(templates(dataset, category="category"), 3) == FINE
    assert explain(templates(dataset), 3) == LOUD


def test_shares_by_hand():
    dataset = shop(ann=[FINE, LOUD], bob=[LOUD, LOUD])
    recommender = templates(dataset, shrinkage=2.0)
    groups = recommender._groups(0, None)
    # Of all: fine is 1 of 4 sentences, shrunk to nothing: 1 / (4 + 2); item 0 has it in 1 of 2.
    assert recommender._share(groups, FINE) == pytest.approx((1 + 2 * 1 / 6) / (2 + 2))


def test_few_words_of_an_item_are_drawn_to_what_is_said_of_all():
    dataset = shop(ann=[WARM, LOUD, LOUD, LOUD], bob=[None, LOUD, LOUD, LOUD])
    assert explain(templates(dataset, shrinkage=0.1), 0) == WARM
    assert explain(templates(dataset, shrinkage=100.0), 0) == LOUD


def test_a_rating_that_is_told_decides_which_reviews_count():
    dataset = shop(ann=[FINE, FINE, LOUD, LOUD], bob=[FINE, FINE, LOUD, LOUD])
    recommender = templates(dataset)
    assert explain(recommender, 0, rating=1.0) == FINE, "the task explain does not tell it"
    assert explain(recommender, 0, task="explain_rated", rating=5.0) == FINE
    assert explain(recommender, 0, task="explain_rated", rating=1.0) == LOUD
    assert explain(recommender, 0, task="explain_rated", rating=3.0) == FINE


def test_a_hint_brings_the_sentences_that_hold_it_to_the_front():
    dataset = shop(ann=[f"{FINE} {WARM}"], bob=[FINE])
    assert explain(templates(dataset), 0, task="explain_hint", hint="Warm") == WARM
    assert explain(templates(dataset), 0, task="explain_hint", hint="cheap") == FINE


def test_a_hint_is_a_word_and_no_part_of_one():
    dataset = shop(ann=["A great start."], bob=["A great start."], cid=["Like art!"])
    assert explain(templates(dataset), 0, task="explain_hint", hint="art") == "Like art!"


def test_only_train_events_are_read():
    dataset = shop(ann=[FINE], bob=[LOUD], cid=[LOUD])
    assert explain(templates(dataset, np.array([True, False, False])), 0) == FINE


def test_tuning_finds_how_many_sentences_people_write():
    dataset = shop(**{f"user {u}": [f"{FINE} {WARM}"] * 4 for u in range(5)})
    assert tune_templates(dataset, leave_one_out(dataset.interactions)).sentences == 2


def test_what_cannot_be_done_is_refused():
    dataset = shop(ann=[FINE])
    recommender = templates(dataset)
    assert isinstance(recommender, Recommender)
    with pytest.raises(NotImplementedError, match="rank no items"):
        recommender.recommend([Request()], 5)
    with pytest.raises(NotImplementedError, match="not 'rate'"):
        explain(recommender, 0, task="rate")
    with pytest.raises(DataError, match="'categry'; did you mean 'category'"):
        templates(dataset, category="categry")
    with pytest.raises(ValueError, match="no train event of written has a text"):
        templates(dataset, np.zeros(1, dtype=bool))


@pytest.mark.parametrize("wrong", [{"sentences": 0}, {"shrinkage": 0.0}])
def test_a_config_that_makes_no_sense_is_refused(wrong):
    with pytest.raises(ValueError, match="is 0"):
        TemplateConfig(**wrong)
