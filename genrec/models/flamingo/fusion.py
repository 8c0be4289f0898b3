"""Where pictures meet text: gated cross-attention, and the two simpler ways of the ablations.

Shape letters in this file: R rows, T tokens of a row, U distinct pictures, C latents of each,
D width, E twice that (keys and values), N tokens that see a picture, M of them that are marks, O
occurrences of pictures, L tokens of a row of them, P occurrences of a row, X all tokens or places,
Z tokens as N or as R x T, B rows of an attention, Y latents that one reads, H heads, d width of a
head.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional

from genrec.models.flamingo.resampler import feed_forward, join_heads, split_heads
from genrec.models.flamingo.sight import AllPictures, OwnPictures, Sight, occurrences_begin


class GatedCrossAttention(nn.Module):
    """Text reads the latents of pictures, as much as two gates let in.

    Flamingo, section 2.2 (https://arxiv.org/abs/2204.14198); UniMP, equations 3 and 4. Both gates
    start at 0 if not told otherwise, so a new model says what its language model says.
    """

    def __init__(self, width: int, *, heads: int, multiple: int, gate: float = 0.0) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query = nn.Linear(width, width, bias=False)
        self.key_value = nn.Linear(width, 2 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)
        self.feed_forward = feed_forward(width, multiple)
        self.attention_gate = nn.Parameter(torch.full((1,), gate))
        self.feed_forward_gate = nn.Parameter(torch.full((1,), gate))

    def forward(self, x_RTD: Tensor, sight: Sight) -> Tensor:
        """Add to each token what it sees; one that sees nothing stays as it is, to the bit."""
        if isinstance(sight, OwnPictures):
            x_XD = x_RTD.flatten(0, 1)
            x_ND = self._fused(x_XD[sight.token_N], sight)
            return x_XD.index_copy(0, sight.token_N, x_ND.to(x_RTD.dtype)).view_as(x_RTD)
        sees_RT1 = (sight.end_RT > sight.first_RT)[..., None]
        return torch.where(sees_RT1, self._fused(x_RTD, sight).to(x_RTD.dtype), x_RTD)

    def _fused(self, x_ZD: Tensor, sight: Sight) -> Tensor:
        x_ZD = x_ZD.to(self.norm.weight.dtype)  # a decoder's weights may be held in fewer bits
        query_ZD = self.query(self.norm(x_ZD))
        # Once a distinct picture, however often it occurs.
        key_value_UCE = self.key_value(sight.latents_UCD.to(self.norm.weight.dtype))
        if isinstance(sight, OwnPictures):
            read_ZD = self._read_own(query_ZD, key_value_UCE, sight)
        else:
            read_ZD = self._read_all(query_ZD, key_value_UCE, sight)
        x_ZD = x_ZD + self.attention_gate.tanh() * self.out(read_ZD)  # UniMP, equation 4
        fused_ZD: Tensor = x_ZD + self.feed_forward_gate.tanh() * self.feed_forward(x_ZD)
        return fused_ZD

    def _read_own(self, query_ND: Tensor, key_value_UCE: Tensor, sight: OwnPictures) -> Tensor:
        """Attend within a grid of occurrences by tokens (UniMP, equation 3)."""
        occurrences = max(1, len(sight.picture_O))  # without any, a row that nobody reads
        grid_XD = query_ND.new_zeros(occurrences * sight.width, query_ND.shape[1])
        grid_XD = grid_XD.index_copy(0, sight.slot_N, query_ND)
        query_OLD = grid_XD.view(occurrences, sight.width, -1)
        picture_O = sight.picture_O if len(sight.picture_O) else sight.picture_O.new_zeros(1)
        key_OCD, value_OCD = key_value_UCE[picture_O].chunk(2, dim=-1)
        read_OLD = self._attend(query_OLD, key_OCD, value_OCD)
        return read_OLD.flatten(0, 1)[sight.slot_N]

    def _read_all(self, query_RTD: Tensor, key_value_UCE: Tensor, sight: AllPictures) -> Tensor:
        """Attend to all pictures of a row under a mask."""
        key_RYD, value_RYD = key_value_UCE[sight.picture_RP].flatten(1, 2).chunk(2, dim=-1)
        place_P = torch.arange(sight.picture_RP.shape[1], device=query_RTD.device)
        first_RT1, end_RT1 = sight.first_RT[..., None], sight.end_RT[..., None]
        sees_RTP = (first_RT1 <= place_P) & (place_P < end_RT1)
        sees_RTP = sees_RTP | (first_RT1 == end_RT1)  # an empty softmax is no number
        sees_RTY = sees_RTP.repeat_interleave(key_value_UCE.shape[1], dim=2)
        return self._attend(query_RTD, key_RYD, value_RYD, sees_RTY[:, None])

    def _attend(
        self, query_BLD: Tensor, key_BYD: Tensor, value_BYD: Tensor, mask: Tensor | None = None
    ) -> Tensor:
        seen_BHLd = functional.scaled_dot_product_attention(
            split_heads(query_BLD, self.heads),
            split_heads(key_BYD, self.heads),
            split_heads(value_BYD, self.heads),
            attn_mask=mask,
        )
        return join_heads(seen_BHLd)


class LateFusion(nn.Module):
    """The pooled latents of what a token sees, added to its last hidden state (UniMP, table 8).

    Text and pictures are each understood alone and meet before the head, as in CLIP (appendix A.5).
    """

    def __init__(self, width: int, *, gate: float = 0.0) -> None:
        super().__init__()
        self.project = nn.Linear(width, width, bias=False)
        self.gate = nn.Parameter(torch.full((1,), gate))

    def forward(self, x_RTD: Tensor, sight: Sight) -> Tensor:
        """Add to each token the mean of its pictures."""
        pooled_UD = self.project(sight.latents_UCD.to(self.project.weight.dtype).mean(dim=1))
        pooled_UD = self.gate.tanh() * pooled_UD
        if isinstance(sight, OwnPictures):
            x_XD = x_RTD.flatten(0, 1)
            seen_ND = pooled_UD[sight.picture_N].to(x_RTD.dtype)
            return x_XD.index_add(0, sight.token_N, seen_ND).view_as(x_RTD)
        sum_RPD = functional.pad(pooled_UD[sight.picture_RP].float().cumsum(dim=1), (0, 0, 1, 0))
        count_RT1 = (sight.end_RT - sight.first_RT)[..., None]
        mean_RTD = (
            sum_RPD.take_along_dim(sight.end_RT[..., None], dim=1)
            - sum_RPD.take_along_dim(sight.first_RT[..., None], dim=1)
        ) / count_RT1.clamp_min(1)
        return torch.where(count_RT1 > 0, x_RTD + mean_RTD.to(x_RTD.dtype), x_RTD)


# Whether every picture has its marks is read off the data, as in sight.py.
@torch.compiler.disable  # type: ignore[untyped-decorator]
def put_latents(
    x_RTD: Tensor, token_RT: Tensor, sight: OwnPictures, *, picture_token: int
) -> Tensor:
    """Put the latents of pictures in the places of their ``[IMG]`` tokens (early fusion).

    VIP5 (https://arxiv.org/abs/2305.14302) joins pictures to text there; UniMP, table 8.

    Raises:
        ValueError: When an item has not as many marks as a picture has latents.
    """
    marks_N = token_RT.flatten()[sight.token_N] == picture_token
    latents = sight.latents_UCD.shape[1]
    place_M = sight.token_N[marks_N]
    picture_M = sight.picture_N[marks_N]
    # Not the rows of the sight's grid: a long occurrence has several, its marks stand in the first.
    begins_N = occurrences_begin(sight.token_N, sight.picture_N, row_tokens=token_RT.shape[1])
    occurrence_N = begins_N.cumsum(0) - 1
    marks_O = torch.bincount(occurrence_N[marks_N], minlength=int(begins_N.sum()))
    if (marks_O != latents).any():
        raise ValueError(
            f"an item has {int(marks_O[marks_O != latents][0])} tokens that stand for its picture, "
            f"but a picture has {latents} latents; set picture_tokens of the prompts to {latents}"
        )
    nth_M = torch.arange(len(place_M), device=place_M.device) % latents
    chosen_MD = sight.latents_UCD[picture_M, nth_M].to(x_RTD)
    return x_RTD.flatten(0, 1).index_copy(0, place_M, chosen_MD).view_as(x_RTD)
