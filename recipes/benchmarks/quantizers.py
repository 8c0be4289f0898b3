"""Quantizers that are trained on the same features and measured alike: ours, and a peer's.

Shape letters in this file: N items, F features, L levels, B rows of a batch, D of the latent space.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from genrec.optional import require
from genrec.semantic_ids import SemanticIds
from genrec.tokenization import RQVAEConfig, TrainingConfig
from genrec.tokenization.autoencoder import Autoencoder
from genrec.tokenization.quality import level_quality
from genrec.tokenization.quantizer import Quantizer
from genrec.tokenization.quantizers import QuantizerConfig, fit_quantizer


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
    """Tell what share of the features' variance is lost."""
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
    """Train one of our quantizers."""
    seconds: dict[str, float] = {}
    with timed(seconds):
        generator = torch.Generator().manual_seed(seed)
        quantizer = fit_quantizer(method, features_NF, training, generator=generator)
    codes_NL = quantizer.quantize(features_NF)
    decoded_NF = quantizer.reconstruct(codes_NL)
    return quantizer, measured(codes_NL, decoded_NF, features_NF, method.codebook_sizes, seconds)


def peer(config: RQVAEConfig, features_NF: Tensor, training: TrainingConfig, seed: int) -> Measured:
    """Train ResidualVQ within our autoencoder, in the loop that its README suggests."""
    package = require("vector_quantize_pytorch", extra="benchmarks", why="the comparison")
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    sizes = config.codebook_sizes
    seconds: dict[str, float] = {}
    with timed(seconds):
        dim = min(config.latent_dim, features_NF.shape[1])
        coder = Autoencoder(features_NF.shape[1], config.hidden_dims, dim)
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
                loss = loss + config.commitment * dim * commitment.sum()
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
