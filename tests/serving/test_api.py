import numpy as np
import pytest
import torch

from genrec import GenRec
from genrec.data import DataError
from genrec.prompts import TaskError
from genrec.recommender import Diversity, Rater, Recommender, Request, Sampling, Selector
from genrec.serving import (
    AnswerError,
    Calibration,
    TransformersRecommender,
    load_calibration,
    save_bundle,
    save_calibration,
)
from tests.small_shop import small_bundle, small_model, small_renderer

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
    with pytest.raises(ValueError, match="`only` minus the history leaves no item"):
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


def test_a_rating_is_the_expectation_over_the_scale(rec, monkeypatch):
    log_prob_ES = np.log(np.array([[0.1, 0.0, 0.1, 0.3, 0.5]]) + 1e-12)
    monkeypatch.setattr(rec.recommender, "rating_log_probs", lambda requests: log_prob_ES)
    assert rec.rate(HISTORY, "sku-4") == pytest.approx(4.1)
    assert rec.rate(HISTORY, "sku-4", likeliest=True) == 5.0
    assert rec.rate_review("a fine lamp") == pytest.approx(4.1)


def test_probabilities_of_ratings_are_those_of_their_tokens(rec):
    engine, request = rec.recommender, Request(task="rate", history=(0, 1), item=4)
    model, renderer = engine._model, engine._renderer
    found_S = engine.rating_log_probs([Request(task="rate", item=3), request])[1]
    prompt = torch.from_numpy(renderer.render(request).prompt)[None].long()
    for found, answer in zip(found_S, renderer.rating_answers, strict=True):
        tokens = torch.tensor([answer])
        with torch.no_grad():
            if model.config.is_encoder_decoder:
                logits = model(prompt, labels=tokens).logits
            else:
                logits = model(torch.cat([prompt, tokens[:, :-1]], dim=1)).logits
        log_probs = logits[0, -len(answer) :].log_softmax(dim=1)
        expected = log_probs.gather(1, tokens[0][:, None]).sum().item()
        assert found == pytest.approx(expected, abs=1e-4)


def test_a_calibration_is_kept_with_the_model_and_read_again(rec, tmp_path):
    engine = rec.recommender
    requests = [Request(task="rate", history=(row,), item=4) for row in range(12)]
    save_bundle(tmp_path / "model", engine._model, engine._renderer)
    assert load_calibration(tmp_path) is None
    calibration = engine.calibrate(requests, [5.0] * 6 + [4.0] * 6)
    engine._calibration = Calibration(scale=calibration.scale)
    save_calibration(tmp_path, calibration)
    again = GenRec.from_pretrained(tmp_path, device="cpu")
    assert again.recommender._calibration == calibration


def test_a_calibration_on_another_scale_is_refused(rec):
    engine, other = rec.recommender, Calibration(scale=(0.5, 1.0))
    with pytest.raises(ValueError, match="calibrated on the scale"):
        TransformersRecommender(engine._model, engine._renderer, calibration=other)


def test_a_selection_names_some_of_the_candidates_once(rec):
    candidates = ["sku-7", "sku-2", "sku-9"]
    chosen = rec.select_many([HISTORY, []], [candidates, ["sku-1"]])
    assert set(chosen[0]) <= set(candidates)
    assert len(set(chosen[0])) == len(chosen[0])
    assert set(chosen[1]) <= {"sku-1"}
    assert rec.select(HISTORY, candidates) == chosen[0]


def test_direct_recommendations_rank_the_candidates(rec):
    candidates = ["sku-7", "sku-2", "sku-9"]
    assert set(named(rec.recommend(HISTORY, candidates=candidates))) == set(candidates)
    only = rec.recommend(HISTORY, candidates=candidates, only=["sku-2", "sku-3"])
    assert named(only) == ["sku-2"]
    many = rec.recommend_many([HISTORY, []], candidates=[candidates, ["sku-4"]])
    assert named(many[1]) == ["sku-4"]


def test_the_prompt_of_a_direct_recommendation_names_the_candidates(rec):
    text = rec.recommender.prompt_text(Request(task="direct", history=(0,), candidates=(4, 7)))
    assert "<a_1><b_1><a_2><b_1>" in text


def test_a_choice_among_more_than_an_answer_holds_is_refused(rec):
    with pytest.raises(ValueError, match="name at most 31"):
        rec.select(HISTORY, [f"sku-{number % 12}" for number in range(32)])


def test_explanations_take_a_hint_or_a_rating(rec):
    assert isinstance(rec.explain(HISTORY, "sku-4", hint="colour"), str)
    assert isinstance(rec.explain(HISTORY, "sku-4", rating=2.0), str)
    with pytest.raises(ValueError, match="a hint or a rating, not both"):
        rec.explain(HISTORY, "sku-4", hint="colour", rating=2.0)


