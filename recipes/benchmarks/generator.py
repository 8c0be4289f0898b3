"""The small generator that benchmarks train on the semantic IDs they compare.

A decoder that reads nothing but codes: the prompt is the history, and the answer continues it, so
every position of every history is learnt from.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from transformers import PreTrainedModel

from genrec.config import to_dict
from genrec.data import Dataset, SequencesConfig, Split, load_sequences, sample_events
from genrec.data.toy_shop import ToyShopConfig, toy_shop
from genrec.eval import evaluate, ndcg_at, recall_at
from genrec.models import TinyConfig, build_tiny
from genrec.prompts import (
    Mixture,
    PromptConfig,
    Renderer,
    Task,
    Tasks,
    Vocabulary,
    train_tokenizer,
)
from genrec.semantic_ids import SemanticIds
from genrec.serving import TransformersRecommender
from genrec.tokenization import AssignmentConfig, RQKMeansConfig
from genrec.training import (
    StepStream,
    Trained,
    TrainingConfig,
    claim_run_folder,
    make_accelerator,
    make_collator,
    train,
)

WORDLESS = Tasks(
    {"recommend": Task(name="recommend", version=1, prompts=("{history}",), answer="item")}
)

QUANTIZER = RQKMeansConfig(codebook_sizes=(32, 256, 256), components=64, separate=False)
"""A coarse first level is easier to predict. No level need tell near duplicates apart, since a
last one counts the items that share all codes."""

COUNTED = AssignmentConfig(strategy="extra_level")


@dataclass(frozen=True, kw_only=True)
class GeneratorConfig:
    """The generator and its training, the same for all IDs that are compared."""

    model: TinyConfig = field(
        default_factory=lambda: TinyConfig(
            hidden_size=128, layers=2, heads=4, intermediate_size=256, dropout=0.2
        )
    )
    """A decoder of 0.5 million weights."""

    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            steps=1000, rows_per_step=16, row_tokens=128, learning_rate=2e-3, warmup_steps=100,
            mixed_precision="bf16", validate_every=500, checkpoint_every=250, log_every=50,
            keep_checkpoints=1, threads=1,
        )
    )  # fmt: skip
    """The optimizer; the step that validates best is kept."""

    history_items: int = 20
    """Keep so many of the latest items of a history."""

    validation_users: int = 2000
    """Validate on so many users, drawn by the seed."""

    beams: int = 20
    """Beams of every search."""

    def hurried(self) -> "GeneratorConfig":
        """Take so few steps that they only show that everything works."""
        few = replace(self.training, steps=20, validate_every=10, checkpoint_every=10)
        return replace(self, training=few)


def benchmark_data(folder: Path, *, quick: bool) -> Dataset:
    """Load Beauty from ``sequences.tsv`` and ``items.jsonl``, or make a small toy shop."""
    if quick:
        return toy_shop(ToyShopConfig(categories=5, items_per_category=20, users=100)).dataset
    files = SequencesConfig(sequences=folder / "sequences.tsv", items=folder / "items.jsonl")
    return load_sequences(files, name="beauty")


class Generator(NamedTuple):
    """A trained generator and how its training went."""

    recommender: TransformersRecommender
    trained: Trained


def train_generator(
    dataset: Dataset,
    split: Split,
    ids: SemanticIds,
    config: GeneratorConfig,
    *,
    folder: Path,
    seed: int,
) -> Generator:
    """Train a generator on the train events, or go on where a killed run was.

    Args:
        dataset: The data; every item has one of the IDs.
        split: What trains, and what decides which step is kept.
        ids: The IDs to learn.
        config: Shape and training.
        folder: Gets the checkpoints.
        seed: Decides weights, dropout and the order of the data.
    """
    told = {"config": to_dict(config), "ids": ids.fingerprint, "seed": seed}
    claim_run_folder(folder, told | {"dataset": dataset.fingerprint})
    renderer = make_renderer(dataset, ids, config)
    model = build_tiny(
        config.model, vocabulary_size=len(renderer.vocabulary),
        special=renderer.vocabulary.special, max_tokens=config.training.row_tokens, seed=seed,
    )  # fmt: skip
    stream = StepStream(
        mixture=Mixture(
            dataset=dataset, train=split.train, renderer=renderer, weights={"recommend": 1.0},
            every_position=True, seed=seed,
        ),
        collator=make_collator(
            model, pad=renderer.vocabulary.pad, row_tokens=config.training.row_tokens
        ),
        rows_per_step=config.training.rows_per_step,
    )  # fmt: skip
    events = sample_events(split.validation, config.validation_users, seed=seed)

    def recommender(bare: PreTrainedModel) -> TransformersRecommender:
        return TransformersRecommender(bare, renderer, beams=config.beams, batch_size=256)

    def validate(bare: PreTrainedModel) -> dict[str, float]:
        ranks = evaluate(recommender(bare), dataset, events).ranks
        metrics = {"recall@10": recall_at(ranks, 10), "ndcg@10": ndcg_at(ranks, 10)}
        return {name: float(scores.mean()) for name, scores in metrics.items()}

    trained = train(
        model, stream, replace(config.training, seed=seed),
        accelerator=make_accelerator(config.training, logging_dir=folder / "logs"),
        folder=folder, validate=validate, score="ndcg@10",
    )  # fmt: skip
    return Generator(recommender(model.eval()), trained)


def make_renderer(dataset: Dataset, ids: SemanticIds, config: GeneratorConfig) -> Renderer:
    """Write prompts of codes alone; the tokenizer has the pieces that no tokenizer can lack."""
    return Renderer(
        vocabulary=Vocabulary.extend(train_tokenizer(["item"], size=300), ids),
        ids=ids,
        catalogue=dataset.catalogue,
        tasks=WORDLESS,
        config=PromptConfig(
            history_items=config.history_items,
            prompt_tokens=1 + (config.history_items + 1) * ids.levels,
        ),
    )
