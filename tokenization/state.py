"""Everything that a tokenizer is, on disk as one directory.

Shape letters in this file: N items, L levels.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from genrec.artifacts import (
    ArtifactError,
    check_same,
    read_json,
    write_directory,
    write_json,
    write_text,
)
from genrec.semantic_ids import SemanticIds
from genrec.tokenization.blend import Blend
from genrec.tokenization.growth import Items
from genrec.tokenization.ledger import LEDGER_FILE, Ledger
from genrec.tokenization.quality import Quality
from genrec.tokenization.quantizers import AnyQuantizer, method_of
from genrec.tokenization.weights import load_quantizer, save_weights

CONFIG_FILE = "config.json"
MODEL_FILE = "model.safetensors"
IDS_FILE = "semantic_ids.safetensors"
QUALITY_FILE = "quality.json"
PAGE_FILE = "quality.html"
BLEND_FILE = "blend.safetensors"
FORMAT = 2
RECIPE = ("quantizer", "training", "assignment", "features", "seed")
"""What config.json tells about how the IDs came about."""


@dataclass(frozen=True, kw_only=True)
class TokenizerState:
    """A trained quantizer, who has which ID, and how both came about."""

    quantizer: AnyQuantizer
    ledger: Ledger
    """Who has which ID since when."""

    quality: Quality
    """How good the IDs of the items of training are."""

    codebook_sizes: tuple[int, ...]
    """Codes per level of an ID; one level more than the quantizer's where the last counts."""

    feature_dim: int
    variance: float
    """Mean squared distance of the training items' features from their mean."""

    recipe: Mapping[str, Any]
    """How the IDs came about: settings, seed, and what the features are."""

    blend: Blend | None = None
    """Makes the features out of their sources, so that those of new items are made alike."""

    @property
    def ids(self) -> SemanticIds:
        """The unique ID of every item of the catalogue, in its order, with codes (N, L)."""
        return SemanticIds(self.ledger.codes_NL, self.codebook_sizes)

    def save(self, folder: Path | str, *, page: str | None = None) -> None:
        """Write the directory in one step; one that stands there is replaced.

        Args:
            folder: The directory.
            page: The quality report to look at, as HTML.
        """
        with write_directory(folder) as partial:
            write_json(partial / CONFIG_FILE, {
                "format": FORMAT,
                "method": method_of(self.quantizer.config),
                "codebook_sizes": self.codebook_sizes,
                "feature_dim": self.feature_dim,
                "feature_variance": self.variance,
                "items": len(self.ledger.rows_N),
                "version": len(self.ledger.versions),
                "catalogue": self.ledger.versions[-1].catalogue,
                "semantic_ids": self.ids.fingerprint,
                **self.recipe,
            })  # fmt: skip
            save_weights(self.quantizer, partial / MODEL_FILE)
            self.ids.save(partial / IDS_FILE)
            self.ledger.save(partial)
            if self.blend is not None:
                self.blend.save(partial / BLEND_FILE)
            write_json(partial / QUALITY_FILE, self.quality.to_json())
            if page is not None:
                write_text(partial / PAGE_FILE, page)

    @classmethod
    def load(cls, folder: Path, *, catalogue: Items | None = None) -> "TokenizerState":
        """Read what :meth:`save` wrote, and check that its files belong together.

        Raises:
            ArtifactError: When a file is missing or broken, or the IDs are for other items than
                those of the catalogue.
        """
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
        state = cls(
            quantizer=load_quantizer(config, folder / MODEL_FILE),
            ledger=Ledger.load(folder),
            quality=Quality.from_json(read_json(folder / QUALITY_FILE)),
            codebook_sizes=tuple(config["codebook_sizes"]),
            feature_dim=config["feature_dim"],
            variance=config["feature_variance"],
            recipe={name: config[name] for name in RECIPE},
            blend=Blend.load(folder / BLEND_FILE) if (folder / BLEND_FILE).is_file() else None,
        )
        for theirs, path in (
            (SemanticIds.load(folder / IDS_FILE), folder / IDS_FILE),
            (state.ids, folder / LEDGER_FILE),
        ):
            check_same(
                "semantic IDs", config["semantic_ids"], theirs.fingerprint,
                ours_from=str(folder / CONFIG_FILE), theirs_from=str(path),
            )  # fmt: skip
        return state
