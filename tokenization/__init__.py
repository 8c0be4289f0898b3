"""From what is known about items to their semantic IDs."""

from genrec.tokenization.assignment import AssignmentConfig
from genrec.tokenization.collaborative import CollaborativeConfig, collaborative_features
from genrec.tokenization.drift import Drift
from genrec.tokenization.features import encode_chunks, item_texts, text_features
from genrec.tokenization.quality import CollapsedCodebookError, Quality
from genrec.tokenization.rqkmeans import RQKMeansConfig
from genrec.tokenization.rqvae import RQVAEConfig
from genrec.tokenization.semantic_tokenizer import SemanticTokenizer
from genrec.tokenization.training import TrainingConfig

__all__ = [
    "AssignmentConfig",
    "CollaborativeConfig",
    "CollapsedCodebookError",
    "Drift",
    "Quality",
    "RQKMeansConfig",
    "RQVAEConfig",
    "SemanticTokenizer",
    "TrainingConfig",
    "collaborative_features",
    "encode_chunks",
    "item_texts",
    "text_features",
]
