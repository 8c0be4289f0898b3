import numpy as np
import pytest
import torch

from genrec.tokenization import neighbours as module
from genrec.tokenization.neighbours import neighbours_kept


class Table:
    """A quantizer whose codes stand for the rows of a table."""

    def __init__(self, vectors_KF):
        self.vectors_KF = vectors_KF

    def reconstruct(self, codes_NL):
        return self.vectors_KF[codes_NL[:, 0]]


def share(features_NF, vectors_KF, **options) -> float:
    codes_NL = torch.arange(len(features_NF))[:, None]
    return neighbours_kept(
        torch.as_tensor(features_NF), codes_NL, Table(torch.as_tensor(vectors_KF)),
        generator=torch.Generator().manual_seed(0), **options,
    )  # fmt: skip


def test_exact_codes_keep_all_neighbours():
    x_NF = np.random.default_rng(0).normal(size=(50, 4))
    assert share(x_NF, x_NF) == 1


def test_a_line_worked_by_hand():
    # By feature: 0-1, 1-0, 2-3, 3-2. By code item 2 stands beside item 1.
    features = np.array([[0.0], [1.0], [10.0], [11.0]])
    by_code = np.array([[0.0], [1.0], [1.5], [11.0]])
    # Nearest by code: 0-1, 1-2, 2-1, 3-2: items 0 and 3 keep theirs.
    assert share(features, by_code, nearest=1) == pytest.approx(2 / 4)


def test_codes_without_sense_are_at_chance():
    draw = np.random.default_rng(0)
    found = share(draw.normal(size=(400, 6)), draw.normal(size=(400, 6)))
    assert found == pytest.approx(10 / 399, abs=0.01)


@pytest.mark.parametrize("block", [1, 7, 64])
def test_blocks_change_nothing(block, monkeypatch):
    draw = np.random.default_rng(1)
    x_NF = draw.normal(size=(60, 3))
    blurred_NF = x_NF + 0.5 * draw.normal(size=(60, 3))
    whole = share(x_NF, blurred_NF)
    monkeypatch.setattr(module, "ROWS_AT_ONCE", block)
    assert share(x_NF, blurred_NF) == pytest.approx(whole)
    assert 0.2 < whole < 0.9


def test_it_agrees_with_brute_force():
    draw = np.random.default_rng(2)
    x_NF, y_NF = draw.normal(size=(40, 3)), draw.normal(size=(40, 3))
    y_NF = (x_NF + 0.3 * y_NF).round(1)

    def near(rows_NF, row):
        distances = np.square(rows_NF - rows_NF[row]).sum(axis=1)
        distances[row] = np.inf
        return set(distances.argsort()[:5].tolist())

    expected = np.mean([len(near(x_NF, row) & near(y_NF, row)) / 5 for row in range(40)])
    assert share(x_NF, y_NF, nearest=5) == pytest.approx(expected, abs=0.02)


def test_two_items_are_each_others_neighbours():
    assert share(np.array([[0.0], [1.0]]), np.array([[5.0], [6.0]])) == 1


def test_one_item_alone_is_refused():
    with pytest.raises(ValueError, match="no neighbours"):
        share(np.array([[0.0]]), np.array([[0.0]]))
