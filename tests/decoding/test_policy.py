import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.decoding import (
    Boosts,
    Constraints,
    Policy,
    TermsReader,
    TokenTrie,
    search,
)
from genrec.recommender import Diversity, Request, Sampling, Subset
from tests.decoding.tiny import FIRST_TOKEN, TableModel, item_tokens, random_ids, table_model

WIDE = 200
"""More beams than any catalogue here has items, so that a search is exhaustive."""


def trie_of(ids):
    return TokenTrie.from_semantic_ids(ids, FIRST_TOKEN)


def all_scores(ids, *, request=0, requests=1, seed=0):
    model = table_model(requests, ids.levels, seed=seed)
    return [model.log_prob(request, tokens, None) for tokens in item_tokens(ids)]


# Boosts


@settings(deadline=None, max_examples=60)
@given(
    boosts=st.dictionaries(st.integers(0, 19), st.floats(-4, 4, width=32), max_size=20),
    unique=st.booleans(),
    seed=st.integers(0, 99),
)
def test_an_exhaustive_search_ranks_by_likelihood_plus_boost(boosts, unique, seed):
    ids = random_ids(20, (3, 3, 4), seed=seed, unique=unique)
    trie = trie_of(ids)
    policy = Policy(boosts=Boosts.from_items(trie, [boosts]))
    found = search(table_model(1, 3, seed=seed), trie, beams=WIDE, policy=policy)
    expected = [s + boosts.get(row, 0.0) for row, s in enumerate(all_scores(ids, seed=seed))]
    rows = found.items_BK[0, :20].tolist()
    assert sorted(rows) == list(range(20))
    assert found.log_probs_BK[0, :20].tolist() == pytest.approx(
        sorted(expected, reverse=True), abs=1e-4
    )
    assert found.log_probs_BK[0, :20].tolist() == pytest.approx(
        [expected[row] for row in rows], abs=1e-4
    )


@settings(deadline=None)
@given(
    boosts=st.dictionaries(st.integers(0, 19), st.floats(-4, 4, width=32), max_size=20),
    first=st.integers(0, 19),
    length=st.integers(1, 20),
)
def test_the_bound_of_a_range_is_its_largest_boost(boosts, first, length):
    trie = trie_of(random_ids(20, (3, 3, 4)))
    end = min(first + length, 20)
    bound = Boosts.from_items(trie, [{}, boosts]).most(torch.tensor([[first, end]] * 2))
    items = trie.row_N[first:end].tolist()
    assert bound.flatten().tolist() == [0.0, max(boosts.get(item, 0.0) for item in items)]


def test_a_boost_leads_few_beams_into_an_unlikely_branch():
    ids = random_ids(40, (4, 4, 4))
    scores = all_scores(ids)
    least = scores.index(min(scores))
    trie = trie_of(ids)
    policy = Policy(boosts=Boosts.from_items(trie, [{least: 50.0}]))
    found = search(table_model(1, 3), trie, beams=1, policy=policy)
    assert found.items_BK.tolist() == [[least]]
    assert found.log_probs_BK.item() == pytest.approx(scores[least] + 50, abs=1e-4)


def test_an_excluded_item_stays_away_however_much_it_is_boosted():
    trie = trie_of(random_ids(40, (4, 4, 4)))
    constraints = Constraints.from_items(trie, exclude=[[7]])
    policy = Policy(boosts=Boosts.from_items(trie, [{7: 100.0}]))
    found = search(table_model(1, 3), trie, beams=WIDE, constraints=constraints, policy=policy)
    assert sorted(found.items_BK[0, :39].tolist()) == [row for row in range(40) if row != 7]
    assert found.items_BK[0, 39:].eq(-1).all()


@pytest.mark.parametrize(
    ("boosts", "message"),
    [
        ([{}, {40: 1.0}], "request 1: `boosts` names item 40, but the catalogue has the items 0"),
        ([{3: math.inf}], "request 0: the boost of item 3 is not finite"),
    ],
)
def test_boosts_that_make_no_sense_are_refused(boosts, message):
    with pytest.raises(ValueError, match=message):
        Boosts.from_items(trie_of(random_ids(40, (4, 4, 4))), boosts)


def test_boosts_for_another_number_of_requests_are_refused():
    trie = trie_of(random_ids(40, (4, 4, 4)))
    policy = Policy(boosts=Boosts.from_items(trie, [{}]))
    with pytest.raises(ValueError, match="a policy for 1 requests was given for 2"):
        search(table_model(2, 3), trie, beams=2, policy=policy)


# Diversity


