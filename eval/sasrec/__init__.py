"""SASRec, the sequential recommender that generative ones must beat, tuned."""

from genrec.eval.sasrec.config import SASRecConfig, SASRecTrainingConfig
from genrec.eval.sasrec.network import SASRec
from genrec.eval.sasrec.recommender import SASRecRecommender
from genrec.eval.sasrec.training import DivergedError, Epoch, Trained, train_sasrec

__all__ = [
    "DivergedError",
    "Epoch",
    "SASRec",
    "SASRecConfig",
    "SASRecRecommender",
    "SASRecTrainingConfig",
    "Trained",
    "train_sasrec",
]
