import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.tokenization.sinkhorn import transport_prices


def random_costs(items: int, codes: int, seed: int) -> torch.Tensor:
    return torch.rand(items, codes, generator=torch.Generator().manual_seed(seed))


def cheapest_seating(costs_MK: np.ndarray) -> tuple[int, ...]:
    seats = itertools.permutations(range(costs_MK.shape[1]), len(costs_MK))
    return min(seats, key=lambda seat: sum(costs_MK[i, k] for i, k in enumerate(seat)))


@given(st.integers(0, 9999), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_at_these_prices_everyone_wants_the_seat_that_is_best_for_all(seed, items):
    costs_MK = random_costs(items, 4, seed)
    prices_MK = transport_prices(
        costs_MK, torch.zeros(items, dtype=torch.long), torch.ones(1, 4),
        epsilon=0.005, iterations=200,
    )  # fmt: skip
    chosen = prices_MK.argmin(dim=1).tolist()
    best = cheapest_seating(costs_MK.numpy())
    total = sum(float(costs_MK[i, k]) for i, k in enumerate(chosen))
    assert len(set(chosen)) == items
    assert total == pytest.approx(sum(float(costs_MK[i, k]) for i, k in enumerate(best)), abs=0.02)


def test_prefixes_do_not_disturb_each_other():
    costs_MK = random_costs(5, 6, 0)
    group_M = torch.tensor([0, 1, 0, 1, 1])
    together_MK = transport_prices(costs_MK, group_M, torch.ones(2, 6), epsilon=0.05)
    for group in (0, 1):
        mine = group_M == group
        unit = costs_MK[mine].mean() / costs_MK.mean()  # epsilon is a share of the mean cost
        alone_MK = transport_prices(
            costs_MK[mine], torch.zeros(int(mine.sum()), dtype=torch.long), torch.ones(1, 6),
            epsilon=0.05 / float(unit),
        )  # fmt: skip
        torch.testing.assert_close(together_MK[mine], alone_MK, atol=2e-3, rtol=1e-2)


def test_a_code_without_room_costs_infinity():
    prices_MK = transport_prices(
        torch.tensor([[0.0, 1.0, 2.0]]), torch.tensor([0]), torch.tensor([[0, 1, 1]])
    )
    assert prices_MK[0, 0] == torch.inf
    assert prices_MK.argmin(dim=1).tolist() == [1]


def test_with_room_for_all_nobody_moves():
    costs_MK = random_costs(6, 4, 1)
    prices_MK = transport_prices(
        costs_MK, torch.zeros(6, dtype=torch.long), torch.full((1, 4), 100)
    )
    assert torch.equal(prices_MK.argmin(dim=1), costs_MK.argmin(dim=1))
