"""Language models: backbones, their adaptation, and what they lack for small data."""

from genrec.models.adapt import AdaptConfig, adapt, trainable_share
from genrec.models.backbone import (
    BackboneConfig,
    SpecialTokens,
    TinyConfig,
    build_tiny,
    is_encoder_decoder,
    load_pretrained,
)

__all__ = [
    "AdaptConfig",
    "BackboneConfig",
    "SpecialTokens",
    "TinyConfig",
    "adapt",
    "build_tiny",
    "is_encoder_decoder",
    "load_pretrained",
    "trainable_share",
]
