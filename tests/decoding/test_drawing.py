"""Runs of image tokens: their length, their tokens, and the distribution that was asked for."""

import itertools

import numpy as np
import pytest
import torch

from genrec.decoding import TrieLogitsProcessor, make_stepper
from genrec.decoding.drawing import Drawing, GuidedScorer, draw_runs, every_run
from genrec.decoding.scorers import LogitsScorer, make_scorer
from tests.decoding.tiny import ragged_prompts, table_model, tiny_model

TOKENS = range(44, 48)
LENGTH = 5


def scorer_of(model, prompts, mask, runs):
    return make_scorer(model, make_stepper(model, prompts, mask), runs, renormalise=True)


@pytest.mark.parametrize("architecture", ["llama", "t5", "mistral"])
@pytest.mark.parametrize("beams", [1, 3])
def test_beams_find_what_transformers_finds_under_the_same_constraint(architecture, beams):
    model = tiny_model(architecture)
    prompts, mask = ragged_prompts((7, 4), padding="right" if architecture == "t5" else "left")
    runs = every_run(TOKENS, LENGTH)
    prompt_length = 1 if architecture == "t5" else prompts.shape[1]
    expected = model.generate(
        input_ids=prompts, attention_mask=mask, num_beams=beams, num_return_sequences=beams,
        max_new_tokens=LENGTH, do_sample=False, renormalize_logits=True,
        logits_processor=[TrieLogitsProcessor(runs, prompt_length=prompt_length)],
        **({"length_penalty": 0.0} if beams > 1 else {}),
    )[:, -LENGTH:].view(2, beams, LENGTH)  # fmt: skip
    found_BWT = draw_runs(
        scorer_of(model, prompts, mask, runs), runs, requests=2,
        how=Drawing(samples=beams, beams=beams),
    )  # fmt: skip
    assert (found_BWT + TOKENS.start).tolist() == expected.tolist()


@pytest.mark.parametrize("architecture", ["llama", "t5"])
def test_samples_are_runs_of_codes_and_a_seed_decides_them(architecture):
    model = tiny_model(architecture)
    prompts, mask = ragged_prompts((7, 4), padding="right" if architecture == "t5" else "left")
    runs = every_run(TOKENS, LENGTH)

    def draw(**how):
        scorer = scorer_of(model, prompts, mask, runs)
        return draw_runs(scorer, runs, requests=2, how=Drawing(samples=6, **how))

    found_BWT = draw(seed=1)
    assert found_BWT.shape == (2, 6, LENGTH)
    assert 0 <= found_BWT.min() <= found_BWT.max() < len(TOKENS)
    assert torch.equal(found_BWT, draw(seed=1))
    assert not torch.equal(found_BWT, draw(seed=2))


def log_probs_of_all_runs(model, request, among=TOKENS, length=2):
    levels = [list(among)] * length
    return {
        run: model.log_prob(request, run, levels) for run in itertools.product(among, repeat=length)
    }


def samples(count, *, guided=None, **how):
    runs = every_run(TOKENS, 2)
    scorer = LogitsScorer(table_model(2, 2, seed=3), renormalise=True)
    if guided is not None:
        untold = LogitsScorer(table_model(2, 2, seed=4), renormalise=True)
        scorer = GuidedScorer(scorer, untold, guidance=guided)
    found_BWT = draw_runs(scorer, runs, requests=2, how=Drawing(samples=count, **how))
    return found_BWT + TOKENS.start


def shares(found_WT):
    runs, count = np.unique(found_WT.numpy(), axis=0, return_counts=True)
    return {
        tuple(run): share for run, share in zip(runs.tolist(), count / count.sum(), strict=True)
    }


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_samples_follow_the_models_distribution(temperature):
    model = table_model(2, 2, seed=3)
    found_BWT = samples(4000, temperature=temperature)
    for request in range(2):
        first = model.table[request, 0, 0, list(TOKENS)].div(temperature).softmax(dim=0)
        for start, run in itertools.product(range(4), range(4)):
            token = TOKENS[start]
            second = model.table[request, 1, token, list(TOKENS)].div(temperature).softmax(dim=0)
            expected = float(first[start] * second[run])
            share = shares(found_BWT[request]).get((token, TOKENS[run]), 0.0)
            assert share == pytest.approx(expected, abs=0.03)


