"""What the engine and vLLM's workers tell each other."""

import json

import numpy as np
import pytest

from genrec.recommender import Diversity, Request, Sampling, Subset
from genrec.semantic_ids import SemanticIds
from genrec.serving.vllm.messages import (
    catalogue_message,
    question_of,
    request_of,
    semantic_ids_of,
    subset_message,
    subset_of,
)

IN_STOCK = Subset(np.array([True, False, True]))


@pytest.mark.parametrize(
    "request_",
    [
        Request(),
        Request(exclude=(1, 2), only=(3,)),
        Request(only=()),
        Request(within=IN_STOCK, boosts=((0, 1.5), (2, -3.0))),
        Request(
            diversity=Diversity(at_most=2, codes=3), sampling=Sampling(temperature=0.5, seed=7)
        ),
    ],
    ids=str,
)
def test_questions_arrive_as_they_were_asked(request_):
    question = question_of(request_, None if request_.within is None else 4)
    assert request_of(json.loads(json.dumps(question)), {4: IN_STOCK}) == request_


def test_a_question_says_nothing_of_the_user():
    asked = Request(history=(1, 2, 3), query="secret", review="secret")
    assert question_of(asked, None) == question_of(Request(), None)


def test_a_draw_without_a_seed_is_the_same_for_all_workers_and_another_each_time():
    request = Request(sampling=Sampling())
    seeds = {question_of(request, None)["sampling"][1] for _ in range(5)}
    assert len(seeds) == 5
    assert None not in seeds


def test_catalogues_and_sets_arrive():
    ids = SemanticIds(np.array([[0, 1], [2, 0]], dtype=np.int32), (3, 2))
    message = catalogue_message(ids, (10, 13))
    assert semantic_ids_of(message).fingerprint == ids.fingerprint
    assert message["level_starts"] == [10, 13]
    assert subset_of(subset_message(IN_STOCK)).is_in_N.tolist() == [True, False, True]
