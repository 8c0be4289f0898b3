"""From what is known about items to their semantic IDs."""

from genrec.tokenization.assignment import AssignmentConfig
from genrec.tokenization.blend import Blend
from genrec.tokenization.collaborative import CollaborativeConfig, collaborative_features
from genrec.tokenization.drift import Drift
from genrec.tokenization.features import encode_chunks, text_features
from genrec.tokenization.fsq import FSQConfig
from genrec.tokenization.items import ItemTable, item_texts
from genrec.tokenization.letter import LetterConfig
from genrec.tokenization.opq import OPQConfig
from genrec.tokenization.quality import CollapsedCodebookError, Quality
from genrec.tokenization.rqkmeans import RQKMeansConfig
from genrec.tokenization.rqvae import RQVAEConfig
from genrec.tokenization.semantic_tokenizer import SemanticTokenizer
from genrec.tokenization.sources import FeaturesConfig, encode_sources, join_sources
from genrec.tokenization.training import TrainingConfig

__all__ = [
    "AssignmentConfig",
    "Blend",
    "CollaborativeConfig",
    "CollapsedCodebookError",
    "Drift",
    "FSQConfig",
    "FeaturesConfig",
    "ItemTable",
    "LetterConfig",
    "OPQConfig",
    "Quality",
    "RQKMeansConfig",
    "RQVAEConfig",
    "SemanticTokenizer",
    "TrainingConfig",
    "collaborative_features",
    "encode_chunks",
    "encode_sources",
    "item_texts",
    "join_sources",
    "text_features",
]
