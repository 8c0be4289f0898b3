import numpy as np
import pytest

import genrec.eval
import genrec.prompts
from genrec.recommender import (
    Diversity,
    Request,
    Sampling,
    Subset,
    TaskError,
    refuse_preferences,
)


def test_ratings_are_one_per_item():
    Request(history=(1, 2), ratings=(5.0, None))
    with pytest.raises(ValueError, match="1 ratings were given for a history of 2 items"):
        Request(history=(1, 2), ratings=(5.0,))


def test_what_a_request_allows_is_what_all_its_sets_leave():
    even = Subset(np.arange(6) % 2 == 0)
    assert Request().allowed(6).tolist() == [True] * 6
    assert Request(exclude=(2, 3), within=even).allowed(6).nonzero()[0].tolist() == [0, 4]
    assert Request(only=(1, 2, 4), within=even).allowed(6).nonzero()[0].tolist() == [2, 4]
    with pytest.raises(ValueError, match="a catalogue of 6 items, but there are 7"):
        Request(within=even).allowed(7)


def test_a_subset_is_a_mask_that_nobody_can_change():
    mask = np.array([True, False, True])
    subset = Subset(mask)
    mask[:] = False
    assert len(subset) == 2
    assert len(subset & Subset(np.array([True, True, False]))) == 1
    with pytest.raises(ValueError, match="read-only"):
        subset.is_in_N[0] = False


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros(3, dtype=bool), "the set of items is empty"),
        (np.arange(3), "one truth value per item"),
        (np.ones((2, 2), dtype=bool), r"the shape \(2, 2\)"),
    ],
)
def test_masks_that_are_no_sets_are_refused(mask, message):
    with pytest.raises(ValueError, match=message):
        Subset(mask)


def test_boosts_of_a_draw_are_refused():
    with pytest.raises(ValueError, match="cannot be combined"):
        Request(boosts=((1, 1.0),), sampling=Sampling())


@pytest.mark.parametrize(
    "wish",
    [{"boosts": ((1, 1.0),)}, {"diversity": Diversity(at_most=1)}, {"sampling": Sampling()}],
)
def test_a_ranking_by_scores_alone_refuses_preferences(wish):
    refuse_preferences([Request(exclude=(1,))], "a baseline")
    with pytest.raises(ValueError, match=f"request 1 asks for {next(iter(wish))}, but a baseline"):
        refuse_preferences([Request(), Request(**wish)], "a baseline")


def test_tasks_are_refused_by_one_error_everywhere():
    assert genrec.prompts.TaskError is genrec.eval.TaskError is TaskError
