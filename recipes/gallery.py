"""Write every task as one user of each data set would meet it: prompts, answers and pictures.

    python recipes/gallery.py
    python recipes/gallery.py --datasets '{beauty: runs/beauty/data, films: runs/movielens/data}'

Makes docs/gallery.md and small pictures beside it, from the built-in toy shop and from data sets
that recipes/prepare.py wrote. Pictures of others than the toy shop are left out unless they are
named in ``pictures_of``: posters and product photographs are not ours to publish.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from genrec.artifacts import check_writable, write_directory
from genrec.data import Dataset
from genrec.data.pictures import open_picture
from genrec.data.toy_shop import toy_shop
from genrec.prompts import Tasks
from genrec.prompts.specimens import Specimens
from genrec.recipe import run_recipe

TOY = "toy-shop"

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
    check_writable(config.out.with_suffix(""), sign=next(iter(config.pictures_of), TOY))
    shops = {TOY: toy_shop().dataset}
    shops |= {name: Dataset.load(path) for name, path in config.datasets.items()}
    with write_directory(config.out.with_suffix("")) as folder:
        page = [INTRODUCTION]
        for name, dataset in shops.items():
            page += section(name, dataset, config, folder)
    config.out.write_text("\n".join(page), encoding="utf-8")
    print(f"{config.out}: {len(Tasks.load())} tasks on {', '.join(shops)}")


def section(name: str, dataset: Dataset, config: Config, folder: Path) -> Iterator[str]:
    """Write all tasks for one user of a data set."""
    specimens = Specimens(dataset, seed=config.seed)
    yield f"## {name}\n\nThe user's items: {'; '.join(map(specimens.title, specimens.user[:8]))}.\n"
    text = specimens.renderer.vocabulary.tokenizer.decode
    for task in sorted(specimens.renderer.tasks):
        yield f"### {name}: {task}\n"
        try:
            example = specimens.write(task)
        except ValueError as error:
            yield f"Not with this data: {error}.\n"
            continue
        learnt = text(example.answer.tolist()) if len(example.answer) else "?"
        yield f"```text\n{text(example.prompt.tolist())}\n=> {learnt}\n```\n"
        if example.pictures and name in config.pictures_of:
            (folder / name).mkdir(exist_ok=True)
            link = f"{config.out.stem}/{name}"
            for row in example.pictures:
                save_picture(dataset, row, folder / name / f"{row}.webp")
            yield " ".join(f"![item {row}]({link}/{row}.webp)" for row in example.pictures) + "\n"


def save_picture(dataset: Dataset, row: int, path: Path) -> None:
    """Write a small copy of an item's picture."""
    picture = open_picture(dataset.catalogue, row)
    picture.thumbnail((64, 64))
    picture.save(path, quality=60, method=6)


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
