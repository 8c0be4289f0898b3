"""The nouns of the toy shop: categories and the habits between them, brands, prices, looks.

Nothing here is random; :mod:`genrec.data.toy_process` says what happens in this world.
"""

from typing import NamedTuple


class Category(NamedTuple):
    """A kind of product."""

    name: str
    """Its word in titles and queries; a shape of the same name is drawn in its pictures."""

    department: str
    """What a vague query says instead."""

    synonym: str
    """Another word of queries."""

    price: float
    """Typical price in the middle tier, in euros."""

    purpose: str
    """End of every description."""

    usual_next: str
    """The category that mostly follows."""

    other_next: str
    """The category that sometimes follows."""

    @property
    def nouns(self) -> tuple[str, str, str]:
        """What queries call it, most exact first."""
        return self.name, self.synonym, self.department


CATEGORIES = tuple(
    Category(*row)
    for row in (
        ("phone", "phone things", "mobile", 420, "that lasts all day", "phone case", "charger"),
        ("phone case", "phone things", "cover", 22, "for clumsy hands", "charger", "earbuds"),
        ("charger", "phone things", "power plug", 28, "for desk and travel", "earbuds", "camera"),
        ("earbuds", "phone things", "headphones", 75, "for train and gym", "sneaker", "gym bag"),
        ("camera", "photo gear", "photo kit", 560, "that is quick to aim", "lens", "camera bag"),
        ("lens", "photo gear", "objective", 310, "for far views", "tripod", "camera bag"),
        ("tripod", "photo gear", "stand", 85, "that defies the wind", "camera bag", "lantern"),
        ("camera bag", "photo gear", "photo bag", 60, "with room for more", "tent", "lens"),
        ("tent", "camping gear", "shelter", 180, "for two people", "sleeping bag", "lantern"),
        ("sleeping bag", "camping gear", "quilt", 95, "for cool nights", "lantern", "camp stove"),
        ("lantern", "camping gear", "lamp", 35, "for any branch", "camp stove", "water bottle"),
        ("camp stove", "camping gear", "gas cooker", 50, "that boils fast", "pan", "mug"),
        ("sneaker", "sports gear", "running shoe", 90, "for road and track", "socks", "gym bag"),
        ("socks", "sports gear", "stockings", 14, "that stay in place", "water bottle", "gym bag"),
        ("water bottle", "sports gear", "flask", 20, "that never leaks", "gym bag", "phone"),
        ("gym bag", "sports gear", "duffel", 45, "with a wet pocket", "phone", "kettle"),
        ("kettle", "kitchen things", "water boiler", 48, "that whispers", "mug", "teapot"),
        ("mug", "kitchen things", "cup", 12, "that warms the hands", "teapot", "pan"),
        ("teapot", "kitchen things", "tea jug", 38, "that pours cleanly", "pan", "mug"),
        ("pan", "kitchen things", "skillet", 55, "that nothing sticks to", "kettle", "camera"),
    )
)

BRANDS = (
    *("Northwind", "Calder", "Tamarack", "Oskar", "Ferrol", "Junipero"),
    *("Halden", "Vantor", "Mirano", "Quillon", "Zephra", "Bexley"),
)

TIERS = ("budget", "middle", "premium")
TIER_PRICES = (0.45, 1.0, 2.2)
"""Price of each tier as a multiple of the category's typical price."""

TIER_QUERY_WORDS = ("cheap", "mid-priced", "premium")

COLOURS = ("red", "orange", "yellow", "green", "teal", "blue", "purple", "pink")
PATTERNS = ("plain", "stripes", "dots", "checks")
"""Looks are drawn and never written: no text of the shop names a colour or a pattern."""
