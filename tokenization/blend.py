"""Several sources of features in one vector; what an item lacks is filled in from what it has.

A picture that is missing must not look like one: with zeros in its place, all items without one lie
close together and far from what their texts resemble. So the missing part becomes its conditional
mean given the others, by the linear regression that the training items support (Buck 1960,
https://doi.org/10.1111/j.2517-6161.1960.tb00375.x). A part that says nothing about the others lands
on the mean, where it sets nobody apart; every quantizer takes the result as it is; and the map is
frozen with the tokenizer, so that new items are filled in alike.

Shape letters in this file: N items, B items of a batch, S sources, F features of all sources side
by side, O features that an item has, M features that it lacks.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from genrec.artifacts import ArtifactError
from genrec.data import DataError
from genrec.tokenization.arrays import Bools, Features

ROWS_AT_ONCE = 4096
"""Items blended at a time."""


class Source(Protocol):
    """Features of one source, read a slice at a time; a row of NaN is missing."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: slice, /) -> Features: ...


@dataclass(frozen=True, eq=False)
class Blend:
    """The weights of some sources, and how each follows from the others."""

    names: tuple[str, ...]
    widths: tuple[int, ...]
    mean_F: Features
    scale_S: Features
    """What each source's distance from its mean is multiplied by."""

    covariance_FF: Features
    """Of all features after that; empty where there is one source."""

    items: int
    """How many items it was fitted on; regressions from few items are held back."""

    @classmethod
    def fit(
        cls, sources: Mapping[str, Source | None], weights: Sequence[float] | None = None
    ) -> "Blend":
        """Measure means, spreads and covariances, each on the items that have the sources.

        The first source keeps its scale. Each other one is scaled to the same mean squared distance
        from its mean, times the square of its weight over the first one's, so that weights mean the
        same whatever the encoder.

        Args:
            sources: Features by name, one row per item each.
            weights: One per source, 1 when left out.

        Raises:
            DataError: When a source says nothing.
            ValueError: When sources differ in length, or weights make no sense.
        """
        weights = [1.0] * len(sources) if weights is None else list(weights)
        there, items = _check(sources, weights)
        moments = [_moments(name, source) for name, source in there.items()]
        spread_S = np.array([spread for _, spread in moments])
        scale_S = np.array(weights) / weights[0] * spread_S[0] / spread_S
        blend = cls(
            names=tuple(sources),
            widths=tuple(len(mean_F) for mean_F, _ in moments),
            mean_F=np.concatenate([mean_F for mean_F, _ in moments]),
            scale_S=scale_S.astype(np.float32),
            covariance_FF=np.empty((0, 0), dtype=np.float32),
            items=items,
        )
        return blend if len(there) == 1 else blend._with_covariance(there)

    def apply(self, sources: Mapping[str, Source | None]) -> Features:
        """Blend some items into features without gaps, of shape (N, F).

        Args:
            sources: The sources of :meth:`fit` by name; ``None`` is one that none of the items has.
        """
        parts = [self._blend(batch) for _, batch in self._batches(sources)]
        return np.concatenate(parts) if parts else np.empty((0, sum(self.widths)), np.float32)

    def write(self, sources: Mapping[str, Source | None], path: Path) -> Features:
        """Blend items into a file, a few at a time, and open it without reading it."""
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.partial")
        out_NF = np.lib.format.open_memmap(  # type: ignore[no-untyped-call]
            partial, mode="w+", dtype=np.float32, shape=(self._length_of(sources), sum(self.widths))
        )
        for part, batch in self._batches(sources):
            out_NF[part] = self._blend(batch)
        out_NF.flush()
        partial.replace(path)
        features_NF: Features = np.load(path, mmap_mode="c")
        return features_NF

    def save(self, path: Path) -> None:
        """Write the blend as safetensors, with names and widths in the header."""
        about = {"names": self.names, "widths": self.widths, "items": self.items}
        tensors = {
            "mean": self.mean_F,
            "scale": self.scale_S,
            "covariance": np.ascontiguousarray(self.covariance_FF),
        }
        save_file(tensors, path, metadata={"blend": json.dumps(about)})

    @classmethod
    def load(cls, path: Path) -> "Blend":
        """Read what :meth:`save` wrote.

        Raises:
            ArtifactError: When the file is broken.
        """
        try:
            with safe_open(str(path), framework="np") as file:
                about = json.loads(file.metadata()["blend"])
                return cls(
                    tuple(about["names"]), tuple(about["widths"]), file.get_tensor("mean"),
                    file.get_tensor("scale"), file.get_tensor("covariance"), about["items"],
                )  # fmt: skip
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise ArtifactError(f"{path} does not hold a blend of features: {error}") from error

    def _blend(self, batch: Mapping[str, Features]) -> Features:
        raw_BF, has_BS = self._side_by_side(batch)
        scale_F = np.repeat(self.scale_S, self.widths)
        for pattern_S in np.unique(has_BS[~has_BS.all(axis=1)], axis=0):
            rows = np.flatnonzero((has_BS == pattern_S).all(axis=1))
            has_F = np.repeat(pattern_S, self.widths)
            known_BO = (raw_BF[np.ix_(rows, has_F)] - self.mean_F[has_F]) * scale_F[has_F]
            filled_BM = known_BO @ self._regression(pattern_S.tobytes()) / scale_F[~has_F]
            raw_BF[np.ix_(rows, ~has_F)] = self.mean_F[~has_F] + filled_BM
        return raw_BF * scale_F

    def _side_by_side(self, batch: Mapping[str, Features]) -> tuple[Features, Bools]:
        raw_BF = np.concatenate([batch[name] for name in self.names], axis=1)
        has_BS = np.stack([np.isfinite(batch[name]).all(axis=1) for name in self.names], axis=1)
        return raw_BF.astype(np.float32, copy=False), has_BS

    def _regression(self, pattern: bytes) -> Features:
        """Find what leads from the sources that are there to those that are not, (O, M)."""
        if pattern not in self._regressions:
            has_F = np.repeat(np.frombuffer(pattern, dtype=np.bool_), self.widths)
            covariance_OO = self.covariance_FF[np.ix_(has_F, has_F)].astype(np.float64)
            # Shrunk towards the same variance everywhere, the more the fewer items there were for
            # each feature. Blocks measured on different items may leave values below zero.
            held_back = len(covariance_OO) / (len(covariance_OO) + self.items)
            values_O, vectors_OO = np.linalg.eigh(covariance_OO)
            mean = values_O.mean() if has_F.any() else 0.0
            values_O = (1 - held_back) * values_O.clip(min=0) + held_back * mean
            cross_OM = (1 - held_back) * self.covariance_FF[np.ix_(has_F, ~has_F)]
            map_OM = vectors_OO / values_O @ (vectors_OO.T @ cross_OM)
            self._regressions[pattern] = map_OM.astype(np.float32)
        return self._regressions[pattern]

    @cached_property
    def _regressions(self) -> dict[bytes, Features]:
        return {}

    def _with_covariance(self, sources: Mapping[str, Source]) -> "Blend":
        """Measure how features vary together, over the items that have both."""
        width, count_SS = sum(self.widths), np.zeros((len(self.names),) * 2)
        total_FF = np.zeros((width, width))
        for start in range(0, self.items, ROWS_AT_ONCE):
            part = slice(start, start + ROWS_AT_ONCE)
            raw_BF, has_BS = self._side_by_side({n: sources[n][part] for n in self.names})
            scaled_BF = (raw_BF - self.mean_F) * np.repeat(self.scale_S, self.widths)
            scaled_BF[~np.repeat(has_BS, self.widths, axis=1)] = 0
            total_FF += scaled_BF.T.astype(np.float64) @ scaled_BF
            count_SS += has_BS.T.astype(np.float64) @ has_BS
        count_FF = np.repeat(np.repeat(count_SS, self.widths, axis=0), self.widths, axis=1)
        covariance_FF = (total_FF / count_FF.clip(min=1)).astype(np.float32)
        return replace(self, covariance_FF=covariance_FF)

    def _batches(
        self, sources: Mapping[str, Source | None]
    ) -> Iterator[tuple[slice, dict[str, Features]]]:
        length = self._length_of(sources)
        for start in range(0, length, ROWS_AT_ONCE):
            part = slice(start, min(start + ROWS_AT_ONCE, length))
            batch = {}
            for name, width in zip(self.names, self.widths, strict=True):
                source = sources[name]
                nothing_BF = np.full((part.stop - start, width), np.nan, dtype=np.float32)
                batch[name] = nothing_BF if source is None else source[part]
                if batch[name].shape[1] != width:
                    raise DataError(
                        f"{name} features are {batch[name].shape[1]} wide, but were {width} in "
                        "training; make them with the same encoder"
                    )
            yield part, batch

    def _length_of(self, sources: Mapping[str, Source | None]) -> int:
        if sorted(sources) != sorted(self.names):
            raise ValueError(
                f"the sources are {sorted(sources)}, but were {sorted(self.names)} in training; "
                "give None for one that no item has"
            )
        lengths = {len(source) for source in sources.values() if source is not None}
        if len(lengths) != 1:
            raise ValueError(f"the sources have {sorted(lengths)} rows; give one per item")
        return lengths.pop()


