"""The pictures of a catalogue as a model takes them, each computed once and kept on disk.

Shape letters in this file: N items, U pictures asked for, G of them guests, S features of each,
D their width, H height, W width of pixels.
"""

import contextlib
import copy
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm
from transformers import PreTrainedModel

from genrec.artifacts import fingerprint
from genrec.data import Catalogue
from genrec.data.catalogue import PICTURE
from genrec.data.pictures import open_picture
from genrec.models.flamingo import FlamingoForCausalLM
from genrec.models.picture_inputs import PictureSource
from genrec.models.picture_makers import PictureMaker, features_by, pixels_by
from genrec.models.picture_parts import PictureParts
from genrec.models.vision import preprocessing_of

Rows = Sequence[int] | np.ndarray[Any, np.dtype[Any]]


class PictureStore:
    """Features, or pixels for an encoder that trains, of the items that have a picture.

    Every distinct picture is computed once, however many items show it and however often they are
    bought. With a folder, what was computed is there for the next run and for other processes: it
    is found by the content of the picture, the encoder's weights and the preprocessing, read by
    memory map, and written in parts that each appear whole.
    """

    def __init__(
        self,
        catalogue: Catalogue,
        make: PictureMaker,
        *,
        folder: Path | str | None = None,
        batch_size: int = 64,
        progress: bool = False,
    ) -> None:
        """Find or compute the pictures of a catalogue.

        Args:
            catalogue: The items.
            make: What to make of a picture: :func:`features_by` or :func:`pixels_by`.
            folder: Where results are kept; ``None`` keeps them in memory alone.
            batch_size: Pictures that are computed at once.
            progress: Whether to show a bar.

        Raises:
            DataError: When a picture cannot be decoded; the message names its item.
        """
        self._catalogue = catalogue
        self._make = make
        self._batch_size, self._progress = batch_size, progress
        self._parts = PictureParts(Path(folder) / make.fingerprint if folder is not None else None)
        self._place_N2 = self._places(catalogue)
        self._guests: dict[int, Tensor] = {}

    @classmethod
    def for_model(
        cls,
        model: FlamingoForCausalLM,
        catalogue: Catalogue,
        *,
        training: bool = False,
        folder: Path | str | None = None,
        progress: bool = False,
    ) -> "PictureStore":
        """Make the store that a model needs.

        Args:
            model: The model, on its device.
            catalogue: The items.
            training: Whether the model is about to train: an encoder that learns takes pixels.
                Else its weights stand, and its features are computed once.
            folder: Where results are kept; ``None`` keeps them in memory alone.
            progress: Whether to show a bar.
        """
        takes_pixels = training and not model.config.freeze_vision
        make = pixels_by(preprocessing_of(model)) if takes_pixels else features_by(model)
        return cls(catalogue, make, folder=folder, progress=progress)

    def following(self, catalogue: Catalogue) -> "PictureStore":
        """Return the pictures of another catalogue; only what is new in it is computed.

        Raises:
            DataError: When a picture cannot be decoded; the message names its item.
        """
        other = copy.copy(self)
        other._catalogue = catalogue
        other._place_N2 = other._places(catalogue)
        other._guests = {}
        return other

    def host(self, row: int, picture: Image.Image) -> None:
        """Keep the picture of an item that is in no catalogue, in memory, until it leaves.

        Args:
            row: What the item is called meanwhile; at least the number of items.
            picture: How it looks.
        """
        assert row >= len(self._catalogue)
        with _own_precision():
            self._guests[row] = self._compute([picture])[0]

    def dismiss(self, row: int) -> None:
        """Forget a picture that :meth:`host` took, if there is one."""
        self._guests.pop(row, None)

    def seen_by(self, model: PreTrainedModel) -> "PictureStore | None":
        """Return the pictures as a model that is in training sees them now, for its validation."""
        if self._make.kind == "features":
            return self  # of an encoder that stays as it is
        return pictures_for(model, self._catalogue)

    def inputs(self, rows: Rows) -> dict[str, Tensor]:
        """Return the model's argument for some items, whichever it is; see :meth:`features`."""
        if self._make.kind == "features":
            return {"picture_features": self.features(rows)}
        return {"pixel_values": self.pixels(rows)}

    def features(self, rows: Rows) -> Tensor:
        """Return what the encoder makes of the pictures of items, float32 of shape (U, S, D).

        Raises:
            ValueError: When an item has no picture, or the store holds pixels.
        """
        self._refuse_others("features")
        return self._read(rows).float()

    def pixels(self, rows: Rows) -> Tensor:
        """Return the pictures of items as the encoder takes them, of shape (U, 3, height, width).

        Raises:
            ValueError: When an item has no picture, or the store holds features.
        """
        self._refuse_others("pixels")
        return self._make.finish(self._read(rows))

    def _places(self, catalogue: Catalogue) -> np.ndarray[Any, np.dtype[np.int64]]:
        """Find of each item the part and the place in it, (N, 2), and compute what is nowhere yet.

        Items without a picture have -1.
        """
        parts, keys = self._parts, _keys(catalogue)
        rows = {key: row for row, key in enumerate(keys) if key and key not in parts.places}
        missing = list(rows.items())
        starts = range(0, len(missing), self._batch_size)
        with _own_precision():
            for start in tqdm(starts, desc="pictures", unit="batch", disable=not self._progress):
                batch = missing[start : start + self._batch_size]
                pictures = [open_picture(catalogue, row) for _, row in batch]
                parts.add([key for key, _ in batch], self._compute(pictures))
            parts.flush()
        return np.asarray(
            [(-1, -1) if key is None else parts.places[key] for key in keys], dtype=np.int64
        )

    def _compute(self, pictures: Sequence[Image.Image]) -> Tensor:
        pixels_U3HW = np.stack([self._make.preprocessing.pixels(each) for each in pictures])
        return self._make.encode(torch.from_numpy(pixels_U3HW))

    def _read(self, rows: Rows) -> Tensor:
        rows_U = np.asarray(rows, dtype=np.int64)
        if not len(rows_U):
            raise ValueError(
                "no items were named; leave pictures out of the call where it has none"
            )
        guests = [place for place, row in enumerate(rows_U.tolist()) if row in self._guests]
        if guests:
            return self._read_with(guests, rows_U)
        place_U2 = self._place_N2[rows_U]
        if (place_U2 < 0).any():
            row = int(rows_U[(place_U2[:, 0] < 0).argmax()])
            raise ValueError(f"the item {self._catalogue.item_ids[row]!r} has no picture")
        tensors = self._parts.tensors
        shape, dtype = tensors[0].shape[1:], tensors[0].dtype
        out = torch.empty((len(rows_U), *shape), dtype=dtype)
        for part in np.unique(place_U2[:, 0]):
            is_here_U = place_U2[:, 0] == part
            places = torch.from_numpy(place_U2[is_here_U, 1])
            out[torch.from_numpy(is_here_U)] = tensors[part][places]
        return out

    def _read_with(
        self, guests: Sequence[int], rows_U: np.ndarray[Any, np.dtype[np.int64]]
    ) -> Tensor:
        """Read items some of which, at the places named, are no items of the catalogue."""
        kept_G = torch.stack([self._guests[int(rows_U[place])] for place in guests])
        out = kept_G.new_empty((len(rows_U), *kept_G.shape[1:]))
        out[guests] = kept_G
        others = np.delete(np.arange(len(rows_U)), guests)
        if len(others):
            out[torch.from_numpy(others)] = self._read(rows_U[others])
        return out

    def _refuse_others(self, kind: str) -> None:
        if self._make.kind != kind:
            raise ValueError(
                f"this store holds {self._make.kind} and no {kind}; a frozen encoder takes "
                "features, one that trains pixels (PictureStore.for_model chooses)"
            )


