"""Scores of generated texts against what people wrote, from 0 to 100 as papers print them.

BLEU is sacrebleu's (https://arxiv.org/abs/1804.08771): of the whole corpus, cased, with its 13a
tokenization, brevity penalty and exponential smoothing. BLEU-1 stops at single words. ROUGE is
rouge-score's F-measure without stemming, averaged over events
(https://aclanthology.org/W04-1013/).

Shape letters in this file: E events, S statistics, R resamples.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from genrec.eval.intervals import Floats, Ints, Statistics
from genrec.optional import require

_ORDERS: Final = 4
_ROUGES: Final = ("rouge1", "rouge2", "rougeL")
_NAMES: Final = ("bleu-1", "bleu-4", "rouge-1", "rouge-2", "rouge-l")


def text_statistics(answers: Sequence[str], references: Sequence[str], user_E: Ints) -> Statistics:
    """Describe BLEU-1/4 and ROUGE-1/2/L of answers, one reference each.

    Args:
        answers: What was generated for each event.
        references: What the user wrote.
        user_E: The user of each event.

    Raises:
        MissingDependencyError: When sacrebleu or rouge-score is not installed.
    """
    bleu_ES = _bleu_counts(answers, references)
    rouge_ES = _rouge_scores(answers, references)
    one_E1 = np.ones((len(answers), 1))
    return Statistics(_NAMES, np.hstack([bleu_ES, rouge_ES, one_E1]), user_E, _combine)


def _sacrebleu() -> Any:
    return require("sacrebleu", extra="eval", why="scoring texts").BLEU


def _bleu_counts(answers: Sequence[str], references: Sequence[str]) -> Floats:
    """Count what corpus BLEU sums up: lengths, n-grams that match, n-grams in all."""
    bleu = _sacrebleu()(effective_order=True)  # changes no count; silences a warning
    rows = []
    for answer, reference in zip(answers, references, strict=True):
        score = bleu.sentence_score(answer, [reference])
        rows.append([score.sys_len, score.ref_len, *score.counts, *score.totals])
    return np.array(rows, dtype=np.float64)


def _rouge_scores(answers: Sequence[str], references: Sequence[str]) -> Floats:
    scorers = require("rouge_score.rouge_scorer", extra="eval", why="scoring texts")
    tokenizers = require("rouge_score.tokenizers", extra="eval", why="scoring texts")
    words = tokenizers.DefaultTokenizer(use_stemmer=False)
    scorer = scorers.RougeScorer(list(_ROUGES), tokenizer=words)
    rows = []
    for answer, reference in zip(answers, references, strict=True):
        scores = scorer.score(reference, answer)
        rows.append([100 * scores[name].fmeasure for name in _ROUGES])
    return np.array(rows, dtype=np.float64)


def _combine(sum_RS: Floats) -> Floats:
    width = 2 + 2 * _ORDERS
    bleu_R2 = np.apply_along_axis(_bleus, -1, sum_RS[..., :width])
    rouge_R3 = sum_RS[..., width:-1] / sum_RS[..., -1:]
    return np.concatenate([bleu_R2, rouge_R3], axis=-1)


def _bleus(sum_S: Floats) -> Floats:
    """BLEU-1 and BLEU-4 from the counts of a corpus."""
    system, reference, *counts = sum_S.astype(np.int64).tolist()
    return np.array([
        _sacrebleu().compute_bleu(
            counts[:order], counts[_ORDERS : _ORDERS + order], system, reference,
            smooth_method="exp", max_ngram_order=order,
        ).score
        for order in (1, _ORDERS)
    ])  # fmt: skip
