"""The search itself, led by a model that is a table, against the plainest search there is."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.decoding import Constraints, Policy, TokenTrie, search, search_scored
from genrec.decoding.trie_level import Children
from genrec.recommender import Diversity
from genrec.semantic_ids import SemanticIds
from tests.decoding.tiny import (
    FIRST_TOKEN,
    TableModel,
    continuations,
    item_tokens,
    plain_beam_search,
    random_ids,
    table_model,
    without_tables,
)

catalogues = st.builds(
    random_ids,
    st.integers(1, 40),
    st.lists(st.integers(1, 6), min_size=1, max_size=4),
    seed=st.integers(0, 2**16),
    unique=st.just(False),
)


def trie_of(ids: SemanticIds, *, tables: bool = True) -> TokenTrie:
    trie = TokenTrie.from_semantic_ids(ids, FIRST_TOKEN)
    return trie if tables else without_tables(trie)


with_tables_and_without = pytest.mark.parametrize("tables", [True, False])


@with_tables_and_without
@settings(deadline=None)
@given(ids=catalogues, beams=st.integers(1, 45), seed=st.integers(0, 2**16), data=st.data())
def test_finds_what_a_plain_search_finds(tables, ids, beams, seed, data):
    trie = trie_of(ids, tables=tables)
    model = table_model(2, ids.levels, seed=seed)
    rows = st.sets(st.integers(0, len(ids) - 1))
    exclude = [data.draw(rows), data.draw(rows)]
    only = [data.draw(st.none() | rows), data.draw(st.none() | rows)]
    wanted = [set(range(len(ids))) if o is None else o for o in only]
    allowed = [want - ban for want, ban in zip(wanted, exclude, strict=True)]
    if not all(allowed):
        with pytest.raises(ValueError, match="request"):
            Constraints.from_items(trie, exclude=exclude, only=only)
        return
    constraints = Constraints.from_items(trie, exclude=exclude, only=only)
    found = search(model, trie, beams=beams, constraints=constraints)
    for request in range(2):
        rows = plain_beam_search(model, request, ids, allowed[request], beams)
        padding = beams - len(rows)
        assert found.items_BK[request].tolist() == rows + [-1] * padding
        tokens = item_tokens(ids)
        scores = [model.log_prob(request, tokens[row], None) for row in rows]
        assert found.log_probs_BK[request].tolist() == pytest.approx(
            scores + [-np.inf] * padding, abs=1e-4
        )


@settings(deadline=None)
@given(ids=catalogues, seed=st.integers(0, 2**16))
def test_as_many_beams_as_items_rank_the_whole_catalogue(ids, seed):
    model = table_model(1, ids.levels, seed=seed)
    found = search(model, trie_of(ids), beams=len(ids))
    assert sorted(found.items_BK[0].tolist()) == list(range(len(ids)))
    assert (found.log_probs_BK[0].diff() <= 0).all()


def test_items_that_share_an_id_come_in_order_of_rows_with_one_score():
    ids = SemanticIds(np.array([[1, 1], [0, 0], [1, 1], [0, 1], [1, 1]]), (2, 2))
    model = table_model(1, 2)
    found = search(model, trie_of(ids), beams=5)
    items, scores = found.items_BK[0].tolist(), found.log_probs_BK[0].tolist()
    at = items.index(0)
    assert items[at : at + 3] == [0, 2, 4]
    assert len(set(scores[at : at + 3])) == 1


def test_the_last_beam_gives_only_as_many_items_as_are_asked_for():
    ids = SemanticIds(np.zeros((9, 2), dtype=np.int32), (1, 1))
    assert search(table_model(1, 2), trie_of(ids), beams=4).items_BK.tolist() == [[0, 1, 2, 3]]


def test_more_beams_than_items_leave_empty_places():
    ids = random_ids(3, (2, 3))
    found = search(table_model(1, 2), trie_of(ids), beams=5)
    assert found.items_BK[0, 3:].tolist() == [-1, -1]
    assert found.log_probs_BK[0, 3:].tolist() == [-np.inf, -np.inf]


def test_a_single_item_is_always_found():
    ids = SemanticIds(np.array([[3, 1, 2]]), (5, 5, 5))
    model = table_model(2, 3)
    found = search(model, trie_of(ids), beams=2)
    assert found.items_BK.tolist() == [[0, -1], [0, -1]]
    assert found.log_probs_BK[1, 0].item() == pytest.approx(
        model.log_prob(1, item_tokens(ids)[0], None), abs=1e-5
    )


def test_a_request_alone_gets_what_it_gets_in_a_batch():
    ids = random_ids(50, (5, 5, 5))
    table = table_model(4, 3).table
    exclude = [[0], [1, 2, 3], [], range(20)]
    together = search(
        TableModel(table),
        trie_of(ids),
        beams=7,
        constraints=Constraints.from_items(trie_of(ids), exclude=exclude),
    )
    for request in range(4):
        alone = search(
            TableModel(table[request : request + 1]),
            trie_of(ids),
            beams=7,
            constraints=Constraints.from_items(trie_of(ids), exclude=[exclude[request]]),
        )
        assert alone.items_BK[0].tolist() == together.items_BK[request].tolist()
        torch.testing.assert_close(alone.log_probs_BK[0], together.log_probs_BK[request])


@pytest.mark.parametrize("exclude", [(), (3, 4, 11)])
def test_renormalised_probabilities_of_all_allowed_items_sum_to_one(exclude):
    ids = random_ids(20, (4, 4, 4))
    constraints = Constraints.from_items(trie_of(ids), exclude=[exclude])
    found = search(
        table_model(1, 3), trie_of(ids), beams=20, constraints=constraints, renormalise=True
    )
    assert found.log_probs_BK.exp().sum().item() == pytest.approx(1, abs=1e-5)


def test_renormalising_shares_probability_among_the_tokens_that_may_follow():
    ids = random_ids(20, (4, 4, 4))
    model = table_model(1, 3)
    follow = continuations(ids)
    found = search(model, trie_of(ids), beams=20, renormalise=True)
    tokens = [item_tokens(ids)[row] for row in found.items_BK[0].tolist()]
    expected = [
        model.log_prob(0, path, [follow[path[:level]] for level in range(3)]) for path in tokens
    ]
    assert found.log_probs_BK[0].tolist() == pytest.approx(expected, abs=1e-4)


class AllowedAlone:
    """A Scorer that knows the tokens it is asked for and says the same of all others."""

    def __init__(self, model: TableModel, others: float):
        self.model = model
        self.others = others
        self.asked: list[int] = []

    def log_probs(self, path_BWT, parent_BW, next_BWC, mask_BWC):
        self.asked.append(int((mask_BWC == 0).sum()))
        log_prob_BWC = torch.full(next_BWC.shape, self.others)
        for request, beam, place in (mask_BWC == 0).nonzero().tolist():
            path = path_BWT[request, beam].tolist()
            taken = [*path, int(next_BWC[request, beam, place])]
            both = [self.model.log_prob(request, tokens, None) for tokens in (path, taken)]
            log_prob_BWC[request, beam, place] = both[1] - both[0]
        return log_prob_BWC


@pytest.mark.parametrize("end_token", [None, 69])
def test_ids_may_be_of_any_length(end_token):
    paths = [[41, 50, 60], [41, 50], [42], [43, 51], [43, 51, 61], [43, 52]]
    found = search(table_model(1, 4), TokenTrie.from_paths(paths, end_token=end_token), beams=9)
    ends = [] if end_token is None else [end_token]
    scores = [table_model(1, 4).log_prob(0, [*path, *ends], None) for path in paths]
    ranked = sorted(range(6), key=lambda row: -scores[row])
    assert found.items_BK[0].tolist() == [*ranked, -1, -1, -1]
    assert found.log_probs_BK[0, :6].tolist() == pytest.approx(
        sorted(scores, reverse=True), abs=1e-4
    )


@pytest.mark.parametrize("others", [-np.inf, -1e38, 0.0, 3e38])
@pytest.mark.parametrize("beams", [1, 4, 20])
def test_a_scorer_is_asked_for_no_token_but_those_that_may_follow(beams, others):
    trie = trie_of(random_ids(20, (4, 4, 4)))
    constraints = Constraints.from_items(trie, exclude=[[3, 9], []], only=[None, [1, 2, 17]])
    model = table_model(2, 3)
    expected = search(model, trie, beams=beams, constraints=constraints)
    scorer = AllowedAlone(table_model(2, 3), others)
    found = search_scored(scorer, trie, requests=2, beams=beams, constraints=constraints)
    assert found.items_BK.tolist() == expected.items_BK.tolist()
    torch.testing.assert_close(found.log_probs_BK, expected.log_probs_BK, atol=1e-5, rtol=0)


@with_tables_and_without
def test_of_beams_that_have_died_a_scorer_is_asked_nothing(tables):
    trie = trie_of(random_ids(20, (4, 4, 4)), tables=tables)
    scorer = AllowedAlone(table_model(1, 3), 0.0)
    constraints = Constraints.from_items(trie, only=[[4]])
    search_scored(scorer, trie, requests=1, beams=9, constraints=constraints)
    assert scorer.asked == [1, 1, 1]


def test_a_plain_search_looks_up_no_nodes_but_those_it_picks(monkeypatch):
    trie = trie_of(random_ids(20, (3, 3, 3)))
    assert all(level.node_PK is not None for level in trie.levels)
    expected = search(table_model(1, 3), trie, beams=9)
    monkeypatch.setattr(Children, "node", property(lambda _: pytest.fail("all nodes looked up")))
    assert search(table_model(1, 3), trie, beams=9).items_BK.tolist() == expected.items_BK.tolist()


def test_scores_are_float32_where_logits_are_bfloat16():
    ids = random_ids(20, (4, 4, 4))
    model = table_model(1, 3, dtype=torch.bfloat16)
    found = search(model, trie_of(ids), beams=20)
    assert found.log_probs_BK.dtype == torch.float32
    tokens = item_tokens(ids)
    expected = [model.log_prob(0, tokens[row], None) for row in found.items_BK[0].tolist()]
    assert found.log_probs_BK[0].tolist() == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("others", [torch.nan, np.inf])
@pytest.mark.parametrize("diversity", [None, Diversity(at_most=1)])
def test_a_scorer_that_gives_no_numbers_for_other_tokens_is_an_error(others, diversity):
    trie = trie_of(random_ids(20, (4, 4, 4)))
    scorer = AllowedAlone(table_model(1, 3), others)
    constraints = Constraints.from_items(trie, exclude=[[3, 9]])
    policy = Policy(diversity=[diversity])
    with pytest.raises(ValueError, match="request 0: the model's logits are not numbers"):
        search_scored(scorer, trie, requests=1, beams=4, constraints=constraints, policy=policy)


@pytest.mark.parametrize("wrong", [torch.nan, np.inf])
@pytest.mark.parametrize("renormalise", [False, True])
@pytest.mark.parametrize("beams", [1, 2, 30])
@with_tables_and_without
def test_logits_that_are_no_numbers_are_an_error(wrong, renormalise, beams, tables):
    trie = trie_of(random_ids(5, (3, 3)), tables=tables)
    model = table_model(2, 2)
    model.table[1, 1] = wrong
    with pytest.raises(ValueError, match="request 1: the model's logits are not numbers"):
        search(model, trie, beams=beams, renormalise=renormalise)


@pytest.mark.parametrize("wrong", [torch.nan, np.inf])
@pytest.mark.parametrize("renormalise", [False, True])
def test_a_token_whose_logit_is_no_number_is_never_named(wrong, renormalise):
    ids = SemanticIds(np.array([[0, 0], [0, 2], [1, 1], [2, 2]]), (4, 3))
    model = table_model(1, 2)
    model.table[0, 0, 0, FIRST_TOKEN + 3] = wrong  # no item begins so
    with pytest.raises(ValueError, match="request 0: the model's logits are not numbers"):
        search(model, trie_of(ids), beams=2, renormalise=renormalise)


@pytest.mark.parametrize("renormalise", [False, True])
@with_tables_and_without
def test_beams_that_have_died_stay_dead(renormalise, tables):
    trie = trie_of(random_ids(20, (3, 3, 3)), tables=tables)
    only = [[4], [4, 7], None]
    constraints = Constraints.from_items(trie, only=only)
    model = table_model(3, 3)
    found = search(model, trie, beams=9, constraints=constraints, renormalise=renormalise)
    for request, items in enumerate(only[:2]):
        named = found.items_BK[request]
        assert sorted(named[named >= 0].tolist()) == items
        assert found.log_probs_BK[request, len(items) :].isneginf().all()
        assert found.log_probs_BK[request, : len(items)].isfinite().all()


def test_a_trie_beyond_the_vocabulary_is_an_error():
    trie = TokenTrie.from_semantic_ids(random_ids(5, (3, 3)), 66)
    with pytest.raises(ValueError, match="tokens up to 71, but the model's vocabulary ends at 69"):
        search(table_model(1, 2), trie, beams=2)


def test_no_beams_are_an_error():
    with pytest.raises(ValueError, match="beams is 0"):
        search(table_model(1, 2), trie_of(random_ids(5, (3, 3))), beams=0)


def test_constraints_for_other_requests_are_an_error():
    trie = trie_of(random_ids(5, (3, 3)))
    constraints = Constraints.from_items(trie, exclude=[[1]])
    with pytest.raises(ValueError, match="1 constraints were given for 2 requests"):
        search(table_model(2, 2), trie, beams=2, constraints=constraints)
