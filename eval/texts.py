"""Scores of generated texts against what people wrote, from 0 to 100 as papers print them.

BLEU is sacrebleu's (https://arxiv.org/abs/1804.08771): of the whole corpus, cased, with its 13a
tokenization, brevity penalty and exponential smoothing. BLEU-1 stops at single words. ROUGE is
rouge-score's F-measure without stemming, averaged over events
(https://aclanthology.org/W04-1013/). METEOR is nltk's (https://aclanthology.org/W05-0909/, with
the weights of that paper), of exact words and of stems: the third stage, synonyms, needs WordNet,
which is no part of nltk, so numbers are a little below those of papers that use it.

Shape letters in this file: E events, S statistics, R resamples.
"""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from genrec.eval.intervals import Floats, Ints, Statistics
from genrec.optional import require

_ORDERS: Final = 4
_ROUGES: Final = ("rouge1", "rouge2", "rougeL")
_NAMES: Final = ("bleu-1", "bleu-4", "rouge-1", "rouge-2", "rouge-l", "meteor")

_WORD: Final = re.compile(r"\w+")
_SENTENCE: Final = re.compile(r"(?<=[.!?])\s+")

TextScorer = Callable[[Sequence[str], Sequence[str]], Mapping[str, Floats]]
"""From answers and references to scores of each event, by name; the metric is their mean."""


def text_statistics(
    answers: Sequence[str],
    references: Sequence[str],
    user_E: Ints,
    *,
    others: Mapping[str, Floats] | None = None,
) -> Statistics:
    """Describe BLEU-1/4, ROUGE-1/2/L and METEOR of answers, one reference each.

    Args:
        answers: What was generated for each event.
        references: What the user wrote.
        user_E: The user of each event.
        others: Further scores of each event, by name.

    Raises:
        MissingDependencyError: When sacrebleu, rouge-score or nltk is not installed.
    """
    others = dict(others or {})
    bleu_ES = _bleu_counts(answers, references)
    mean_ES = np.column_stack([
        _rouge_scores(answers, references), meteor_scores(answers, references), *others.values(),
        np.ones(len(answers)),
    ])  # fmt: skip
    names = (*_NAMES, *others)
    return Statistics(names, np.hstack([bleu_ES, mean_ES]), user_E, _combine)


def hint_scores(answers: Sequence[str], hints: Sequence[str | None]) -> dict[str, Floats]:
    r"""Score 100 where an answer holds the word that it was to be about; nothing without hints.

    .. math:: \mathrm{FMR} = \frac{100}{|E|} \sum_e [f_e \in \hat s_e]

    The feature matching ratio of NETE (https://doi.org/10.1145/3340531.3411992).
    """
    if not any(hints):
        return {}
    found = [
        hint is not None and hint.lower() in _words(answer)
        for answer, hint in zip(answers, hints, strict=True)
    ]
    return {"feature-match": 100 * np.array(found, dtype=np.float64)}


def exact_scores(answers: Sequence[str], references: Sequence[str]) -> Floats:
    r"""Score 100 where an answer is the reference, whatever its case and its blanks.

    .. math:: \mathrm{EM} = \frac{100}{|E|} \sum_e [\hat s_e = s_e]

    The exact match of SQuAD (https://arxiv.org/abs/1606.05250), which also passes over articles and
    punctuation; in titles both tell items apart.
    """
    same = [
        answer.casefold().split() == reference.casefold().split()
        for answer, reference in zip(answers, references, strict=True)
    ]
    return 100 * np.array(same, dtype=np.float64)


