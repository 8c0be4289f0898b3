"""Fine-tune a language model on a shop's tasks and keep the one that validates best.

    accelerate launch recipes/finetune.py --config recipes/configs/finetune_toy.yaml

Started again after a kill, it goes on from the newest checkpoint with the same losses. Writes a
model directory that ``GenRec.from_pretrained`` and transformers load.
"""

import logging
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from accelerate.logging import get_logger
from accelerate.utils import gather_object
from transformers import PreTrainedModel

from genrec.artifacts import ArtifactError
from genrec.config import parse_args, to_dict
from genrec.data import DataError, Dataset, SplitConfig, sample_events
from genrec.eval import evaluate
from genrec.eval.ranking import ndcg_at, recall_at
from genrec.models import AdaptConfig, BackboneConfig, adapt, build_backbone, merge, trainable_share
from genrec.prompts import (
    Mixture,
    PromptConfig,
    Renderer,
    TaskError,
    Tasks,
    Vocabulary,
    corpus,
    make_tokenizer,
)
from genrec.serving import TransformersRecommender, save_bundle
from genrec.tokenization import SemanticTokenizer
from genrec.training import (
    StepStream,
    TrainingConfig,
    TrainingError,
    claim_run_folder,
    make_accelerator,
    make_collator,
    train,
    whole_best,
)

log = get_logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Config:
    dataset: Path
    """The data set that recipes/prepare.py wrote."""

    tokenizer: Path
    """The semantic IDs that recipes/train_tokenizer.py made of this data set's items."""

    out: Path
    """Where the model directory goes."""

    work: Path
    """Where checkpoints, records and logs go; a run that was killed goes on from here."""

    training: TrainingConfig
    tasks: dict[str, float] = field(default_factory=lambda: {"recommend": 1.0})
    """How many times an epoch shows the examples of each task."""

    task_folders: tuple[Path, ...] = ()
    """Folders with tasks of one's own, a YAML file each."""

    split: SplitConfig = field(default_factory=SplitConfig)
    prompts: PromptConfig = field(default_factory=PromptConfig)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    adapt: AdaptConfig = field(default_factory=AdaptConfig)
    validation_users: int = 1000
    """Validate on so many users, drawn by the seed; 0 takes all."""

    beams: int = 20
    """Beams of the validation's searches."""

    seed: int = 0
    """Decides weights, the order of the data and who validates."""


def main(config: Config) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    accelerator = make_accelerator(config.training, logging_dir=config.work / "logs")
    dataset = Dataset.load(config.dataset)
    split = config.split.split(dataset.interactions)
    ids = SemanticTokenizer.from_pretrained(config.tokenizer, catalogue=dataset.catalogue).ids
    tasks = Tasks.load(config.task_folders)
    with accelerator.main_process_first():
        claim_run_folder(config.work, to_dict(config) | {"dataset": dataset.fingerprint})
        vocabulary = Vocabulary.kept_in(
            config.work / "vocabulary",
            ids,
            lambda: make_tokenizer(
                config.backbone.path, corpus(dataset, split.train, tasks),
                size=config.backbone.tiny.text_pieces, kind=config.backbone.tiny.tokenizer_kind,
            ),
            soft_prompt=config.adapt.soft_prompt,
        )  # fmt: skip
    renderer = Renderer(
        vocabulary=vocabulary, ids=ids, catalogue=dataset.catalogue, tasks=tasks,
        config=config.prompts,
    )  # fmt: skip

    def make() -> PreTrainedModel:
        model = build_backbone(
            config.backbone, vocabulary_size=len(vocabulary), special=vocabulary.special,
            max_tokens=config.prompts.prompt_tokens + config.prompts.answer_tokens,
            seed=config.seed, quantized=config.adapt.quantized,
        )  # fmt: skip
        return adapt(model, config.adapt, new_tokens=vocabulary.new_tokens)

    model = make()
    mixture = Mixture(
        dataset=dataset, train=split.train, renderer=renderer, weights=config.tasks,
        every_position=not model.config.is_encoder_decoder, seed=config.seed,
    )  # fmt: skip
    stream = StepStream(
        mixture=mixture,
        collator=make_collator(model, pad=vocabulary.pad, row_tokens=config.training.row_tokens),
        rows_per_step=config.training.rows_per_step,
    )
    share = trainable_share(model)
    log.info("examples an epoch: %s; weights that train: %d of %d", mixture.counts, *share)

    events = sample_events(split.validation, config.validation_users, seed=config.seed)
    mine = events[accelerator.process_index :: accelerator.num_processes]

    def validate(bare: PreTrainedModel) -> dict[str, float]:
        """Score a share of the users in each process, by full ranking without the history."""
        recommender = TransformersRecommender(bare, renderer, beams=config.beams)
        ranks = np.asarray(gather_object(list(evaluate(recommender, dataset, mine).ranks)))
        metrics = {"recall@10": recall_at(ranks, 10), "ndcg@10": ndcg_at(ranks, 10)}
        return {name: float(values.mean()) for name, values in metrics.items()}

    trained = train(
        model, stream, config.training, accelerator=accelerator, folder=config.work,
        validate=validate, score="ndcg@10", run_config=to_dict(config),
    )  # fmt: skip
    if accelerator.is_main_process:
        info = {"config": to_dict(config), **trained._asdict()}
        best = whole_best(model, make, config.work / "best")
        save_bundle(config.out, merge(best), renderer, info=info)
        log.info("the model of step %d stands in %s", trained.best_step, config.out)
    accelerator.end_training()


if __name__ == "__main__":
    try:
        main(parse_args(Config, __doc__))
    except (ArtifactError, DataError, TaskError, TrainingError) as error:
        sys.exit(f"finetune: {error}")
