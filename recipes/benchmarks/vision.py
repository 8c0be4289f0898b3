"""Measure what seeing pictures is worth, on users whose taste only pictures tell.

    OMP_NUM_THREADS=1 python recipes/benchmarks/vision.py
    python recipes/benchmarks/vision.py --quick

In the toy shop no text names a colour or a pattern, and the semantic IDs here come from texts
alone. One small decoder is trained in several ways: with pictures as UniMP has it, blind, with the
pictures dealt to the wrong items, with every token seeing all pictures, and with other losses
(UniMP, tables 3 and 8: https://arxiv.org/abs/2403.10667). Its picture encoder is frozen, as UniMP's
is, and has learned to see from captioned toy pictures that belong to no shop: it knows none of the
items and nothing of any user. Every run is kept, and one that was killed goes on where it was. The
last line is JSON.
"""

import dataclasses
import json
import logging
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from genrec.artifacts import fingerprint, read_json, write_json
from genrec.config import to_dict
from genrec.data import Dataset, Split, leave_one_out
from genrec.data.toy_shop import ToyShopConfig, toy_shop
from genrec.eval import bootstrap, compare, evaluate, ndcg_at, recall_at
from genrec.eval.intervals import Ints, Statistics
from genrec.models.picture_pretraining import PretrainingConfig
from genrec.recipe import run_recipe
from genrec.semantic_ids import SemanticIds
from genrec.tokenization import RQKMeansConfig, SemanticTokenizer, item_texts, text_features

if not __package__:  # run by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from recipes.benchmarks.seeing import SeeingConfig, deal_pictures, train_seeing
from recipes.pretrain_encoder import Config as EncoderConfig
from recipes.pretrain_encoder import main as pretrain

WAYS: dict[str, dict[str, Any]] = {
    "vision": {},
    "blind": {"vision": None, "tasks": {"recommend": 1.0}},
    "blind_as_many_purchases": {
        "vision": None,
        "tasks": {"recommend": 1.0},
        "training": {"rows_per_step": 10, "micro_rows": 10},
    },
    "shuffled": {"dealt": 1.0},
    "non_exclusive": {"vision": {"exclusive": False}},
    "every_layer": {"vision": {"every_n_layers": 1}},
    "early_fusion": {"vision": {"fusion": "early"}},
    "late_fusion": {"vision": {"fusion": "late"}},
    "no_reconstruction": {"prompts": {"context_weight": 0.0}},
    "reweighted": {"training": {"focal_gamma": 1.0}},
}
"""What differs from UniMP's way.

``shuffled`` deals pictures to other items of the same category, so that what shows a taste is lost
and nothing else. Where pictures are shown an item takes three tokens and not one, and some of a
step asks about pictures: of as many tokens ``blind`` learns from 2.5 times as many purchases as
``vision``, and ``blind_as_many_purchases`` from equally many.
"""


@dataclass(frozen=True, kw_only=True)
class Config:
    out: Path = Path("runs/benchmarks/vision")
    """Where the runs are kept."""

    ways: tuple[str, ...] = (
        "vision", "blind", "blind_as_many_purchases", "shuffled", "non_exclusive",
        "no_reconstruction", "reweighted",
    )  # fmt: skip
    """What to train, out of ``WAYS``; the first is compared with each of the others."""

    seeds: tuple[int, ...] = (0, 1, 2)
    """One run of each way; a seed decides the shop too."""

    shop: ToyShopConfig = field(
        default_factory=lambda: ToyShopConfig(
            categories=8, items_per_category=160, users=1500, picture_users=0.7, colour_weight=4.0
        )
    )
    """Many items for few users, so that purchases tell little of each: looks must be seen."""

    quantizer: RQKMeansConfig = field(
        default_factory=lambda: RQKMeansConfig(codebook_sizes=(2048,))
    )
    """One level: a decoder of this size, trained for a minute, learns no finer composition."""

    toy_pictures: int = 4000
    """The encoder learns to see from so many pictures, none of which shows an item of a shop."""

    pretraining: PretrainingConfig = field(default_factory=PretrainingConfig)
    """The encoder, which stays as it is from then on; ``seeing.vision.encoder`` takes another."""

    seeing: SeeingConfig = field(default_factory=SeeingConfig)
    quick: bool = False
    """Take few steps in a small shop, just to see that everything works."""


@dataclass(frozen=True)
class Shop:
    """A toy shop with text-only semantic IDs."""

    dataset: Dataset
    split: Split
    ids: SemanticIds
    kind_E: np.ndarray[Any, np.dtype[np.str_]]
    """Whether the user of each test event chooses by ``picture`` or by ``text``."""

    @classmethod
    def open(cls, config: Config, seed: int) -> "Shop":
        """Make the shop of a seed, and IDs that know no picture."""
        shop = toy_shop(config.shop, seed=seed)
        split = leave_one_out(shop.dataset.interactions)
        features_NF = text_features(
            item_texts(shop.dataset.catalogue), cache=config.out / "features"
        )
        tokenizer = SemanticTokenizer.train(
            features_NF, config.quantizer, catalogue=shop.dataset.catalogue, seed=seed
        )
        user_E = shop.dataset.interactions.user_of[split.test]
        return cls(shop.dataset, split, tokenizer.ids, shop.user_kinds[user_E])


