"""From what a body asks of a list, or of a talk, to the question for the model."""

from collections.abc import Sequence

from genrec.recommender import Diversity, Request, Sampling, Turn
from genrec.serving.service.config import ServiceConfig
from genrec.serving.service.errors import Refusal, check_length
from genrec.serving.service.people import People
from genrec.serving.service.schemas import (
    ConverseBody,
    RecommendBody,
    SearchBody,
    TurnBody,
    Wanted,
)


def task_of(body: Wanted) -> str:
    """Name the task that a list answers."""
    if isinstance(body, SearchBody):
        return "search"
    if isinstance(body, ConverseBody):
        return "converse"
    is_choice = isinstance(body, RecommendBody) and body.candidates is not None
    return "direct" if is_choice else "recommend"


def wish(people: People, body: Wanted, config: ServiceConfig, *, task: str) -> Request:
    """Write the question for a list.

    Args:
        people: Whom it is for.
        body: What is asked.
        config: Limits, and which attributes are the category and the price.
        task: What answers it, such as ``recommend``.

    Raises:
        Refusal: When the body names what is not there, or allows no item.
    """
    version, price = people.version, body.price
    history = people.rows(body.history, "history")
    exclude = version.rows(body.exclude, "exclude")
    if not body.repeat:
        exclude += tuple(row for row in history if row < len(version.catalogue))
    within = version.subset(
        body.in_stock,
        None if body.category is None else (config.category, tuple(body.category)),
        None if price is None else (config.price, price.min, price.max),
    )
    only = None if body.only is None else version.rows(body.only, "only")
    candidates = version.rows(getattr(body, "candidates", None) or (), "candidates")
    if candidates:
        only = tuple(row for row in candidates if only is None or row in only)
    boosted = version.rows(list(body.boosts), "boosts")
    sampling, diversity = body.sampling, body.diversity
    try:
        request = Request(
            task=task, history=history, query=getattr(body, "query", None),
            dialogue=turns_of(people, getattr(body, "dialogue", ())), candidates=candidates,
            exclude=exclude, only=only, within=within,
            boosts=tuple(zip(boosted, body.boosts.values(), strict=True)),
            diversity=None if diversity is None
            else Diversity(at_most=diversity.at_most, codes=diversity.codes),
            sampling=None if sampling is None
            else Sampling(temperature=sampling.temperature, seed=sampling.seed),
        )  # fmt: skip
    except ValueError as error:
        raise Refusal(422, "unanswerable", str(error)) from None
    if not request.allowed(len(version.catalogue)).any():
        raise Refusal(
            422, "no_items", "no item is left to name", field=None if body.only is None else "only",
            remedy="exclude less, or allow more",
        )  # fmt: skip
    return request


def check_wish(body: Wanted, config: ServiceConfig) -> None:
    """Refuse what is more than the service gives."""
    limits = config.limits
    if body.k > limits.k:
        raise Refusal(
            422, "too_many", f"k is {body.k}; at most {limits.k} items are given", field="k",
            remedy=f"ask for at most {limits.k}",
        )  # fmt: skip
    for name in ("exclude", "only", "boosts", "category"):
        check_length(getattr(body, name) or (), name, limits.named_items)
    query = getattr(body, "query", "")
    check_length(query, "query", limits.text, unit="characters", remedy="shorten it")
    check_length(getattr(body, "candidates", None) or (), "candidates", limits.candidates)
    check_talk(getattr(body, "dialogue", ()), config)


def turns_of(people: People, said: Sequence[TurnBody]) -> tuple[Turn, ...]:
    """Write the turns of a dialogue with the rows of the items that they speak of."""
    return tuple(
        Turn(turn.speaker, turn.text, people.rows(turn.items, f"dialogue.{place}.items"))
        for place, turn in enumerate(said)
    )


def check_talk(said: Sequence[TurnBody], config: ServiceConfig) -> None:
    """Refuse dialogues that are longer than the service reads."""
    limits = config.limits
    latest = f"send the latest {limits.turns:,}"
    check_length(said, "dialogue", limits.turns, remedy=latest)
    for place, turn in enumerate(said):
        check_length(turn.text, f"dialogue.{place}.text", limits.passage, unit="characters")
        check_length(turn.items, f"dialogue.{place}.items", limits.candidates)
