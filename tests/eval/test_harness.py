import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.data import Dataset, leave_one_out
from genrec.eval import LeakError, ProtocolError, evaluate
from genrec.eval.ranking import MISSED
from genrec.recommender import Ranking, Rating
from genrec.semantic_ids import SemanticIds
from tests.eval.written import Oracle, written

TWO = written({"ann": [3, 1, 4], "bob": [1, 5, 9]})
LAST = leave_one_out(TWO.interactions).test


def scored(ranking, dataset=TWO, events=LAST, **options):
    return evaluate(Oracle(ranking=ranking), dataset, events, **options)


def counts(ranking, dataset=TWO, events=LAST, **options):
    found = dict(scored(ranking, dataset, events, **options)["recommend"].counts)
    return {name: count for name, count in found.items() if count and name != "requests"}


def test_two_users_by_hand():
    results = scored(lambda request: [7, 4, 2] if request.history == (3, 1) else [0, 2, 4], k=3)
    assert results.ranks.tolist() == [1, MISSED]
    assert results.metrics["hr@3"].value == 0.5
    assert results.metrics["ndcg@3"].value == pytest.approx(0.63093 / 2, abs=1e-5)
    assert results.metrics["mrr@3"].value == 0.25


def test_answers_are_kept_event_by_event():
    answers = scored(lambda request: [7, 4], k=3)["recommend"].answers
    assert answers.target_E.tolist() == [4, 9]
    assert answers.items_EK.tolist() == [[7, 4, -1]] * 2


def test_scores_are_cut_at_1_3_5_and_k():
    names = scored(lambda request: [2], k=4).metrics
    assert [name for name in names if name.startswith("hr")] == ["hr@1", "hr@3", "hr@4"]


def test_a_clean_ranking_has_nothing_to_count():
    assert counts(lambda request: [7, 4, 2], k=3) == {"named": 6}


def test_items_outside_the_catalogue_are_invalid():
    assert counts(lambda request: [-1, 12, 4], k=3) == {"named": 6, "invalid": 4}


def test_items_that_the_request_forbids_are_invalid():
    assert counts(lambda request: [request.history[0], 4, 2], k=3) == {"named": 6, "invalid": 2}


def test_items_of_the_history_are_valid_where_they_are_not_excluded():
    ranking = counts(lambda request: [request.history[0], 4, 2], k=3, exclude_history=False)
    assert ranking == {"named": 6}


def test_invalid_items_take_their_place():
    assert scored(lambda request: [99, 4], k=2, events=LAST[:1]).ranks.tolist() == [1]


def test_repeated_items_are_counted_and_only_the_first_can_hit():
    assert counts(lambda request: [2, 2, 4], k=3) == {"named": 6, "duplicate": 2}
    assert scored(lambda request: [4, 4, 4], k=3, events=LAST[:1]).ranks.tolist() == [0]


def test_a_ranking_is_short_where_more_items_were_allowed():
    assert counts(lambda request: [4], k=3) == {"named": 2, "short": 2}


def test_a_ranking_is_not_short_where_no_more_items_are_allowed():
    dataset = written({"ann": [0, 1, 2]}, items=4)
    assert counts(lambda request: [2, 3], dataset, np.array([2]), k=3) == {"named": 2}


def test_a_target_in_the_excluded_history_is_unreachable_and_missed():
    dataset = written({"ann": [4, 1, 4], "bob": [1, 5, 9]})
    found = counts(lambda request: [4, 9], dataset, k=2)
    assert found == {"named": 4, "invalid": 1, "unreachable": 1}
    results = scored(lambda request: [4, 9], dataset, k=2)
    assert results.ranks.tolist() == [MISSED, 1]
    assert results.metrics["hr@2"].value == 0.5


def test_a_target_in_the_history_can_be_hit_where_repeats_are_allowed():
    dataset = written({"ann": [4, 1, 4]})
    results = scored(lambda request: [4], dataset, np.array([2]), exclude_history=False)
    assert results.ranks.tolist() == [0]


