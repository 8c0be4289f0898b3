"""SASRec, the sequential recommender that generative ones must beat.

torch is imported when a name that needs it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

from genrec.eval.sasrec.config import SASRecConfig, SASRecSettings, SASRecTrainingConfig

if TYPE_CHECKING:
    from genrec.eval.sasrec.network import SASRec
    from genrec.eval.sasrec.recommender import SASRecRecommender
    from genrec.eval.sasrec.training import DivergedError, Epoch, Trained, train_sasrec

_HOMES = {
    "DivergedError": "training",
    "Epoch": "training",
    "SASRec": "network",
    "SASRecRecommender": "recommender",
    "Trained": "training",
    "train_sasrec": "training",
}

__all__ = [
    "DivergedError",
    "Epoch",
    "SASRec",
    "SASRecConfig",
    "SASRecRecommender",
    "SASRecSettings",
    "SASRecTrainingConfig",
    "Trained",
    "train_sasrec",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
