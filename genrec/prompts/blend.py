"""Several data sets in one training: their mixtures blended, under one vocabulary.

Shape letters in this file: C catalogues, N items, L levels, X examples of an epoch.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

import numpy as np

from genrec.prompts.mixture import Mixture, tempered
from genrec.prompts.render import Example
from genrec.semantic_ids import SemanticIds


def side_by_side(ids: Sequence[SemanticIds]) -> list[SemanticIds]:
    """Give the codes of several catalogues numbers of their own, under codebooks as large as all.

    Where one tokenizer made all IDs, equal codes mean the same everywhere and need not be moved;
    elsewhere they would be mistaken for each other. Every level of the second catalogue begins
    behind the codes of the first, and so on.

    Raises:
        ValueError: When the IDs have not the same number of levels.
    """
    levels = {one.levels for one in ids}
    if len(levels) != 1:
        raise ValueError(
            f"the catalogues have IDs of {sorted(levels)} levels; "
            "train tokenizers with the same number of levels"
        )
    sizes_CL = np.asarray([one.codebook_sizes for one in ids])
    starts_CL = np.cumsum(sizes_CL, axis=0) - sizes_CL
    together = tuple(sizes_CL.sum(axis=0).tolist())
    return [
        SemanticIds(one.codes_NL + start_L.astype(np.int32), together)
        for one, start_L in zip(ids, starts_CL, strict=True)
    ]


@dataclass(frozen=True, kw_only=True)
class Blend:
    """The training examples of several data sets, in an order that a seed decides.

    Each mixture brings its own catalogue, log and prompts; all share one vocabulary, so one model
    learns them all. ``Example.task`` becomes ``data set/task``, and ``Example.pictures`` are rows
    of the catalogues put one after the other, in the order of ``mixtures``.
    """

    mixtures: Mapping[str, Mixture]
    """By name of the data set."""

    weights: Mapping[str, float] | None = None
    """How many times an epoch shows each data set's examples; once where it is left out. Half of
    them means the first half in one epoch and the second half in the next."""

    temperature: float = 1.0
    """Above 1, small data sets are shown more and large ones less; see :class:`MixtureConfig`."""

    seed: int = 0

    def __post_init__(self) -> None:
        if not self.mixtures:
            raise ValueError("a blend needs at least one mixture")
        weights = self.weights or {}
        foreign = sorted(set(weights) - set(self.mixtures))
        if foreign or any(weight <= 0 for weight in weights.values()):
            raise ValueError(
                f"weights are {dict(weights)}; give some of {list(self.mixtures)} a number above 0"
            )
        if self.temperature <= 0:
            raise ValueError(f"temperature is {self.temperature}; it must be above 0, such as 2")
        prints = {m.renderer.vocabulary.fingerprint for m in self.mixtures.values()}
        if len(prints) > 1:
            raise ValueError(
                "the data sets have different vocabularies; extend one tokenizer by the IDs of all "
                "(genrec.prompts.side_by_side) and give it to every renderer"
            )

    def __len__(self) -> int:
        """Count the examples of an epoch."""
        return sum(self._counts.values())

    @property
    def counts(self) -> dict[str, int]:
        """Examples by data set and task, of an average epoch where epochs differ."""
        return {
            f"{name}/{task}": round(count * self._counts[name] / len(mixture))
            for name, mixture in self.mixtures.items()
            for task, count in mixture.counts.items()
        }

    def epoch(self, number: int, *, start: int = 0) -> Iterator[Example]:
        """Render the examples of an epoch, from the one at ``start`` on."""
        which_X = self._order(number)
        passed = np.bincount(which_X[:start], minlength=len(self.mixtures))
        streams = [
            _endless(mixture, number * count + int(skip))
            for mixture, count, skip in zip(
                self.mixtures.values(), self._counts.values(), passed, strict=True
            )
        ]
        names, first_rows = list(self.mixtures), self._first_rows
        for which in which_X[start:].tolist():
            example = next(streams[which])
            yield example._replace(
                task=f"{names[which]}/{example.task}",
                pictures=tuple(row + first_rows[which] for row in example.pictures),
            )

    def _order(self, number: int) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
        """Which mixture each place of an epoch takes its next example from."""
        which = np.repeat(np.arange(len(self.mixtures), dtype=np.uint8), [*self._counts.values()])
        return np.random.default_rng([self.seed, number]).permutation(which)

    @cached_property
    def _counts(self) -> dict[str, int]:
        weights = self.weights or {}
        wanted = {name: weights.get(name, 1.0) * len(m) for name, m in self.mixtures.items()}
        return tempered(wanted, self.temperature)

    @cached_property
    def _first_rows(self) -> list[int]:
        """Where each catalogue begins when all stand one after the other."""
        sizes = [len(mixture.dataset.catalogue) for mixture in self.mixtures.values()]
        return [0, *accumulate(sizes)][:-1]


def _endless(mixture: Mixture, place: int) -> Iterator[Example]:
    """Read a mixture from a place on, epoch after epoch."""
    epoch, start = divmod(place, len(mixture))
    while True:
        yield from mixture.epoch(epoch, start=start)
        epoch, start = epoch + 1, 0