def test_ratings_are_scored_and_what_is_no_number_is_counted():
    dataset = written(
        {"ann": [3, 1], "bob": [2, 7], "cyd": [5, 6]},
        ratings={"ann": [5, 2], "bob": [1, 4], "cyd": [3, None]},
    )
    oracle = Oracle(text=lambda request: "3" if request.item == 1 else "no idea")
    result = evaluate(oracle, dataset, np.array([1, 3, 5]), tasks=["rate"])["rate"]
    assert result.counts == {"requests": 2, "unparsable": 1}
    assert (result.metrics["mae"].value, result.metrics["rmse"].value) == (1, 1)


def test_a_recommender_that_knows_the_chances_of_ratings_is_scored_by_both_its_numbers():
    class Unsure(Oracle):
        def rate(self, requests):
            return [Rating(expected=3.5, likeliest=5.0) for _ in requests]

    dataset = written({"ann": [3, 1]}, ratings={"ann": [5, 4]})
    result = evaluate(Unsure(), dataset, np.array([1]), tasks=["rate"])["rate"]
    assert result.metrics["mae"].value == 0.5
    assert result.metrics["mae-likeliest"].value == 1


def test_selections_are_scored_and_what_was_no_candidate_is_counted():
    class Chooser(Oracle):
        def select(self, requests):
            self.requests += requests
            return [() if request.history[0] == 1 else (4, 99) for request in requests]

    chooser = Chooser()
    result = evaluate(chooser, TWO, LAST, tasks=["select"], candidates=4)["select"]
    assert result.counts == {"requests": 2, "named": 2, "invalid": 1, "empty": 1}
    assert result.answers.fitting == ((4,), (9,))
    assert {name: metric.value for name, metric in result.metrics.items()} == pytest.approx(
        {"precision": 0.25, "recall": 0.5, "f1": 1 / 3}
    )
    assert all(len(request.candidates) == 4 for request in chooser.requests)


def test_who_cannot_select_is_not_asked_to():
    with pytest.raises(ProtocolError, match="Oracle has no method 'select'"):
        evaluate(Oracle(), TWO, LAST, tasks=["select"])


def test_direct_recommendations_are_out_of_the_candidates():
    results = scored(lambda request: request.candidates, tasks=["direct"], k=5, candidates=5)
    assert results["direct"].counts["invalid"] == 0
    assert (results.ranks != MISSED).all()


def test_explanations_are_scored_and_empty_ones_are_counted():
    dataset = written(
        {"ann": [3, 1], "bob": [2, 7]}, texts={"ann": ["", "so red"], "bob": ["", "x"]}
    )
    oracle = Oracle(text=lambda request: "so red" if request.item == 1 else " ")
    result = evaluate(oracle, dataset, np.array([1, 3]), tasks=["explain"])["explain"]
    assert result.counts == {"requests": 2, "empty": 1}
    assert result.metrics["rouge-1"].value == 50


def test_several_tasks_are_asked_one_after_the_other():
    dataset = written({"ann": [3, 1]}, ratings={"ann": [5, 2]}, queries={"ann": ["", "a mug"]})
    oracle = Oracle(ranking=lambda request: [1], text=lambda request: "2")
    results = evaluate(oracle, dataset, np.array([1]), tasks=["recommend", "search", "rate"])
    assert list(results.tasks) == ["recommend", "search", "rate"]
    assert [request.query for request in oracle.requests] == [None, "a mug", None]


def test_the_size_of_batches_changes_nothing():
    log = {f"user {u}": np.random.default_rng(u).permutation(12)[:5].tolist() for u in range(20)}
    dataset = written(log)
    events = leave_one_out(dataset.interactions).test
    runs = [
        scored(lambda request: [item for item in range(12) if item not in request.history][:5],
               dataset, events, k=5, batch_size=size)
        for size in (1, 7, 100)
    ]  # fmt: skip
    assert runs[0].ranks.tolist() == runs[1].ranks.tolist() == runs[2].ranks.tolist()


def test_a_recommender_that_learned_from_the_targets_is_refused():
    everything = np.ones(len(TWO.interactions), dtype=bool)
    with pytest.raises(LeakError, match="user 'ann'"):
        scored(lambda request: [2], train=everything)


def test_a_recommender_whose_history_holds_the_target_is_refused():
    dataset = written({"ann": [3, 1, 4, 4]})
    twice = dataclasses.replace(dataset.interactions, time=np.array([0, 1, 2, 2]))
    with pytest.raises(LeakError, match="user 'ann'"):
        scored(lambda request: request.history[-1:], Dataset(dataset.catalogue, twice, "x"), [3])


