"""Put methods under stress: the same questions again, and what that does to the answers.

Questions and truth are those of the clean world. What a question shows of an item may be forgotten
under stress; such questions are left out of both sides and counted.

Shape letters in this file: E questions, K places of a ranking.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from genrec.data import Catalogue, Dataset
from genrec.eval.answer_log import AnswerLog
from genrec.eval.asking import ALONE, Asking, Rewrite
from genrec.eval.harness import score
from genrec.eval.intervals import Comparison, Floats, Ints, Statistics, compare
from genrec.eval.item_questions import ItemQuestions
from genrec.eval.kinds import kind_of
from genrec.eval.processes import Processes
from genrec.eval.questions import Asked, Bools
from genrec.eval.results import Ranked, Rated, Results, TaskResults, Written
from genrec.eval.stress import STRESSES, Make, Stress, check_stresses
from genrec.eval.texts import TextScorer
from genrec.semantic_ids import SemanticIds


class Stressed(NamedTuple):
    """What a stress did to one method at one task."""

    stress: str
    about: str
    task: str
    metric: str
    before: TaskResults
    """Without stress, on the questions that can be asked under it."""

    after: TaskResults
    left_out: int
    """Questions that cannot be asked under it, as what they show is forgotten."""

    comparison: Comparison
    """The metric under stress against that without."""

    attacked: Comparison | None
    """The part of all named items that are the attacker's, under stress against without: whether
    the attack pays."""

    @property
    def changed(self) -> int:
        """How many answers are others than without; 0 where the stress reaches no answer."""
        return int(_differ(self.before, self.after).sum())


class Spared(NamedTuple):
    """A task that a stress cannot be put to."""

    stress: str
    about: str
    task: str
    why: str


def put_under_stress(
    make: Make,
    dataset: Dataset,
    before: Results,
    *,
    metric_of: Callable[[TaskResults], str],
    stresses: Sequence[str] = tuple(STRESSES),
    seed: int = 0,
    k: int = 10,
    ids: SemanticIds | None = None,
    text_scorers: Sequence[TextScorer] = (),
    batch_size: int = 256,
    answers: Path | None = None,
    about: Mapping[str, Any] | None = None,
    processes: Processes = ALONE,
    progress: bool = False,
) -> Iterator[Stressed | Spared]:
    """Ask a method the questions of its results again, under each stress.

    Args:
        make: Makes the method for a setting.
        dataset: The data.
        before: Its results without stress.
        metric_of: Names the metric to compare by.
        stresses: Names of some of ``STRESSES``.
        seed: Draws what is spoiled.
        k: Length of the rankings, as before; so for all that follows but ``answers``.
        ids: See :func:`~genrec.eval.evaluate`.
        text_scorers: See there.
        batch_size: See there.
        answers: A folder in which answers are kept, each stress and task in one of its own.
        about: See there.
        processes: See there.
        progress: See there.

    Yields:
        What the stress did, or why it cannot be put to the task, stress by stress.
    """
    check_stresses(stresses)
    for name in stresses:
        stress = STRESSES[name]
        setting, rewrite = stress.setting(dataset.catalogue, seed), stress.rewrite(seed)
        recommender = make(setting)
        for task, found in before.tasks.items():
            can_E = _askable(found.questions, setting.catalogue)
            why = _why_not(stress, found.questions, can_E, dataset, setting.catalogue, rewrite)
            if why is not None:
                yield Spared(name, stress.about, task, why)
                continue
            plain = found.where(can_E)
            log = None
            if answers is not None:
                asked = {"dataset": dataset.fingerprint, "k": k, **plain.questions.protocol}
                home = answers / name.replace(" ", "-") / task
                log = AnswerLog(home, {**asked, "seed": seed, **(about or {})})
            kind = kind_of(task, k=k, ids=ids, text_scorers=text_scorers)
            how = Asking(batch_size, progress, rewrite, log, processes)
            after = score(recommender, plain.questions, kind, k=k, how=how)
            metric = metric_of(plain)
            verdict = compare(after.statistics.only(metric), plain.statistics.only(metric))[metric]
            attacked = None
            if stress.attacked is not None and isinstance(plain.answers, Ranked):
                rows = stress.attacked(dataset.catalogue, np.random.default_rng(seed))
                attacked = compare(_share_of(rows, after), _share_of(rows, plain))["attacked"]
            left_out = int((~can_E).sum())
            yield Stressed(
                name, stress.about, task, metric, plain, after, left_out, verdict, attacked
            )


def _askable(asked: Asked, told: Catalogue) -> Bools:
    """Tell which questions can be asked where this is told of the items, of shape (E,)."""
    if isinstance(asked, ItemQuestions):
        return asked.askable(told)
    return np.ones(len(asked), dtype=np.bool_)


def _why_not(
    stress: Stress,
    asked: Asked,
    can_E: Bools,
    dataset: Dataset,
    told: Catalogue,
    rewrite: Rewrite | None,
) -> str | None:
    """Tell why a stress cannot be put to questions; ``None`` where it can."""
    if asked.task in stress.not_for:
        return stress.not_for[asked.task]
    if stress.change_catalogue is not None and told.table.equals(dataset.catalogue.table):
        return "the catalogue has nothing that it could spoil"
    if rewrite is not None and all(rewrite(one) == one.request for one in asked):
        return "no request tells what it changes"
    return None if can_E.any() else "it leaves nothing to ask about"


def _differ(before: TaskResults, after: TaskResults) -> Bools:
    """Tell which answers differ, of shape (E,); ratings by more than float32 rounds."""
    ours, theirs = before.answers, after.answers
    if isinstance(ours, Ranked) and isinstance(theirs, Ranked):
        other_E: Bools = (ours.items_EK != theirs.items_EK).any(axis=1)
        return other_E
    if isinstance(ours, Rated) and isinstance(theirs, Rated):
        alike_E: Bools = np.isclose(ours.predicted_E, theirs.predicted_E, rtol=1e-4, equal_nan=True)
        return ~alike_E
    pairs = zip(_said(ours), _said(theirs), strict=True)
    return np.array([one != other for one, other in pairs], dtype=np.bool_)


def _said(answers: Any) -> Sequence[Any]:
    said: Sequence[Any] = answers.answers if isinstance(answers, Written) else answers.chosen
    return said


def _share_of(rows: Ints, result: TaskResults) -> Statistics:
    """Describe the part of the named items that are some of the catalogue's."""
    assert isinstance(result.answers, Ranked)
    items_EK = result.answers.items_EK
    hit_E: Floats = np.isin(items_EK, rows).sum(axis=1).astype(np.float64)
    share_E = hit_E / np.maximum((items_EK != -1).sum(axis=1), 1)
    statistics = Statistics.of_means({"attacked": share_E}, result.questions.user_E)
    return replace(statistics, goals={"attacked": "none"})
