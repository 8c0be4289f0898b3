"""Measure whether drawn pictures show what was asked for, in the look that the user likes.

    OMP_NUM_THREADS=1 python recipes/benchmarks/imagine.py
    python recipes/benchmarks/imagine.py --quick

In the toy shop a query tells the category, which is a shape, and only pictures show colours and
patterns, which users have a planted taste for. The recipes make a shop, semantic IDs, image tokens
and a model that draws; an eye that was trained on other pictures reads what it drew for the test
users' queries. Drawing is guided by what a search finds for user and query (UniMP, equation 9), or
by the history itself, or by a search that knows no history. The last line is JSON.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from genrec import GenRec
from genrec.data import leave_one_out, sample_events
from genrec.data.pictures import open_picture
from genrec.decoding.drawing import Drawing
from genrec.eval import bootstrap, compare
from genrec.eval.intervals import Statistics
from genrec.eval.pictures import clip_scores, frechet_distance, nearest_pictures
from genrec.recipe import run_recipe
from genrec.serving.bundle import load_image_tokenizer

if not __package__:  # run by its path
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from recipes.benchmarks.asked import Asked, beside_nearest, grid
from recipes.benchmarks.drawing_shop import make, open_shop
from recipes.benchmarks.looks import train_eye

WAYS = {
    "retrieval": {"task": "imagine", "history": True},
    "no_retrieval": {"task": "imagine_directly", "history": True},
    "no_history": {"task": "imagine", "history": False},
}
"""How pictures are guided."""


@dataclass(frozen=True, kw_only=True)
class Config:
    out: Path = Path("runs/benchmarks/imagine")
    """Where shop, tokenizers and model are kept; what is there is not made again."""

    users: int = 2000
    """Draw for so many test users."""

    guides: int = 2
    """Items that guide a picture."""

    temperature: float = 0.25
    top_p: float = 0.9
    guidance: float = 1.5
    """How image tokens are sampled; chosen on validation users."""

    on: str = "test"
    """Whose queries to draw: those of ``test`` or of ``validation`` events."""

    clip: str | None = None
    """Name or folder of a CLIP model, for CLIPScore."""

    inception: bool = False
    """Compute FID, where torch-fidelity and its weights are at hand."""

    seed: int = 0
    quick: bool = False
    """Take few steps, just to see that everything works."""


def main(config: Config) -> None:
    make(config.out, seed=config.seed, quick=config.quick)
    shop = open_shop(config.out)
    split = leave_one_out(shop.dataset.interactions)
    event_E = sample_events(getattr(split, config.on), config.users, seed=config.seed)
    asked = Asked.about(shop, event_E)
    images = load_image_tokenizer(config.out / "model")
    amount = {"pictures": 200, "steps": 5} if config.quick else {"pictures": 3000, "steps": 300}
    eye = train_eye(images.size, **amount, seed=config.seed)
    real_N = [open_picture(shop.dataset.catalogue, int(row)) for row in asked.pictured]
    summary = asked.check(eye, real_N, images)

    rec = GenRec.from_pretrained(config.out / "model")
    how = Drawing(
        temperature=config.temperature, top_p=config.top_p, guidance=config.guidance,
        seed=config.seed,
    )  # fmt: skip
    scored: dict[str, Statistics] = {}
    drawn: dict[str, Any] = {}
    print(f"{'':<14}" + "".join(f"{name:>26}" for name in ("shape", "colour", "pattern")))
    for way, guided in WAYS.items():
        told = asked.histories if guided["history"] else [[]] * len(asked.histories)
        found = rec.imagine_many(
            told, asked.queries, guides=config.guides, how=how, task=str(guided["task"])
        )
        drawn[way] = [one.pictures[0] for one in found]
        scored[way] = asked.score(eye, drawn[way])
        bounds = bootstrap(scored[way])
        print(
            f"{way:<14}" + "".join(f"{v:>10.3f} ({a:.3f}-{b:.3f})" for v, a, b in bounds.values())
        )
        summary |= {f"{name}_{way}": list(interval) for name, interval in bounds.items()}
        near = nearest_pictures(drawn[way], real_N)
        summary[f"distance_to_nearest_{way}"] = float(np.median(near.distance_U))
        summary[f"frechet_{way}"] = frechet_distance(
            drawn[way], real_N, features=2048 if config.inception else eye, size=images.size
        )
        if config.clip is not None:
            clip = clip_scores(drawn[way], asked.queries, model=config.clip)
            summary[f"clip_score_{way}"] = float(clip.mean())
    for way in ("no_retrieval", "no_history"):
        gaps = compare(scored["retrieval"], scored[way])
        summary[f"retrieval_over_{way}"] = {
            name: {**gap.difference._asdict(), "verdict": gap.verdict} for name, gap in gaps.items()
        }
    sheet, differ = grid(rec, shop, asked, eye, guides=config.guides, how=how)
    sheet.save(config.out / "grid.webp", quality=90)
    beside_nearest(drawn["retrieval"], real_N).save(config.out / "nearest.webp", quality=90)
    summary |= {
        "shape_follows_query": summary["shape_retrieval"][0],
        "colour_follows_taste": summary["colour_retrieval"][0],
        "colour_without_history": summary["colour_no_history"][0],
        "two_users_get_different_looks": differ,
        "users": len(asked.queries),
    }
    print(json.dumps(summary))


if __name__ == "__main__":
    run_recipe(main, Config, __doc__)
