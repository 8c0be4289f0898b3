"""Mixtures of methods that are evaluated side by side, beside their parts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace

from genrec.data import Dataset, Split
from genrec.eval.asking import Recorded
from genrec.eval.contenders import Contender
from genrec.eval.hybrid import HybridRecommender, Part, tune_hybrid
from genrec.eval.tasks import RANKING_TASKS
from genrec.recommender import Recommender


def check_hybrids(names: Sequence[str], known: Sequence[str]) -> None:
    """Refuse mixtures whose parts are not asked for, or too few."""
    for name in names:
        parts = name.split("+")
        if missing := {*parts} - {*known}:
            raise ValueError(
                f"the hybrid {name!r} has the parts {sorted(missing)}, but only {', '.join(known)} "
                "are asked here"
            )
        if len({*parts}) < max(2, len(parts)):
            raise ValueError(f"the hybrid {name!r} is no mixture of two methods or more")


def hybrids(
    names: Sequence[str],
    methods: Mapping[str, Contender],
    dataset: Dataset,
    split: Split,
    *,
    seed: int = 0,
) -> Iterator[tuple[str, Contender]]:
    """Mix methods, as much of each as validates best.

    Args:
        names: Which: names of methods, joined by ``+``. The first of them answers in words.
        methods: All methods by name; those that are mixed rank items.
        dataset: The data.
        split: The validation events tune; the test events are not touched.
        seed: Draws the events to tune on.
    """
    for name in names:
        mixed = [methods[part] for part in name.split("+")]
        parts = [Part(_askable(one), one.scale) for one in mixed]
        tuned = tune_hybrid(parts, dataset, split, seed=seed)
        tasks = set(RANKING_TASKS).intersection(*(one.tasks for one in mixed))
        identity = {"parts": [dict(one.identity) for one in mixed], "mixture": asdict(tuned)}
        yield (
            name,
            replace(
                mixed[0], recommender=HybridRecommender(parts, tuned), make=None, scale="scores",
                tasks=tuple(sorted(tasks)), identity=identity,
            ),
        )  # fmt: skip


def _askable(contender: Contender) -> Recommender:
    assert not isinstance(contender.recommender, Recorded)
    return contender.recommender
