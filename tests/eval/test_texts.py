import numpy as np
import pytest
import sacrebleu
from hypothesis import given
from hypothesis import strategies as st
from rouge_score.rouge_scorer import RougeScorer

from genrec.eval.intervals import bootstrap
from genrec.eval.texts import (
    _bleu,
    exact_scores,
    hint_scores,
    meteor_scores,
    text_figures,
    text_statistics,
)

ANSWERS = [
    "the case fits my phone very well",
    "i love the colour of this lamp",
    "",
    "Great gift, would buy it again!",
]
REFERENCES = [
    "this case fits the phone very well indeed",
    "love the colour",
    "it broke after a week",
    "A great gift; I would buy it again.",
]


def values(answers, references):
    return text_statistics(answers, references, np.arange(len(answers))).values


def test_an_exact_copy_scores_100():
    scores = values(REFERENCES, REFERENCES)
    meteor = scores.pop("meteor")
    assert scores == pytest.approx(dict.fromkeys(scores, 100))
    assert 99 < meteor < 100


def test_one_of_two_words_scores_by_hand():
    scores = values(["red lamp"], ["red phone"])
    assert scores["bleu-1"] == pytest.approx(50)
    assert scores["rouge-1"] == pytest.approx(50)
    assert scores["rouge-2"] == 0


def test_a_short_answer_pays_the_brevity_penalty():
    scores = values(["red"], ["red lamp"])
    assert scores["bleu-1"] == pytest.approx(100 * np.exp(1 - 2))


def test_a_fact_is_right_or_wrong_whatever_its_case_and_blanks():
    told = ["Red  lamp", "red lamps", "", "red, lamp"]
    assert exact_scores(told, ["red lamp"] * 4).tolist() == [100, 0, 0, 0]


def test_bleu_is_that_of_sacrebleu_on_the_corpus():
    scores = values(ANSWERS, REFERENCES)
    for order in (1, 4):
        bleu = sacrebleu.BLEU(max_ngram_order=order).corpus_score(ANSWERS, [REFERENCES])
        assert scores[f"bleu-{order}"] == pytest.approx(bleu.score, abs=1e-9)


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=4, max_size=4),
    st.integers(0, 30),
    st.integers(0, 30),
)
def test_bleu_of_any_counts_is_that_of_sacrebleu(pairs, system, reference):
    totals = sorted((max(pair) for pair in pairs), reverse=True)
    matches = sorted((min(pair) for pair in pairs), reverse=True)
    for order in (1, 4):
        expected = sacrebleu.BLEU.compute_bleu(
            matches[:order], totals[:order], system, reference, smooth_method="exp",
            max_ngram_order=order,
        ).score  # fmt: skip
        counts = np.array([system, reference, *matches, *totals], dtype=float)
        assert _bleu(counts, order).item() == pytest.approx(expected, abs=1e-9)


def test_rouge_is_the_mean_of_rouge_score():
    scorer = RougeScorer(["rouge2", "rougeL"])
    pairs = [scorer.score(r, a) for a, r in zip(ANSWERS, REFERENCES, strict=True)]
    scores = values(ANSWERS, REFERENCES)
    for ours, theirs in (("rouge-2", "rouge2"), ("rouge-l", "rougeL")):
        assert scores[ours] == pytest.approx(100 * np.mean([p[theirs].fmeasure for p in pairs]))


def test_nothing_but_empty_answers_scores_0():
    assert set(values(["", ""], REFERENCES[:2]).values()) == {0.0}


def test_intervals_hold_the_scores():
    statistics = text_statistics(ANSWERS, REFERENCES, np.arange(4))
    for interval in bootstrap(statistics, resamples=200).values():
        assert interval.low <= interval.value <= interval.high


def test_meteor_by_hand():
    # Copy of 3 words: one chunk, 1 - (1 / 3) ** 3 / 2. A stem matches as a word does: "lamp(s)".
    assert meteor_scores(["a red lamp"], ["A red lamp"]).item() == pytest.approx(100 * (1 - 1 / 54))
    assert meteor_scores(["red lamps"], ["red lamp"]).item() == pytest.approx(100 * (1 - 1 / 16))
    # One word of two, once: P = R = 1 / 2, so F is 1 / 2; one chunk of one match halves it.
    assert meteor_scores(["red lamp"], ["red phone"]).item() == pytest.approx(25)
    assert meteor_scores(["", "x"], ["red", "y"]).tolist() == [0, 0]


def test_riches_by_hand():
    figures = text_figures(["red lamp. red lamp.", "red phone."], ["a fine lamp", "blue phone"])
    assert figures["distinct-1"] == pytest.approx(3 / 6)
    assert figures["distinct-2"] == pytest.approx(3 / 4)  # red lamp, lamp red, red phone
    assert figures["unique-sentences"] == pytest.approx(2 / 3)
    assert figures["feature-coverage"] == pytest.approx(2 / 4)  # of fine, lamp, blue, phone
    assert (figures["words"], figures["words-users"]) == (3, 2.5)
    assert text_figures([], []) == {}


def test_nothing_said_has_no_riches():
    assert set(text_figures(["", ""], ["a lamp", "b"]).values()) - {1.5} == {0.0}


def test_a_hint_is_followed_where_the_answer_holds_it_as_a_word():
    found = hint_scores(["The LAMP is red", "lamps"], ["lamp", "lamp"])
    assert found["feature-match"].tolist() == [100, 0]
    assert hint_scores(["a"], [None]) == {}


def test_further_scores_stand_behind_the_others():
    others = {"bert": np.array([50.0, 100.0])}
    statistics = text_statistics(["a", "b"], ["a", "b"], np.arange(2), others=others)
    assert statistics.names[-1] == "bert"
    assert statistics.values["bert"] == 75
