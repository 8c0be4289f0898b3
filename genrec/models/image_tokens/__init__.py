"""Pictures as runs of tokens: a VQ model that writes them, its training and its quality."""

from genrec.models.image_tokens.quality import ImageQuality, measure, side_by_side
from genrec.models.image_tokens.tokenizer import ImageTokenizer, ImageTokenizerConfig
from genrec.models.image_tokens.training import ImageTrainingConfig, train_image_tokenizer

__all__ = [
    "ImageQuality",
    "ImageTokenizer",
    "ImageTokenizerConfig",
    "ImageTrainingConfig",
    "measure",
    "side_by_side",
    "train_image_tokenizer",
]
