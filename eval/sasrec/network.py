"""The transformer of SASRec.

Shape letters in this file: B histories, L places of a history, D width, H heads, M states, N items,
S items to score.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from genrec.eval.sasrec.config import SASRecConfig


class SASRec(nn.Module):
    """A causal transformer that predicts the next item at every place of a history.

    Follows section 3 of SASRec (https://arxiv.org/abs/1808.09781): items have one embedding, with
    which they are read and scored alike. A history begins with a sign of its start, so that a user
    without one is served too.
    """

    def __init__(self, config: SASRecConfig, items: int) -> None:
        super().__init__()
        self.config = config
        self.start = items
        """The row of the embeddings that stands for the start of a history."""
        self.items = nn.Embedding(items + 1, config.dim)
        self.positions = nn.Embedding(config.max_items, config.dim)
        self.dropout = nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(_Block(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(config.dim) if config.norm_first else nn.Identity()

    def initialise(self, *, generator: torch.Generator) -> None:
        """Draw all weights: embeddings and products small, as GPT-2 does."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02, generator=generator)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, history_BL: Tensor) -> Tensor:
        """Read histories; the state at a place knows that place and those before it.

        Shorter histories are padded at their end with any item, which no earlier place sees.

        Args:
            history_BL: Rows of items, or ``start``, oldest first.

        Returns:
            States of shape (B, L, D).
        """
        x_BLD = self.items(history_BL) * math.sqrt(self.config.dim)
        x_BLD = self.dropout(x_BLD + self.positions.weight[: history_BL.shape[1]])
        for block in self.blocks:
            x_BLD = block(x_BLD)
        state_BLD: Tensor = self.norm(x_BLD)
        return state_BLD

    def scores(self, state_MD: Tensor, item_S: Tensor | None = None) -> Tensor:
        """Score items as the next one of each state, in float32.

        Args:
            state_MD: States that :meth:`forward` gave.
            item_S: The items to score; the whole catalogue when left out.

        Returns:
            Scores of shape (M, S), the logits of a softmax.
        """
        state_MD, item_SD = self._comparable(state_MD, item_S)
        return state_MD @ item_SD.T

    def scores_of(self, state_MD: Tensor, item_M: Tensor) -> Tensor:
        """Score one item for each state, shape (M,)."""
        state_MD, item_MD = self._comparable(state_MD, item_M)
        return (state_MD * item_MD).sum(dim=1)

    def _comparable(self, state_MD: Tensor, item_S: Tensor | None) -> tuple[Tensor, Tensor]:
        """Give states and items whose products are the scores."""
        item_SD = self.items.weight[: self.start] if item_S is None else self.items(item_S)
        state_MD = state_MD.float()
        if self.config.similarity == "dot":
            return state_MD, item_SD
        unit_SD = functional.normalize(item_SD, dim=1)
        return functional.normalize(state_MD, dim=1) / self.config.temperature, unit_SD


class _Block(nn.Module):
    """Attention to earlier places, then a network for each place, each beside a bypass."""

    def __init__(self, config: SASRecConfig) -> None:
        super().__init__()
        self.heads = config.heads
        self.norm_first = config.norm_first
        self.attention_norm = nn.LayerNorm(config.dim)
        self.query_key_value = nn.Linear(config.dim, 3 * config.dim)
        self.mix = nn.Linear(config.dim, config.dim)
        self.network_norm = nn.LayerNorm(config.dim)
        self.network = nn.Sequential(
            nn.Linear(config.dim, config.hidden_dim),
            nn.GELU(),
            nn.Linear(config.hidden_dim, config.dim),
        )
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x_BLD: Tensor) -> Tensor:
        if self.norm_first:
            x_BLD = x_BLD + self.dropout(self._attend(self.attention_norm(x_BLD)))
            x_BLD = x_BLD + self.dropout(self.network(self.network_norm(x_BLD)))
        else:
            x_BLD = self.attention_norm(x_BLD + self.dropout(self._attend(x_BLD)))
            x_BLD = self.network_norm(x_BLD + self.dropout(self.network(x_BLD)))
        return x_BLD

    def _attend(self, x_BLD: Tensor) -> Tensor:
        qkv = self.query_key_value(x_BLD).unflatten(2, (3, self.heads, -1))
        query_BHLD, key_BHLD, value_BHLD = qkv.permute(2, 0, 3, 1, 4)
        mixed_BHLD = functional.scaled_dot_product_attention(
            query_BHLD, key_BHLD, value_BHLD, is_causal=True,
            dropout_p=self.dropout.p if self.training else 0.0,
        )  # fmt: skip
        mixed_BLD: Tensor = self.mix(mixed_BHLD.transpose(1, 2).flatten(2))
        return mixed_BLD
