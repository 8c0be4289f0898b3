"""The kinds of answers: how each is asked for, kept on disk, and scored.

Shape letters in this file: E events, K places of a ranking.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

import numpy as np

from genrec.eval.intervals import Floats, Statistics
from genrec.eval.questions import Asked, Question
from genrec.eval.ranking import CUTOFFS, MISSED, auc, ranking_statistics
from genrec.eval.ratings import parse_rating, rating_statistics
from genrec.eval.results import Chosen, Ranked, Rated, Written
from genrec.eval.selections import selection_statistics
from genrec.eval.tasks import FACT_TASKS, kind_of_answer
from genrec.eval.texts import (
    TextScorer,
    exact_scores,
    hint_scores,
    text_figures,
    text_statistics,
)
from genrec.recommender import Ranking, Rater, Rating, Recommender, Request, Selector
from genrec.semantic_ids import SemanticIds

Answer = TypeVar("Answer")


class ProtocolError(ValueError):
    """A recommender's answer breaks the protocol, so that it cannot be scored."""


class Scored(NamedTuple):
    """Answers to all questions of a task, and what they are worth; see ``TaskResults``."""

    answers: Ranked | Rated | Written | Chosen
    statistics: Statistics
    counts: Mapping[str, int]
    figures: Mapping[str, float]


class Kind(Protocol, Generic[Answer]):
    """One kind of answers."""

    def ask(self, recommender: Recommender, requests: Sequence[Request]) -> list[Answer]:
        """Let a recommender answer."""
        ...

    def to_json(self, answer: Answer) -> Any:
        """Write an answer as plain values."""
        ...

    def from_json(self, value: Any) -> Answer:
        """Read what :meth:`to_json` wrote."""
        ...

    def score(self, asked: Asked, answered: Iterable[tuple[Question, Answer]]) -> Scored:
        """Score all answers, which come in the order of the questions."""
        ...


def kind_of(
    task: str,
    *,
    k: int,
    ids: SemanticIds | None = None,
    text_scorers: Sequence[TextScorer] = (),
) -> Kind[Any]:
    """Tell in which kind a task is answered.

    Args:
        task: Its name.
        k: Length of rankings.
        ids: Semantic IDs, to score those too where items share them.
        text_scorers: Further scores of texts.
    """
    kind = kind_of_answer(task)
    if kind == "rating":
        return Ratings()
    if kind == "text":
        return Texts(tuple(text_scorers), is_fact=task in FACT_TASKS)
    if kind == "choice":
        return Choices()
    return Rankings(k, ids, is_among_candidates=task == "direct")


class _Judged(NamedTuple):
    """What is to be said about one ranking; the last five are counts."""

    rank: int
    id_rank: int
    among: int
    """Different candidates that are named."""

    named: int
    invalid: int
    duplicate: int
    short: int
    unreachable: int


@dataclass(frozen=True)
class Rankings:
    """Items, best first."""

    k: int
    ids: SemanticIds | None = None
    is_among_candidates: bool = False

    def ask(self, recommender: Recommender, requests: Sequence[Request]) -> list[Ranking]:
        """See :class:`Kind`."""
        return recommender.recommend(requests, self.k)

    def to_json(self, answer: Ranking) -> Any:
        """See :class:`Kind`."""
        return {"items": answer.items.tolist(), "scores": answer.scores.tolist()}

    def from_json(self, value: Any) -> Ranking:
        """See :class:`Kind`."""
        items = np.array(value["items"], dtype=np.int64)
        return Ranking(items, np.array(value["scores"], dtype=np.float32))

    def score(self, asked: Asked, answered: Iterable[tuple[Question, Ranking]]) -> Scored:
        """See :class:`Kind`."""
        target_E = np.zeros(len(asked), dtype=np.int64)
        items_EK = np.full((len(asked), self.k), -1, dtype=np.int64)
        choices_E = np.zeros(len(asked), dtype=np.int64)
        judged = []
        for e, (question, ranking) in enumerate(answered):
            judged.append(self._judge(ranking, question, item_count=asked.items))
            target_E[e] = question.target
            items_EK[e, : len(ranking.items)] = ranking.items
            choices_E[e] = len(question.request.candidates)
        judged_E = np.array(judged, dtype=np.int64).reshape(-1, len(_Judged._fields))
        rank_E, id_rank_E, among_E = judged_E[:, :3].T
        counts = dict(zip(_Judged._fields[3:], judged_E[:, 3:].sum(axis=0).tolist(), strict=True))
        others = {"auc": auc(rank_E, among_E, choices_E)} if self.is_among_candidates else {}
        return Scored(
            Ranked(target_E=target_E, rank_E=rank_E, items_EK=items_EK),
            ranking_statistics(
                rank_E, asked.user_E, others=others,
                cutoffs=sorted({self.k, *(cutoff for cutoff in CUTOFFS if cutoff <= self.k)}),
                id_rank_E=None if self.ids is None else id_rank_E,
            ),
            {"requests": len(asked), **counts},
            {},
        )  # fmt: skip

    def _judge(self, ranking: Ranking, question: Question, *, item_count: int) -> _Judged:
        request, items = question.request, ranking.items.tolist()
        if len(items) > self.k:
            raise ProtocolError(
                f"the ranking for event {question.event} names {len(items)} items, but {self.k} "
                "were asked for; cut it off"
            )
        excluded = set(request.exclude)
        allowed = None if request.only is None else set(request.only) - excluded
        rank, invalid, seen = MISSED, 0, set()
        for place, item in enumerate(items):
            valid = 0 <= item < item_count and item not in excluded
            valid = valid and (allowed is None or item in allowed)
            invalid += not valid
            if valid and item == question.target and rank == MISSED:
                rank = place
            seen.add(item)
        possible = item_count - len(excluded) if allowed is None else len(allowed)
        return _Judged(
            rank=rank,
            id_rank=self._id_rank(items, question.target, item_count),
            among=len(seen & set(request.candidates)),
            named=len(items),
            invalid=invalid,
            duplicate=len(items) - len(seen),
            short=int(len(items) < min(self.k, possible)),
            unreachable=int(question.target in excluded),
        )

    def _id_rank(self, items: Sequence[int], target: int, item_count: int) -> int:
        """Rank the target's semantic ID among the different IDs that are named.

        Who counts hits so, as several published systems do, counts an item as found when one that
        shares its ID is.
        """
        if self.ids is None:
            return MISSED
        wanted, named = self.ids.codes_NL[target].tobytes(), dict[Any, None]()
        for item in items:
            is_item = 0 <= item < item_count
            code = self.ids.codes_NL[item].tobytes() if is_item else item
            if code == wanted:
                return len(named)
            named[code] = None
        return MISSED