def _check(
    sources: Mapping[str, Source | None], weights: Sequence[float]
) -> tuple[dict[str, Source], int]:
    """Refuse sources that cannot be blended; return them and the number of items."""
    if not sources or len(weights) != len(sources):
        raise ValueError(f"there are {len(sources)} sources and {len(weights)} weights")
    if min(weights) <= 0:
        raise ValueError(f"the weights {list(weights)} must be positive; or leave a source out")
    there = {name: source for name, source in sources.items() if source is not None}
    for name in sources.keys() - there.keys():
        raise DataError(f"no item has {name} features; leave the source out")
    lengths = {name: len(source) for name, source in there.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"the sources differ in length: {lengths}; give one row per item")
    return there, next(iter(lengths.values()))


def _moments(name: str, source: Source) -> tuple[Features, float]:
    """Find the mean of the rows that are there, and the root of their mean squared distance to it.

    Raises:
        DataError: When no row is there, or all are equal.
    """
    total_F, squares, count = 0.0, 0.0, 0
    for start in range(0, len(source), ROWS_AT_ONCE):
        x_BF = np.asarray(source[start : start + ROWS_AT_ONCE], dtype=np.float64)
        x_BF = x_BF[np.isfinite(x_BF).all(axis=1)]
        total_F, squares = total_F + x_BF.sum(axis=0), squares + float(np.square(x_BF).sum())
        count += len(x_BF)
    if count == 0:
        raise DataError(f"no item has {name} features; leave the source out")
    mean_F = np.asarray(total_F, dtype=np.float64) / count
    variance = squares / count - float(np.square(mean_F).sum())
    if variance <= 1e-9 * squares / count:
        raise DataError(f"the {name} features of all {count} items are equal; leave them out")
    return mean_F.astype(np.float32), variance**0.5
