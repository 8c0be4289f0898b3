"""Vision and text models with random weights and two dozen words, written in a second."""

import json
from pathlib import Path

import torch
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTokenizer,
    SiglipConfig,
    SiglipModel,
    ViTConfig,
    ViTModel,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil

SIZES = {
    "hidden_size": 16,
    "intermediate_size": 16,
    "num_attention_heads": 2,
    "num_hidden_layers": 1,
}
VISION = {**SIZES, "image_size": 8, "patch_size": 4}


def save_tiny_clip(folder: Path) -> None:
    """Write a text and picture tower whose texts are spelt letter by letter."""
    text = {**SIZES, **_save_tokenizer(folder), "max_position_embeddings": 12}
    torch.manual_seed(0)
    config = CLIPConfig(text_config=text, vision_config=VISION, projection_dim=6)
    CLIPModel(config).save_pretrained(folder)
    size = {"height": 8, "width": 8}
    CLIPImageProcessorPil(size={"shortest_edge": 8}, crop_size=size).save_pretrained(folder)


def save_tiny_siglip(folder: Path) -> None:
    """Write the same as a SigLIP, which reads texts padded to full length."""
    text = {**SIZES, **_save_tokenizer(folder), "max_position_embeddings": 12}
    torch.manual_seed(0)
    SiglipModel(SiglipConfig(text_config=text, vision_config=VISION)).save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": 8, "width": 8}).save_pretrained(folder)


def save_tiny_vit(folder: Path, *, pooled: bool) -> None:
    """Write a vision model without a text tower; classifiers are published without the pooler."""
    torch.manual_seed(0)
    ViTModel(ViTConfig(**VISION), add_pooling_layer=pooled).save_pretrained(folder)
    SiglipImageProcessorPil(size={"height": 8, "width": 8}).save_pretrained(folder)


def _save_tokenizer(folder: Path) -> dict[str, int]:
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    folder.mkdir(parents=True)
    (folder / "vocab.json").write_text(json.dumps({word: i for i, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt")).save_pretrained(folder)
    return {
        "bos_token_id": len(words) - 2,
        "eos_token_id": len(words) - 1,
        "pad_token_id": 0,
        "vocab_size": len(words),
    }