class Ratings:
    """Numbers."""

    def ask(self, recommender: Recommender, requests: Sequence[Request]) -> list[Rating]:
        """See :class:`Kind`."""
        if isinstance(recommender, Rater):
            return recommender.rate(requests)
        numbers = map(parse_rating, recommender.generate(requests))
        return [Rating(expected=number, likeliest=number) for number in numbers]

    def to_json(self, answer: Rating) -> Any:
        """See :class:`Kind`; JSON has no NaN."""
        return {
            name: None if np.isnan(number) else number for name, number in answer._asdict().items()
        }

    def from_json(self, value: Any) -> Rating:
        """See :class:`Kind`."""
        known = {name: np.nan if number is None else number for name, number in value.items()}
        return Rating(**known)

    def score(self, asked: Asked, answered: Iterable[tuple[Question, Rating]]) -> Scored:
        """See :class:`Kind`."""
        target_E, predicted_E, likeliest_E = np.zeros((3, len(asked)))
        for e, (question, answer) in enumerate(answered):
            target_E[e], predicted_E[e], likeliest_E[e] = question.rating, *answer
        return Scored(
            Rated(target_E=target_E, predicted_E=predicted_E, likeliest_E=likeliest_E),
            rating_statistics(predicted_E, target_E, asked.user_E, likeliest_E=likeliest_E),
            {"requests": len(asked), "unparsable": int(np.isnan(predicted_E).sum())},
            {},
        )


@dataclass(frozen=True)
class Texts:
    """Words."""

    scorers: tuple[TextScorer, ...] = ()
    is_fact: bool = False
    """Whether an answer is right or wrong, as a title is."""

    def ask(self, recommender: Recommender, requests: Sequence[Request]) -> list[str]:
        """See :class:`Kind`."""
        return recommender.generate(requests)

    def to_json(self, answer: str) -> Any:
        """See :class:`Kind`."""
        return answer

    def from_json(self, value: Any) -> str:
        """See :class:`Kind`."""
        return str(value)

    def score(self, asked: Asked, answered: Iterable[tuple[Question, str]]) -> Scored:
        """See :class:`Kind`."""
        references, answers, hints = [], [], []
        for question, answer in answered:
            references.append(question.text)
            answers.append(answer)
            hints.append(question.request.hint)
        others: dict[str, Floats] = hint_scores(answers, hints)
        if self.is_fact:
            others["exact-match"] = exact_scores(answers, references)
        for scorer in self.scorers:
            others |= scorer(answers, references)
        return Scored(
            Written(references=tuple(references), answers=tuple(answers)),
            text_statistics(answers, references, asked.user_E, others=others),
            {
                "requests": len(asked),
                "empty": sum(not answer.strip() for answer in answers),
            },
            text_figures(answers, references),
        )


class Choices:
    """Some of the candidates."""

    def ask(self, recommender: Recommender, requests: Sequence[Request]) -> list[tuple[int, ...]]:
        """See :class:`Kind`."""
        if not isinstance(recommender, Selector):
            raise ProtocolError(
                f"{type(recommender).__name__} has no method 'select', so it cannot be asked to; "
                "leave the task out"
            )
        return recommender.select(requests)

    def to_json(self, answer: tuple[int, ...]) -> Any:
        """See :class:`Kind`."""
        return [int(item) for item in answer]

    def from_json(self, value: Any) -> tuple[int, ...]:
        """See :class:`Kind`."""
        return tuple(value)

    def score(self, asked: Asked, answered: Iterable[tuple[Question, tuple[int, ...]]]) -> Scored:
        """See :class:`Kind`."""
        fitting, chosen, foreign = [], [], 0
        for question, rows in answered:
            fitting.append(question.fitting)
            chosen.append(tuple(rows))
            foreign += len(set(rows) - set(question.request.candidates))
        return Scored(
            Chosen(fitting=tuple(fitting), chosen=tuple(chosen)),
            selection_statistics(chosen, fitting, asked.user_E),
            {
                "requests": len(asked),
                "named": sum(map(len, chosen)),
                "invalid": foreign,
                "empty": sum(not rows for rows in chosen),
            },
            {},
        )
