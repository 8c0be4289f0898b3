"""Measure the item tokenizers on Amazon Beauty, and the RQ-VAE against a peer's quantizer.

    OMP_NUM_THREADS=1 python recipes/benchmarks/tokenizer.py --data data/amazon-beauty
    python recipes/benchmarks/tokenizer.py --quick

The peer is ResidualVQ of vector-quantize-pytorch, between the same encoder and decoder, which start
alike, on the same batches and for as many epochs; its codebooks start by k-means too. It comes in
float32, as in its README; our loop computes products in bfloat16, so both precisions are timed.
Features are kept, so a second run starts at once. The last line is JSON.
"""

import json
import sys
import tempfile
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from subprocess import run
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genrec.config import to_dict
from genrec.data import SequencesConfig, load_sequences
from genrec.recipe import run_recipe
from genrec.tokenization import (
    AssignmentConfig,
    RQKMeansConfig,
    RQVAEConfig,
    TrainingConfig,
    item_texts,
    text_features,
)
from genrec.tokenization.assignment import assign
from genrec.tokenization.quantizer import Quantizer
from genrec.tokenization.streaming import quantize_rows

if not __package__:  # run by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from recipes.benchmarks.quantizers import Measured, epoch_seconds, ours, peer, unexplained_variance

SCALE = Path(__file__).with_name("tokenizer_scale.py")


