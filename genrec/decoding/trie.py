"""All semantic IDs of a catalogue as a trie, in tensors.

Items are sorted by their codes, and an item's place in that order is its rank. The items below any
node then have ranks that follow each other, and so have the children of any node: two bounds say
all about a node, and one gather finds the children of many nodes at once. Levels whose nodes have
many children keep a table of them instead, one column for each code. STATIC
(https://arxiv.org/abs/2602.22647) decodes from the same two forms: dense tables first, then rows
compressed as in a sparse matrix (CSR).

Shape letters in this file: N items, L levels, M nodes of a level, P nodes of the level above,
K codes of a level, C children of a node, R paths of T tokens each. Above the first level there is
one node, the root.
"""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genrec.decoding.trie_level import TrieLevel, child_table
from genrec.decoding.trie_order import Ranks, merged_order, sorted_order
from genrec.decoding.trie_store import load_tensors, save_tensors
from genrec.semantic_ids import SemanticIds

_LEVEL_TENSORS = ("token_M", "rank_bounds", "child_bounds", "token_K", "node_PK")

_ENDED = -1
"""Stands where a shorter ID has no more tokens."""


@dataclass(frozen=True)
class TokenTrie:
    """Every path from the root to a leaf writes the ID of one item, or of several that share it.

    It never changes: an update makes a new one, which takes the place of the old in one assignment.
    """

    levels: tuple[TrieLevel, ...]

    row_N: Tensor
    """The item, as a row of the catalogue, at each rank. Items of one ID are in order of rows."""

    rank_N: Tensor
    """The rank of each item; the inverse of ``row_N``."""

    vocabulary_end: int
    """All tokens are below this vocabulary id."""

    @classmethod
    def from_semantic_ids(cls, ids: SemanticIds, first_token: int | Sequence[int]) -> "TokenTrie":
        """Index the IDs of all items.

        Args:
            ids: One ID per item; several items may share one.
            first_token: Vocabulary id of code 0. One number stands for the first level, with the
                codes of all levels following each other as in ``ids.tokens``; a sequence gives
                one for every level.
        """
        starts = _first_tokens(ids, first_token)
        tokens = [
            np.arange(start, start + size)
            for start, size in zip(starts, ids.codebook_sizes, strict=True)
        ]
        return cls._of_sorted(ids, sorted_order(ids), tokens)

    @classmethod
    def from_paths(
        cls, paths: Sequence[Sequence[int]], *, end_token: int | None = None
    ) -> "TokenTrie":
        """Index IDs of any tokens and of any length, such as titles.

        Args:
            paths: The tokens of each item's ID.
            end_token: What the model says after an ID; ``None`` if nothing. Where one ID begins
                another, only this token lets the shorter one compete on equal terms.

        Raises:
            ValueError: When there is no path, or one without tokens.
        """
        ends = [] if end_token is None else [end_token]
        whole = [[*path, *ends] for path in paths]
        if not whole or min(map(len, paths)) == 0:
            raise ValueError("every item needs an ID of at least one token")
        token_NL = np.full((len(whole), max(map(len, whole))), _ENDED, dtype=np.int64)
        for row, path in enumerate(whole):
            token_NL[row, : len(path)] = path
        tokens, codes = zip(
            *(np.unique(token_N, return_inverse=True) for token_N in token_NL.T), strict=True
        )
        ids = SemanticIds(np.stack(codes, axis=1), tuple(map(len, tokens)))
        return cls._of_sorted(ids, sorted_order(ids), tokens)

    def updated(self, ids: SemanticIds, old_row_N: Sequence[int]) -> "TokenTrie":
        """Index a catalogue that some items left and others joined, without sorting it all again.

        Args:
            ids: The IDs of all items there are now. Those that stay keep their IDs and come in the
                order in which they came.
            old_row_N: For each of them its row in this trie, or -1 for an item that is new.

        Raises:
            ValueError: When the items that stay have other IDs or come in another order.
        """
        order = merged_order(ids, self.row_N.cpu().numpy(), np.asarray(old_row_N, dtype=np.int64))
        tokens = [level.token_K.cpu().numpy() for level in self.levels]
        return TokenTrie._of_sorted(ids, order, tokens).to(self.device)

    @classmethod
    def _of_sorted(
        cls, ids: SemanticIds, row_N: Ranks, tokens: Sequence[np.ndarray[Any, Any]]
    ) -> "TokenTrie":
        rank_N = np.empty_like(row_N)
        rank_N[row_N] = np.arange(len(row_N))
        levels, parent_bounds = [], np.array([0, len(ids)])
        opens_node_N = np.zeros(len(ids), dtype=bool)
        opens_node_N[0] = True
        for codes_N, token_K in zip(ids.codes_NL.T, tokens, strict=True):
            code_N = codes_N[row_N]
            opens_node_N[1:] |= code_N[1:] != code_N[:-1]
            first_rank_M = np.flatnonzero(opens_node_N)
            bounds = np.append(first_rank_M, len(ids))
            child_bounds = np.searchsorted(bounds, parent_bounds)
            code_M = code_N[first_rank_M]
            max_branch = int(np.diff(child_bounds).max())
            levels.append(
                TrieLevel(
                    token_M=_tensor(token_K[code_M]),
                    rank_bounds=_tensor(bounds),
                    child_bounds=_tensor(child_bounds),
                    max_branch=max_branch,
                    token_K=_tensor(token_K),
                    node_PK=child_table(code_M, child_bounds, len(token_K), max_branch),
                )
            )
            parent_bounds = bounds
        end = 1 + max(int(token_K.max()) for token_K in tokens)
        return cls(tuple(levels), _tensor(row_N), _tensor(rank_N), end)

    def __len__(self) -> int:
        return len(self.row_N)

    @cached_property
    def vocabulary_start(self) -> int:
        """All tokens are at least this vocabulary id."""
        return min(int(level.token_K[level.token_K >= 0].min()) for level in self.levels)

    @cached_property
    def most_per_id(self) -> int:
        """The most items that share one ID."""
        return int(self.levels[-1].rank_bounds.diff().max())

    def walk(self, token_RT: Tensor) -> Tensor:
        """Follow paths from the root and return the node of level T - 1 that each one ends at.

        Raises:
            ValueError: When no ID begins with such a path.
        """
        node_R = torch.zeros(len(token_RT), dtype=torch.long, device=token_RT.device)
        for level, token_R in zip(self.levels, token_RT.T, strict=False):
            children = level.children(node_R)
            is_next_RC = (children.mask == 0) & (children.token == token_R[:, None])
            is_lost_R = ~is_next_RC.any(dim=1)
            if is_lost_R.any():
                row = int(is_lost_R.nonzero()[0])
                raise ValueError(
                    f"row {row}: no ID begins with the tokens {token_RT[row].tolist()}"
                )
            node_R = children.node[is_next_RC]
        return node_R

    @property
    def device(self) -> torch.device:
        """Where the tensors are."""
        return self.row_N.device

    @property
    def bytes(self) -> int:
        """How much memory all tensors take, with the masks that the first search makes."""
        saved = sum(tensor.nbytes for tensor in self._tensors().values())
        return saved + sum(level.mask_bytes for level in self.levels)

    def to(self, device: torch.device | str) -> "TokenTrie":
        """Return the same trie on another device."""
        moved = {level: level.to(device) for level in self.levels}  # one may stand in many places
        levels = tuple(moved[level] for level in self.levels)
        row_N, rank_N = self.row_N.to(device), self.rank_N.to(device)
        return dataclasses.replace(self, levels=levels, row_N=row_N, rank_N=rank_N)

    def save(self, path: Path | str) -> None:
        """Write the trie as one safetensors file, in one step."""
        facts = {
            "vocabulary_end": self.vocabulary_end,
            "max_branch": [level.max_branch for level in self.levels],
        }
        save_tensors(path, self._tensors(), facts)

    @classmethod
    def load(cls, path: Path | str) -> "TokenTrie":
        """Read what :meth:`save` wrote; on a CPU the file is mapped into memory, not copied.

        Raises:
            ArtifactError: When the file is missing, or holds no trie.
        """
        tensors, facts = load_tensors(path)
        levels = tuple(
            TrieLevel(
                token_M=tensors[f"{number}.token_M"],
                rank_bounds=tensors[f"{number}.rank_bounds"],
                child_bounds=tensors[f"{number}.child_bounds"],
                max_branch=max_branch,
                token_K=tensors[f"{number}.token_K"],
                node_PK=tensors.get(f"{number}.node_PK"),
            )
            for number, max_branch in enumerate(facts["max_branch"])
        )
        return cls(levels, tensors["row_N"], tensors["rank_N"], facts["vocabulary_end"])

    def _tensors(self) -> dict[str, Tensor]:
        tensors = {"row_N": self.row_N, "rank_N": self.rank_N}
        for number, level in enumerate(self.levels):
            for name in _LEVEL_TENSORS:
                tensor = getattr(level, name)
                if tensor is not None:
                    tensors[f"{number}.{name}"] = tensor
        return tensors


def _first_tokens(ids: SemanticIds, first_token: int | Sequence[int]) -> list[int]:
    if isinstance(first_token, int):
        starts = list(itertools.accumulate(ids.codebook_sizes[:-1], initial=first_token))
    else:
        starts = [int(token) for token in first_token]
    if len(starts) != ids.levels:
        raise ValueError(
            f"first_token gives {len(starts)} vocabulary ids, but the IDs have {ids.levels} levels"
        )
    if min(starts) < 0:
        raise ValueError(f"first_token holds {min(starts)}, but vocabulary ids count from 0")
    return starts


def _tensor(values: np.ndarray[Any, Any]) -> Tensor:
    # Half the memory of int64, and enough: neither items nor nodes nor tokens reach 2**31.
    return torch.from_numpy(values.astype(np.int32))
