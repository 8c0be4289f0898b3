import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genrec.data import leave_one_out
from genrec.eval import HybridConfig, HybridRecommender, Part, tune_hybrid
from genrec.eval.contenders import Contender
from genrec.eval.hybrid import FLOORS, WEIGHTS, PooledRanks
from genrec.eval.mixtures import Remembering, hybrids
from genrec.eval.ranking import MISSED
from genrec.recommender import Ranking, Request
from tests.eval.written import written

ITEMS = 8


class Scores:
    """Ranks all items by fixed scores, as far as a request allows."""

    def __init__(self, scores_N):
        self.scores_N = np.asarray(scores_N, dtype=np.float64)
        self.asked: list[list[Request]] = []

    def recommend(self, requests, k):
        self.asked.append(list(requests))
        return [self._rank(request, k) for request in requests]

    def generate(self, requests):
        return ["words"] * len(requests)

    def _rank(self, request, k):
        allowed = [i for i in range(len(self.scores_N)) if i not in request.exclude]
        if request.only is not None:
            allowed = [i for i in allowed if i in request.only]
        best = sorted(allowed, key=lambda i: (-self.scores_N[i], i))[:k]
        return Ranking(np.array(best), self.scores_N[best].astype(np.float32))


def hybrid(model, helper, *weights, **settings):
    """Mix one that ranks by log-probabilities with one that ranks by scores."""
    parts = [Part(model, "log-probabilities"), Part(helper)]
    return HybridRecommender(parts, HybridConfig(weights=weights or (1.0, 1.0), **settings))


def test_a_mixture_worked_by_hand():
    model = Scores(np.log([0.5, 0.3, 0.15, 0.05]))
    helper = Scores([0.0, 1.0, 0.0, 3.0])  # shares 0, 1/4, 0, 3/4
    (found,) = hybrid(model, helper, 1.0, 2.0, floor=0.05).recommend([Request()], 4)
    assert found.items.tolist() == [3, 1, 0, 2]
    assert np.exp(found.scores) == pytest.approx(
        [0.1 * 0.8**2, 0.35 * 0.3**2, 0.55 * 0.05**2, 0.2 * 0.05**2], rel=1e-5
    )


@given(
    st.lists(st.floats(0.01, 1), min_size=ITEMS, max_size=ITEMS),
    st.lists(st.integers(0, 9), min_size=ITEMS, max_size=ITEMS),
    st.floats(0.1, 3),
    st.sampled_from([0.001, 0.1, 1.0]),
    st.sets(st.integers(0, ITEMS - 1), max_size=ITEMS - 1),
)
def test_where_all_is_in_reach_it_is_the_mixture_over_all_items(p_N, h_N, weight, floor, banned):
    p_N, h_N = np.array(p_N) / sum(p_N), np.array(h_N, dtype=np.float64)
    request = Request(exclude=tuple(banned))
    mixed = hybrid(Scores(np.log(p_N)), Scores(h_N), 1.0, weight, floor=floor)
    (found,) = mixed.recommend([request], ITEMS)
    allowed = [item for item in range(ITEMS) if item not in banned]
    share_N = h_N / max(h_N[allowed].sum(), 1e-300)
    score_N = np.log(p_N + floor) + weight * np.log(share_N + floor)
    assert sorted(found.items.tolist()) == allowed
    assert found.scores == pytest.approx(score_N[found.items], rel=1e-4, abs=1e-5)
    assert (np.diff(found.scores) <= 0).all()


def test_items_that_only_one_part_names_are_asked_of_the_others():
    model, helper = Scores(np.log([0.4, 0.3, 0.2, 0.06, 0.04])), Scores([0, 0, 1, 1, 4])
    pool = hybrid(model, helper).pools([Request()], 2)[0]
    assert pool.items_X.tolist() == [0, 1, 2, 4]
    assert [asked[0].only for asked in model.asked] == [None, (2, 4)]
    assert [asked[0].only for asked in helper.asked] == [None, (0, 1)]
    assert pool.share_PX[0] == pytest.approx([0.4, 0.3, 0.2, 0.04], abs=1e-6)
    assert pool.share_PX[1] == pytest.approx([0, 0, 0.2, 0.8])


