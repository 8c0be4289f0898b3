"""BERTScore: how alike the words of two texts are in their contexts.

Shape letters in this file: B texts, T tokens, H hidden width.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from genrec.eval.intervals import Floats
from genrec.optional import require

_TEXTS_AT_ONCE = 64


class BertScore:
    r"""Scores answers by greedy matching of token embeddings, from 0 to 100.

    .. math::
        P = \frac{1}{|\hat x|} \sum_{\hat x_j} \max_{x_i} x_i^\top \hat x_j \qquad
        R = \frac{1}{|x|} \sum_{x_i} \max_{\hat x_j} x_i^\top \hat x_j \qquad
        F = 2PR / (P + R)

    of unit embeddings :math:`x` of the reference and :math:`\hat x` of the answer: section 3 of
    Zhang et al. (https://arxiv.org/abs/1904.09675), without weights and without rescaling. Marks
    that the tokenizer adds, such as ``[CLS]``, are matched with nothing. Numbers compare only
    between runs with the same model and layer.
    """

    def __init__(self, path: Path | str, *, layer: int = -1, device: str = "cpu") -> None:
        """Load an encoder.

        Args:
            path: A Hugging Face model with its tokenizer, by path or name.
            layer: Which hidden states to compare, counted as transformers does; -1 is the last.
            device: Where to compute.
        """
        transformers = require("transformers", extra="eval", why="BertScore")
        self._torch: Any = require("torch", extra="eval", why="BertScore")
        self._tokenizer = transformers.AutoTokenizer.from_pretrained(str(path))
        self._model = transformers.AutoModel.from_pretrained(str(path)).to(device).eval()
        self._layer = layer
        self._device = device

    def __call__(self, answers: Sequence[str], references: Sequence[str]) -> Mapping[str, Floats]:
        """Score each answer: precision, recall and F; an empty answer or reference scores 0."""
        score_E3 = np.zeros((len(answers), 3))
        for start in range(0, len(answers), _TEXTS_AT_ONCE):
            part = slice(start, start + _TEXTS_AT_ONCE)
            pairs = zip(self._embed(answers[part]), self._embed(references[part]), strict=True)
            for e, (ours_TH, theirs_TH) in enumerate(pairs, start=start):
                score_E3[e] = _match(ours_TH, theirs_TH)
        names = ("bertscore-p", "bertscore-r", "bertscore-f1")
        return dict(zip(names, 100 * score_E3.T, strict=True))

    def _embed(self, texts: Sequence[str]) -> list[Floats]:
        """Embed the tokens of each text as unit vectors, without special tokens and padding."""
        limit = getattr(self._model.config, "max_position_embeddings", None)
        if limit is not None:  # a RoBERTa has positions for no token: its tokenizer knows better
            limit = min(limit, self._tokenizer.model_max_length)
        batch = self._tokenizer(
            list(texts), padding=True, truncation=limit is not None, max_length=limit,
            return_special_tokens_mask=True, return_tensors="pt",
        )  # fmt: skip
        is_word_BT = (batch.pop("special_tokens_mask") == 0) & (batch["attention_mask"] == 1)
        with self._torch.inference_mode():
            hidden_BTH = self._model(
                **batch.to(self._device), output_hidden_states=True
            ).hidden_states[self._layer]
        unit_BTH = self._torch.nn.functional.normalize(hidden_BTH.float(), dim=-1).cpu()
        return [
            unit_TH[is_word_T].double().numpy()
            for unit_TH, is_word_T in zip(unit_BTH, is_word_BT, strict=True)
        ]


def _match(answer_TH: Floats, reference_TH: Floats) -> tuple[float, float, float]:
    """Return precision, recall and F of two texts."""
    if not len(answer_TH) or not len(reference_TH):
        return 0.0, 0.0, 0.0
    cosine_TT = answer_TH @ reference_TH.T
    precision, recall = cosine_TT.max(axis=1).mean(), cosine_TT.max(axis=0).mean()
    total = precision + recall
    return float(precision), float(recall), float(2 * precision * recall / total if total else 0.0)
