"""What a SASRec is and how it is trained."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class SASRecConfig:
    """A causal transformer over the items of a history. The values are the best tried on Beauty."""

    dim: int = 64
    """Width of the item embeddings and of the transformer."""

    layers: int = 2
    """Blocks of attention and feed-forward network."""

    heads: int = 2
    """Attention heads per block; they share ``dim`` evenly."""

    hidden_dim: int = 256
    """Width inside the feed-forward networks."""

    max_items: int = 50
    """How many items of a history are read, from its end."""

    dropout: float = 0.4
    """Share of the activations that training drops: of embeddings, attention and both branches."""

    norm_first: bool = True
    """Normalise before each branch, as GPT-2 does; otherwise after the sum, as SASRec does."""

    similarity: Literal["dot", "cosine"] = "dot"
    """How a state and an item make a score: by their product, or by their angle alone."""

    temperature: float = 0.05
    """What the cosine is divided by; the product is taken as it is."""

    def __post_init__(self) -> None:
        for name in ("dim", "layers", "heads", "hidden_dim", "max_items"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.dim % self.heads:
            raise ValueError(f"dim {self.dim} is no multiple of heads {self.heads}")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout is {self.dropout}; give a share from 0 to below 1")
        if self.temperature <= 0:
            raise ValueError(f"temperature is {self.temperature}; use a small one like 0.05")


@dataclass(frozen=True, kw_only=True)
class SASRecTrainingConfig:
    """How a SASRec is trained."""

    loss: Literal["cross_entropy", "sampled_softmax"] = "sampled_softmax"
    """Compare the next item with the whole catalogue, or with items that are drawn."""

    negatives: int = 1024
    """Items that ``sampled_softmax`` draws for each step, shared by all its positions."""

    popularity_power: float = 0.0
    """Items are drawn by train count ** popularity_power; 0 makes all equally likely."""

    logq: bool = True
    """Weigh every drawn item by how rarely it is drawn, which estimates the full softmax."""

    tokens: int = 2048
    """Positions per step, padding included."""

    epochs: int = 100
    """Passes over the train events at most."""

    patience: int = 5
    """Stop after so many epochs in which the validation did not improve."""

    learning_rate: float = 2e-3
    """Of AdamW, after the warm-up."""

    weight_decay: float = 0.0
    """Of AdamW."""

    warmup_steps: int = 100
    """Steps in which the learning rate rises from zero."""

    precision: Literal["bfloat16", "float32"] = "float32"
    """Of the products in the transformer; scores of items are float32 always."""

    validation_users: int = 3000
    """Validate on so many events at most, drawn by the seed."""

    def __post_init__(self) -> None:
        for name in ("negatives", "tokens", "epochs", "patience", "validation_users"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        for name in ("popularity_power", "weight_decay", "warmup_steps"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it must not be negative")
        if self.learning_rate <= 0:
            raise ValueError(f"learning_rate is {self.learning_rate}; use a small one like 1e-3")


@dataclass(frozen=True, kw_only=True)
class SASRecSettings:
    """Where a SASRec that stands beside other methods comes from."""

    path: Path | None = None
    """The model that recipes/train_sasrec.py wrote; without it one is trained when it is asked for.
    """

    model: SASRecConfig = field(default_factory=SASRecConfig)
    """Of the one that is trained."""

    training: SASRecTrainingConfig = field(default_factory=SASRecTrainingConfig)
    """Of the one that is trained."""
