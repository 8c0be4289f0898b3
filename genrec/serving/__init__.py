"""Fine-tuned models in use: the Python API and the engines behind it."""

from genrec.serving.api import AnswerError, GenRec, Recommendation
from genrec.serving.bundle import Bundle, load_bundle, save_bundle
from genrec.serving.transformers_engine import TransformersRecommender

__all__ = [
    "AnswerError",
    "Bundle",
    "GenRec",
    "Recommendation",
    "TransformersRecommender",
    "load_bundle",
    "save_bundle",
]
