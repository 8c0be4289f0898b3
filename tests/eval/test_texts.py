import numpy as np
import pytest
import sacrebleu
from rouge_score.rouge_scorer import RougeScorer

from genrec.eval.intervals import bootstrap
from genrec.eval.texts import text_statistics

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
    assert values(REFERENCES, REFERENCES) == pytest.approx(
        dict.fromkeys(values(*[REFERENCES] * 2), 100)
    )


def test_one_of_two_words_scores_by_hand():
    scores = values(["red lamp"], ["red phone"])
    assert scores["bleu-1"] == pytest.approx(50)
    assert scores["rouge-1"] == pytest.approx(50)
    assert scores["rouge-2"] == 0


def test_a_short_answer_pays_the_brevity_penalty():
    scores = values(["red"], ["red lamp"])
    assert scores["bleu-1"] == pytest.approx(100 * np.exp(1 - 2))


def test_bleu_is_that_of_sacrebleu_on_the_corpus():
    scores = values(ANSWERS, REFERENCES)
    for order in (1, 4):
        bleu = sacrebleu.BLEU(max_ngram_order=order).corpus_score(ANSWERS, [REFERENCES])
        assert scores[f"bleu-{order}"] == pytest.approx(bleu.score, abs=1e-9)


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
