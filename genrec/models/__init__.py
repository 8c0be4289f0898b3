"""Language models: backbones, their adaptation, and what they lack for small data."""

from genrec.models.adapt import AdaptConfig, adapt, merge, trainable_share
from genrec.models.backbone import (
    BackboneConfig,
    TinyConfig,
    build_backbone,
    build_tiny,
    load_pretrained,
)

__all__ = [
    "AdaptConfig",
    "BackboneConfig",
    "TinyConfig",
    "adapt",
    "build_backbone",
    "build_tiny",
    "load_pretrained",
    "merge",
    "trainable_share",
]