@settings(deadline=None, max_examples=60)
@given(
    at_most=st.integers(1, 4),
    codes=st.integers(1, 3),
    unique=st.booleans(),
    seed=st.integers(0, 99),
)
def test_an_exhaustive_search_takes_the_best_few_of_every_beginning(at_most, codes, unique, seed):
    ids = random_ids(30, (3, 3, 4), seed=seed, unique=unique)
    policy = Policy(diversity=[Diversity(at_most=at_most, codes=codes)])
    found = search(table_model(1, 3, seed=seed), trie_of(ids), beams=WIDE, policy=policy)
    scores = all_scores(ids, seed=seed)
    expected, taken = [], {}
    for row in sorted(range(30), key=lambda row: -scores[row]):
        beginning = tuple(ids.codes_NL[row, :codes])
        taken[beginning] = taken.get(beginning, 0) + 1
        if taken[beginning] <= at_most:
            expected.append(scores[row])
    rows = found.items_BK[0][found.items_BK[0] >= 0].tolist()
    assert len(set(rows)) == len(rows)
    assert [scores[row] for row in rows] == pytest.approx(expected, abs=1e-4)


def test_few_beams_spread_over_as_many_beginnings_as_there_are():
    ids = random_ids(60, (4, 4, 4))
    policy = Policy(diversity=[Diversity(at_most=1)])
    found = search(table_model(1, 3), trie_of(ids), beams=4, policy=policy)
    assert sorted(ids.codes_NL[found.items_BK[0], 0].tolist()) == [0, 1, 2, 3]


@pytest.mark.parametrize("options", [{"at_most": 0}, {"at_most": 1, "codes": 0}])
def test_no_room_for_any_item_is_refused(options):
    with pytest.raises(ValueError, match="both must be at least 1"):
        Diversity(**options)


# Sampling


def chances(ids, temperature):
    """The distribution over all items, each code's probability shared among those that follow."""
    model, tokens = table_model(1, ids.levels), item_tokens(ids)
    chance = []
    for path in tokens:
        log_prob = 0.0
        for level in range(ids.levels):
            rivals = {other[level] for other in tokens if other[:level] == path[:level]}
            one = {
                token: math.exp(
                    model.log_prob(0, [*path[:level], token], None) / temperature
                    - (model.log_prob(0, path[:level], None) / temperature if level else 0)
                )
                for token in rivals
            }
            log_prob += math.log(one[path[level]] / sum(one.values()))
        chance.append(math.exp(log_prob))
    return torch.tensor(chance)


@pytest.mark.parametrize("temperature", [1.0, 2.5])
def test_the_first_item_of_a_sample_follows_the_distribution(temperature):
    ids = random_ids(8, (2, 3, 3))
    expected = chances(ids, temperature)
    assert expected.sum().item() == pytest.approx(1)
    draws = 4000
    model = table_model(1, 3)
    model.table = model.table.expand(draws, -1, -1, -1)
    sampling = [Sampling(temperature=temperature, seed=seed) for seed in range(draws)]
    policy = Policy(sampling=sampling)
    found = search(model, trie_of(ids), beams=2, policy=policy)
    share = torch.bincount(found.items_BK[:, 0], minlength=8) / draws
    # Six standard deviations of a share.
    assert ((share - expected).abs() < 6 * (expected * (1 - expected) / draws).sqrt()).all()
    # Without replacement, the second item comes with its chance among the rest.
    pairs = torch.zeros(8, 8)
    for first, second in found.items_BK.tolist():
        pairs[first, second] += 1 / draws
    for first, second in itertools.permutations(range(8), 2):
        chance = expected[first] * expected[second] / (1 - expected[first])
        # A pair may come up once or twice, however rare it is.
        spread = 6 * math.sqrt(chance * (1 - chance) / draws) + 2 / draws
        assert abs(pairs[first, second] - chance) < spread
    logs = found.log_probs_BK.exp()
    torch.testing.assert_close(logs, expected[found.items_BK], atol=1e-4, rtol=1e-3)


def test_a_sample_as_large_as_the_catalogue_holds_every_allowed_item_once():
    ids = random_ids(30, (3, 3, 4))
    trie = trie_of(ids)
    constraints = Constraints.from_items(trie, only=[range(10), range(30)])
    policy = Policy(sampling=[Sampling(seed=1), Sampling(seed=2)])
    found = search(table_model(2, 3), trie, beams=30, constraints=constraints, policy=policy)
    assert sorted(found.items_BK[0, :10].tolist()) == list(range(10))
    assert found.items_BK[0, 10:].eq(-1).all()
    assert sorted(found.items_BK[1].tolist()) == list(range(30))


def test_the_same_seed_draws_the_same_sample():
    def sample(seed):
        policy = Policy(sampling=[Sampling(seed=seed)] * 3)
        return search(table_model(3, 3), trie_of(random_ids(30, (3, 3, 4))), beams=5, policy=policy)

    assert sample(0).items_BK.tolist() == sample(0).items_BK.tolist()
    assert sample(0).items_BK.tolist() != sample(1).items_BK.tolist()


