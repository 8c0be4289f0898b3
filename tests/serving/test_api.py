import numpy as np
import pytest
import torch

from genrec import GenRec
from genrec.data import DataError
from genrec.recommender import Recommender, Request
from genrec.serving import AnswerError, TransformersRecommender
from tests.small_shop import small_bundle

HISTORY = ["sku-0", "sku-1", "sku-5"]
ALL = {f"sku-{row}" for row in range(12)}


@pytest.fixture(scope="module", params=["llama", "t5"])
def rec(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "model"
    small_bundle(path, architecture=request.param)
    return GenRec.from_pretrained(path, device="cpu")


def named(recommendations):
    return [item for item, _ in recommendations]


def test_recommendations_are_distinct_items_best_first(rec):
    recommendations = rec.recommend(HISTORY, k=5)
    assert len(set(named(recommendations))) == 5
    assert set(named(recommendations)) <= ALL
    scores = [score for _, score in recommendations]
    assert scores == sorted(scores, reverse=True)


def test_the_history_is_not_recommended_again_unless_asked(rec):
    assert set(named(rec.recommend(HISTORY, k=12))) == ALL - set(HISTORY)
    assert set(named(rec.recommend(HISTORY, k=12, repeat=True))) == ALL


def test_excluded_items_are_never_named(rec):
    assert "sku-7" not in named(rec.recommend(HISTORY, k=12, exclude=["sku-7"]))


def test_only_the_given_items_are_named(rec):
    stock = ["sku-2", "sku-9", "sku-0"]
    assert set(named(rec.recommend(HISTORY, k=12, only=stock))) == {"sku-2", "sku-9"}


def test_an_empty_stock_is_an_error_and_never_no_constraint(rec):
    with pytest.raises(ValueError, match="only"):
        rec.recommend(HISTORY, only=[])
    with pytest.raises(ValueError, match="leaves no item"):
        rec.recommend(HISTORY, only=HISTORY)


def test_a_new_user_gets_recommendations_too(rec):
    assert len(rec.recommend([], k=3)) == 3


def test_many_users_get_what_each_would_get_alone(rec):
    histories = [HISTORY, [], ["sku-3"], HISTORY[::-1] * 4]
    together = rec.recommend_many(histories, k=4)
    for history, batched in zip(histories, together, strict=True):
        alone = rec.recommend(history, k=4)
        assert named(alone) == named(batched)
        for (_, one), (_, other) in zip(alone, batched, strict=True):
            assert one == pytest.approx(other, abs=1e-4)


def test_a_query_changes_what_is_found(rec):
    lamp = rec.search(HISTORY, "red lamp", k=9)
    case = rec.search(HISTORY, "blue case", k=9)
    assert set(named(lamp)) == set(named(case)) == ALL - set(HISTORY)
    assert [score for _, score in lamp] != [score for _, score in case]


def test_scores_are_log_probabilities_of_the_items(rec):
    recommendations = rec.recommend(HISTORY, k=12, repeat=True)
    assert np.exp([score for _, score in recommendations]).sum() < 1


def test_explanations_hold_text_alone(rec):
    text = rec.explain(HISTORY, "sku-4")
    assert isinstance(text, str)
    assert "<a_" not in text
    assert "[EOC]" not in text


def test_an_answer_that_is_no_rating_is_an_error_and_not_a_number(rec):
    with torch.no_grad(), pytest.raises(AnswerError, match="is no rating"):
        rec.rate(HISTORY, "sku-4")  # the model was never trained


def test_an_unknown_item_is_refused_by_name(rec):
    with pytest.raises(DataError, match="sku-99"):
        rec.recommend(["sku-99"])


def test_a_text_in_place_of_a_history_is_refused(rec):
    with pytest.raises(TypeError, match="list of item ids"):
        rec.recommend("sku-1")


def test_each_user_needs_a_query(rec):
    with pytest.raises(ValueError, match="2 histories, but 1 of 'query'"):
        rec.search_many([HISTORY, HISTORY], ["lamp"])


def test_an_unknown_engine_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no engine 'magic'"):
        GenRec.from_pretrained(tmp_path, engine="magic")


def test_nobody_asked_nothing_answered(rec):
    assert rec.recommend_many([], k=3) == []
    assert rec.explain_many([], []) == []


def test_the_prompt_can_be_read(rec):
    text = rec.recommender.prompt_text(Request(history=(0, 4)))
    assert text.endswith("<a_0><b_0><a_1><b_1>")


def test_the_engine_follows_the_protocol(rec):
    assert isinstance(rec.recommender, Recommender)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_batches_do_not_change_answers(rec, batch_size):
    model, renderer = rec.recommender._model, rec.recommender._renderer
    requests = [Request(history=tuple(range(n))) for n in (1, 7, 3, 0, 5)]
    expected = rec.recommender.recommend(requests, 4)
    engine = TransformersRecommender(model, renderer, batch_size=batch_size)
    for one, other in zip(expected, engine.recommend(requests, 4), strict=True):
        assert one.items.tolist() == other.items.tolist()
