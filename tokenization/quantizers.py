"""The quantizers by name: which config asks for which, how each is fitted, how one is read back.

Shape letters in this file: N items, F features, C width of LETTER's embeddings.
"""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from genrec.tokenization.fsq import FSQ, FSQConfig
from genrec.tokenization.opq import OPQ, OPQConfig
from genrec.tokenization.rqkmeans import RQKMeans, RQKMeansConfig
from genrec.tokenization.rqvae import RQVAE, RQVAEConfig
from genrec.tokenization.training import TrainingConfig, train_quantizer

QuantizerConfig = RQVAEConfig | RQKMeansConfig | OPQConfig | FSQConfig
AnyQuantizer = RQVAE | RQKMeans | OPQ | FSQ

CONFIGS: dict[str, type[QuantizerConfig]] = {
    "rqvae": RQVAEConfig,
    "rqkmeans": RQKMeansConfig,
    "opq": OPQConfig,
    "fsq": FSQConfig,
}
"""The config of every method; the keys are the names that artifacts and recipes use."""


def method_of(config: QuantizerConfig) -> str:
    """Name the method that a config asks for, such as ``rqvae``."""
    return next(name for name, kind in CONFIGS.items() if isinstance(config, kind))


def is_trained(config: QuantizerConfig) -> bool:
    """Tell whether a quantizer is trained by gradients, so that a training config matters."""
    return isinstance(config, RQVAEConfig | FSQConfig)


def config_from_json(method: str, settings: Mapping[str, Any]) -> QuantizerConfig:
    """Read the config of a method from plain values.

    Raises:
        ValueError: When there is no such method, or the values make no sense for it.
    """
    if method not in CONFIGS:
        raise ValueError(f"there is no method {method!r}; known are {', '.join(CONFIGS)}")
    values: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()
    }
    return CONFIGS[method](**values)


def build_quantizer(config: QuantizerConfig, feature_dim: int) -> AnyQuantizer:
    """Make a quantizer that knows nothing yet: to be fitted, or filled with saved weights."""
    if isinstance(config, RQVAEConfig):
        return RQVAE(config, feature_dim)
    if isinstance(config, FSQConfig):
        return FSQ(config, feature_dim)
    if isinstance(config, OPQConfig):
        return OPQ(config, feature_dim)
    return RQKMeans(config, feature_dim)


def fit_quantizer(
    config: QuantizerConfig,
    features_NF: Tensor,
    training: TrainingConfig,
    *,
    generator: torch.Generator,
    collaborative_NC: Tensor | None = None,
    progress: bool = False,
) -> AnyQuantizer:
    """Build the quantizer of a config and fit it to features, on the device where they are.

    Args:
        config: The quantizer; its type chooses the method.
        features_NF: One row per item.
        training: How a quantizer that gradients train is trained; others take no notice.
        generator: Decides the start and the order of training.
        collaborative_NC: Embeddings for LETTER's contrast, where the training asks for it.
        progress: Show a progress bar.
    """
    quantizer = build_quantizer(config, features_NF.shape[1]).to(features_NF.device)
    if isinstance(quantizer, RQKMeans | OPQ):
        quantizer.fit(features_NF, generator=generator)
    else:
        quantizer.initialise(features_NF, generator=generator)
        train_quantizer(
            quantizer, features_NF, training,
            generator=generator, collaborative_NC=collaborative_NC, progress=progress,
        )  # fmt: skip
    return quantizer.eval()
