"""Fine-tuned models in use: the Python API and the engines behind it."""

from genrec.prompts import AnswerError
from genrec.serving.answers import Recommendation
from genrec.serving.api import GenRec
from genrec.serving.bundle import (
    Bundle,
    load_bundle,
    load_calibration,
    load_pictures,
    load_renderer,
    save_bundle,
    save_calibration,
    update_catalogue,
)
from genrec.serving.ratings import Calibration, fit_calibration
from genrec.serving.transformers_engine import TransformersRecommender
from genrec.serving.vllm import VLLMConfig, VLLMRecommender
from genrec.serving.wishes import Wishes

__all__ = [
    "AnswerError",
    "Bundle",
    "Calibration",
    "GenRec",
    "Recommendation",
    "TransformersRecommender",
    "VLLMConfig",
    "VLLMRecommender",
    "Wishes",
    "fit_calibration",
    "load_bundle",
    "load_calibration",
    "load_pictures",
    "load_renderer",
    "save_bundle",
    "save_calibration",
    "update_catalogue",
]
