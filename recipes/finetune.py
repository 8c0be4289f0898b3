"""Fine-tune a language model on a shop's tasks and keep the one that validates best.

    accelerate launch recipes/finetune.py --config recipes/configs/finetune_toy.yaml

Started again after a kill, it goes on from the newest checkpoint with the same losses. Writes a
model directory that ``GenRec.from_pretrained`` and transformers load.
"""

import logging
import sys
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from accelerate.logging import get_logger
from accelerate.utils import gather_object
from transformers import PreTrainedModel

from genrec.artifacts import ArtifactError
from genrec.config import parse_args, to_dict
from genrec.data import DataError, Dataset, SplitConfig, load_dialogues, sample_events
from genrec.eval import Questions, evaluate, ndcg_at, recall_at
from genrec.models import (
    AdaptConfig,
    BackboneConfig,
    VisionConfig,
    merge,
    pictures_for,
    trainable_share,
)
from genrec.prompts import Mixture, MixtureConfig, PromptConfig, TaskError, Tasks
from genrec.serving import TransformersRecommender, save_bundle
from genrec.tokenization import SemanticTokenizer
from genrec.training import (
    StepStream,
    TrainingConfig,
    TrainingError,
    claim_run_folder,
    make_accelerator,
    make_collator,
    make_model,
    make_renderer,
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
    """Where checkpoints and logs go; a run that was killed goes on from here."""

    training: TrainingConfig
    tasks: dict[str, float] = field(default_factory=lambda: {"recommend": 1.0})
    """How many times an epoch shows the examples of each task."""

    task_folders: tuple[Path, ...] = ()
    """Folders with tasks of one's own, a YAML file each."""

    mixture: MixtureConfig = field(default_factory=MixtureConfig)
    """How tasks are mixed: temperature, loss weights, candidates."""

    dialogues: Path | None = None
    """Talks about the items, as ``load_dialogues`` reads them, for tasks such as ``converse``."""

    split: SplitConfig = field(default_factory=SplitConfig)
    prompts: PromptConfig = field(default_factory=PromptConfig)
    backbone: BackboneConfig = field(default_factory=BackboneConfig)
    vision: VisionConfig | None = None
    """How the model sees the items' pictures; left out, it reads text alone."""

    adapt: AdaptConfig = field(default_factory=AdaptConfig)
    validation_users: int = 1000
    """Validate on so many users, drawn by the seed; 0 takes all."""

    beams: int = 20
    """Beams of the validation's searches."""

    seed: int = 0
    """Decides weights, the order of the data and who validates."""


def main(config: Config) -> None:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    training = config.training
    state = make_accelerator(training, logging_dir=config.work / "logs")
    dataset = Dataset.load(config.dataset)
    split = config.split.split(dataset.interactions)
    dialogues = (
        load_dialogues(config.dialogues, dataset.catalogue, title=config.prompts.title)
        if config.dialogues
        else ()
    )
    ids = SemanticTokenizer.from_pretrained(config.tokenizer, catalogue=dataset.catalogue).ids
    with state.main_process_first():
        claim_run_folder(config.work, to_dict(config) | {"dataset": dataset.fingerprint})
        renderer = make_renderer(
            dataset, split.train, ids, Tasks.load(config.task_folders), config.prompts,
            learned=config.tasks, backbone=config.backbone, vision=config.vision,
            soft_prompt=config.adapt.soft_prompt, dialogues=dialogues,
            folder=config.work / "vocabulary",
        )  # fmt: skip
    make = partial(
        make_model, renderer, backbone=config.backbone, vision=config.vision,
        adaptation=config.adapt, seed=config.seed,
    )  # fmt: skip
    model = make()
    with state.main_process_first():
        pictures = pictures_for(
            model, dataset.catalogue, training=True, folder=config.work / "pictures", progress=True
        )
    mixture = Mixture(
        dataset=dataset, train=split.train, renderer=renderer, weights=config.tasks,
        every_position=not model.config.is_encoder_decoder, config=config.mixture,
        dialogues=dialogues, seed=config.seed,
    )  # fmt: skip
    collator = make_collator(
        model, pad=renderer.vocabulary.pad, row_tokens=training.row_tokens, pictures=pictures
    )
    stream = StepStream(mixture=mixture, collator=collator, rows_per_step=training.rows_per_step)
    share = trainable_share(model)
    log.info("examples an epoch: %s; weights that train: %d of %d", mixture.counts, *share)
    events = sample_events(split.validation, config.validation_users, seed=config.seed)
    mine = events[state.process_index :: state.num_processes]

    def serve(bare: PreTrainedModel) -> TransformersRecommender:
        eyes = pictures and pictures.seen_by(bare)
        return TransformersRecommender(bare, renderer, beams=config.beams, pictures=eyes)

    def validate(bare: PreTrainedModel) -> dict[str, float]:
        """Score a share of the users in each process, by full ranking without the history."""
        ranks = np.asarray(gather_object(list(evaluate(serve(bare), dataset, mine).ranks)))
        metrics = {"recall@10": recall_at(ranks, 10), "ndcg@10": ndcg_at(ranks, 10)}
        return {name: float(values.mean()) for name, values in metrics.items()}

    trained = train(
        model, stream, training, accelerator=state, folder=config.work, validate=validate,
        score="ndcg@10", run_config=to_dict(config),
    )  # fmt: skip
    if state.is_main_process:
        best = merge(whole_best(model, make, config.work / "best"))
        calibration = None
        if "rate" in config.tasks:
            rated = list(Questions.about(dataset, events, "rate"))
            calibration = serve(best.eval()).calibrate(
                [question.request for question in rated], [question.rating for question in rated]
            )
        info = {"config": to_dict(config), **trained._asdict()}
        save_bundle(config.out, best, renderer, info=info, calibration=calibration)
        log.info("the model of step %d stands in %s", trained.best_step, config.out)
    state.end_training()


if __name__ == "__main__":
    try:
        main(parse_args(Config, __doc__))
    except (ArtifactError, DataError, TaskError, TrainingError) as error:
        sys.exit(f"finetune: {error}")