def settings(way: str, config: SeeingConfig) -> SeeingConfig:
    """Change what a way changes."""
    for name, change in WAYS[way].items():
        if name == "dealt":
            continue
        part = getattr(config, name)
        is_part = dataclasses.is_dataclass(part) and change is not None
        config = replace(config, **{name: replace(part, **change) if is_part else change})
    return config


def run(way: str, seed: int, shop: Shop, config: Config) -> Ints:
    """Train and score one decoder, unless that was done; return the ranks of the test targets."""
    path = config.out / f"{way}-{seed}.json"
    chosen = settings(way, config.seeing)
    made_of = {"dataset": shop.dataset.fingerprint, "ids": shop.ids.fingerprint}
    made_of |= {"seeing": to_dict(chosen)}
    if not path.is_file() or read_json(path)["made_of"] != made_of:
        print(f"{way}, seed {seed}", flush=True)
        dataset = deal_pictures(
            shop.dataset, WAYS[way].get("dealt", 0.0), seed=seed, within="category"
        )
        seeing = train_seeing(
            dataset, shop.split, shop.ids, chosen, folder=config.out / f"{way}-{seed}", seed=seed
        )
        recommender = seeing.serve(dataset.catalogue)
        results = evaluate(recommender, dataset, shop.split.test, train=shop.split.train)
        write_json(path, {
            "made_of": made_of, **seeing.trained._asdict(), "ranks": results.ranks.tolist(),
        })  # fmt: skip
    return np.array(read_json(path)["ranks"], dtype=np.int64)


def statistics(rank_E: Ints, kind_E: Any, kind: str) -> Statistics:
    """Score the users of one kind; those of all seeds are different ones."""
    rank_E = rank_E[kind_E == kind]
    scores = {"hr@10": recall_at(rank_E, 10), "ndcg@10": ndcg_at(rank_E, 10)}
    return Statistics.of_means(scores, np.arange(len(rank_E)))


def quick(config: Config) -> Config:
    """Make everything small."""
    few = replace(config.seeing.training, steps=10, validate_every=10, checkpoint_every=10)
    return replace(
        config, seeds=(0,), seeing=replace(config.seeing, training=few),
        quantizer=RQKMeansConfig(codebook_sizes=(8, 16)),
        shop=replace(config.shop, categories=5, items_per_category=20, users=100),
        toy_pictures=60, pretraining=replace(config.pretraining, steps=10, batch_size=16),
    )  # fmt: skip


def encoder(config: Config) -> Path:
    """Make the eyes, unless that was done; return where they are."""
    told = {"toy_pictures": config.toy_pictures, "pretraining": to_dict(config.pretraining)}
    folder = config.out / f"encoder-{fingerprint(json.dumps(told))}"
    if not folder.is_dir():
        pretrain(
            EncoderConfig(
                out=folder, toy_pictures=config.toy_pictures, pretraining=config.pretraining
            )
        )
    return folder


def main(config: Config) -> None:
    logging.basicConfig(level=logging.WARNING)
    if config.quick:
        config = quick(config)
    eyes = config.seeing.vision
    if eyes is not None and eyes.encoder is None:
        eyes = replace(eyes, encoder=str(encoder(config)))
        config = replace(config, seeing=replace(config.seeing, vision=eyes))
    shops = {seed: Shop.open(config, seed) for seed in config.seeds}
    kind_E = np.concatenate([shop.kind_E for shop in shops.values()])
    ranks: dict[str, list[Ints]] = {way: [] for way in config.ways}
    for seed, shop in shops.items():
        for way in config.ways:
            ranks[way].append(run(way, seed, shop, config))
    first = config.ways[0]
    summary: dict[str, Any] = {"seeds": config.seeds, "users": int((kind_E == "picture").sum())}
    print(f"{'':<26}{'HR@10, picture users':>24}{'NDCG@10':>24}{'HR@10, text users':>24}")
    scored = {}
    for way in config.ways:
        rank_E = np.concatenate(ranks[way])
        scored[way] = statistics(rank_E, kind_E, "picture")
        bounds = bootstrap(scored[way])
        shown = [*bounds.values(), bootstrap(statistics(rank_E, kind_E, "text"))["hr@10"]]
        cells = "".join(f"{v:.4f} ({low:.4f}-{high:.4f})".rjust(24) for v, low, high in shown)
        print(f"{way:<26}{cells}")
        summary |= {f"hr@10_{way}": bounds["hr@10"].value, f"{way}_bounds": bounds["hr@10"][1:]}
    for way in config.ways[1:]:
        gap = compare(scored[first], scored[way])["hr@10"]
        summary[f"{first}_over_{way}"] = {**gap.difference._asdict(), "verdict": gap.verdict}
    print(json.dumps(summary))


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
