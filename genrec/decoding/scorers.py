"""How likely tokens are to follow each beam: from the logits of a model, or from its hidden states.

Shape letters in this file: B requests, W beams of a request, T tokens of each so far, C tokens that
may follow, D hidden dimensions, S tokens of all semantic IDs, V vocabulary.
"""

import threading
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import PreTrainedModel

from genrec.decoding.feeding import wrapped_model
from genrec.decoding.steppers import PromptedStepper, Stepper
from genrec.decoding.trie import TokenTrie

VOCABULARY_CHUNK = 32_768
"""Most tokens whose logits stand in memory at once."""


class Scorer(Protocol):
    """A model that says how likely some tokens are to follow each beam, and only those."""

    def log_probs(
        self, path_BWT: Tensor, parent_BW: Tensor, next_BWC: Tensor, mask_BWC: Tensor
    ) -> Tensor:
        """Return log-probabilities of the next token, of shape (B, W, C), float32.

        Args:
            path_BWT: The tokens that each beam has taken. At first every request has one beam,
                its prompt, and T is 0; W may change from call to call.
            parent_BW: The beam of the call before that each one continues.
            next_BWC: Tokens that may come next.
            mask_BWC: 0 at those to score and -inf at all others. It is added to what is returned,
                which may be any number at the others but neither NaN nor inf.
        """
        ...


class LogitsScorer:
    """Scores tokens by the logits that a stepper gives for the whole vocabulary."""

    def __init__(
        self, stepper: Stepper, *, renormalise: bool = False, logits_B1V: Tensor | None = None
    ) -> None:
        """Read the prompts, unless the logits after them are given."""
        self._stepper = stepper
        self._renormalise = renormalise
        self._logits_BWV = stepper.prefill() if logits_B1V is None else logits_B1V

    def log_probs(
        self, path_BWT: Tensor, parent_BW: Tensor, next_BWC: Tensor, mask_BWC: Tensor
    ) -> Tensor:
        """Score tokens in the whole vocabulary, or among those that are allowed."""
        if path_BWT.shape[2] > 0:
            self._logits_BWV = self._stepper.step(path_BWT[..., -1], parent_BW)
        logit_BWC = self._logits_BWV.gather(2, next_BWC).float()
        if self._renormalise:
            return log_shares(logit_BWC + mask_BWC)
        return logit_BWC - self._logits_BWV.float().logsumexp(dim=2, keepdim=True)


class HeadScorer:
    """Scores tokens by hidden states: of the output matrix it takes the rows that are needed.

    Among the allowed tokens alone, those are the rows of the semantic IDs. Where the whole
    vocabulary counts, its normaliser is summed up chunk by chunk, so that logits of 150,000 tokens
    never stand in memory for every beam.
    """

    def __init__(
        self,
        stepper: Stepper,
        head: nn.Linear,
        trie: TokenTrie,
        hidden_B1D: Tensor,
        *,
        renormalise: bool = False,
        chunk: int = VOCABULARY_CHUNK,
    ) -> None:
        """Begin with the hidden states after the prompts; the stepper gives hidden states too."""
        self._stepper = stepper
        self._head = head
        self._hidden_BWD = hidden_B1D
        self._renormalise = renormalise
        self._chunk = chunk
        self._first, end = trie.vocabulary_start, trie.vocabulary_end
        self._rows_SD = head.weight[self._first : end]
        self._bias_S = None if head.bias is None else head.bias[self._first : end]

    def log_probs(
        self, path_BWT: Tensor, parent_BW: Tensor, next_BWC: Tensor, mask_BWC: Tensor
    ) -> Tensor:
        """Score tokens in the whole vocabulary, or among those that are allowed."""
        if path_BWT.shape[2] > 0:
            self._hidden_BWD = self._stepper.step(path_BWT[..., -1], parent_BW)
        logit_BWS = functional.linear(self._hidden_BWD, self._rows_SD, self._bias_S).float()
        logit_BWC = logit_BWS.gather(2, (next_BWC - self._first).clamp_min(0))
        if self._renormalise:
            return log_shares(logit_BWC + mask_BWC)
        return logit_BWC - self._normaliser()[..., None]

    def _normaliser(self) -> Tensor:
        """Return the log of the sum of all tokens' exponentiated logits, of shape (B, W)."""
        weight_VD, bias_V = self._head.weight, self._head.bias
        parts = []
        for start in range(0, len(weight_VD), self._chunk):
            rows = slice(start, start + self._chunk)
            bias = None if bias_V is None else bias_V[rows]
            logits = functional.linear(self._hidden_BWD, weight_VD[rows], bias)
            parts.append(logits.float().logsumexp(dim=2))
        return torch.stack(parts).logsumexp(dim=0)


