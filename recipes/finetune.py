"""Fine-tune a language model on a shop's tasks and keep the one that validates best.

    accelerate launch recipes/finetune.py --config recipes/configs/finetune_toy.yaml

Started again after a kill, it goes on from the newest checkpoint with the same losses. Writes a
model directory that ``GenRec.from_pretrained`` and transformers load.
"""

import logging
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from accelerate.logging import get_logger
from transformers import PreTrainedModel

from genrec.artifacts import check_writable
from genrec.config import ConfigError, to_dict
from genrec.data import Dataset, SplitConfig, load_dialogues, sample_events
from genrec.eval import rated_requests
from genrec.eval.validation import Validation
from genrec.models import AdaptConfig, BackboneConfig, VisionConfig, merge, pictures_for
from genrec.models.image_tokens import ImageTokenizer
from genrec.prompts import Mixture, MixtureConfig, PromptConfig, Tasks
from genrec.recipe import run_recipe
from genrec.serving import TransformersRecommender, save_bundle
from genrec.tokenization import SemanticTokenizer
from genrec.training import (
    RunFolder,
    TrainingConfig,
    make_accelerator,
    make_model,
    make_renderer,
    make_stream,
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

    image_tokenizer: Path | None = None
    """What recipes/train_image_tokenizer.py wrote, for tasks that draw, such as ``imagine``."""

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
    check_writable(config.out, sign="genrec.json")
    if config.beams < 1:  # else only the first validation would tell
        raise ConfigError(f"beams is {config.beams}; it must be at least 1")
    training = config.training
    state = make_accelerator(training, logging_dir=config.work / "logs")
    dataset = Dataset.load(config.dataset)
    split = config.split.split(dataset.interactions)
    dialogues = load_dialogues(config.dialogues, dataset.catalogue, title=config.prompts.title)
    ids = SemanticTokenizer.from_pretrained(config.tokenizer, catalogue=dataset.catalogue).ids
    images = ImageTokenizer.from_pretrained(path) if (path := config.image_tokenizer) else None
    run = RunFolder(config.work, to_dict(config) | {"dataset": dataset.fingerprint})
    with state.main_process_first():
        renderer = make_renderer(
            dataset, split.train, ids, Tasks.load(config.task_folders), config.prompts,
            learned=config.tasks, backbone=config.backbone, vision=config.vision, images=images,
            soft_prompt=config.adapt.soft_prompt, dialogues=dialogues, folder=run.vocabulary,
        )  # fmt: skip
    make = partial(
        make_model, renderer, backbone=config.backbone, vision=config.vision,
        adaptation=config.adapt, seed=config.seed,
    )  # fmt: skip
    model = make()
    with state.main_process_first():
        pictures = pictures_for(
            model, dataset.catalogue, training=True, folder=run.pictures, progress=True
        )
    mixture = Mixture(
        dataset=dataset, train=split.train, renderer=renderer, weights=config.tasks,
        every_position=not model.config.is_encoder_decoder, config=config.mixture,
        dialogues=dialogues, seed=config.seed,
    )  # fmt: skip
    stream = make_stream(mixture, model, training, pad=renderer.vocabulary.pad, pictures=pictures)
    log.info("examples an epoch: %s", mixture.counts)
    events = sample_events(split.validation, config.validation_users, seed=config.seed)

    def serve(bare: PreTrainedModel) -> TransformersRecommender:
        eyes = pictures and pictures.seen_by(bare)
        return TransformersRecommender(bare, renderer, beams=config.beams, pictures=eyes)

    validate = Validation(dataset=dataset, event_E=events, serve=serve)
    stream.check()
    run.claim(state)  # now that nothing has refused the config
    trained = train(
        model, stream, training, accelerator=state, folder=config.work, run_config=to_dict(config),
        validate=validate, score=validate.score,
    )  # fmt: skip
    if state.is_main_process:
        best = merge(whole_best(model, make, config.work / "best"))
        rated = rated_requests(dataset, events) if "rate" in config.tasks else None
        calibration = rated and serve(best.eval()).calibrate(*rated)
        info = {"config": to_dict(config), **trained._asdict()}
        save_bundle(config.out, best, renderer, info=info, calibration=calibration, images=images)
        log.info("the model of step %d stands in %s", trained.best_step, config.out)
    state.end_training()


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
