"""What is written in the toy shop: titles, descriptions and explanations.

No text names a colour or a pattern: looks are for pictures only.

Shape letters in this file: N items, C categories, M items of one category.
"""

import numpy as np
import polars as pl

from genrec.data.toy_process import ToyProcess
from genrec.data.toy_world import BRANDS, CATEGORIES, TIER_PRICES

MODELS = (
    *("Alto", "Atlas", "Basin", "Beacon", "Comet", "Cove", "Delta", "Drift", "Echo", "Fjord"),
    *("Glade", "Harbor", "Isle", "Juno", "Kite", "Ledge", "Mesa", "Nova", "Orbit", "Prairie"),
    *("Quest", "Ridge", "Summit", "Terra", "Tundra", "Vale", "Wharf", "Yonder", "Zenith", "Tidal"),
)

TIER_PRAISE = (
    ("Affordable", "Simple and inexpensive", "Low-priced"),
    ("Solid", "Dependable", "Well-made"),
    ("Luxurious", "Hand-finished", "Top-of-the-range"),
)
"""Beginnings of descriptions, tier by tier."""

EXPLANATIONS = (
    (
        "I needed one, but neither the brand nor the price is quite me.",
        "Not my brand and not my price.",
    ),
    (
        "It is by {brand}, as I like it, though I would rather pay another price.",
        "I wanted {brand}, whatever the price.",
    ),
    ("The price suits me, though it is not my usual brand.", "Not my brand, but just my price."),
    (
        "I wanted something by {brand}, and the price suits me.",
        "I always buy {brand}, and this is just my price.",
    ),
    (
        "I needed one, but the look is not for me.",
        "Useful, though I would never choose it by look.",
    ),
    ("The look is nearly what I had in mind.", "I half like the look."),
    ("I love the look of it.", "It looks exactly like the rest of my things."),
)
"""How users explain a purchase, reason by reason in the order of ``toy_process.WISHES_MET``."""

HABIT_SENTENCE = "It goes with my {previous}."


def item_table(process: ToyProcess, rng: np.random.Generator) -> pl.DataFrame:
    """Write the catalogue, without its pictures."""
    items = process.items
    model_CM = np.stack([rng.permutation(len(row_M)) for row_M in process.items_CM])
    model_N = np.empty(len(items), dtype=np.int64)
    model_N[process.items_CM] = model_CM
    praise_N = rng.integers(len(TIER_PRAISE[0]), size=len(items))
    factor_N = rng.uniform(0.85, 1.15, size=len(items))
    rows = []
    for item, (model, praise, factor) in enumerate(zip(model_N, praise_N, factor_N, strict=True)):
        category, tier = CATEGORIES[items.category_N[item]], int(items.tier_N[item])
        brand = BRANDS[items.brand_N[item]]
        edition = "" if model < len(MODELS) else f" {model // len(MODELS) + 1}"
        rows.append(
            {
                "item_id": f"item-{item:05d}",
                "title": f"{brand} {MODELS[model % len(MODELS)]}{edition} {category.name}",
                "brand": brand,
                "category": category.name,
                "price": round(category.price * TIER_PRICES[tier] * factor, 2),
                "description": f"{TIER_PRAISE[tier][praise]} {category.name} {category.purpose}.",
            }
        )
    return pl.DataFrame(rows)


def explanation(
    process: ToyProcess, reason: int, item: int, previous: int | None, variant: int = 0
) -> str:
    """Write why a user bought an item.

    Args:
        process: The shop's process.
        reason: Which wishes the item meets, from ``process.reason_TN``.
        item: What was bought.
        previous: What was bought before it; a habit that leads from there is mentioned.
        variant: Which of the sentences with the same meaning to use; wraps around.
    """
    sentences = EXPLANATIONS[reason]
    brand = BRANDS[process.items.brand_N[item]]
    why = sentences[variant % len(sentences)].format(brand=brand)
    if previous is None:
        return why
    before, after = process.items.category_N[[previous, item]]
    if process.habits_CC[before, after] == 0:
        return why
    return f"{HABIT_SENTENCE.format(previous=CATEGORIES[before].name)} {why}"
