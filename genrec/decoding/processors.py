"""The trie as parts for ``transformers``' own ``generate``: sampling, other searches, comparisons.

Shape letters in this file: R rows of ``generate`` (requests, or requests times beams), T tokens of
each so far, C tokens that may follow, A tokens that are allowed in all rows together, V vocabulary.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from transformers import LogitsProcessor

from genrec.decoding.constraints import Constraints
from genrec.decoding.trie import TokenTrie


class TrieLogitsProcessor(LogitsProcessor):  # type: ignore[misc]  # transformers is not typed
    """Leaves only tokens that go on with the ID of an allowed item, and -inf at all others.

    It raises rather than let a row go that is no beginning of an ID.
    """

    def __init__(
        self,
        trie: TokenTrie,
        *,
        prompt_length: int,
        constraints: Constraints | None = None,
        end_token: int | None = None,
    ) -> None:
        """Prepare for one call of ``generate``.

        Args:
            trie: The catalogue, on the device of the model.
            prompt_length: Tokens before the ID: the padded length of the prompts, or 1 for the
                decoder of an encoder-decoder.
            constraints: Which items every request may name.
            end_token: What follows a complete ID; ``None`` if nothing may.

        Raises:
            ValueError: When IDs have different lengths.
        """
        _refuse_ends(trie)
        self._trie = trie
        self._prompt_length = prompt_length
        self._constraints = constraints
        self._end_token = end_token

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Mask the scores of the next token, of shape (R, V)."""
        rows = len(input_ids)
        constraints = self._constraints
        if constraints is not None:
            request_R = torch.arange(rows, device=scores.device) // (rows // len(constraints))
            constraints = constraints.of(request_R)
        token_RT = input_ids[:, self._prompt_length :]
        token_RC, mask_RC = _following(self._trie, token_RT, constraints, self._end_token)
        row_A, place_A = (mask_RC == 0).nonzero(as_tuple=True)
        token_A = token_RC[row_A, place_A]
        masked_RV = torch.full_like(scores, -torch.inf)
        masked_RV[row_A, token_A] = scores[row_A, token_A]
        return masked_RV


def prefix_allowed_tokens_fn(
    trie: TokenTrie,
    *,
    prompt_length: int,
    constraints: Constraints | None = None,
    end_token: int | None = None,
) -> Callable[[int, Tensor], list[int]]:
    """Make the argument of ``generate`` of the same name; it takes what the processor takes."""
    _refuse_ends(trie)

    def allowed_tokens(request: int, input_ids_T: Tensor) -> list[int]:
        token_1T = input_ids_T[None, prompt_length:]
        own = None if constraints is None else constraints.of(input_ids_T.new_tensor([request]))
        token_1C, mask_1C = _following(trie, token_1T, own, end_token)
        tokens: list[int] = token_1C[mask_1C == 0].tolist()
        return tokens

    return allowed_tokens


def _refuse_ends(trie: TokenTrie) -> None:
    """Refuse IDs that end before others: no token of the vocabulary stands for what follows."""
    if any(level.has_ends for level in trie.levels):
        raise ValueError(
            "the trie has IDs of different lengths, which generate cannot write side by side; "
            "use genrec.decoding.beam_search"
        )


def _following(
    trie: TokenTrie, token_RT: Tensor, constraints: Constraints | None, end_token: int | None
) -> tuple[Tensor, Tensor]:
    """List the tokens that may come next; the mask is 0 where a place holds one."""
    depth = token_RT.shape[1]
    if depth < len(trie.levels):
        children = trie.levels[depth].children(trie.walk(token_RT))
        mask_RC = children.mask if constraints is None else constraints.mask(children)
        return children.token, mask_RC
    if end_token is None:
        raise ValueError(
            f"an ID is complete after {len(trie.levels)} tokens: "
            f"set max_new_tokens={len(trie.levels)}, or name the end_token that follows"
        )
    token_R1 = torch.full((len(token_RT), 1), end_token, device=token_RT.device)
    return token_R1, torch.zeros_like(token_R1, dtype=torch.float32)
