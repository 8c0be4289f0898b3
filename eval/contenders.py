"""Methods side by side: each with all that an evaluation can do with it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from genrec.data import Catalogue, Dataset, Split
from genrec.eval.asking import Recorded
from genrec.eval.hybrid import Scale
from genrec.eval.methods import METHODS, make_method
from genrec.eval.ranking_file import RankingFile
from genrec.eval.service import HTTPRecommender
from genrec.eval.stress import Make, check_stresses
from genrec.eval.tasks import TASKS, Task, check_tasks
from genrec.recommender import Recommender, Request, TaskError
from genrec.semantic_ids import SemanticIds

_LEAST: Final = {"k": 1, "candidates": 2, "items": 0, "users": 0, "stress_users": 0, "timed": 0}
_ALL: Final = ("items", "users", "stress_users")
"""Numbers of which 0 takes all there are."""


@dataclass(frozen=True, kw_only=True)
class ContestConfig:
    """What all methods are asked."""

    tasks: tuple[Task, ...] = ("recommend",)
    """What is scored; every method does those that it can."""

    k: int = 10
    """Length of the rankings."""

    candidates: int = 10
    """How many items the tasks direct and select choose among."""

    items: int = 0
    """Tasks about items ask about so many, drawn by the seed; 0 takes all."""

    title: str = "title"
    """The attribute that names items, for tasks that do: the prompts.title of the model."""

    attributes: tuple[str, ...] = ()
    """What the task attribute asks for, such as the prompts.attributes of the model; empty takes
    all of the catalogue's."""

    users: int = 0
    """Predict the events of so many users, drawn by the seed; 0 takes all."""

    stresses: tuple[str, ...] = ()
    """What the first method is put under: names of genrec.eval.stress, ``missing attributes``."""

    stress_users: int = 500
    """Ask under stress about so many users, items or dialogues; 0 takes all."""

    timed: int = 50
    """Recommendations to time one by one; 0 for none."""

    bert_score: Path | None = None
    """An encoder to score texts by BERTScore."""

    answers: Path | None = None
    """A folder in which answers are kept as they come: a killed evaluation goes on from there."""

    seed: int = 0
    """Decides who is asked about, and what stress spoils."""

    def __post_init__(self) -> None:
        check_tasks(self.tasks)
        check_stresses(self.stresses)
        for name, least in _LEAST.items():
            if getattr(self, name) < least:
                raise ValueError(
                    f"{name} is {getattr(self, name)}; it must be at least {least}"
                    f"{', and 0 takes all' if name in _ALL else ''}"
                )


@dataclass(frozen=True, kw_only=True)
class Contender:
    """One method of an evaluation."""

    recommender: Recommender | Recorded
    """What answers."""

    tasks: tuple[str, ...] = TASKS
    """The tasks that it answers."""

    scale: Scale = "scores"
    """What the numbers of its rankings are, for mixtures."""

    make: Make | None = None
    """Makes it for another setting, to put it under stress. By default it is the same in every
    setting, as is right for what reads neither items nor prompts."""

    ids: SemanticIds | None = None
    """The semantic IDs that it names items by, where it does. Where they are the first method's,
    all methods are scored by hits of IDs too."""

    prompt_tokens: Callable[[Request], int] | None = None
    """Counts the tokens of a request's prompt, for a language model."""

    weights: tuple[int | None, int | None] = (None, None)
    """How many weights it has, and how many of them were trained; ``None`` for unknown."""

    identity: Mapping[str, Any] = field(default_factory=dict)
    """What tells it from another one of the same name, so that kept answers are not mistaken."""


def baselines(
    names: Sequence[str],
    settings: Mapping[str, Mapping[str, Any]],
    dataset: Dataset,
    split: Split,
    config: ContestConfig,
) -> Iterator[tuple[str, Contender]]:
    """Make those of some methods of ``METHODS`` that answer a task of the contest."""
    for name in names:
        if set(METHODS[name].tasks) & set(config.tasks):
            made = make_method(name, dataset, split, settings=settings.get(name), seed=config.seed)
            identity = {"method": name, "settings": dict(settings.get(name, {}))}
            yield name, Contender(
                recommender=made, tasks=METHODS[name].tasks, scale=METHODS[name].scale,
                identity=identity,
            )  # fmt: skip


def outsiders(
    rankings: Mapping[str, Path], service: str | None, catalogue: Catalogue
) -> Iterator[tuple[str, Contender]]:
    """Let in what runs elsewhere.

    Args:
        rankings: Ranking files of other systems, by name.
        service: The address of a served model.
        catalogue: The items.
    """
    for name, path in rankings.items():
        yield name, Contender(recommender=RankingFile(path, catalogue), tasks=("recommend",))
    if service is not None:
        client = HTTPRecommender(service, catalogue)
        yield "service", Contender(recommender=client, tasks=client.tasks)


def refuse_unanswered(methods: Mapping[str, Contender], config: ContestConfig) -> None:
    """Refuse tasks that no method answers, before any is asked.

    Raises:
        TaskError: At the first such task.
    """
    for task in config.tasks:
        if not any(task in method.tasks for method in methods.values()):
            raise TaskError(
                f"nothing here answers {task!r}, neither a model nor a baseline; leave the task "
                "out, or name a model that learned it"
            )


def known_optimum(dataset: Dataset) -> Contender | None:
    """Open the toy shop that data are of again; other data have no known optimum."""
    if "toy_shop" not in dataset.info.get("source", ""):
        return None
    from genrec.data.toy_shop import ToyShopConfig, toy_shop

    shop = toy_shop(ToyShopConfig(**dataset.info["config"]), seed=dataset.info["seed"])
    if shop.dataset != dataset:
        return None
    return Contender(recommender=shop.optimum, tasks=getattr(shop.optimum, "tasks", TASKS))