def test_a_dialogue_asks_for_items(rec):
    talk = [("user", "I need a lamp."), ("recommender", "Red or blue?"), ("user", "Blue.")]
    assert len(rec.converse(talk, k=4)) == 4
    assert "sku-4" not in named(rec.converse(talk, ["sku-4"], k=12))


def test_items_that_were_spoken_of_stand_in_the_prompt(rec):
    talk = [("user", "I have this.", ["sku-4"]), ("recommender", "And?")]
    bare = [("user", "I have this."), ("recommender", "And?")]
    assert rec.converse(talk, k=12) != rec.converse(bare, k=12)
    with pytest.raises(DataError, match="sku-99"):
        rec.converse([("user", "This?", ["sku-99"])])


def test_a_dialogue_goes_on(rec):
    talk = [("user", "I need a lamp."), ("recommender", "Red or blue?"), ("user", "Blue.")]
    first, second = rec.reply_many([talk, talk[:1]])
    assert isinstance(first, str)
    assert rec.reply(talk[:1]) == second


def test_reviews_are_summed_up(rec):
    assert isinstance(rec.summarize("a fine red lamp"), str)


@pytest.mark.parametrize(
    ("method", "task", "message"),
    [
        ("generate", "recommend", "call recommend"),
        ("rate", "explain", "call generate"),
        ("select", "rate", "call rate"),
        ("generate", "imagine", "call draw"),
    ],
)
def test_a_task_that_is_answered_otherwise_is_refused(rec, method, task, message):
    with pytest.raises(TaskError, match=message):
        getattr(rec.recommender, method)([Request(task=task, item=4)])


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


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ({"device": "gpu"}, "there is no device 'gpu'; give 'cpu', 'cuda'"),
        ({"beams": 0}, "beams is 0; it must be at least 1"),
        ({"batch_size": -1}, "batch_size is -1; it must be at least 1"),
    ],
)
def test_settings_that_make_no_sense_are_refused_before_a_model_is_loaded(
    tmp_path, setting, message
):
    with pytest.raises(ValueError, match=message):
        GenRec.from_pretrained(tmp_path / "no-model", **setting)


@pytest.mark.parametrize("setting", ["beams", "batch_size"])
def test_an_engine_that_could_compute_nothing_is_refused_when_it_is_made(setting):
    with pytest.raises(ValueError, match=f"{setting} is 0; it must be at least 1"):
        TransformersRecommender(None, None, **{setting: 0})


def test_fixed_shapes_change_no_answer(tmp_path):
    small_bundle(tmp_path / "model")
    plain, fixed = (
        GenRec.from_pretrained(tmp_path, device="cpu", fixed_shapes=fixed)
        for fixed in (False, True)
    )
    for k in (3, 25):
        expected = plain.recommend_many([HISTORY, [], ["sku-3"]], k=k, exclude=["sku-7"])
        found = fixed.recommend_many([HISTORY, [], ["sku-3"]], k=k, exclude=["sku-7"])
        assert [named(of_one) for of_one in found] == [named(of_one) for of_one in expected]


def test_fixed_shapes_of_vllm_are_refused(tmp_path):
    with pytest.raises(ValueError, match="leave fixed_shapes out"):
        GenRec.from_pretrained(tmp_path, engine="vllm", fixed_shapes=True)


@pytest.mark.parametrize("rating", [99, 0.5, float("nan")])
def test_a_rating_off_the_scale_is_not_explained(rec, rating):
    with pytest.raises(ValueError, match=f"the rating {rating:g} is not from 1 to 5"):
        rec.explain(HISTORY, "sku-4", rating=rating)


TALK = [("user", "A lamp.")]


@pytest.fixture(scope="module")
def searcher(tmp_path_factory):
    """A model whose directory says that it learned to recommend and to search."""
    path = tmp_path_factory.mktemp("runs") / "model"
    renderer = small_renderer()
    info = {"config": {"tasks": {"search": 0.5, "recommend": 1.0}}}
    save_bundle(path, small_model(renderer), renderer, info=info)
    return GenRec.from_pretrained(path, device="cpu")


@pytest.mark.parametrize(
    ("task", "ask"),
    [
        ("rate", lambda rec: rec.rate(HISTORY, "sku-4")),
        ("preference", lambda rec: rec.rate_review("a fine lamp")),
        ("explain", lambda rec: rec.explain(HISTORY, "sku-4")),
        ("explain_hint", lambda rec: rec.explain(HISTORY, "sku-4", hint="colour")),
        ("explain_rated", lambda rec: rec.explain(HISTORY, "sku-4", rating=2.0)),
        ("summarize", lambda rec: rec.summarize("a fine lamp")),
        ("select", lambda rec: rec.select(HISTORY, ["sku-4"])),
        ("direct", lambda rec: rec.recommend(HISTORY, candidates=["sku-4"])),
        ("converse", lambda rec: rec.converse(TALK)),
        ("reply", lambda rec: rec.reply(TALK)),
        ("imagine", lambda rec: rec.imagine(HISTORY, "lamp")),
    ],
)
def test_a_task_that_the_model_never_learned_is_refused(searcher, task, ask):
    told = f"did not learn the task '{task}'; it learned recommend, search: .*fine-tune .*`tasks`"
    with pytest.raises(TaskError, match=told):
        ask(searcher)


