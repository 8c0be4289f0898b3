"""Who sees which picture: worked out once a forward, used by every layer.

Shape letters in this file: R rows, T tokens of a row, U distinct pictures, C latents of each,
D width, N tokens that see a picture, O occurrences of pictures, P occurrences of a row,
X all R x T tokens.
"""

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import Cache
from transformers.cache_utils import CacheLayerMixin


class OwnPictures(NamedTuple):
    """Every token sees the picture of its own item: the mask M of UniMP's equation 3.

    The mask is never written out. The tokens of an occurrence, a run of neighbours with one owner,
    become a row of a grid, whose latents are those of one picture: what is computed and held grows
    with the tokens that see something, and neither with T x T nor with T x U.
    """

    latents_UCD: Tensor
    token_N: Tensor
    """Places of the seeing tokens among all R x T."""

    picture_N: Tensor
    """The picture that each of them sees."""

    picture_O: Tensor
    """The picture of each row of the grid."""

    slot_N: Tensor
    """Places of the seeing tokens in the grid of O rows."""

    width: int
    """Tokens of a row of the grid: of the longest occurrence, if it is not far longer than most."""


class AllPictures(NamedTuple):
    """Every token sees all pictures of its example so far: UniMP without exclusive attention."""

    latents_UCD: Tensor
    picture_RP: Tensor
    """The pictures of each row in order, filled up with 0."""

    first_RT: Tensor
    """The first occurrence that a token sees: its example's."""

    end_RT: Tensor
    """The one behind the last that it sees; where it is ``first_RT``, the token sees none."""


Sight = OwnPictures | AllPictures


# How many tokens see something decides shapes: one break of a compiled graph, before the layers.
@torch.compiler.disable  # type: ignore[untyped-decorator]
def own_pictures(owner_RT: Tensor, latents_UCD: Tensor) -> OwnPictures:
    """Group the tokens that see a picture by its occurrences."""
    _refuse_strangers(owner_RT, latents_UCD)
    owner_X = owner_RT.flatten()
    token_N = (owner_X >= 0).nonzero().squeeze(1)
    picture_N = owner_X[token_N]
    begins_N = occurrences_begin(token_N, picture_N, row_tokens=owner_RT.shape[1])
    runs, place_N = _runs(begins_N)
    longest = int(place_N.max()) + 1 if len(token_N) else 0
    # A run of more than twice the mean goes on in another row: the grid has at most 6 N places.
    width = max(1, min(longest, 2 * math.ceil(len(token_N) / max(1, len(runs)))))
    if width < longest:
        begins_N = place_N % width == 0
        runs, place_N = _runs(begins_N)
    return OwnPictures(
        latents_UCD=latents_UCD,
        token_N=token_N,
        picture_N=picture_N,
        picture_O=picture_N[runs],
        slot_N=(begins_N.cumsum(0) - 1) * width + place_N,
        width=width,
    )


def occurrences_begin(token_N: Tensor, picture_N: Tensor, *, row_tokens: int) -> Tensor:
    """Tell which of the seeing tokens begin an occurrence, of shape (N,); none spans two rows."""
    begins_N = token_N % row_tokens == 0
    begins_N[:1] = True
    begins_N[1:] |= (token_N.diff() != 1) | (picture_N.diff() != 0)
    return begins_N


def _runs(begins_N: Tensor) -> tuple[Tensor, Tensor]:
    """Return where the runs begin, and the place of everything in its run."""
    first_O = begins_N.nonzero().squeeze(1)
    all_N = torch.arange(len(begins_N), device=begins_N.device)
    return first_O, all_N - first_O[begins_N.cumsum(0) - 1]