def make_scorer(
    model: PreTrainedModel,
    stepper: PromptedStepper,
    trie: TokenTrie,
    *,
    renormalise: bool = False,
    chunk: int = VOCABULARY_CHUNK,
) -> Scorer:
    """Read the prompts and choose how to score what follows them.

    Hidden states are used where they save something and where the output matrix alone makes logits
    of them. Some models do more, such as to cap them (Gemma 2) or to scale them (Granite): whether
    the first logits come out the same tells.

    Raises:
        ValueError: When the trie does not fit the model.
    """
    head = _plain_head(model)
    if head is None or not (renormalise or head.out_features > chunk):
        logits_B1V = stepper.prefill()
        refuse_misfits(logits_B1V, trie)
        return LogitsScorer(stepper, renormalise=renormalise, logits_B1V=logits_B1V)
    logits_B1V, hidden_B1D = _prefill_both(stepper, head)
    refuse_misfits(logits_B1V, trie)
    scorer = HeadScorer(stepper, head, trie, hidden_B1D, renormalise=renormalise, chunk=chunk)
    if not torch.equal(head(hidden_B1D), logits_B1V):
        return LogitsScorer(stepper, renormalise=renormalise, logits_B1V=logits_B1V)
    stepper.skip_head()
    return scorer


def refuse_misfits(logits_BWV: Tensor, trie: TokenTrie) -> None:
    """Check that a model knows the tokens of a trie and is where the trie is."""
    vocabulary = logits_BWV.shape[2]
    if trie.vocabulary_end > vocabulary:
        raise ValueError(
            f"the trie has tokens up to {trie.vocabulary_end - 1}, but the model's vocabulary "
            f"ends at {vocabulary - 1}; add the tokens of the semantic IDs to the model"
        )
    if trie.device != logits_BWV.device:
        raise ValueError(
            f"the trie is on {trie.device} and the model on {logits_BWV.device}; "
            f"use trie.to({str(logits_BWV.device)!r})"
        )


def _plain_head(model: PreTrainedModel) -> nn.Linear | None:
    """Return the output matrix of a decoder that can run without it, else ``None``.

    A quantised or adapted one is no plain matrix, and soft prompts live outside the decoder.
    """
    inner = wrapped_model(model)
    if model.config.is_encoder_decoder or getattr(model, "active_peft_config", None) is not None:
        return None
    head = inner.get_output_embeddings()
    body = inner.base_model
    if type(head) is not nn.Linear or body is inner or body.get_output_embeddings() is not None:
        return None
    return head


def _prefill_both(stepper: Stepper, head: nn.Linear) -> tuple[Tensor, Tensor]:
    """Read the prompts and return the logits after them, and the hidden states they come from."""
    caught: list[Tensor] = []
    thread = threading.get_ident()

    def catch(_: nn.Module, inputs: tuple[Any, ...]) -> None:
        if threading.get_ident() == thread:  # others may use the model meanwhile
            caught.append(inputs[0])

    with head.register_forward_pre_hook(catch):
        logits_B1V = stepper.prefill()
    return logits_B1V, caught[-1][:, -1:]


def log_shares(logit_BWC: Tensor) -> Tensor:
    """Return the log-softmax over C; where all logits are -inf, it is -inf and not NaN."""
    total_BW1 = logit_BWC.logsumexp(dim=2, keepdim=True)
    return logit_BWC - total_BW1.clamp_min(torch.finfo(total_BW1.dtype).min)


def refuse_non_numbers(score: Tensor) -> None:
    """Check that no score of a batch, of shape (B, ...), is NaN or infinitely good."""
    is_wrong_B = ~(score < torch.inf).flatten(1).all(dim=1)
    if is_wrong_B.any():
        request = int(is_wrong_B.nonzero()[0])
        raise ValueError(f"request {request}: the model's logits are not numbers (NaN or infinite)")
