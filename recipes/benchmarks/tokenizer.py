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
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from subprocess import run
from typing import Any

import numpy as np
import torch
from torch import Tensor

from genrec.config import parse_args, to_dict
from genrec.data import SequencesConfig, load_sequences
from genrec.optional import require
from genrec.semantic_ids import SemanticIds
from genrec.tokenization import (
    AssignmentConfig,
    RQKMeansConfig,
    RQVAEConfig,
    TrainingConfig,
    item_texts,
    text_features,
)
from genrec.tokenization.assignment import assign
from genrec.tokenization.autoencoder import Autoencoder
from genrec.tokenization.quality import level_quality
from genrec.tokenization.quantizer import Quantizer
from genrec.tokenization.quantizers import QuantizerConfig, fit_quantizer
from genrec.tokenization.streaming import quantize_rows

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


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What a quantizer gave before IDs were made unique."""

    seconds: float
    cpu_seconds: float
    in_collision: float
    unexplained: float
    perplexity: list[float]
    used: float


def unexplained_variance(features_NF: Tensor, decoded_NF: Tensor) -> float:
    error = (features_NF - decoded_NF).square().sum()
    return float(error / (features_NF - features_NF.mean(dim=0)).square().sum())


@contextmanager
def timed(seconds: dict[str, float]) -> Iterator[None]:
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    seconds["seconds"] = time.perf_counter() - wall
    seconds["cpu_seconds"] = time.process_time() - cpu


def measured(
    codes_NL: Tensor, decoded_NF: Tensor, features_NF: Tensor, sizes: tuple[int, ...],
    seconds: dict[str, float],
) -> Measured:  # fmt: skip
    ids = SemanticIds(codes_NL.numpy().astype(np.int32), sizes)
    levels = [level_quality(ids.codes_NL[:, level], size) for level, size in enumerate(sizes)]
    return Measured(
        in_collision=float((ids.items_per_id > 1).mean()),
        unexplained=unexplained_variance(features_NF, decoded_NF),
        perplexity=[round(level.perplexity, 1) for level in levels],
        used=min(level.used / level.codes for level in levels),
        **seconds,
    )


def ours(
    method: QuantizerConfig, features_NF: Tensor, training: TrainingConfig, seed: int
) -> tuple[Quantizer, Measured]:
    seconds: dict[str, float] = {}
    with timed(seconds):
        generator = torch.Generator().manual_seed(seed)
        quantizer = fit_quantizer(method, features_NF, training, generator=generator)
    codes_NL = quantizer.quantize(features_NF)
    decoded_NF = quantizer.reconstruct(codes_NL)
    return quantizer, measured(codes_NL, decoded_NF, features_NF, method.codebook_sizes, seconds)


def peer(config: Config, features_NF: Tensor, training: TrainingConfig) -> Measured:
    """Train ResidualVQ within our autoencoder, in the loop that its README suggests."""
    package = require("vector_quantize_pytorch", extra="benchmarks", why="the comparison")
    generator = torch.Generator().manual_seed(config.seed)
    torch.manual_seed(config.seed)
    sizes = config.rqvae.codebook_sizes
    seconds: dict[str, float] = {}
    with timed(seconds):
        dim = min(config.rqvae.latent_dim, features_NF.shape[1])
        coder = Autoencoder(features_NF.shape[1], config.rqvae.hidden_dims, dim)
        coder.start_as_components(features_NF, generator=generator)
        vq = package.ResidualVQ(
            dim=dim, num_quantizers=len(sizes), codebook_size=sizes[0], kmeans_init=True
        )
        batches = -(-len(features_NF) // training.batch_size)
        optimizer = torch.optim.AdamW(
            [*coder.parameters(), *vq.parameters()], fused=True,
            lr=training.learning_rate, weight_decay=training.weight_decay,
        )  # fmt: skip
        schedule = torch.optim.lr_scheduler.LambdaLR(
            optimizer,
            lambda step: min(
                (step + 1) / training.warmup_steps, 1 - step / (batches * training.epochs)
            ),
        )
        for _ in range(training.epochs):
            order_N = torch.randperm(len(features_NF), generator=generator)
            for rows_B in torch.split(order_N, training.batch_size):
                inputs_BF = coder.normalise(features_NF[rows_B])
                precision = torch.autocast(
                    "cpu", torch.bfloat16, enabled=training.precision == "bfloat16"
                )
                with precision:
                    latents_BD = coder.encoder(inputs_BF).float()
                quantized_BD, _, commitment = vq(latents_BD)
                with precision:
                    decoded_BF = coder.decoder(quantized_BD)
                loss = (decoded_BF - inputs_BF).square().sum(dim=1).mean()
                # Theirs is averaged over the dimensions, ours is summed.
                loss = loss + config.rqvae.commitment * dim * commitment.sum()
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                schedule.step()
    vq.eval()
    with torch.no_grad():
        quantized_ND, codes_NL, _ = vq(coder.encode(features_NF))
        return measured(codes_NL, coder.decode(quantized_ND), features_NF, sizes, seconds)


def epoch_seconds(train: Callable[[TrainingConfig], Measured], config: TrainingConfig) -> float:
    """Tell the CPU seconds of one epoch alone, without what comes before and after all of them."""
    one, four = (train(replace(config, epochs=epochs)).cpu_seconds for epochs in (1, 4))
    return (four - one) / 3


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
    rows["ResidualVQ"] = theirs = peer(config, features_NF, float32)
    epoch = epoch_seconds(lambda t: ours(config.rqvae, features_NF, t, config.seed)[1], float32)
    epoch_resvq = epoch_seconds(lambda t: peer(config, features_NF, t), float32)
    start = time.perf_counter()
    codes_NL = torch.from_numpy(quantize_rows(rqvae, features_NF))
    ids, _ = assign(codes_NL, features_NF, rqvae, AssignmentConfig())
    assigned = time.perf_counter() - start

    print(f"{'':<12}{'seconds':>9}{'CPU s':>8}{'in collision':>14}{'unexplained':>13}  perplexity")
    for name, row in rows.items():
        print(
            f"{name:<12}{row.seconds:>9.1f}{row.cpu_seconds:>8.1f}{row.in_collision:>13.3%}"
            f"{row.unexplained:>13.4f}  {row.perplexity}"
        )
    made_unique = {"rqvae": strategies(rqvae, features_NF)}
    made_unique["rqkmeans"] = strategies(rqkmeans, features_NF)
    print(f"\n{'made unique':<24}{'levels':>7}{'moved':>7}{'cost in unexplained':>21}")
    for method, found in made_unique.items():
        for name, values in found.items():
            print(
                f"{method + ', ' + name:<24}{values['levels']:>7}{values['moved']:>7}"
                f"{values['cost']:>21.6f}"
            )
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
    options = ["--quick=true" if option == "--quick" else option for option in sys.argv[1:]]
    main(parse_args(Config, __doc__, options))
