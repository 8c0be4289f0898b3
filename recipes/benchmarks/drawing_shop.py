"""A toy shop with a model that draws, made by the recipes."""

import subprocess
import sys
from pathlib import Path

from genrec.data import Dataset
from genrec.data.toy_shop import ToyShop, ToyShopConfig, toy_shop

RECIPES = Path(__file__).resolve().parents[1]


def make(out: Path, *, seed: int, quick: bool = False) -> None:
    """Run the recipes, as anybody would for a shop of their own.

    Args:
        out: Gets ``data``, ``encoder``, ``tokenizer``, ``images`` and ``model``; what is there is
            not made again.
        seed: Of the shop.
        quick: Whether to take few steps, just to see that everything works.

    Raises:
        CalledProcessError: When a recipe fails.
    """
    few: dict[str, tuple[str, ...]] = {}
    if quick:
        few = {
            "encoder": ("--toy_pictures=300", "--pretraining.steps=4"),
            "data": ("--toy.users=80", "--toy.categories=8", "--toy.items_per_category=18"),
            "images": ("--training.steps=6", "--training.continuous_steps=2", "--model.size=16"),
            "model": (
                "--training.steps=4", "--training.rows_per_step=2", "--training.warmup_steps=1",
                "--validation_users=5",
            ),
        }  # fmt: skip
    data, seer, ids, images = (
        f"{out / name}" for name in ("data", "encoder", "tokenizer", "images")
    )
    steps = {
        "data": ("prepare", "prepare_toy", "--toy.picture_users=1.0", f"--seed={seed}"),
        "encoder": ("pretrain_encoder", "", "--toy_pictures=4000"),
        "tokenizer": (
            "train_tokenizer", "tokenizer_imagine", f"--dataset={data}", "--page=false",
            f"--features.pictures.encoder={seer}",
        ),
        "images": ("train_image_tokenizer", "image_tokenizer_toy", f"--dataset={data}"),
        "model": (
            "finetune", "finetune_imagine", f"--dataset={data}", f"--tokenizer={ids}",
            f"--image_tokenizer={images}", f"--vision.encoder={seer}",
            f"--work={out / 'training'}", "--training.threads=1",
        ),
    }  # fmt: skip
    for name, (recipe, settings, *options) in steps.items():
        if not (out / name).exists():
            command = [sys.executable, f"{RECIPES / recipe}.py"]
            if settings:
                command.append(f"--config={RECIPES / 'configs' / settings}.yaml")
            options += [*few.get(name, ()), f"--out={out / name}"]
            subprocess.run([*command, *options], check=True)


def open_shop(out: Path) -> ToyShop:
    """Plant the shop again to learn its truth, which the model was not told."""
    dataset = Dataset.load(out / "data")
    shop = toy_shop(ToyShopConfig(**dataset.info["config"]), seed=dataset.info["seed"])
    assert shop.dataset.fingerprint == dataset.fingerprint
    return shop
