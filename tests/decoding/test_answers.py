"""Scores of given answers and greedy choices, against one plain forward pass for each."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genrec.decoding import LogitsScorer, choose_items, make_stepper, score_answers
from tests.decoding.tiny import item_tokens, ragged_prompts, random_ids, tiny_model

END = 2
ANSWERS = [(9, 5, END), (9, 5, 6, END), (9, 7, END), (8, END)]
KINDS = ["llama", "neox", "mistral", "t5"]


def scorer_of(model, prompts, mask):
    with torch.no_grad():
        return LogitsScorer(make_stepper(model, prompts, mask))


@torch.no_grad()
def next_log_probs(model, prompt, written):
    """Ask for the next token by a forward pass over everything, without padding or cache."""
    written = torch.tensor([written], dtype=torch.long)
    if model.config.is_encoder_decoder:
        start = torch.full((1, 1), model.config.decoder_start_token_id)
        logits = model(prompt[None], decoder_input_ids=torch.cat([start, written], dim=1)).logits
    else:
        logits = model(torch.cat([prompt[None], written], dim=1)).logits
    return logits[0, -1].float().log_softmax(dim=0)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_are_those_of_one_forward_pass_for_each_answer(kind):
    model = tiny_model(kind)
    prompts, mask = ragged_prompts([3, 7, 5])
    found_BS = score_answers(scorer_of(model, prompts, mask), ANSWERS, requests=3)
    for b in range(3):
        prompt = prompts[b][mask[b].bool()]
        for s, answer in enumerate(ANSWERS):
            expected = sum(
                next_log_probs(model, prompt, answer[:t])[token] for t, token in enumerate(answer)
            )
            assert found_BS[b, s].item() == pytest.approx(float(expected), abs=1e-4)


@pytest.mark.parametrize("answers", [[], [()], [(1, END), (1, END)]])
def test_answers_that_cannot_be_told_apart_are_refused(answers):
    with pytest.raises(ValueError, match="different and not empty"):
        score_answers(None, answers, requests=1)


@pytest.mark.parametrize("kind", KINDS)
def test_choices_are_the_likeliest_token_at_each_step(kind):
    model, ids = tiny_model(kind), random_ids(10, (4, 3))
    tokens = item_tokens(ids)
    candidates = [(0, 1, 2), (), (7, 3, 9, 4)]
    prompts, mask = ragged_prompts([3, 7, 5])
    found = choose_items(
        scorer_of(model, prompts, mask), np.array(tokens, dtype=np.int32), candidates, end=END
    )
    for b, rows in enumerate(candidates):
        prompt, written, left = prompts[b][mask[b].bool()], [], list(rows)
        named = []
        while left:
            code = []
            while len(code) < 2 and (not code or code[-1] != END):
                allowed = {
                    tokens[row][len(code)]
                    for row in left
                    if tokens[row][: len(code)] == tuple(code)
                }
                allowed |= set() if code else {END}
                scores = next_log_probs(model, prompt, written)
                code.append(max(allowed, key=lambda token: scores[token].item()))
                written.append(code[-1])
            if code == [END]:
                break
            named.append(next(row for row in left if tokens[row] == tuple(code)))
            left.remove(named[-1])
        assert found[b] == tuple(named)


class Wishes:
    """A scorer that wants its tokens in one order of preference, the same at each step."""

    def __init__(self, preference):
        self._preference = preference

    def log_probs(self, path_BWT, parent_BW, next_BWC, mask_BWC):
        scores = [-float(self._preference.index(token)) for token in next_BWC.flatten().tolist()]
        return torch.tensor(scores).view(next_BWC.shape)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_scores_that_are_no_numbers_name_nothing(wrong):
    class Broken:
        def log_probs(self, path_BWT, parent_BW, next_BWC, mask_BWC):
            return torch.full(next_BWC.shape, wrong)

    with pytest.raises(ValueError, match="request 0: the model's logits are not numbers"):
        choose_items(Broken(), TOKENS_NL, [(0, 1), ()], end=END)


TOKENS_NL = np.array([[10, 20], [10, 21], [11, 20]], dtype=np.int32)


@pytest.mark.parametrize(
    ("preference", "named"),
    [
        ([END, 10, 11, 20, 21, 0], ()),
        ([11, END, 10, 20, 21, 0], (2,)),
        ([10, 21, 20, END, 11, 0], (1, 0)),
        ([11, 10, 20, 21, END, 0], (2, 0, 1)),
    ],
)
def test_items_are_named_until_the_end_is_preferred(preference, named):
    assert choose_items(Wishes(preference), TOKENS_NL, [(0, 1, 2)], end=END) == [named]


@given(
    preference=st.permutations([0, END, 10, 11, 20, 21]),
    rows=st.lists(st.lists(st.integers(0, 3), max_size=5), min_size=1, max_size=3),
)
def test_only_candidates_are_named_and_none_twice(preference, rows):
    twins_NL = np.concatenate([TOKENS_NL, TOKENS_NL[:1]])  # items 0 and 3 share an ID
    for candidates, named in zip(
        rows, choose_items(Wishes(preference), twins_NL, rows, end=END), strict=True
    ):
        assert set(named) <= set(candidates)
        assert len(set(named)) == len(named)
