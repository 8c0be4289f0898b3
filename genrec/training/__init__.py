"""Batches, losses, checkpoints and the loop that recipes call."""

from genrec.training.batches import (
    Batch,
    Collator,
    PackingCollator,
    Position,
    Seq2SeqCollator,
    StepStream,
    make_collator,
    make_stream,
)
from genrec.training.checkpoints import BestWeights, Checkpoints, Progress
from genrec.training.config import TrainingConfig, TrainingError
from genrec.training.export import load_checkpoint, whole_best
from genrec.training.launch import make_accelerator
from genrec.training.loop import Trained, train
from genrec.training.losses import TokenLoss, weighted_loss
from genrec.training.run_folder import RunFolder, claim_run_folder
from genrec.training.setup import make_model, make_renderer
from genrec.training.with_loss import ModelWithLoss

__all__ = [
    "Batch",
    "BestWeights",
    "Checkpoints",
    "Collator",
    "ModelWithLoss",
    "PackingCollator",
    "Position",
    "Progress",
    "RunFolder",
    "Seq2SeqCollator",
    "StepStream",
    "TokenLoss",
    "Trained",
    "TrainingConfig",
    "TrainingError",
    "claim_run_folder",
    "load_checkpoint",
    "make_accelerator",
    "make_collator",
    "make_model",
    "make_renderer",
    "make_stream",
    "train",
    "weighted_loss",
    "whole_best",
]