def following_pictures(source: PictureSource | None, catalogue: Catalogue) -> PictureSource | None:
    """Return the pictures of another catalogue, for an engine that is to answer about it.

    Raises:
        TypeError: When the source knows one catalogue only.
    """
    if source is None:
        return None
    if not isinstance(source, PictureStore):
        raise TypeError(
            f"{type(source).__name__} knows the pictures of one catalogue only; use a PictureStore"
        )
    return source.following(catalogue)


def pictures_for(
    model: PreTrainedModel,
    catalogue: Catalogue,
    *,
    training: bool = False,
    folder: Path | str | None = None,
    progress: bool = False,
) -> PictureStore | None:
    """Make the store that a model needs; ``None`` for one that sees no pictures.

    The model may be any, or what PEFT has put around it; see :meth:`PictureStore.for_model`.
    """
    inner = model.get_base_model() if hasattr(model, "get_base_model") else model
    if not isinstance(inner, FlamingoForCausalLM) or inner.config.fusion == "none":
        return None
    return PictureStore.for_model(
        inner, catalogue, training=training, folder=folder, progress=progress
    )


@contextlib.contextmanager
def _own_precision() -> Iterator[None]:
    """Compute in the weights' own precision, also within a training that multiplies in another."""
    with torch.autocast("cpu", enabled=False), torch.autocast("cuda", enabled=False):
        yield


def _keys(catalogue: Catalogue) -> list[str | None]:
    """Hash the picture of every item; ``None`` where it has none."""
    if PICTURE not in catalogue.table.columns:
        return [None] * len(catalogue)
    return [
        None if encoded is None else fingerprint(encoded)
        for encoded in catalogue.table[PICTURE].to_list()
    ]
