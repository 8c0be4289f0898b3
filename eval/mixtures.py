"""Mixtures of methods that are evaluated side by side, beside their parts."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, replace

from genrec.data import Dataset, Split
from genrec.eval.asking import Recorded
from genrec.eval.contenders import Contender
from genrec.eval.hybrid import HybridRecommender, Part, tune_hybrid
from genrec.eval.tasks import RANKING_TASKS
from genrec.recommender import Ranking, Recommender, Request


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
    asked = {
        part: Remembering(_askable(methods[part])) for name in names for part in name.split("+")
    }
    for name in names:
        mixed = [methods[part] for part in name.split("+")]
        parts = [Part(asked[part], methods[part].scale) for part in name.split("+")]
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


class Remembering:
    """Answers a question once, however many mixtures a recommender is a part of.

    Questions about some items ``only`` are passed on: no two mixtures ask the same ones.
    """

    def __init__(self, recommender: Recommender) -> None:
        """Answer with the words of a recommender."""
        self._recommender = recommender
        self._known: dict[tuple[Request, int], Ranking] = {}

    def recommend(self, requests: Sequence[Request], k: int) -> list[Ranking]:
        """Rank up to ``k`` items for each request, from memory where it was asked before."""
        new = [r for r in dict.fromkeys(requests) if r.only is None and (r, k) not in self._known]
        if new:
            rankings = self._recommender.recommend(new, k)
            self._known.update(zip([(request, k) for request in new], rankings, strict=True))
        passed_on = [request for request in requests if request.only is not None]
        rest = iter(self._recommender.recommend(passed_on, k) if passed_on else ())
        return [next(rest) if r.only is not None else self._known[r, k] for r in requests]

    def generate(self, requests: Sequence[Request]) -> list[str]:
        """Answer in words; nothing is remembered."""
        return self._recommender.generate(requests)


def _askable(contender: Contender) -> Recommender:
    assert not isinstance(contender.recommender, Recorded)
    return contender.recommender
