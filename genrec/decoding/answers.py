"""How likely a model finds a few given answers, and which items of a small set it names.

Both ask a :class:`~genrec.decoding.Scorer` for the tokens that matter and no others, so that they
run on whatever runs the model.

Shape letters in this file: B requests, S answers, W beginnings of answers, T tokens of each,
C tokens that may follow one, R rows that are padded, N items, L levels.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genrec.decoding.scorers import Scorer, refuse_non_numbers

Ints = np.ndarray[Any, np.dtype[np.int64]]
Floats = np.ndarray[Any, np.dtype[np.float32]]
Beginning = tuple[int, ...]


@torch.no_grad()
def score_answers(
    scorer: Scorer,
    answers: Sequence[Sequence[int]],
    *,
    requests: int,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Return the log-probability of every answer to every request, of shape (B, S), float32.

    Beginnings that answers share are computed once.

    Args:
        scorer: The model with the prompts of all requests.
        answers: The same for all requests, as tokens; each should end with the token that ends an
            answer, so that one which begins another is told from it.
        requests: Number of requests (B).
        device: Where the scorer computes.
    """
    wanted = [tuple(answer) for answer in answers]
    if not wanted or not all(wanted) or len(set(wanted)) < len(wanted):
        raise ValueError(f"answers must be different and not empty, not {wanted}")
    log_prob: dict[Beginning, Tensor] = {(): torch.zeros(requests, device=device)}
    front: list[Beginning] = [()]
    parents = [0]
    while front:
        following = [sorted(_following(beginning, wanted)) for beginning in front]
        score_BWC = _score(scorer, front, parents, following, requests=requests, device=device)
        grown: list[tuple[int, Beginning]] = []
        for w, beginning in enumerate(front):
            for c, token in enumerate(following[w]):
                longer = (*beginning, token)
                log_prob[longer] = log_prob[beginning] + score_BWC[:, w, c]
                if _following(longer, wanted):
                    grown.append((w, longer))
        parents, front = [w for w, _ in grown], [longer for _, longer in grown]
    return torch.stack([log_prob[answer] for answer in wanted], dim=1)


def _following(beginning: Beginning, answers: Sequence[Beginning]) -> set[int]:
    size = len(beginning)
    return {a[size] for a in answers if len(a) > size and a[:size] == beginning}


def _score(
    scorer: Scorer,
    front: Sequence[Beginning],
    parents: Sequence[int],
    following: Sequence[Sequence[int]],
    *,
    requests: int,
    device: torch.device | str,
) -> Tensor:
    """Score what may follow each beginning, the same for all requests."""
    next_WC, mask_WC = _padded(following)
    return scorer.log_probs(
        _for_all(np.asarray(front, dtype=np.int64).reshape(len(front), -1), requests, device),
        _for_all(np.asarray(parents, dtype=np.int64), requests, device),
        _for_all(next_WC, requests, device),
        _for_all(mask_WC, requests, device),
    )


def _for_all(array: np.ndarray[Any, Any], requests: int, device: torch.device | str) -> Tensor:
    return torch.from_numpy(array).to(device).expand(requests, *array.shape)


def _padded(rows: Sequence[Sequence[int]]) -> tuple[Ints, Floats]:
    """Put rows into one array, with a mask that is 0 at what is theirs and -inf elsewhere."""
    width = max(len(row) for row in rows)
    token_RC = np.zeros((len(rows), width), dtype=np.int64)
    mask_RC = np.full((len(rows), width), -np.inf, dtype=np.float32)
    for r, row in enumerate(rows):
        token_RC[r, : len(row)] = row
        mask_RC[r, : len(row)] = 0
    return token_RC, mask_RC


@torch.no_grad()
def choose_items(
    scorer: Scorer,
    tokens_NL: np.ndarray[Any, np.dtype[np.int32]],
    candidates: Sequence[Sequence[int]],
    *,
    end: int,
    device: torch.device | str = "cpu",
) -> list[tuple[int, ...]]:
    """Let a model name any number of each request's candidates.

    It writes one semantic ID after the other, taking the likeliest token at each step, until it
    takes the token that ends an answer. Only candidates that it has not named yet can be written.

    Args:
        scorer: The model with the prompts of all requests.
        tokens_NL: The tokens of every item's semantic ID.
        candidates: For every request, rows of the items to choose among.
        end: The token that ends an answer.
        device: Where the scorer computes.

    Returns:
        For every request the rows it names, in the order in which it does.

    Raises:
        ValueError: When the model's logits are not numbers.
    """
    choices = [_Choice(rows, tokens_NL, end) for rows in candidates]
    path_BT = torch.zeros((len(choices), 0), dtype=torch.long, device=device)
    parent_B1 = torch.zeros((len(choices), 1), dtype=torch.long, device=device)
    while not all(choice.is_done for choice in choices):
        next_BC, mask_BC = (
            torch.from_numpy(array).to(device)
            for array in _padded([choice.following() for choice in choices])
        )
        log_prob_B1C = scorer.log_probs(
            path_BT[:, None], parent_B1, next_BC[:, None], mask_BC[:, None]
        )
        score_BC = log_prob_B1C[:, 0] + mask_BC
        refuse_non_numbers(score_BC)
        best_B1 = score_BC.argmax(dim=1, keepdim=True)
        token_B1 = next_BC.gather(1, best_B1)
        path_BT = torch.cat([path_BT, token_B1], dim=1)
        for choice, token in zip(choices, token_B1[:, 0].tolist(), strict=True):
            choice.take(token)
    return [tuple(choice.named) for choice in choices]


class _Choice:
    """What one request has named so far, and what it may write next."""

    def __init__(
        self, rows: Sequence[int], tokens_NL: np.ndarray[Any, np.dtype[np.int32]], end: int
    ) -> None:
        self._left = {row: tuple(tokens_NL[row].tolist()) for row in rows}
        self._levels = tokens_NL.shape[1]
        self._end = end
        self._begun: Beginning = ()
        self.named: list[int] = []
        self.is_done = not self._left

    def following(self) -> list[int]:
        """List the tokens that may come next; none when the answer has ended."""
        if self.is_done:
            return []
        tokens = sorted(_following(self._begun, list(self._left.values())))
        return tokens if self._begun else [*tokens, self._end]

    def take(self, token: int) -> None:
        """Go on by a token that may come next."""
        if self.is_done or (token == self._end and not self._begun):
            self.is_done = True
            return
        self._begun = (*self._begun, token)
        if len(self._begun) == self._levels:
            named = next(row for row, codes in self._left.items() if codes == self._begun)
            del self._left[named]
            self.named.append(named)
            self._begun, self.is_done = (), not self._left
