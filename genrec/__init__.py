"""Generative recommendation with language models.

A shop's items become short semantic IDs, histories and tasks become prompts, one language model is
fine-tuned, and its beams can only name items that exist. ``import genrec`` is cheap: torch is
imported when a name that needs it is first used.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from genrec.recommender import Ranking, Recommender, Request
    from genrec.semantic_ids import SemanticIds
    from genrec.serving import GenRec

__version__ = "0.1.0"

_HOMES = {
    "GenRec": "genrec.serving",
    "Ranking": "genrec.recommender",
    "Recommender": "genrec.recommender",
    "Request": "genrec.recommender",
    "SemanticIds": "genrec.semantic_ids",
}

__all__ = ["GenRec", "Ranking", "Recommender", "Request", "SemanticIds", "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'genrec' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