def test_the_nucleus_is_the_fewest_codes_with_enough_of_the_probability():
    model = table_model(2, 2, seed=3)
    found_BWT = samples(2000, top_p=0.6)
    for request in range(2):
        share_C = model.table[request, 0, 0, list(TOKENS)].softmax(dim=0)
        order_C = share_C.argsort(descending=True)
        size = int((share_C[order_C].cumsum(dim=0) < 0.6).sum()) + 1
        kept = {TOKENS[code] for code in order_C[:size].tolist()}
        assert set(found_BWT[request, :, 0].tolist()) == kept


def test_many_beams_find_the_likeliest_runs_of_all():
    model = table_model(2, 2, seed=3)
    found_BWT = samples(5, beams=16)
    for request in range(2):
        scored = log_probs_of_all_runs(model, request)
        best = sorted(scored, key=scored.get, reverse=True)[:5]
        assert [tuple(run) for run in found_BWT[request].tolist()] == best


@pytest.mark.parametrize("guidance", [0.0, 1.0, 3.0])
def test_guidance_moves_logits_away_from_those_without_the_prompt(guidance):
    told, untold = table_model(2, 2, seed=3), table_model(2, 2, seed=4)
    found_BWT = samples(1, guided=guidance, beams=16)
    for request in range(2):

        def moved(level, last, request=request):
            asked, blank = (m.table[request, level, last, list(TOKENS)] for m in (told, untold))
            return (blank + guidance * (asked - blank)).log_softmax(dim=0)

        scored = {
            (one, other): float(moved(0, 0)[one - 44] + moved(1, one)[other - 44])
            for one, other in itertools.product(TOKENS, repeat=2)
        }
        assert tuple(found_BWT[request, 0].tolist()) == max(scored, key=scored.get)


def test_guidance_takes_scorers_that_give_nothing_for_masked_tokens():
    class Sparing:
        def log_probs(self, path_BWT, parent_BW, next_BWC, mask_BWC):
            return next_BWC.float() + mask_BWC

    next_B1C = torch.tensor([[[1, 2, 3]]])
    mask_B1C = torch.tensor([[[0, -torch.inf, 0]]])
    guided = GuidedScorer(Sparing(), Sparing(), guidance=3.0)
    share_C = guided.log_probs(None, None, next_B1C, mask_B1C).exp().flatten()
    assert share_C.tolist() == pytest.approx([1 / (1 + np.e**2), 0, 1 / (1 + np.e**-2)])


def test_the_trie_of_all_runs_takes_no_more_than_its_tokens():
    runs = every_run(range(1000, 9192), 1024)
    assert len(runs.levels) == 1024
    for one in (runs, runs.to("meta")):
        assert one.levels[0] is one.levels[-1]
    assert (runs.vocabulary_start, runs.vocabulary_end) == (1000, 9192)


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"samples": 0}, "samples is 0"),
        ({"temperature": 0.0}, "temperature is 0.0"),
        ({"top_p": 0.0}, "top_p is 0.0"),
        ({"guidance": -1.0}, "guidance is -1.0"),
        ({"samples": 4, "beams": 3}, "3 beams cannot find 4"),
    ],
)
def test_settings_that_make_no_sense_are_refused(how, message):
    with pytest.raises(ValueError, match=message):
        Drawing(**how)


def test_there_is_no_run_of_nothing():
    for tokens, length in ((range(5, 5), 3), (range(5), 0)):
        with pytest.raises(ValueError, match="there is no run of"):
            every_run(tokens, length)
