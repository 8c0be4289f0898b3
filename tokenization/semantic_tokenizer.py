"""The tokenizer of items: from features to unique semantic IDs.

Shape letters in this file: N items, M new items, F features.
"""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from genrec.semantic_ids import Codes, SemanticIds
from genrec.tokenization import growth, hub
from genrec.tokenization.arrays import Features, Labels, Rows
from genrec.tokenization.assignment import AssignmentConfig
from genrec.tokenization.blend import Blend
from genrec.tokenization.drift import Drift
from genrec.tokenization.encoding import check_features, quantize
from genrec.tokenization.first_ids import give_first_ids
from genrec.tokenization.ledger import Ledger
from genrec.tokenization.quality import Quality
from genrec.tokenization.quantizers import AnyQuantizer, QuantizerConfig
from genrec.tokenization.state import TokenizerState
from genrec.tokenization.training import TrainingConfig


class SemanticTokenizer:
    """A trained quantizer, the unique IDs that it gave a catalogue, and how good they are.

    The catalogue may grow and shrink (:meth:`add`, :meth:`remove`, :meth:`update`): the quantizer
    stays as it is, every item keeps its ID, and each change is a version that :meth:`rollback` can
    bring back.
    """

    def __init__(self, state: TokenizerState) -> None:
        self._state = state

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
        return cls(
            give_first_ids(
                features_NF, config, training=training or TrainingConfig(),
                assignment=assignment or AssignmentConfig(), catalogue=catalogue, labels=labels,
                collaborative=collaborative, source=source or {}, blend=blend, seed=seed,
                device=device, progress=progress,
            )
        )  # fmt: skip

    @property
    def quantizer(self) -> AnyQuantizer:
        """What makes codes of features; no change of the catalogue changes it."""
        return self._state.quantizer

    @property
    def ledger(self) -> Ledger:
        """Who has which ID since when; changes replace it as a whole."""
        return self._state.ledger

    @property
    def quality(self) -> Quality:
        """How good the IDs of the items of training are."""
        return self._state.quality

    @property
    def codebook_sizes(self) -> tuple[int, ...]:
        """Codes per level of an ID; one level more than the quantizer's where the last counts."""
        return self._state.codebook_sizes

    @property
    def feature_dim(self) -> int:
        """Width of the features."""
        return self._state.feature_dim

    @property
    def recipe(self) -> Mapping[str, Any]:
        """How the IDs came about: settings, seed, and what the features are."""
        return self._state.recipe

    @property
    def blend(self) -> Blend | None:
        """Makes the features out of their sources, so that those of new items are made alike."""
        return self._state.blend

    @property
    def ids(self) -> SemanticIds:
        """The unique ID of every item of the catalogue, in its order."""
        return self._state.ids

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
        self._check(features_MF)
        self._follow(
            growth.add_items(self.ledger, self._space, features_MF, item_ids, catalogue=catalogue)
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
        self._follow(
            growth.remove_items(
                self.ledger, item_ids, self.codebook_sizes, free=free, catalogue=catalogue
            )
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
        self._follow(
            growth.update_items(self.ledger, self._space, features_MF, catalogue, free=free)
        )
        return self.ledger.versions[-1].drift

    def rollback(self, version: int) -> None:
        """Go back to the items and IDs of an older version, as a version of its own."""
        self._follow(
            growth.roll_back(
                self.ledger, version, self.codebook_sizes, items_per_id=self._space.items_per_id
            )
        )

    def save_pretrained(self, folder: Path | str, *, page: str | None = None) -> None:
        """Write the tokenizer as a directory, in one step.

        Args:
            folder: The directory; one that stands there is replaced.
            page: The quality report to look at, see :func:`genrec.tokenization.page.render_page`.
        """
        self._state.save(folder, page=page)

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
        found = hub.local_folder(folder, revision=revision)
        return cls(TokenizerState.load(found, catalogue=catalogue))

    def _follow(self, ledger: Ledger) -> None:
        self._state = replace(self._state, ledger=ledger)

    @property
    def _space(self) -> growth.IdSpace:
        items_per_id = self.recipe["assignment"]["items_per_id"]
        return growth.IdSpace(
            self.quantizer, self.codebook_sizes, items_per_id, self._state.variance
        )

    def _check(self, features_NF: Features) -> None:
        check_features(features_NF)
        if features_NF.shape[1] != self.feature_dim:
            raise ValueError(
                f"the features are {features_NF.shape[1]} wide, but the tokenizer was trained on "
                f"{self.feature_dim}; make them as before, from {self.recipe['features']}"
            )
