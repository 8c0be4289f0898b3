import math

import numpy as np
import pytest
import torch

from genrec.semantic_ids import SemanticIds
from genrec.tokenization.quality import (
    CollapsedCodebookError,
    Quality,
    agreement,
    check_codebooks,
    check_weights,
    level_quality,
    measure,
    prefix_quality,
)


def ids(codes: list[list[int]], *sizes: int) -> SemanticIds:
    return SemanticIds(np.array(codes, dtype=np.int32), sizes)


@pytest.mark.parametrize(
    ("codes", "used", "perplexity", "gini"),
    [
        ([0, 1, 2, 3], 4, 4.0, 0.0),
        ([0, 0, 1, 1], 2, 2.0, 0.5),
        ([2, 2, 2, 2], 1, 1.0, 0.75),
        ([0, 0, 0, 1], 2, math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25))), 0.625),
    ],
)
def test_use_of_a_codebook_of_four(codes, used, perplexity, gini):
    level = level_quality(np.array(codes, dtype=np.int32), 4)
    assert level.used == used
    assert level.perplexity == pytest.approx(perplexity)
    assert level.gini == pytest.approx(gini)


def test_agreement_counts_pairs():
    code_N = np.array([0, 0, 0, 1, 1], dtype=np.int32)
    label_N = np.array([7, 7, 8, 9, 9])
    # Four pairs share a code: three among the first items (one of them agrees), one that agrees.
    assert agreement(code_N, label_N) == pytest.approx(2 / 4)


def test_agreement_without_pairs_is_zero():
    assert agreement(np.array([0, 1], dtype=np.int32), np.array([0, 0])) == 0


def test_the_report_worked_by_hand():
    before = ids([[0, 1], [0, 1], [1, 1], [1, 0]], 2, 2)
    final = ids([[0, 1], [0, 0], [1, 1], [1, 0]], 2, 2)
    labels = np.array([0, 0, 0, 1])
    quality = measure(before, final, moved=1, errors=(0.25, 0.5), labels=labels)
    assert quality.collision_rate == 0.5
    assert quality.final_collision_rate == 0
    assert quality.moved_share == 0.25
    assert quality.largest_group == 2
    assert quality.label_agreement == pytest.approx(1 / 2)
    assert quality.random_label_agreement == pytest.approx(3 / 6)
    assert Quality.from_json(quality.to_json()) == quality


def test_the_table_names_every_level():
    both = ids([[0, 1], [1, 0]], 2, 2)
    table = measure(both, both, moved=0, errors=(0.1, 0.1)).table()
    assert "0.000%" in table
    assert len(table.splitlines()) == 7


def test_entropy_is_in_bits():
    assert level_quality(np.array([0, 1, 2, 3], dtype=np.int32), 4).entropy == pytest.approx(2)
    assert level_quality(np.array([1, 1, 2, 2], dtype=np.int32), 4).entropy == pytest.approx(1)


def test_prefixes_worked_by_hand():
    codes_NP = np.array([[0, 1], [0, 1], [0, 2], [1, 0]], dtype=np.int32)
    found = prefix_quality(codes_NP, np.array([5, 5, 5, 6]))
    assert (found.length, found.prefixes, found.shared_share) == (2, 3, 0.5)
    assert found.label_agreement == 1
    # One code alone: three items share it, two of their three pairs disagree with the third.
    assert prefix_quality(codes_NP[:, :1], np.array([5, 5, 6, 6])).label_agreement == pytest.approx(
        1 / 3
    )


def test_the_report_tells_of_prefixes_and_neighbours():
    both = ids([[0, 1, 1], [0, 1, 0], [1, 0, 0]], 2, 2, 2)
    quality = measure(both, both, moved=0, errors=(0.1, 0.1), neighbours=0.5)
    assert [prefix.length for prefix in quality.prefixes] == [1, 2]
    assert [prefix.prefixes for prefix in quality.prefixes] == [2, 2]
    assert quality.random_neighbours_kept == 1
    assert "neighbours kept" in quality.table()
    assert Quality.from_json(quality.to_json()) == quality


def test_an_empty_level_is_refused_with_its_remedy():
    codes = [[row % 64, 3] for row in range(640)]
    with pytest.raises(CollapsedCodebookError, match=r"level 1 is empty: all 640 .* its code 3"):
        check_codebooks(ids(codes, 64, 64))


def test_a_level_of_which_one_code_is_possible_is_no_collapse():
    check_codebooks(ids([[0, 0]], 4, 4))


def test_weights_that_are_no_numbers_are_refused():
    weights = {"mean": torch.zeros(3), "levels.1": torch.tensor([[0.0, torch.nan], [1.0, 1.0]])}
    with pytest.raises(CollapsedCodebookError, match=r"1 of 4 values of levels\.1 are not finite"):
        check_weights(weights)


def test_a_collapsed_codebook_is_refused_with_its_remedy():
    codes = [[row % 64, int(row > 600)] for row in range(640)]
    with pytest.raises(CollapsedCodebookError, match=r"level 1 has collapsed.*2 of 64 codes used"):
        check_codebooks(ids(codes, 64, 64))


def test_few_items_need_not_fill_a_large_codebook():
    check_codebooks(ids([[row, row] for row in range(10)], 256, 256))
