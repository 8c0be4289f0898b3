"""Language models: backbones, their adaptation, and what they lack for small data."""

from genrec.models.adapt import AdaptConfig, adapt, merge, trainable_share
from genrec.models.backbone import (
    BackboneConfig,
    TinyConfig,
    build_backbone,
    build_tiny,
    load_pretrained,
)
from genrec.models.flamingo import BRIDGE_MODULES, FlamingoConfig, FlamingoForCausalLM
from genrec.models.picture_store import PictureStore, pictures_for
from genrec.models.vision import Preprocessing, TinyVisionConfig, VisionConfig, add_vision

__all__ = [
    "BRIDGE_MODULES",
    "AdaptConfig",
    "BackboneConfig",
    "FlamingoConfig",
    "FlamingoForCausalLM",
    "PictureStore",
    "Preprocessing",
    "TinyConfig",
    "TinyVisionConfig",
    "VisionConfig",
    "adapt",
    "add_vision",
    "build_backbone",
    "build_tiny",
    "load_pretrained",
    "merge",
    "pictures_for",
    "trainable_share",
]