def text_figures(answers: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    r"""Tell how rich the answers are, all taken together.

    .. math::
        \mathrm{Distinct}_n &= |\mathrm{different}\ n\text{-grams}| \,/\, |n\text{-grams}| \\
        \mathrm{USR} &= |\mathrm{different\ sentences}| \,/\, |\mathrm{sentences}| \\
        \mathrm{FCR} &= |F_{\mathrm{answers}} \cap F_{\mathrm{references}}|
            \,/\, |F_{\mathrm{references}}|

    for the feature words :math:`F`: Distinct-n of Li et al. (https://arxiv.org/abs/1510.03055), the
    unique sentence ratio and the feature coverage ratio of NETE
    (https://doi.org/10.1145/3340531.3411992). ``words`` is the mean length of an answer, beside
    ``words-users``, that of a reference.
    """
    if not answers:
        return {}
    # The package of prompts imports transformers, which other tasks do without.
    from genrec.prompts.hints import feature_words

    def features(texts: Sequence[str]) -> set[str]:
        return {word for text in texts for word in feature_words(text, within=len(text))}

    wanted, sentences = features(references), [s for text in answers for s in _sentences(text)]
    return {
        "distinct-1": _distinct(answers, 1),
        "distinct-2": _distinct(answers, 2),
        "unique-sentences": len(set(sentences)) / max(len(sentences), 1),
        "feature-coverage": len(features(answers) & wanted) / max(len(wanted), 1),
        "words": float(np.mean([len(_words(text)) for text in answers])),
        "words-users": float(np.mean([len(_words(text)) for text in references])),
    }


def meteor_scores(answers: Sequence[str], references: Sequence[str]) -> Floats:
    r"""Score how well the words of each answer align with those of its reference, from 0 to 100.

    .. math::
        \frac{10 P R}{R + 9 P}
        \left(1 - \tfrac12 (\mathrm{chunks} / \mathrm{matches})^3\right)

    (https://aclanthology.org/W05-0909/).
    Not even a copy scores 100: it is one chunk of its words.
    """
    module = require("nltk.translate.meteor_score", extra="eval", why="scoring texts")
    return np.array([
        100 * module.single_meteor_score(
            _words(reference), _words(answer), wordnet=_NoSynonyms(),
            alpha=0.9, beta=3.0, gamma=0.5,
        )
        if answer.strip() and reference.strip() else 0.0
        for answer, reference in zip(answers, references, strict=True)
    ])  # fmt: skip


class _NoSynonyms:
    """Stands for WordNet, which has to be fetched from the net."""

    def synsets(self, word: str) -> list[Any]:
        """Know no synonym."""
        return []


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _sentences(text: str) -> list[str]:
    return [part.strip() for part in _SENTENCE.split(text) if part.strip()]


def _distinct(texts: Sequence[str], n: int) -> float:
    grams: Counter[tuple[str, ...]] = Counter()
    for text in texts:
        words = _words(text)
        grams.update(zip(*(words[start:] for start in range(n)), strict=False))
    return len(grams) / max(grams.total(), 1)


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
    bleu_R2 = np.stack([_bleu(sum_RS, order) for order in (1, _ORDERS)], axis=-1)
    mean_RS = sum_RS[..., width:-1] / sum_RS[..., -1:]
    return np.concatenate([bleu_R2, mean_RS], axis=-1)


def _bleu(sum_RS: Floats, orders: int) -> Floats:
    r"""Compute corpus BLEU from its counts, for all resamples at once.

    .. math:: 100 \, e^{\min(0,\, 1 - |r| / |c|)} \prod_n p_n^{1 / N}

    (https://aclanthology.org/P02-1040/), where the k-th of the orders without a match counts
    as :math:`2^{-k}` matches: method 3 of https://aclanthology.org/W14-3346/.
    """
    system_R, reference_R = sum_RS[..., 0], sum_RS[..., 1]
    match_RN = sum_RS[..., 2 : 2 + orders]
    total_RN = sum_RS[..., 2 + _ORDERS : 2 + _ORDERS + orders]
    has_none_RN = match_RN == 0
    smooth_RN = np.where(has_none_RN, 0.5 ** np.cumsum(has_none_RN, axis=-1), match_RN)
    log_RN = np.log(smooth_RN / np.maximum(total_RN, 1))
    brevity_R = np.minimum(0, 1 - reference_R / np.maximum(system_R, 1e-9))
    score_R: Floats = 100 * np.exp(brevity_R + log_RN.mean(axis=-1))
    return np.where((match_RN > 0).any(axis=-1) & (total_RN > 0).all(axis=-1), score_R, 0.0)