def test_a_ranking_that_is_too_long_is_refused():
    with pytest.raises(ProtocolError, match="event 2 names 4 items, but 3"):
        scored(lambda request: [1, 2, 3, 4], k=3)


def test_a_missing_answer_is_refused():
    class Mute(Oracle):
        def recommend(self, requests, k):
            return super().recommend(requests, k)[:-1]

    with pytest.raises(ProtocolError, match="2 requests got 1 answers"):
        evaluate(Mute(ranking=lambda request: [1]), TWO, LAST)


def test_an_empty_share_of_the_events_has_no_ranks():
    assert scored(lambda request: [1], events=LAST[:0]).ranks.tolist() == []


def test_a_wrong_task_name_among_results_is_answered_with_the_right_one():
    with pytest.raises(KeyError, match="did you mean 'recommend'"):
        scored(lambda request: [1])["recomend"]


@given(st.permutations(range(12)), st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=20)
def test_renumbering_the_items_changes_no_score(new_row, random):
    log = {f"user {u}": random.sample(range(12), 5) for u in range(8)}
    renumbered = {user: [new_row[item] for item in items] for user, items in log.items()}
    old_row = np.argsort(new_row)

    def ranking(request):
        return sorted(range(12), key=lambda item: (item * 7 + sum(request.history)) % 13)[:6]

    class Renumbered(Oracle):
        def recommend(self, requests, k):
            own = [
                dataclasses.replace(
                    r, history=tuple(int(old_row[i]) for i in r.history), exclude=()
                )
                for r in requests
            ]
            rankings = super().recommend(own, k)
            return [Ranking(np.array(new_row)[r.items], r.scores) for r in rankings]

    dataset, other = written(log), written(renumbered)
    events = leave_one_out(dataset.interactions).test
    before = evaluate(Oracle(ranking=ranking), dataset, events, k=6)
    after = evaluate(Renumbered(ranking=ranking), other, events, k=6)
    assert before.metrics == after.metrics
    assert before["recommend"].counts == after["recommend"].counts


def test_items_that_share_an_id_hit_by_id_and_not_by_item():
    codes = np.arange(12, dtype=np.int32)[:, None] // 2  # items 4 and 5 share one, so do 8 and 9
    ids = SemanticIds(codes, (6,))
    # For ann, who wants 4: the IDs of 6 and 7 are one place, and that of 5 is the second.
    results = scored(
        lambda request: [6, 7, 5] if request.history == (3, 1) else [9, 2, 4], k=3, ids=ids
    )
    assert results.ranks.tolist() == [MISSED, 0]
    values = {name: interval.value for name, interval in results.metrics.items()}
    assert (values["hr@3"], values["id-hr@3"]) == (0.5, 1.0)
    assert values["id-mrr@3"] == pytest.approx((1 / 2 + 1) / 2)


def test_auc_among_candidates_by_hand():
    def ranking(request):
        wrong = [item for item in request.candidates if item not in (4, 9)]
        return [wrong[0], 4, *wrong[1:]] if request.history == (3, 1) else wrong[:2]

    # ann: one of three wrong ones above. bob: not named, so equal to the last of three: 1 / 2 / 3.
    results = scored(ranking, tasks=["direct"], k=4, candidates=4)
    assert results.metrics["auc"].value == pytest.approx((2 / 3 + 1 / 6) / 2)


def test_a_hint_is_a_feature_word_of_what_the_user_wrote():
    dataset = written(
        {"ann": [3, 1], "bob": [2, 7]}, texts={"ann": ["", "it is red"], "bob": ["", "or"]}
    )
    oracle = Oracle(text=lambda request: f"so {request.hint}")
    result = evaluate(oracle, dataset, np.array([1, 3]), tasks=["explain_hint"])["explain_hint"]
    assert [request.hint for request in oracle.requests] == ["red"]
    assert result.metrics["feature-match"].value == 100


def test_requests_can_be_changed_on_their_way():
    oracle = Oracle(ranking=lambda request: [request.history[0]])

    def tell(question):
        return dataclasses.replace(question.request, history=(question.target,), times=())

    assert evaluate(oracle, TWO, LAST, rewrite=tell).ranks.tolist() == [0, 0]
