"""A small picture encoder that learns to see from captions, as the towers of CLIP do.

A decoder learns from recommendations far too slowly what a picture shows, so UniMP takes the
encoder of CLIP, which has seen many before (https://arxiv.org/abs/2403.10667, section 2.2). Where
no such checkpoint is at hand, or pictures are unlike any photograph, this makes one.

Shape letters in this file: B pairs of a batch, U pictures, H height, W width, T tokens, D width.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from tqdm import tqdm
from transformers import CLIPConfig, CLIPModel, PreTrainedTokenizerBase, get_scheduler

from genrec.artifacts import write_directory
from genrec.models.vision import Pixels, Preprocessing, TinyVisionConfig


@dataclass(frozen=True, kw_only=True)
class PretrainingConfig:
    """A picture encoder, and how long it looks at pictures with captions."""

    encoder: TinyVisionConfig = field(
        default_factory=lambda: TinyVisionConfig(patch_size=16, hidden_size=96)
    )
    """Its shape; the captions' tower has the same width, heads and layers."""

    steps: int = 400
    """Optimizer steps."""

    batch_size: int = 128
    """Pairs of a step; each picture is told from the captions of all others."""

    learning_rate: float = 1e-3
    """Highest learning rate, reached after a tenth of the steps; it falls to 0 as a cosine."""

    weight_decay: float = 0.05
    """Decay of AdamW."""

    caption_tokens: int = 32
    """Longest caption, in tokens."""

    held_out: float = 0.1
    """Share of the pairs that are kept to measure what was learned."""

    def __post_init__(self) -> None:
        if not 0 < self.held_out < 1:
            raise ValueError(f"held_out is {self.held_out}; it is a share between 0 and 1")
        for name in ("steps", "batch_size", "caption_tokens"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")


class Pretrained(NamedTuple):
    """An encoder that has learned to see."""

    model: CLIPModel
    loss: float
    """Of the last step."""

    found: float
    """Share of the held-out pictures whose own caption is the likeliest of all held-out ones."""

    chance: float
    """What guessing would find."""


def pretrain_encoder(
    pixels_U3HW: Pixels,
    captions: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    config: PretrainingConfig,
    *,
    seed: int,
    progress: bool = False,
) -> Pretrained:
    """Teach a new encoder which caption belongs to which picture.

    Args:
        pixels_U3HW: The pictures at the size of the encoder.
        captions: What they show; some may say the same.
        tokenizer: Of the captions.
        config: Shape and training.
        seed: Decides weights, what is held out, and the order.
        progress: Whether to show a bar.

    Raises:
        ValueError: When there are too few pairs to hold some out, or the tokenizer ends no text.
    """
    if tokenizer.eos_token_id in (None, 2):
        raise ValueError(
            f"the end token of the captions has the number {tokenizer.eos_token_id}; CLIP reads a "
            "caption off its end, and for transformers the number 2 means the highest token "
            "instead: take train_tokenizer(..., kind='t5')"
        )
    tokens = tokenizer(
        list(captions), padding=True, truncation=True, max_length=config.caption_tokens,
        return_tensors="pt",
    )  # fmt: skip
    token_UT, seen_UT = tokens["input_ids"], tokens["attention_mask"]
    _, which_U = np.unique(np.asarray(captions), return_inverse=True)
    caption_U, picture_U3HW = torch.from_numpy(which_U), torch.from_numpy(pixels_U3HW)
    rng = np.random.default_rng(seed)
    held_out, learned = np.split(rng.permutation(len(captions)), [_held_out(captions, config)])
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = _new_model(config, tokenizer)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    schedule = get_scheduler("cosine", optimizer, max(1, config.steps // 10), config.steps)
    loss = torch.zeros(())
    for _ in tqdm(range(config.steps), desc="pretrain", unit="step", disable=not progress):
        batch = rng.choice(learned, size=min(config.batch_size, len(learned)), replace=False)
        similarity_BB = _similarities(model, picture_U3HW[batch], token_UT[batch], seen_UT[batch])
        loss = contrastive_loss(similarity_BB, caption_U[batch])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    model.eval()
    with torch.no_grad():
        similarity_BB = _similarities(
            model, picture_U3HW[held_out], token_UT[held_out], seen_UT[held_out]
        )
    own_BB = caption_U[held_out][:, None] == caption_U[held_out]
    found_B = own_BB.gather(1, similarity_BB.argmax(dim=1, keepdim=True))
    return Pretrained(
        model, loss.item(), found=float(found_B.float().mean()), chance=float(own_BB.float().mean())
    )


def contrastive_loss(similarity_BB: Tensor, caption_B: Tensor) -> Tensor:
    """Tell each picture's caption from those of the others, and the other way round.

    CLIP's loss (https://arxiv.org/abs/2103.00020, figure 3). Pairs whose captions say the same are
    right for each other, as UniCL has it (https://arxiv.org/abs/2204.03610, section 3.2).

    Args:
        similarity_BB: Of each picture to each caption, scaled by the temperature.
        caption_B: Numbers of the captions; equal ones have equal numbers.
    """
    own_BB = (caption_B[:, None] == caption_B).float()
    target_BB = own_BB / own_BB.sum(dim=1, keepdim=True)
    by_picture = functional.cross_entropy(similarity_BB, target_BB)
    by_caption = functional.cross_entropy(similarity_BB.T, target_BB)
    return (by_picture + by_caption) / 2


def save_encoder(path: Path | str, model: CLIPModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Write a checkpoint of transformers in one step; ``VisionConfig(encoder=path)`` loads it."""
    with write_directory(path) as folder:
        model.save_pretrained(str(folder))
        tokenizer.save_pretrained(str(folder))
        size = model.config.vision_config.image_size
        Preprocessing(height=size, width=size).save_pretrained(folder)


def _held_out(captions: Sequence[str], config: PretrainingConfig) -> int:
    count = round(config.held_out * len(captions))
    if not 1 <= count < len(captions) - 1:
        raise ValueError(
            f"there are {len(captions)} pictures with captions, too few to hold "
            f"{config.held_out:.0%} out; give more"
        )
    return count


def _new_model(config: PretrainingConfig, tokenizer: PreTrainedTokenizerBase) -> CLIPModel:
    shape = config.encoder
    tower = {
        "hidden_size": shape.hidden_size, "intermediate_size": 4 * shape.hidden_size,
        "num_hidden_layers": shape.layers, "num_attention_heads": shape.heads,
        "projection_dim": shape.hidden_size,
    }  # fmt: skip
    words = {
        "vocab_size": len(tokenizer), "max_position_embeddings": config.caption_tokens,
        "bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }  # fmt: skip
    looks = {"image_size": shape.image_size, "patch_size": shape.patch_size}
    return CLIPModel(
        CLIPConfig(
            text_config=tower | words, vision_config=tower | looks,
            projection_dim=shape.hidden_size,
        )
    )  # fmt: skip


def _similarities(
    model: CLIPModel, pixels_B3HW: Tensor, token_BT: Tensor, seen_BT: Tensor
) -> Tensor:
    size = model.config.vision_config.image_size
    normal_B3HW = Preprocessing(height=size, width=size).normalise(pixels_B3HW)
    out = model(input_ids=token_BT, attention_mask=seen_BT, pixel_values=normal_B3HW)
    similarity_BB: Tensor = out.logits_per_image
    return similarity_BB