def test_tasks_that_the_model_learned_are_answered(searcher):
    assert len(searcher.recommend(HISTORY, k=3)) == len(searcher.search(HISTORY, "lamp", k=3)) == 3


def test_without_what_a_caller_did_not_ask_for_by_name(searcher):
    with pytest.raises(TaskError, match="give the candidates as `only`, or fine-tune"):
        searcher.recommend(HISTORY, candidates=["sku-4"])


def test_nobody_asked_nothing_answered(rec):
    assert rec.recommend_many([], k=3) == []
    assert rec.explain_many([], []) == []


def test_the_prompt_can_be_read(rec):
    text = rec.recommender.prompt_text(Request(history=(0, 4)))
    assert text.endswith("<a_0><b_0><a_1><b_1>")


def test_the_engine_follows_the_protocol(rec):
    for protocol in (Recommender, Rater, Selector):
        assert isinstance(rec.recommender, protocol)


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_batches_do_not_change_answers(rec, batch_size):
    model, renderer = rec.recommender._model, rec.recommender._renderer
    requests = [Request(history=tuple(range(n))) for n in (1, 7, 3, 0, 5)]
    expected = rec.recommender.recommend(requests, 4)
    engine = TransformersRecommender(model, renderer, batch_size=batch_size)
    for one, other in zip(expected, engine.recommend(requests, 4), strict=True):
        assert one.items.tolist() == other.items.tolist()


# Wishes: the small shop's items cost 1 to 12, and every third one's brand is unknown.


def test_a_subset_holds_what_meets_all_conditions(rec):
    cheap = rec.subset(price=(None, 5), brand="Acme")
    assert set(named(rec.recommend([], k=12, within=cheap))) == {"sku-0", "sku-3"}
    known = rec.subset(brand=["Acme", "Bolt"]) & rec.subset(price=(4, 8))
    expected = {"sku-3", "sku-4", "sku-6", "sku-7"}
    assert set(named(rec.search([], "lamp", k=12, within=known))) == expected
    stocked = rec.subset(items=["sku-4", "sku-5"], price=[5.0, 6, 7])
    assert set(named(rec.converse([("user", "A lamp.")], k=12, within=stocked))) == {
        "sku-4",
        "sku-5",
    }


@pytest.mark.parametrize(
    ("conditions", "error", "message"),
    [
        ({}, ValueError, "needs items or conditions"),
        ({"colour": "red"}, DataError, "no column 'colour'"),
        ({"price": (100, None)}, ValueError, r"no item with price=\(100, None\)"),
        (
            {"items": [], "brand": "Acme"},
            ValueError,
            "no item with brand='Acme' among the 0",
        ),
        ({"brand": ("A", "B")}, ValueError, "is no range"),
        ({"price": "cheap"}, ValueError, "price='cheap': the column 'price' holds numbers"),
        ({"brand": ["Acme", 3]}, ValueError, "brand=3: the column 'brand' holds text"),
        ({"price": ("1", "5")}, ValueError, r"price=\('1', '5'\) is no range"),
        ({"price": None}, ValueError, "price=None: give a value"),
        ({"items": "sku-1"}, TypeError, "not as 'sku-1'"),
    ],
)
def test_a_subset_that_makes_no_sense_is_refused(rec, conditions, error, message):
    with pytest.raises(error, match=message):
        rec.subset(**conditions)


def test_boosts_are_added_to_scores(rec):
    plain = dict(rec.recommend(HISTORY, k=12))
    boosted = rec.recommend(HISTORY, k=12, boosts={"sku-7": 30.0, "sku-8": -30.0})
    assert named(boosted)[0] == "sku-7"
    assert named(boosted)[-1] == "sku-8"
    assert boosted[0].score == pytest.approx(plain["sku-7"] + 30, abs=1e-4)


