"""Measure how fast unique IDs are given to many items, and how much memory that takes.

    OMP_NUM_THREADS=1 python recipes/benchmarks/tokenizer_scale.py --features features.npy

The features are repeated with noise into a file that is read a few rows at a time. The quantizer is
fitted to those given and then frozen. The last line is JSON.
"""

import json
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import torch

from genrec.recipe import run_recipe
from genrec.tokenization import AssignmentConfig, RQKMeansConfig, RQVAEConfig, TrainingConfig
from genrec.tokenization.arrays import Features
from genrec.tokenization.assignment import assign
from genrec.tokenization.quantizers import fit_quantizer
from genrec.tokenization.streaming import FeatureFile, quantize_rows

ROWS_AT_ONCE = 8192


@dataclass(frozen=True, kw_only=True)
class Config:
    features: Path
    """A .npy file with one row per item."""

    items: int = 1_000_000
    """Items to give IDs to."""

    method: Literal["rqvae", "rqkmeans"] = "rqvae"
    """The quantizer."""

    epochs: int = 1
    """Of the RQ-VAE; how fast it assigns does not depend on them."""

    noise: float = 0.5
    """Length of the noise, as a share of the features' own."""

    folder: Path | None = None
    """Where the features go for a while; the system's temporary folder when left out."""

    seed: int = 0
    """Of noise and quantizer."""


def write_repeated(features_NF: Features, path: Path, config: Config) -> None:
    """Write the features again and again with noise, in half precision."""
    rng = np.random.default_rng(config.seed)
    length = float(np.linalg.norm(features_NF, axis=1).mean())
    scale = config.noise * length / features_NF.shape[1] ** 0.5
    shape = (config.items, features_NF.shape[1])
    with path.open("wb") as file:
        header = {"descr": "<f2", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)  # type: ignore[no-untyped-call]
        for start in range(0, config.items, ROWS_AT_ONCE):
            rows = np.arange(start, min(start + ROWS_AT_ONCE, config.items)) % len(features_NF)
            noise = rng.standard_normal((len(rows), shape[1]), dtype=np.float32) * scale
            file.write((features_NF[rows] + noise).astype(np.float16).tobytes())


def peak_gb() -> float:
    """The highest resident memory of this process, in GB; Linux counts in KiB, macOS in bytes."""
    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9, 3)


def main(config: Config) -> None:
    features_NF = np.load(config.features)
    quantizer = fit_quantizer(
        RQVAEConfig() if config.method == "rqvae" else RQKMeansConfig(),
        torch.from_numpy(features_NF),
        TrainingConfig(epochs=config.epochs),
        generator=torch.Generator().manual_seed(config.seed),
    )
    with tempfile.TemporaryDirectory(dir=config.folder) as folder:
        write_repeated(features_NF, Path(folder) / "features.npy", config)
        before_gb = peak_gb()
        start, cpu = time.perf_counter(), time.process_time()
        file = FeatureFile(Path(folder) / "features.npy")
        codes_NL = torch.from_numpy(quantize_rows(quantizer, file))
        coded = time.perf_counter() - start
        ids, moved = assign(codes_NL, file, quantizer, AssignmentConfig())
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    assert ids.are_unique
    print(f"{config.items:>12,} items  {seconds:>8.1f} s  {peak_gb():>6.2f} GB")
    print(json.dumps({
        "items": config.items, "method": config.method, "seconds": round(seconds, 2),
        "seconds_coding": round(coded, 2), "cpu_seconds": round(cpu, 2),
        "items_per_second": round(config.items / seconds),
        "items_per_cpu_second": round(config.items / cpu),
        "moved_share": round(len(moved) / config.items, 4),
        "peak_rss_gb": peak_gb(), "peak_rss_gb_before": before_gb,
    }))  # fmt: skip


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
