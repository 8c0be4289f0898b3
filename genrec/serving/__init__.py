"""Fine-tuned models in use: the Python API and the engines behind it."""

from genrec.serving.api import AnswerError, GenRec, Recommendation
from genrec.serving.bundle import Bundle, load_bundle, load_renderer, save_bundle
from genrec.serving.transformers_engine import TransformersRecommender
from genrec.serving.vllm_engine import VLLMConfig, VLLMRecommender

__all__ = [
    "AnswerError",
    "Bundle",
    "GenRec",
    "Recommendation",
    "TransformersRecommender",
    "VLLMConfig",
    "VLLMRecommender",
    "load_bundle",
    "load_renderer",
    "save_bundle",
]
