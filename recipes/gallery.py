"""Write every task as one user of each data set would meet it: prompts, answers and pictures.

    python recipes/gallery.py
    python recipes/gallery.py --datasets '{beauty: runs/beauty/data, films: runs/movielens/data}'

Makes docs/gallery.md and small pictures beside it, from the built-in toy shop and from data sets
that recipes/prepare.py wrote. Pictures of others than the toy shop are left out unless they are
named in ``pictures_of``: posters and product photographs are not ours to publish.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from genrec.artifacts import write_directory
from genrec.config import parse_args
from genrec.data import Dataset, Dialogue, leave_one_out
from genrec.data.toy_shop import toy_shop
from genrec.prompts import (
    Example,
    Mixture,
    MixtureConfig,
    PromptConfig,
    Renderer,
    TaskError,
    Tasks,
    Vocabulary,
    corpus,
    train_tokenizer,
)
from genrec.recommender import Request, Turn
from genrec.semantic_ids import SemanticIds

TOY = "toy-shop"
LEVELS, CODES = 4, 16
HISTORY, CANDIDATES = 4, 4

INTRODUCTION = """# Every task, written out

Made by `python recipes/gallery.py`; [prompts](prompts.md) tells the rules. Behind `=>` stands what
is learnt; where a data set has nothing to learn a task from, a made-up request is only asked. The
semantic IDs merely number the items here. Pictures stand below their prompt, in the order of its
`[IMG]` marks.
"""


@dataclass(frozen=True, kw_only=True)
class Config:
    datasets: dict[str, Path] = field(default_factory=dict)
    """Data sets by name, as recipes/prepare.py writes them; the toy shop is always there."""

    out: Path = Path("docs/gallery.md")
    """The page; its pictures go into a folder of the same name without the suffix."""

    pictures_of: tuple[str, ...] = (TOY,)
    """Data sets whose pictures are shown."""

    seed: int = 0
    """Draws the users, phrasings and candidates."""


def main(config: Config) -> None:
    shops = {TOY: toy_shop().dataset}
    shops |= {name: Dataset.load(path) for name, path in config.datasets.items()}
    with write_directory(config.out.with_suffix("")) as folder:
        page = [INTRODUCTION]
        for name, dataset in shops.items():
            page += section(name, Gallery(dataset, config.seed), config, folder)
    config.out.write_text("\n".join(page), encoding="utf-8")
    print(f"{config.out}: {len(Tasks.load())} tasks on {', '.join(shops)}")


def section(name: str, gallery: "Gallery", config: Config, folder: Path) -> Iterator[str]:
    """Write all tasks for one user of a data set."""
    yield f"## {name}\n\nThe user's items: {'; '.join(map(gallery.title, gallery.user[:8]))}.\n"
    text = gallery.renderer.vocabulary.tokenizer.decode
    for task in sorted(gallery.renderer.tasks):
        yield f"### {name}: {task}\n"
        try:
            example = gallery.write(task)
        except ValueError as error:
            yield f"Not with this data: {error}.\n"
            continue
        learnt = text(example.answer.tolist()) if len(example.answer) else "?"
        yield f"```text\n{text(example.prompt.tolist())}\n=> {learnt}\n```\n"
        if example.pictures and name in config.pictures_of:
            (folder / name).mkdir(exist_ok=True)
            link = f"{config.out.stem}/{name}"
            for row in example.pictures:
                gallery.save_picture(row, folder / name / f"{row}.webp")
            yield " ".join(f"![item {row}]({link}/{row}.webp)" for row in example.pictures) + "\n"


class Gallery:
    """One user of a data set, to whom all tasks are put."""

    def __init__(self, dataset: Dataset, seed: int) -> None:
        events = dataset.interactions
        enough_U = events.events_per_user >= HISTORY + 2
        least_U = events.events_per_user == events.events_per_user[enough_U].min()
        user = np.random.default_rng(seed).choice(np.flatnonzero(least_U))
        self._train = leave_one_out(events).train & (events.user_of == user)
        self._dataset = dataset
        self._seed = seed
        self.user: list[int] = events.item[self._train].tolist()
        self.renderer = make_renderer(dataset)

    def write(self, task: str) -> Example:
        """Write what training would read, or ask where nothing can be learnt."""
        try:
            mixture = Mixture(
                dataset=self._dataset, train=self._train, renderer=self.renderer,
                weights={task: 1.0}, every_position=True, dialogues=[self._talk()],
                config=MixtureConfig(candidates=CANDIDATES), seed=self._seed,
            )  # fmt: skip
        except TaskError:
            return self.renderer.render(self._made_up(task), phrasing=self._seed)
        # Of a few, the longest prompt tells most.
        return max(islice(mixture.epoch(0), 50), key=lambda example: len(example.prompt))

    def title(self, row: int) -> str:
        """Tell what an item is called."""
        return str(self.renderer.catalogue.describe(row).get("title", "something unnamed"))

    def save_picture(self, row: int, path: Path) -> None:
        """Write a small copy of an item's picture."""
        picture = self._dataset.catalogue.picture(row)
        assert picture is not None
        picture.thumbnail((64, 64))
        picture.save(path, quality=60, method=6)

    def _made_up(self, task: str) -> Request:
        *past, item = self.user
        words = self.title(item).lower().split()
        return Request(
            task=task, history=tuple(past), item=item, query=" ".join(words[:3]), rating=4.0,
            hint=words[0], review="Just what I was looking for.",
            candidates=tuple(self.user[:CANDIDATES]),
        )  # fmt: skip

    def _talk(self) -> Dialogue:
        one, other, third = self.user[:3]
        return Dialogue((
            Turn("user", f"I like {self.title(one)}. What else is there for me?", (one,)),
            Turn("recommender", f"You may like {self.title(other)}.", (other,)),
            Turn("user", "I have it already."),
            Turn("recommender", "Then take this one.", (third,)),
        ))  # fmt: skip


def make_renderer(dataset: Dataset) -> Renderer:
    """Write items with all they have; their IDs are their numbers in the catalogue."""
    number_N1 = np.arange(len(dataset.catalogue))[:, None]
    codes_NL = number_N1 // CODES ** np.arange(LEVELS)[::-1] % CODES
    ids = SemanticIds(codes_NL.astype(np.int32), (CODES,) * LEVELS)
    tasks, everything = Tasks.load(), np.ones(len(dataset.interactions), dtype=np.bool_)
    tokenizer = train_tokenizer(corpus(dataset, everything, tasks), size=2_000)
    ratings = np.unique(dataset.interactions.rating)
    scale: dict[str, Any] = {"rating_scale": tuple(ratings[~np.isnan(ratings)].tolist())}
    prompts = PromptConfig(
        pictures=bool(dataset.catalogue.has_picture.any()), history_items=HISTORY,
        **(scale if len(ratings) > 1 else {}),
    )  # fmt: skip
    return Renderer(
        vocabulary=Vocabulary.extend(tokenizer, ids), ids=ids, catalogue=dataset.catalogue,
        tasks=tasks, config=prompts,
    )  # fmt: skip


if __name__ == "__main__":
    main(parse_args(Config, __doc__))
