import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.data import DataError
from genrec.tokenization.kmeans import kmeans, nearest, plus_plus


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def points(count: int, dim: int, seed: int) -> torch.Tensor:
    return torch.randn(count, dim, generator=seeded(seed))


def test_two_heaps_get_their_means():
    x_ND = torch.tensor([[0.0, 0.0], [0.0, 2.0], [10.0, 10.0], [10.0, 12.0], [10.0, 14.0]])
    found = kmeans(x_ND, 2, generator=seeded())
    order = found.centres_KD[:, 0].argsort()
    torch.testing.assert_close(found.centres_KD[order], torch.tensor([[0.0, 1.0], [10.0, 12.0]]))
    assert found.inertia == pytest.approx(10.0)


def test_it_finds_the_best_partition_of_a_few_points():
    x_ND = torch.tensor([[0.0], [1.0], [2.0], [20.0], [21.0], [50.0], [52.0]])
    splits = (torch.tensor(codes) for codes in itertools.product(range(3), repeat=len(x_ND)))
    best = min(
        sum(
            (heap_ND - heap_ND.mean(dim=0)).square().sum().item()
            for heap_ND in (x_ND[codes_N == code] for code in codes_N.unique())
        )
        for codes_N in splits
    )
    assert kmeans(x_ND, 3, generator=seeded()).inertia == pytest.approx(best)


@given(st.integers(0, 10_000), st.integers(1, 12))
@settings(max_examples=30, deadline=None)
def test_every_point_has_its_nearest_centre(seed, clusters):
    x_ND = points(40, 3, seed)
    found = kmeans(x_ND, clusters, generator=seeded(seed))
    distances_NK = (x_ND[:, None] - found.centres_KD[None]).square().sum(dim=2)
    own_N = distances_NK.gather(1, found.codes_N[:, None])[:, 0]
    torch.testing.assert_close(own_N, distances_NK.min(dim=1).values)
    assert found.inertia == pytest.approx(float(own_N.sum()), rel=1e-5)


@given(st.integers(0, 10_000), st.integers(1, 20))
@settings(max_examples=30, deadline=None)
def test_no_cluster_stays_empty(seed, clusters):
    found = kmeans(points(20, 2, seed), clusters, generator=seeded(seed))
    assert found.codes_N.unique().tolist() == list(range(clusters))


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_it_never_ends_worse_than_it_starts(seed):
    x_ND = points(60, 4, seed)
    start = nearest(x_ND, plus_plus(x_ND, 7, generator=seeded(seed)))[1].sum()
    assert kmeans(x_ND, 7, generator=seeded(seed)).inertia <= float(start) + 1e-4


def test_first_centres_are_distinct_points():
    x_ND = torch.tensor([[0.0], [0.0], [0.0], [7.0], [9.0]])
    for seed in range(20):
        assert len(plus_plus(x_ND, 3, generator=seeded(seed)).unique()) == 3


def test_the_seed_decides():
    x_ND = points(100, 5, 1)
    first, second = (kmeans(x_ND, 8, generator=seeded(3)) for _ in range(2))
    assert torch.equal(first.centres_KD, second.centres_KD)
    assert torch.equal(first.codes_N, second.codes_N)


def test_small_distances_far_from_zero_survive_rounding():
    x_ND = torch.tensor([[1000.0, 0.0], [1000.0, 0.01]])
    _, distances_N = nearest(x_ND, torch.tensor([[1000.0, 0.0]]))
    assert distances_N.tolist() == pytest.approx([0.0, 1e-4], rel=1e-5)


def test_equal_points_do_not_break_it():
    assert kmeans(torch.ones(5, 2), 3, generator=seeded()).inertia == 0


def test_too_few_points_are_refused():
    with pytest.raises(DataError, match="3 points cannot fill 4 clusters; set codebook_sizes"):
        kmeans(torch.zeros(3, 2), 4, generator=seeded())
