"""The tokenizer of items: from features to unique semantic IDs, on disk as one directory.

Shape letters in this file: N items, M new items, F features, L levels.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genrec.artifacts import (
    ArtifactError,
    check_same,
    read_json,
    write_directory,
    write_json,
    write_text,
)
from genrec.config import to_dict
from genrec.semantic_ids import Codes, SemanticIds
from genrec.tokenization import growth, hub
from genrec.tokenization.arrays import Features, Labels, Rows
from genrec.tokenization.assignment import AssignmentConfig, assign
from genrec.tokenization.blend import Blend
from genrec.tokenization.drift import Drift
from genrec.tokenization.encoding import (
    check_features,
    feature_variance,
    quantize,
    reconstruction_errors,
)
from genrec.tokenization.ledger import LEDGER_FILE, Entries, Ledger
from genrec.tokenization.neighbours import neighbours_kept
from genrec.tokenization.quality import Quality, check_codebooks, check_weights, measure
from genrec.tokenization.quantizers import (
    AnyQuantizer,
    QuantizerConfig,
    fit_quantizer,
    is_trained,
    method_of,
)
from genrec.tokenization.training import TrainingConfig
from genrec.tokenization.weights import load_quantizer, save_weights

CONFIG_FILE = "config.json"
MODEL_FILE = "model.safetensors"
IDS_FILE = "semantic_ids.safetensors"
QUALITY_FILE = "quality.json"
PAGE_FILE = "quality.html"
BLEND_FILE = "blend.safetensors"
FORMAT = 2
RECIPE = ("quantizer", "training", "assignment", "features", "seed")


class SemanticTokenizer:
    """A trained quantizer, the unique IDs that it gave a catalogue, and how good they are.

    The catalogue may grow and shrink (:meth:`add`, :meth:`remove`, :meth:`update`): the quantizer
    stays as it is, every item keeps its ID, and each change is a version that :meth:`rollback` can
    bring back.
    """

    def __init__(
        self,
        quantizer: AnyQuantizer,
        ledger: Ledger,
        quality: Quality,
        *,
        codebook_sizes: tuple[int, ...],
        feature_dim: int,
        variance: float,
        recipe: Mapping[str, Any],
        blend: Blend | None = None,
    ) -> None:
        self.quantizer = quantizer
        self.ledger = ledger
        """Who has which ID since when; changes replace it as a whole."""
        self.quality = quality
        """How good the IDs of the items of training are."""
        self.codebook_sizes = codebook_sizes
        """Codes per level of an ID; one level more than the quantizer's where the last counts."""
        self.feature_dim = feature_dim
        self.variance = variance
        """Mean squared distance of the training items' features from their mean."""
        self.recipe = dict(recipe)
        """How the IDs came about: settings, seed, and what the features are."""
        self.blend = blend
        """Makes the features out of their sources, so that those of new items are made alike."""

    @classmethod
    def train(
        cls,
        features_NF: Features,
        config: QuantizerConfig,
        *,
        training: TrainingConfig | None = None,
        assignment: AssignmentConfig | None = None,
        catalogue: growth.Items | None = None,
        labels: Labels | None = None,
        collaborative: Features | None = None,
        source: Mapping[str, Any] | None = None,
        blend: Blend | None = None,
        seed: int = 0,
        device: str | torch.device = "cpu",
        progress: bool = False,
    ) -> "SemanticTokenizer":
        """Train a quantizer on the features of all items and give each a unique ID.

        Args:
            features_NF: One row per item, in the order of the catalogue.
            config: The quantizer; its type chooses the method.
            training: How a quantizer that gradients train is trained; others take no notice.
            assignment: How items with the same codes are told apart.
            catalogue: The items; its fingerprint is kept, so that others cannot use the IDs.
            labels: A class per item for the quality report.
            collaborative: Embeddings for LETTER's contrast; a row of zeros says nothing.
            source: What the features are, kept for the record.
            blend: What made the features of several sources, kept for new items.
            seed: Decides the start and the order of training.
            device: Where to train.
            progress: Show a progress bar.

        Raises:
            ValueError: When the features are no finite matrix with one row per item.
            CollapsedCodebookError: When all features are equal, or a level of the trained codes
                tells almost nothing.
        """
        training, assignment = training or TrainingConfig(), assignment or AssignmentConfig()
        check_features(features_NF, items=len(catalogue) if catalogue else None)
        variance = feature_variance(features_NF)
        x_NF = torch.from_numpy(np.ascontiguousarray(features_NF, dtype=np.float32)).to(device)
        generator = torch.Generator().manual_seed(seed)
        together_NC = None if collaborative is None else torch.tensor(collaborative).to(x_NF)
        quantizer = fit_quantizer(
            config, x_NF, training,
            generator=generator, collaborative_NC=together_NC, progress=progress,
        )  # fmt: skip
        check_weights(quantizer.state_dict())
        codes_NL = quantize(quantizer, x_NF)
        before = SemanticIds(codes_NL.cpu().numpy(), config.codebook_sizes)
        check_codebooks(before)
        ids, moved = assign(codes_NL, x_NF, quantizer, assignment)
        error_N = reconstruction_errors(quantizer, x_NF, codes_NL) / np.float32(variance)
        # An extra level only counts; it describes nothing.
        final_NL = torch.tensor(ids.codes_NL[:, : before.levels], dtype=torch.long, device=device)
        final_error_N = reconstruction_errors(quantizer, x_NF, final_NL) / np.float32(variance)
        item_ids = catalogue.item_ids if catalogue else list(map(str, range(len(ids))))
        moved_N = np.isin(np.arange(len(ids)), moved)
        entries = Entries(item_ids, ids.codes_NL, error_N, final_error_N, moved_N)
        return cls(
            quantizer.cpu(),
            growth.start_ledger(entries, ids.codebook_sizes, catalogue),
            measure(
                before, ids, moved=len(moved), labels=labels,
                errors=(float(error_N.mean()), float(final_error_N.mean())),
                neighbours=neighbours_kept(x_NF, final_NL, quantizer, generator=generator),
            ),
            codebook_sizes=ids.codebook_sizes,
            feature_dim=features_NF.shape[1],
            variance=variance,
            recipe={
                "quantizer": to_dict(config),
                "training": to_dict(training) if is_trained(config) else None,
                "assignment": to_dict(assignment),
                "features": dict(source or {}),
                "seed": seed,
            },
            blend=blend,
        )  # fmt: skip

    @property
    def ids(self) -> SemanticIds:
        """The unique ID of every item of the catalogue, in its order."""
        return SemanticIds(self.ledger.codes_NL, self.codebook_sizes)

    @property
    def catalogue(self) -> str:
        """Fingerprint of the catalogue whose items have these IDs."""
        return self.ledger.versions[-1].catalogue

    @property
    def version(self) -> int:
        """Counts the states of the catalogue; 1 is that of training."""
        return len(self.ledger.versions)

    @property
    def drift(self) -> Drift | None:
        """How well the codes describe the items added since training; ``None`` without any."""
        return self.ledger.drift

    def encode(self, features_NF: Features) -> Codes:
        """Choose the codes of any items, seen in training or not; items may share them."""
        self._check(features_NF)
        x_NF = torch.from_numpy(np.ascontiguousarray(features_NF, dtype=np.float32))
        return quantize(self.quantizer, x_NF).numpy().astype(np.int32)

    def new_items(self, catalogue: growth.Items) -> Rows:
        """Find the rows of a catalogue whose items need features and an ID."""
        return growth.new_rows(self.ledger, catalogue)

    def add(
        self,
        features_MF: Features,
        item_ids: Sequence[str],
        *,
        catalogue: growth.Items | None = None,
    ) -> Drift | None:
        """Give new items IDs that nobody has; those of all others stay.

        An item that was here before gets the ID that was kept for it.

        Args:
            features_MF: One row for each of the items, made like the features of training.
            item_ids: Their raw ids.
            catalogue: All items afterwards, in their order; without it the new ones follow the old
                ones, and the IDs fit no catalogue by its fingerprint.

        Returns:
            How well the codes describe the new items; ``None`` when all had been here before.

        Raises:
            DataError: When an item is there already or named twice, or the catalogue has others.
            ValueError: When the features do not fit, or there are more items than free IDs.
        """
        self._check(features_MF, items=len(item_ids))
        self.ledger = growth.add_items(
            self.ledger, self._space, features_MF, item_ids, catalogue=catalogue
        )
        return self.ledger.versions[-1].drift

    def remove(
        self,
        item_ids: Sequence[str],
        *,
        free: bool = False,
        catalogue: growth.Items | None = None,
    ) -> None:
        """Take items out of the catalogue. Their IDs are kept for them, lest they mislead.

        Args:
            item_ids: The items; to free the IDs of items that left before, name them again.
            free: Let new items have the IDs. A model that learnt an ID as the old item will say it
                for the new one until it is trained again.
            catalogue: All items afterwards, in their order.

        Raises:
            DataError: When an item is not there, or none would be left.
        """
        self.ledger = growth.remove_items(
            self.ledger, item_ids, self.codebook_sizes, free=free, catalogue=catalogue
        )

    def update(
        self, catalogue: growth.Items, features_MF: Features | None = None, *, free: bool = False
    ) -> Drift | None:
        """Follow a catalogue in one version: add what is new in it and remove what it lacks.

        Args:
            catalogue: All items afterwards.
            features_MF: One row for each of :meth:`new_items`, in that order; may be left out where
                there are none.
            free: Let new items have the IDs of those that leave, see :meth:`remove`.

        Returns:
            How well the codes describe the new items; ``None`` when there are none.

        Raises:
            ValueError: When the features do not fit, or there are more items than free IDs.
        """
        if features_MF is None:
            features_MF = np.empty((0, self.feature_dim), dtype=np.float32)
        elif len(features_MF) > 0:
            self._check(features_MF)
        self.ledger = growth.update_items(
            self.ledger, self._space, features_MF, catalogue, free=free
        )
        return self.ledger.versions[-1].drift

    def rollback(self, version: int) -> None:
        """Go back to the items and IDs of an older version, as a version of its own."""
        self.ledger = growth.roll_back(
            self.ledger, version, self.codebook_sizes, items_per_id=self._space.items_per_id
        )

    def save_pretrained(self, folder: Path | str, *, page: str | None = None) -> None:
        """Write the tokenizer as a directory, in one step.

        Args:
            folder: The directory; one that stands there is replaced.
            page: The quality report to look at, see :func:`genrec.tokenization.page.render_page`.
        """
        with write_directory(folder) as partial:
            write_json(partial / CONFIG_FILE, {
                "format": FORMAT,
                "method": method_of(self.quantizer.config),
                "codebook_sizes": self.codebook_sizes,
                "feature_dim": self.feature_dim,
                "feature_variance": self.variance,
                "items": len(self.ledger.rows_N),
                "version": self.version,
                "catalogue": self.catalogue,
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

    def push_to_hub(
        self, repository: str, *, private: bool = False, message: str = "Semantic IDs"
    ) -> str:
        """Upload the tokenizer to the Hugging Face hub.

        Args:
            repository: Such as ``shop/ids``; it is made where there is none.
            private: Whether a repository that is made is hidden from others.
            message: Describes the change.

        Returns:
            The address of the commit.

        Raises:
            ArtifactError: When the hub cannot be reached or refuses.
        """
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary) / "tokenizer"
            self.save_pretrained(folder)
            return hub.upload(folder, repository, private=private, message=message)

    @classmethod
    def from_pretrained(
        cls,
        folder: Path | str,
        *,
        catalogue: growth.Items | None = None,
        revision: str | None = None,
    ) -> "SemanticTokenizer":
        """Read what :meth:`save_pretrained` wrote.

        Args:
            folder: The directory; a text such as ``shop/ids`` that is none is fetched from the hub.
            catalogue: The items that the IDs will be used for; checked against those they are for.

            revision: The branch, tag or commit on the hub.

        Raises:
            ArtifactError: When a file is missing or broken, or the IDs are for other items.
        """
        folder = hub.local_folder(folder, revision=revision)
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
        tokenizer = cls(
            load_quantizer(config, folder / MODEL_FILE),
            Ledger.load(folder),
            Quality.from_json(read_json(folder / QUALITY_FILE)),
            codebook_sizes=tuple(config["codebook_sizes"]),
            feature_dim=config["feature_dim"],
            variance=config["feature_variance"],
            recipe={name: config[name] for name in RECIPE},
            blend=Blend.load(folder / BLEND_FILE) if (folder / BLEND_FILE).is_file() else None,
        )
        for theirs, path in (
            (SemanticIds.load(folder / IDS_FILE), folder / IDS_FILE),
            (tokenizer.ids, folder / LEDGER_FILE),
        ):
            check_same(
                "semantic IDs", config["semantic_ids"], theirs.fingerprint,
                ours_from=str(folder / CONFIG_FILE), theirs_from=str(path),
            )  # fmt: skip
        return tokenizer

    @property
    def _space(self) -> growth.IdSpace:
        items_per_id = self.recipe["assignment"]["items_per_id"]
        return growth.IdSpace(self.quantizer, self.codebook_sizes, items_per_id, self.variance)

    def _check(self, features_NF: Features, *, items: int | None = None) -> None:
        check_features(features_NF, items=items)
        if features_NF.shape[1] != self.feature_dim:
            raise ValueError(
                f"the features are {features_NF.shape[1]} wide, but the tokenizer was trained on "
                f"{self.feature_dim}; make them as before, from {self.recipe['features']}"
            )
