"""The tokenizer of items: from features to unique semantic IDs, on disk as one directory.

Shape letters in this file: N items, F features, L levels.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from genrec.artifacts import ArtifactError, check_same, read_json, write_directory, write_json
from genrec.config import to_dict
from genrec.data import Catalogue
from genrec.semantic_ids import Codes, SemanticIds
from genrec.tokenization.arrays import Features, Labels
from genrec.tokenization.assignment import AssignmentConfig, assign
from genrec.tokenization.quality import Quality, check_codebooks, measure, unexplained_variance
from genrec.tokenization.quantizers import (
    AnyQuantizer,
    QuantizerConfig,
    build_quantizer,
    config_from_json,
    fit_quantizer,
    is_trained,
    method_of,
)
from genrec.tokenization.training import TrainingConfig

CONFIG_FILE = "config.json"
MODEL_FILE = "model.safetensors"
IDS_FILE = "semantic_ids.safetensors"
QUALITY_FILE = "quality.json"
FORMAT = 1

ROWS_AT_ONCE = 65_536
"""Items encoded at a time."""


class SemanticTokenizer:
    """A trained quantizer, the unique IDs that it gave a catalogue, and how good they are."""

    def __init__(
        self,
        quantizer: AnyQuantizer,
        ids: SemanticIds,
        quality: Quality,
        *,
        feature_dim: int,
        catalogue: str,
        recipe: Mapping[str, Any],
    ) -> None:
        self.quantizer = quantizer
        self.ids = ids
        """The unique ID of every item."""
        self.quality = quality
        self.feature_dim = feature_dim
        self.catalogue = catalogue
        """Fingerprint of the catalogue whose items have these IDs."""
        self.recipe = dict(recipe)
        """How the IDs came about: settings, seed, and what the features are."""

    @classmethod
    def train(
        cls,
        features_NF: Features,
        config: QuantizerConfig,
        *,
        training: TrainingConfig | None = None,
        assignment: AssignmentConfig | None = None,
        catalogue: Catalogue | None = None,
        labels: Labels | None = None,
        source: Mapping[str, Any] | None = None,
        seed: int = 0,
        device: str | torch.device = "cpu",
        progress: bool = False,
    ) -> "SemanticTokenizer":
        """Train a quantizer on the features of all items and give each a unique ID.

        Args:
            features_NF: One row per item, in the order of the catalogue.
            config: The quantizer; its type chooses the method.
            training: How an RQ-VAE is trained; RQ-k-means takes no notice.
            assignment: How items with the same codes are told apart.
            catalogue: The items; its fingerprint is kept, so that others cannot use the IDs.
            labels: A class per item for the quality report.
            source: What the features are, kept for the record.
            seed: Decides the start and the order of training.
            device: Where to train.
            progress: Show a progress bar.

        Raises:
            ValueError: When the features are no finite matrix with one row per item.
            CollapsedCodebookError: When a level of the trained codes tells almost nothing.
        """
        training, assignment = training or TrainingConfig(), assignment or AssignmentConfig()
        _check_features(features_NF, items=len(catalogue) if catalogue else None)
        x_NF = torch.from_numpy(np.ascontiguousarray(features_NF, dtype=np.float32)).to(device)
        generator = torch.Generator().manual_seed(seed)
        quantizer = fit_quantizer(config, x_NF, training, generator=generator, progress=progress)
        codes_NL = _quantize(quantizer, x_NF)
        before = SemanticIds(codes_NL.cpu().numpy(), config.codebook_sizes)
        check_codebooks(before)
        ids, moved = assign(codes_NL, x_NF, quantizer, assignment)
        errors = _errors(quantizer, features_NF, before, ids)
        recipe = {
            "quantizer": to_dict(config),
            "training": to_dict(training) if is_trained(config) else None,
            "assignment": to_dict(assignment),
            "features": dict(source or {}),
            "seed": seed,
        }
        return cls(
            quantizer.cpu(), ids,
            measure(before, ids, moved=len(moved), errors=errors, labels=labels),
            feature_dim=features_NF.shape[1],
            catalogue=catalogue.fingerprint if catalogue else "", recipe=recipe,
        )  # fmt: skip

    def encode(self, features_NF: Features) -> Codes:
        """Choose the codes of any items, seen in training or not; items may share them."""
        _check_features(features_NF)
        if features_NF.shape[1] != self.feature_dim:
            raise ValueError(
                f"the features are {features_NF.shape[1]} wide, but the tokenizer was trained on "
                f"{self.feature_dim}; make them as before, from {self.recipe['features']}"
            )
        x_NF = torch.from_numpy(np.ascontiguousarray(features_NF, dtype=np.float32))
        return _quantize(self.quantizer, x_NF).numpy().astype(np.int32)

    def save_pretrained(self, folder: Path | str) -> None:
        """Write the tokenizer as a directory, in one step."""
        with write_directory(folder) as partial:
            write_json(partial / CONFIG_FILE, {
                "format": FORMAT,
                "method": method_of(self.quantizer.config),
                "feature_dim": self.feature_dim,
                "items": len(self.ids),
                "catalogue": self.catalogue,
                "semantic_ids": self.ids.fingerprint,
                **self.recipe,
            })  # fmt: skip
            state = {
                name: value.contiguous() for name, value in self.quantizer.state_dict().items()
            }
            save_file(state, partial / MODEL_FILE)
            self.ids.save(partial / IDS_FILE)
            write_json(partial / QUALITY_FILE, self.quality.to_json())

    @classmethod
    def from_pretrained(
        cls, folder: Path | str, *, catalogue: Catalogue | None = None
    ) -> "SemanticTokenizer":
        """Read what :meth:`save_pretrained` wrote.

        Args:
            folder: The directory.
            catalogue: The items that the IDs will be used for; checked against those they are for.

        Raises:
            ArtifactError: When a file is missing or broken, or the IDs are for other items.
        """
        folder = Path(folder)
        config = read_json(folder / CONFIG_FILE)
        if config.get("format") != FORMAT:
            raise ArtifactError(
                f"{folder / CONFIG_FILE} has the format {config.get('format')!r}, not {FORMAT}; "
                "train the tokenizer again with this version of genrec"
            )
        if catalogue is not None:
            check_same(
                "catalogue", config["catalogue"], catalogue.fingerprint,
                ours_from=f"the tokenizer in {folder}", theirs_from="the data set",
            )  # fmt: skip
        ids = SemanticIds.load(folder / IDS_FILE)
        check_same(
            "semantic IDs", config["semantic_ids"], ids.fingerprint,
            ours_from=str(folder / CONFIG_FILE), theirs_from=str(folder / IDS_FILE),
        )  # fmt: skip
        recipe = {
            name: config[name]
            for name in ("quantizer", "training", "assignment", "features", "seed")
        }
        return cls(
            _load_quantizer(folder, config), ids,
            Quality.from_json(read_json(folder / QUALITY_FILE)),
            feature_dim=config["feature_dim"], catalogue=config["catalogue"], recipe=recipe,
        )  # fmt: skip


def _load_quantizer(folder: Path, config: Mapping[str, Any]) -> AnyQuantizer:
    try:
        settings = config_from_json(config["method"], config["quantizer"])
    except (TypeError, ValueError) as error:
        raise ArtifactError(f"{folder / CONFIG_FILE} describes no quantizer: {error}") from error
    quantizer = build_quantizer(settings, config["feature_dim"])
    path = folder / MODEL_FILE
    try:
        quantizer.load_state_dict(load_file(path))
    except (OSError, SafetensorError, RuntimeError) as error:
        raise ArtifactError(f"{path} does not hold this quantizer: {error}") from error
    return quantizer.eval()


def _quantize(quantizer: AnyQuantizer, x_NF: Tensor) -> Tensor:
    return torch.cat([quantizer.quantize(part_NF) for part_NF in torch.split(x_NF, ROWS_AT_ONCE)])


def _errors(
    quantizer: AnyQuantizer, features_NF: Features, before: SemanticIds, after: SemanticIds
) -> tuple[float, float]:
    """Measure how much of the features the codes miss, before and after IDs were made unique."""
    device = next(quantizer.buffers()).device
    levels = before.levels  # an extra level only counts; it describes nothing

    def error(ids: SemanticIds) -> float:
        codes_NL = torch.tensor(ids.codes_NL[:, :levels], dtype=torch.long, device=device)
        return unexplained_variance(features_NF, quantizer.reconstruct(codes_NL).cpu().numpy())

    return error(before), error(after)


def _check_features(features_NF: Features, *, items: int | None = None) -> None:
    if features_NF.ndim != 2 or 0 in features_NF.shape:
        raise ValueError(f"features must have the shape (items, width), not {features_NF.shape}")
    if items is not None and len(features_NF) != items:
        raise ValueError(
            f"there are features of {len(features_NF)} items, but the catalogue has {items}; "
            "encode this catalogue again"
        )
    broken = ~np.isfinite(features_NF).all(axis=1)
    if broken.any():
        raise ValueError(
            f"the features of {int(broken.sum())} item(s) are not finite, the first in row "
            f"{int(broken.argmax())}; encode them again"
        )