def test_diverse_recommendations_are_of_every_colour(rec):
    found = named(rec.recommend([], k=12, diversity=Diversity(at_most=1)))
    assert sorted(int(item.removeprefix("sku-")) // 3 for item in found) == [0, 1, 2, 3]


def test_a_draw_follows_its_seed_and_not_the_batch(rec):
    def draw(histories, seed):
        found = rec.recommend_many(histories, k=4, temperature=3.0, seed=seed)
        return [named(of_one) for of_one in found]

    many = draw([HISTORY, [], ["sku-3"]], seed=5)
    assert [draw([HISTORY], 5)[0], draw([[]], 6)[0], draw([["sku-3"]], 7)[0]] == many
    assert len({tuple(draw([[]], seed)[0]) for seed in range(8)}) > 1
    assert len({tuple(draw([[]], None)[0]) for _ in range(12)}) > 1


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"only": "sku-1"}, "item ids come in a list.*not as 'sku-1'"),
        ({"exclude": None}, "item ids come in a list.*not as None"),
        ({"within": ["sku-1"]}, "GenRec.subset makes, not a list; a few items go into only"),
        ({"boosts": ["sku-1"]}, "boosts map item ids to numbers.*this is a list"),
        ({"diversity": 1}, r"such as Diversity\(at_most=2\), not 1"),
    ],
)
def test_a_wish_of_another_type_is_refused(rec, wish, message):
    with pytest.raises(TypeError, match=message):
        rec.recommend(HISTORY, **wish)


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda rec: rec.search(HISTORY, 5), "query is 5; give a text"),
        (lambda rec: rec.explain([], "sku-4", hint=5), "hint is 5; give a text"),
        (lambda rec: rec.explain([], "sku-4", rating="5"), "rating is '5'; give a number"),
        (lambda rec: rec.rate_review(5), "review is 5; give a text"),
        (lambda rec: rec.summarize(["fine"]), "review is .'fine'.; give a text"),
        (lambda rec: rec.recommend([], k=2.5), "k is 2.5; give a whole number"),
        (lambda rec: rec.recommend([], k="3"), "k is '3'; give a whole number"),
        (lambda rec: rec.recommend([], temperature="1"), "temperature is '1'; give a number above"),
        (lambda rec: rec.recommend([], temperature=1, seed=1.5), "seed is 1.5; give a whole"),
        (lambda rec: rec.recommend([], boosts={"sku-1": "1"}), "boost of 'sku-1' is '1'; give a"),
        (lambda rec: rec.converse("hello"), "a dialogue is a list of turns.*not 'hello'"),
        (lambda rec: rec.converse(["hello"]), "list of turns.*this turn is 'hello'"),
        (lambda rec: rec.reply([("shop", "Hello?")]), "a turn is 'user' or 'recommender'"),
        (lambda rec: rec.reply([("user", 5)]), "a text, not .'user', 5"),
    ],
)
def test_an_argument_of_another_type_is_named_with_its_value(rec, ask, message):
    with pytest.raises(TypeError, match=message):
        ask(rec)


def test_numbers_of_numpy_are_numbers(rec):
    wishes = {"k": np.int64(3), "temperature": np.float32(1.0), "seed": np.int32(1)}
    assert rec.recommend(HISTORY, **wishes) == rec.recommend(HISTORY, k=3, temperature=1.0, seed=1)


def test_requests_of_one_batch_may_all_ask_for_something_else(rec):
    engine = rec.recommender
    red = rec.subset(items=["sku-0", "sku-1", "sku-2"])
    requests = [
        Request(history=(1, 5)),
        Request(history=(2,), within=red),
        Request(history=(3, 4, 5), within=rec.subset(price=(4, None)), exclude=(3, 4, 5)),
        Request(history=(2,), boosts=((9, 3.0),), only=(8, 9, 10)),
        Request(diversity=Diversity(at_most=1)),
        Request(history=(2,), sampling=Sampling(temperature=2.0, seed=3)),
        Request(sampling=Sampling(seed=4), diversity=Diversity(at_most=2), within=red),
        Request(history=(1, 5), boosts=((9, 3.0),), diversity=Diversity(at_most=1, codes=2)),
    ]
    for request, ranking in zip(requests, engine.recommend(requests, 6), strict=True):
        alone = engine.recommend([request], 6)[0]
        assert ranking.items.tolist() == alone.items.tolist()
        np.testing.assert_allclose(ranking.scores, alone.scores, atol=1e-4)
        assert request.allowed(12)[ranking.items].all()


def test_wishes_that_contradict_each_other_are_refused(rec):
    with pytest.raises(ValueError, match="give a temperature"):
        rec.recommend(HISTORY, seed=1)
    with pytest.raises(ValueError, match="cannot be combined"):
        rec.recommend(HISTORY, temperature=1.0, boosts={"sku-7": 1.0})
    with pytest.raises(ValueError, match="the history leaves no item of the set in `within`"):
        rec.recommend(["sku-4"], within=rec.subset(items=["sku-4"]))
    with pytest.raises(TypeError, match="onyl"):
        rec.recommend(HISTORY, onyl=["sku-4"])