def test_nothing_is_asked_twice_where_all_name_the_same():
    model, helper = Scores(np.log([0.6, 0.4])), Scores([1, 2])
    hybrid(model, helper).recommend([Request()], 2)
    assert [len(part.asked) for part in (model, helper)] == [1, 1]


def test_a_part_without_weight_counts_nothing():
    model, helper = Scores(np.log([0.4, 0.3, 0.2, 0.1])), Scores([1.0, 2, 3, 4])
    only_model = hybrid(model, helper, 1.0, 0.0).recommend([Request()], 4)[0]
    only_helper = hybrid(model, helper, 0.0, 1.0).recommend([Request()], 4)[0]
    assert only_model.items.tolist() == [0, 1, 2, 3]
    assert only_helper.items.tolist() == [3, 2, 1, 0]


def test_three_parts_are_mixed_and_their_order_does_not_matter():
    parts = [Part(Scores([1, 2, 3, 4])), Part(Scores([4, 1, 1, 4])), Part(Scores([1, 5, 2, 4]))]
    there = HybridRecommender(parts).recommend([Request()], 4)[0]
    back = HybridRecommender(parts[::-1]).recommend([Request()], 4)[0]
    assert there.items.tolist() == back.items.tolist() == [3, 1, 2, 0]
    assert there.scores == pytest.approx(back.scores)


def test_a_part_that_never_names_an_item_gives_it_no_share():
    class Silent(Scores):
        def _rank(self, request, k):
            return Ranking(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.float32))

    (found,) = hybrid(Scores(np.log([0.7, 0.3])), Silent([1, 1]), floor=0.5).recommend(
        [Request()], 2
    )
    assert found.items.tolist() == [0, 1]
    assert np.exp(found.scores) == pytest.approx([1.2 * 0.5, 0.8 * 0.5], rel=1e-5)


def test_the_first_part_answers_in_words():
    assert hybrid(Scores([1]), Scores([1])).generate([Request(), Request()]) == ["words", "words"]


def test_tuning_finds_who_is_right():
    dataset = written({f"u{user}": [user % 3, 4, 5, 6] for user in range(6)})
    right, wrong = np.full(12, 0.01), np.full(12, 0.01)
    right[5] = wrong[7] = 0.5  # the validation item is 5
    split = leave_one_out(dataset.interactions)

    def weight(first, second):
        parts = [Part(Scores(np.log(first)), "log-probabilities"), Part(Scores(second))]
        return tune_hybrid(parts, dataset, split).weights[1]

    assert weight(wrong, right) >= 1 > weight(right, wrong)


@given(
    st.lists(st.lists(st.integers(0, 3), min_size=ITEMS, max_size=ITEMS), min_size=2, max_size=3),
    st.lists(st.integers(0, ITEMS - 1), min_size=3, max_size=3),
    st.sampled_from(FLOORS),
    st.data(),
)
def test_tuning_counts_the_places_that_rankings_have(scores_PN, targets, floor, data):
    parts = [Part(Scores(scores)) for scores in scores_PN]
    requests = [Request(exclude=tuple({0, 1} - {target})) for target in targets]
    pools = HybridRecommender(parts).pools(requests, reach=3)
    weights = data.draw(st.tuples(*[st.sampled_from(WEIGHTS)] * len(parts)))
    found = PooledRanks(pools, targets, floor)(weights)
    config = HybridConfig(weights=weights, floor=floor)
    for pool, target, rank in zip(pools, targets, found, strict=True):
        items = pool.ranking(config, ITEMS).items.tolist()
        assert rank == (items.index(target) if target in items else MISSED)