def test_sampling_reports_logits_that_are_no_numbers():
    model = table_model(1, 2)
    model.table[0, 1] = torch.nan
    policy = Policy(sampling=[Sampling()])
    with pytest.raises(ValueError, match="not numbers"):
        search(model, trie_of(random_ids(5, (3, 3))), beams=2, policy=policy)


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match="temperature is 0; it must be above 0"):
        Sampling(temperature=0)


def test_boosts_and_sampling_are_refused_together():
    boosts = Boosts.from_items(trie_of(random_ids(5, (3, 3))), [{}, {4: 1.0}])
    Policy(boosts=boosts, sampling=[Sampling(), None])
    with pytest.raises(ValueError, match="request 1: boosts and sampling cannot be combined"):
        Policy(boosts=boosts, sampling=[None, Sampling()])


# Requests of one batch


KINDS = st.fixed_dictionaries({
    "boosts": st.dictionaries(st.integers(0, 29), st.floats(-4, 4, width=32), max_size=5),
    "at_most": st.none() | st.integers(1, 3),
    "seed": st.none() | st.integers(0, 99),
    "exclude": st.sets(st.integers(0, 29), max_size=20),
})  # fmt: skip


@settings(deadline=None, max_examples=60)
@given(
    kinds=st.lists(KINDS, min_size=1, max_size=4), beams=st.integers(1, 40), seed=st.integers(0, 99)
)
def test_every_request_gets_what_it_asks_for_whatever_the_others_ask(kinds, beams, seed):
    ids = random_ids(30, (3, 3, 4), seed=seed, unique=False)
    table = table_model(len(kinds), 3, seed=seed).table
    requests = [
        Request(
            exclude=tuple(kind["exclude"]),
            boosts=() if kind["seed"] is not None else tuple(kind["boosts"].items()),
            diversity=None if kind["at_most"] is None else Diversity(at_most=kind["at_most"]),
            sampling=None if kind["seed"] is None else Sampling(seed=kind["seed"]),
        )
        for kind in kinds
    ]
    reader = TermsReader(trie_of(ids))

    def ask(rows):
        constraints, policy = reader.read(requests).of(torch.tensor(rows))
        model = TableModel(table[rows])
        return search(model, trie_of(ids), beams=beams, constraints=constraints, policy=policy)

    together = ask(list(range(len(kinds))))
    for row, request in enumerate(requests):
        alone = ask([row])
        assert alone.items_BK[0].tolist() == together.items_BK[row].tolist()
        items = [item for item in alone.items_BK[0].tolist() if item >= 0]
        assert len(set(items)) == len(items)
        assert not set(items) & set(request.exclude)
        if request.diversity is None:
            assert len(items) == min(beams, 30 - len(request.exclude))
        else:
            counts = np.bincount(ids.codes_NL[items, 0])
            assert counts.max() <= request.diversity.at_most


def test_sets_are_counted_once_and_forgotten_with_their_last_request():
    reader = TermsReader(trie_of(random_ids(30, (3, 3, 4))))
    stock = Subset(np.arange(30) < 10)
    reader.read([Request(within=stock), Request(within=stock)])
    found = reader.read([Request(within=stock)]).constraints
    assert found.below_SN1.data_ptr() == next(iter(reader._sets.values())).below_N1.data_ptr()
    del stock, found
    assert not len(reader._sets)


def test_a_set_of_another_catalogue_is_refused():
    reader = TermsReader(trie_of(random_ids(30, (3, 3, 4))))
    with pytest.raises(ValueError, match=r"shape \(31,\), but the catalogue has 30 items"):
        reader.read([Request(within=Subset(np.ones(31, dtype=bool)))])


def test_policies_for_different_numbers_of_requests_are_refused():
    with pytest.raises(ValueError, match="`diversity` for 1 and `sampling` for 2"):
        Policy(diversity=[None], sampling=[None, Sampling()])


@pytest.mark.parametrize(
    "hidden",
    [
        {"exclude": (7,)},
        {"only": tuple(row for row in range(40) if row != 7)},
        {"within": Subset(np.arange(40) != 7)},
    ],
)
def test_what_cannot_be_named_lures_no_beam_however_much_it_is_boosted(hidden):
    trie = trie_of(random_ids(40, (4, 4, 4)))
    plain, boosted = (
        TermsReader(trie).read([Request(**hidden, boosts=boosts)]) for boosts in ((), ((7, 100.0),))
    )
    found, expected = (
        search(table_model(1, 3), trie, beams=2, constraints=terms[0], policy=terms[1])
        for terms in (boosted, plain)
    )
    assert found.items_BK.tolist() == expected.items_BK.tolist()


def test_a_boost_of_no_item_is_refused_whatever_may_be_named():
    reader = TermsReader(trie_of(random_ids(40, (4, 4, 4))))
    within = Subset(np.ones(40, dtype=bool))
    with pytest.raises(ValueError, match="request 0: `boosts` names item 40"):
        reader.read([Request(within=within, boosts=((40, 1.0),))])