@dataclass(frozen=True, kw_only=True)
class Config:
    data: Path = Path("data/amazon-beauty")
    """Folder with ``sequences.tsv`` and ``items.jsonl``, or the one that holds amazon-beauty."""

    features: Path = Path("runs/benchmarks/features")
    """Where the features of texts are kept."""

    rqvae: RQVAEConfig = field(default_factory=RQVAEConfig)
    rqkmeans: RQKMeansConfig = field(default_factory=RQKMeansConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    scale: tuple[int, ...] = ()
    """Numbers of items whose assignment is measured too, such as [12101, 1000000]."""

    seed: int = 0
    """Of all that is drawn."""

    quick: bool = False
    """Use 600 made-up items, 8 codes a level and 3 epochs: the same keys in seconds."""


def strategies(quantizer: Quantizer, features_NF: Tensor) -> dict[str, dict[str, float]]:
    """Make IDs unique in every way, and tell what each costs."""
    codes_NL = quantizer.quantize(features_NF)
    before = unexplained_variance(features_NF, quantizer.reconstruct(codes_NL))
    found: dict[str, dict[str, float]] = {}
    for name in ("extra_level", "reassign", "sinkhorn"):
        start = time.perf_counter()
        ids, moved = assign(codes_NL, features_NF, quantizer, AssignmentConfig(strategy=name))
        seconds = time.perf_counter() - start
        final_NL = torch.tensor(ids.codes_NL[:, : codes_NL.shape[1]]).long()
        after = unexplained_variance(features_NF, quantizer.reconstruct(final_NL))
        found[name] = {
            "levels": ids.levels, "moved": len(moved), "cost": round(after - before, 6),
            "in_collision": float((ids.items_per_id > 1).mean()), "seconds": round(seconds, 3),
        }  # fmt: skip
    return found


def load_features(config: Config) -> Tensor:
    if config.quick:
        rng = np.random.default_rng(config.seed)
        heaps_NF = rng.normal(size=(40, 24))[rng.integers(40, size=600)]
        return torch.from_numpy((heaps_NF + 0.3 * rng.normal(size=(600, 24))).astype(np.float32))
    inner = config.data / "amazon-beauty"
    folder = inner if inner.is_dir() else config.data
    source = SequencesConfig(sequences=folder / "sequences.tsv", items=folder / "items.jsonl")
    texts = item_texts(load_sequences(source, name="beauty").catalogue)
    return torch.from_numpy(text_features(texts, cache=config.features, progress=True))


def at_scale(features_NF: Tensor, items: int) -> dict[str, Any]:
    """Measure in a process of its own, whose memory nothing else has touched."""
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "features.npy", features_NF.numpy())
        command = [sys.executable, str(SCALE), f"--features={folder}/features.npy"]
        done = run([*command, f"--items={items}"], check=True, capture_output=True, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


def show(rows: dict[str, Measured], made_unique: dict[str, dict[str, dict[str, float]]]) -> None:
    """Print what every quantizer gave, and what it costs to make its IDs unique."""
    print(f"{'':<12}{'seconds':>9}{'CPU s':>8}{'in collision':>14}{'unexplained':>13}  perplexity")
    for name, row in rows.items():
        print(
            f"{name:<12}{row.seconds:>9.1f}{row.cpu_seconds:>8.1f}{row.in_collision:>13.3%}"
            f"{row.unexplained:>13.4f}  {row.perplexity}"
        )
    print(f"\n{'made unique':<24}{'levels':>7}{'moved':>7}{'cost in unexplained':>21}")
    for method, found in made_unique.items():
        for name, values in found.items():
            print(
                f"{method + ', ' + name:<24}{values['levels']:>7}{values['moved']:>7}"
                f"{values['cost']:>21.6f}"
            )


def main(config: Config) -> None:
    if config.quick:
        config = replace(
            config, rqvae=RQVAEConfig(codebook_sizes=(8, 8, 8, 8), latent_dim=8, hidden_dims=(32,)),
            rqkmeans=RQKMeansConfig(codebook_sizes=(8, 8, 8, 8), components=8),
            training=replace(config.training, epochs=3, batch_size=128),
        )  # fmt: skip
    features_NF = load_features(config)
    float32 = replace(config.training, precision="float32")
    rqkmeans, table = ours(config.rqkmeans, features_NF, config.training, config.seed)
    rows = {"RQ-k-means": table}
    rqvae, rows["RQ-VAE"] = ours(config.rqvae, features_NF, config.training, config.seed)
    rows["ResidualVQ"] = theirs = peer(config.rqvae, features_NF, float32, config.seed)
    epoch = epoch_seconds(lambda t: ours(config.rqvae, features_NF, t, config.seed)[1], float32)
    epoch_resvq = epoch_seconds(lambda t: peer(config.rqvae, features_NF, t, config.seed), float32)
    start = time.perf_counter()
    codes_NL = torch.from_numpy(quantize_rows(rqvae, features_NF))
    ids, _ = assign(codes_NL, features_NF, rqvae, AssignmentConfig())
    assigned = time.perf_counter() - start

    made_unique = {"rqvae": strategies(rqvae, features_NF)}
    made_unique["rqkmeans"] = strategies(rqkmeans, features_NF)
    show(rows, made_unique)
    mine = rows["RQ-VAE"]
    print(json.dumps({
        "collision_rate_rqvae": round(mine.in_collision, 6),
        "collision_rate_rqkmeans": round(table.in_collision, 6),
        "collision_rate_resvq": round(theirs.in_collision, 6),
        "collision_rate_final": float((ids.items_per_id > 1).mean()),
        "level0_perplexity_rqvae": mine.perplexity[0],
        "level0_perplexity_rqkmeans": table.perplexity[0],
        "min_codes_used_share": min(mine.used, table.used),
        "seconds_rqvae": round(mine.seconds, 2),
        "seconds_rqkmeans": round(table.seconds, 2),
        "seconds_resvq": round(theirs.seconds, 2),
        "speedup_vs_resvq": round(theirs.seconds / mine.seconds, 2),
        "speedup_vs_resvq_cpu": round(theirs.cpu_seconds / mine.cpu_seconds, 2),
        "speedup_vs_resvq_both_float32": round(epoch_resvq / epoch, 2),
        "mse_ratio_vs_resvq": round(mine.unexplained / theirs.unexplained, 4),
        "items_per_second": round(len(features_NF) / assigned),
        "made_unique": made_unique,
        "scale": [at_scale(features_NF, items) for items in config.scale],
        "rows": {name: asdict(row) for name, row in rows.items()},
        "threads": torch.get_num_threads(),
        "config": to_dict(config),
    }))  # fmt: skip


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