def test_what_was_asked_before_is_remembered():
    part = Scores([3, 1, 2])
    remembering = Remembering(part)
    first, again = Request(history=(0,)), Request(history=(1,))
    some = Request(history=(0,), only=(1, 2))
    answers = remembering.recommend([first, some, again, first], 2)
    assert [ranking.items.tolist() for ranking in answers] == [[0, 2], [2, 1], [0, 2], [0, 2]]
    assert part.asked == [[first, again], [some]]
    assert remembering.recommend([again, some], 2)[0].items.tolist() == [0, 2]
    assert part.asked == [[first, again], [some]]
    more = Request(history=(0,), only=(0, 1, 2, 3))
    (all_three,) = remembering.recommend([more], 5)
    assert all_three.items.tolist() == [0, 2, 1]
    assert all_three.scores.tolist() == [3, 2, 1]
    remembering.recommend([first], 3)
    remembering.recommend([more, some], 1)
    assert part.asked[2:] == [[Request(history=(0,), only=(0, 3))], [first]]
    assert remembering.generate([first]) == ["words"]


@given(
    st.lists(st.tuples(st.integers(0, 2), st.sets(st.integers(0, 7), min_size=1)), max_size=6),
    st.integers(1, 8),
)
def test_remembering_changes_no_answer(asked, k):
    part = Scores([3, 1, 2, 2, 9, 0, 5, 4])
    remembering = Remembering(part)
    requests = [Request(history=(user,), only=tuple(sorted(only))) for user, only in asked]
    requests += [Request(history=(user,)) for user, _ in asked]
    for batch in (requests[::2], requests):
        for known, asked_anew in zip(
            remembering.recommend(batch, k), part.recommend(batch, k), strict=True
        ):
            assert known.items.tolist() == asked_anew.items.tolist()
            assert known.scores.tolist() == asked_anew.scores.tolist()


def test_mixtures_that_share_a_part_ask_it_once():
    dataset = written({f"u{user}": [user % 3, 4, 5, 6] for user in range(6)})
    model, left, right = Scores(np.log(np.full(12, 1 / 12))), Scores(range(12)), Scores([1.0] * 12)
    methods = {
        "model": Contender(recommender=model, scale="log-probabilities"),
        "left": Contender(recommender=left), "right": Contender(recommender=right),
    }  # fmt: skip
    split = leave_one_out(dataset.interactions)
    names = ["model+left", "model+left+right"]
    made = dict(hybrids(names, methods, dataset, split))
    assert list(made) == names
    whole = [asked for asked in model.asked if asked[0].only is None]
    assert len(whole) == 1  # on the validation events, for both mixtures


def test_cosines_below_zero_say_as_little_as_zero():
    parts = [Part(Scores(np.log([0.5, 0.3, 0.2])), "log-probabilities")]
    pool = HybridRecommender([*parts, Part(Scores([-0.5, 0.2, 0.6]), "cosines")]).pools(
        [Request()], 3
    )[0]
    assert pool.share_PX[1] == pytest.approx([0, 0.25, 0.75])


def test_what_cannot_be_mixed_is_refused():
    fine = Scores(np.log([0.5, 0.5]))
    with pytest.raises(ValueError, match="a part scores item 1 with -2"):
        hybrid(fine, Scores([1.0, -2.0])).recommend([Request()], 2)
    with pytest.raises(ValueError, match="there are 3 weights for 2 parts"):
        hybrid(fine, fine, 1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"weights": ()}, "weights is"),
        ({"weights": (1.0, -1.0)}, "weights is"),
        ({"weights": (0.0, 0.0)}, "weights is"),
        ({"weights": (1.0,), "floor": 0.0}, "floor is 0"),
        ({"weights": (1.0,), "reach": 0}, "reach is 0"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, told):
    with pytest.raises(ValueError, match=told):
        HybridConfig(**settings)
