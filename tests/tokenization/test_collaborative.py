import numpy as np
import polars as pl
import pytest
import torch

from genrec.data import Catalogue, Interactions
from genrec.tokenization.collaborative import (
    CollaborativeConfig,
    collaborative_features,
    cooccurrence,
)


def interactions(histories: list[list[int]], items: int) -> Interactions:
    catalogue = Catalogue(pl.DataFrame({"item_id": [str(row) for row in range(items)]}))
    events = [
        {"user": f"u{user}", "item": str(item), "time": time}
        for user, history in enumerate(histories)
        for time, item in enumerate(history)
    ]
    return Interactions.from_table(pl.DataFrame(events), catalogue)


def features(events: Interactions, items: int, train_I: np.ndarray | None = None) -> np.ndarray:
    train_I = np.ones(len(events), dtype=np.bool_) if train_I is None else train_I
    generator = torch.Generator().manual_seed(0)
    return collaborative_features(
        events, train_I, items, CollaborativeConfig(dim=3, weight=2.0), generator=generator
    )


def test_nearer_events_count_for_more_and_repeats_for_nothing():
    events = interactions([[0, 1, 2], [2, 2, 1]], 3)
    counts_NN = cooccurrence(events, np.ones(6, dtype=np.bool_), 3, window=2).to_dense()
    # 0-1 next to each other; 0-2 two apart; 1-2 twice next to each other and once two apart.
    expected = torch.tensor([[0, 1, 0.5], [1, 0, 2.5], [0.5, 2.5, 0]], dtype=torch.float64)
    torch.testing.assert_close(counts_NN, expected)


def test_users_do_not_mix():
    events = interactions([[0], [1], [0]], 2)
    assert cooccurrence(events, np.ones(3, dtype=np.bool_), 2, window=5).values().numel() == 0


def test_items_met_together_lie_close():
    heaps = [[0, 1, 2], [3, 4, 5]]
    draw = np.random.default_rng(0)
    histories = [draw.permutation(heaps[user % 2]).tolist() for user in range(40)]
    found_ND = features(interactions(histories, 6), 6)
    cosine_NN = found_ND @ found_ND.T / 4
    assert cosine_NN[0, 1] > 0.9
    assert abs(cosine_NN[0, 4]) < 0.1


def test_events_that_do_not_train_leave_no_trace():
    histories = [[0, 1, 2, 3], [1, 2, 0, 3], [2, 0, 1, 0]]
    train_I = np.array([True, True, True, False] * 3)
    other = [[*history[:3], 2] for history in histories]
    np.testing.assert_array_equal(
        features(interactions(histories, 4), 4, train_I),
        features(interactions(other, 4), 4, train_I),
    )


def test_an_item_without_partners_has_the_zero_vector_and_the_others_the_weight():
    lengths_N = np.linalg.norm(features(interactions([[0, 1], [1, 0], [2]], 3), 3), axis=1)
    np.testing.assert_allclose(lengths_N, [2, 2, 0], atol=1e-6)


@pytest.mark.parametrize("dim", [8, 64])
def test_items_without_partners_say_nothing_however_wide_the_features(dim):
    draw = np.random.default_rng(0)
    met = draw.permutation(60)[:20]
    events = interactions([draw.choice(met, size=5).tolist() for _ in range(40)], 60)
    found_ND = collaborative_features(
        events, np.ones(len(events), dtype=np.bool_), 60, CollaborativeConfig(dim=dim),
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert set(np.flatnonzero(found_ND.any(axis=1))) == set(met)


def test_the_leading_singular_vectors_are_found():
    histories = [np.random.default_rng(user).integers(30, size=8).tolist() for user in range(60)]
    events = interactions(histories, 30)
    config = CollaborativeConfig(dim=30)
    everything = np.ones(len(events), dtype=np.bool_)
    first, second = (
        collaborative_features(
            events, everything, 30, config, generator=torch.Generator().manual_seed(seed)
        )
        for seed in (0, 1)
    )
    np.testing.assert_allclose(first @ first.T, second @ second.T, atol=1e-5)


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="window 0 and weight"):
        CollaborativeConfig(window=0)