@torch.compiler.disable  # type: ignore[untyped-decorator]
def all_pictures(
    owner_RT: Tensor, latents_UCD: Tensor, position_RT: Tensor | None = None
) -> AllPictures:
    """Find the occurrences in each row, and between which of them each token may look.

    Args:
        owner_RT: The picture that each token owns, or -1.
        latents_UCD: The pictures.
        position_RT: Positions, which start again with each example of a packed row; ``None`` where
            a row is one example.
    """
    _refuse_strangers(owner_RT, latents_UCD)
    restarts_RT = torch.zeros_like(owner_RT, dtype=torch.bool)
    if position_RT is not None:
        restarts_RT[:, 1:] = position_RT.expand_as(owner_RT).diff(dim=1) != 1
    before_RT = torch.cat([torch.full_like(owner_RT[:, :1], -1), owner_RT[:, :-1]], dim=1)
    begins_RT = (owner_RT >= 0) & ((owner_RT != before_RT) | restarts_RT)
    end_RT = begins_RT.cumsum(dim=1)
    most = max(1, int(end_RT.max()))
    row_O, token_O = begins_RT.nonzero(as_tuple=True)
    picture_RP = owner_RT.new_zeros(len(owner_RT), most)
    picture_RP[row_O, end_RT[row_O, token_O] - 1] = owner_RT[row_O, token_O]
    # What stood before the newest restart; counts only grow, so a running maximum keeps it.
    first_RT = ((end_RT - begins_RT.long()) * restarts_RT).cummax(dim=1).values
    return AllPictures(latents_UCD, picture_RP, first_RT, end_RT)


def _refuse_strangers(owner_RT: Tensor, latents_UCD: Tensor) -> None:
    if int(owner_RT.max()) >= len(latents_UCD):
        raise ValueError(
            f"owner names picture {int(owner_RT.max())}, but only {len(latents_UCD)} pictures "
            "were given; owner counts the distinct pictures of the call from 0"
        )


class SeenPictures(CacheLayerMixin):  # type: ignore[misc]
    """The pictures of each row, kept in a key-value cache for the tokens still to come.

    It stands behind the decoder's own layers, so that whatever reorders, repeats or selects the
    cache's rows does the same here.
    """

    def __init__(self, sight: AllPictures, beside: CacheLayerMixin) -> None:
        """Keep what was seen.

        Args:
            sight: What the prompt's tokens saw.
            beside: A layer of the decoder, to be taken for where masks are made.
        """
        super().__init__()
        self.is_sliding = getattr(beside, "is_sliding", False)
        self._beside = beside
        self._latents_UCD = sight.latents_UCD
        self._picture_RP = sight.picture_RP
        self._count_R = sight.end_RT[:, -1]

    @classmethod
    def of(cls, cache: Cache | None) -> "SeenPictures | None":
        """Find the layer in a cache."""
        layers = cache.layers if cache is not None else []
        return next((layer for layer in layers if isinstance(layer, cls)), None)

    def sight(self, tokens: int) -> AllPictures:
        """Let ``tokens`` more tokens of each row see all pictures of the row."""
        end_RT = self._count_R[:, None].expand(-1, tokens)
        return AllPictures(self._latents_UCD, self._picture_RP, torch.zeros_like(end_RT), end_RT)

    def reorder_cache(self, beam_idx: Tensor) -> None:
        """Take rows, as often and in the order as told."""
        beam_idx = beam_idx.to(self._picture_RP.device)
        self._picture_RP, self._count_R = self._picture_RP[beam_idx], self._count_R[beam_idx]

    def batch_select_indices(self, indices: Tensor) -> None:
        """Take some rows."""
        self.reorder_cache(indices)

    def batch_repeat_interleave(self, repeats: int) -> None:
        """Repeat every row."""
        self.reorder_cache(torch.arange(len(self._count_R)).repeat_interleave(repeats))

    def crop(self, max_length: int) -> None:
        """Keep the pictures, whose tokens lie in the prompt."""

    def reset(self) -> None:
        """Forget the pictures."""
        self._count_R = torch.zeros_like(self._count_R)

    def get_seq_length(self) -> int:
        """Count no tokens: the decoder's layers do."""
        return 0

    def get_max_length(self) -> int:
        """Set no bound."""
        return -1

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Tell the size of the decoder's mask."""
        sizes: tuple[int, int] = self._beside.get_mask_sizes(query_length)
        return sizes

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Have nothing to make ready."""

    def update(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Refuse keys and values, which belong to the decoder's layers."""
        raise TypeError("SeenPictures holds the pictures of a prompt, and no keys and values")
