"""What the service is asked over the wire: the bodies of requests, with examples."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

ItemId = Annotated[str, Field(min_length=1, max_length=512)]
Value = str | int | float
OneOrMore = Annotated[
    list[str],
    Field(min_length=1),
    BeforeValidator(
        lambda given: [given] if isinstance(given, str) else given,
        json_schema_input_type=str | list[str],
    ),
]


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(extra="forbid", allow_inf_nan=False, json_schema_extra={"examples": [fields]})


class NewItem(BaseModel):
    """An item that the catalogue does not have."""

    model_config = _example(
        item_id="mine-1", attributes={"title": "Oak desk lamp", "category": "lamp", "price": 24.5}
    )

    item_id: ItemId = Field(description="A name of your own; no item of the catalogue has it.")
    attributes: dict[str, Value | None] = Field(
        description="What is known of it, by the names that GET /v1/catalogue lists."
    )
    picture: str | None = Field(
        default=None, description="A JPEG or PNG file in base64.", repr=False
    )


class Price(BaseModel):
    """A range of prices, both ends included."""

    model_config = _example(min=10, max=50)

    min: float | None = None
    max: float | None = None


class DiversityBody(BaseModel):
    """No more than so many items whose semantic IDs begin with the same codes."""

    model_config = _example(at_most=2, codes=1)

    at_most: int = Field(ge=1)
    codes: int = Field(default=1, ge=1)


class SamplingBody(BaseModel):
    """Draw items by chance instead of taking the likeliest."""

    model_config = _example(temperature=0.7, seed=1)

    temperature: float = Field(default=1.0, gt=0, le=100)
    seed: int | None = Field(default=None, ge=0, lt=2**63)


class About(BaseModel):
    """Whom a question is about."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    history: list[ItemId] = Field(
        default=[], description="The user's items by their raw ids, oldest first."
    )
    new_items: list[NewItem] = Field(
        default=[], description="Items of the history, or asked about, that are not for sale here."
    )


class Wanted(About):
    """Whom a list is for, and what may be on it."""

    k: int = Field(default=10, ge=1, description="How many items.")
    exclude: list[ItemId] = Field(default=[], description="Items that must not be named.")
    only: list[ItemId] | None = Field(default=None, description="The items that may be named.")
    repeat: bool = Field(default=False, description="Whether items of the history may be named.")
    in_stock: bool = Field(default=True, description="Name items only that are in stock.")
    category: OneOrMore | None = Field(
        default=None, description="One or more categories, whole paths or single steps of them."
    )
    price: Price | None = None
    boosts: dict[ItemId, Annotated[float, Field(ge=-100, le=100)]] = Field(
        default={}, description="What to add to the log-probability of some items."
    )
    diversity: DiversityBody | None = None
    sampling: SamplingBody | None = None
    details: bool = Field(default=False, description="Tell the attributes of the items too.")


class RecommendBody(Wanted):
    """Which items does a user want next?"""

    model_config = _example(history=["sku-0", "sku-4"], k=3, category="lamp", price={"max": 40})

    candidates: list[ItemId] | None = Field(
        default=None, min_length=1,
        description="A few items to choose among, which the model is told of; `only` is the better "
        "choice for many, or for a model that did not learn the task `direct`.",
    )  # fmt: skip


class SearchBody(Wanted):
    """Which items fit a query and a user?"""

    model_config = _example(history=["sku-0"], query="red lamp", k=3)

    query: str = Field(min_length=1)


class TurnBody(BaseModel):
    """What one side of a dialogue says."""

    model_config = _example(speaker="recommender", text="This one?", items=["sku-3"])

    speaker: Literal["user", "recommender"]
    text: str
    items: list[ItemId] = Field(default=[], description="The items that the text speaks of.")


Dialogue = Annotated[
    list[TurnBody], Field(min_length=1, description="Who said what so far, oldest first.")
]


class ConverseBody(Wanted):
    """Which items does a dialogue ask for?"""

    model_config = _example(dialogue=[{"speaker": "user", "text": "A red lamp?"}], k=3)

    dialogue: Dialogue


class ReplyBody(About):
    """What does the recommending side of a dialogue say next?"""

    model_config = _example(dialogue=[{"speaker": "user", "text": "A red lamp?"}])

    dialogue: Dialogue


class ReviewBody(BaseModel):
    """What a user wrote about an item."""

    model_config = _example(review="A fine lamp. It came broken, and nobody answers.")

    review: str = Field(min_length=1)


class RateBody(About):
    """How would a user rate some items?"""

    model_config = _example(history=["sku-0", "sku-4"], items=["sku-7"])

    items: list[ItemId] = Field(min_length=1)


class ExplainBody(About):
    """Why would a user like an item?"""

    model_config = _example(history=["sku-0", "sku-4"], item="sku-7", hint="colour")

    item: ItemId
    hint: str | None = Field(default=None, min_length=1, description="A word to write about.")
    rating: float | None = Field(default=None, description="The rating to explain, if known.")


class SelectBody(About):
    """Which of some candidates fit a user?"""

    model_config = _example(history=["sku-0"], candidates=["sku-3", "sku-4", "sku-9"])

    candidates: list[ItemId] = Field(min_length=1)


class ImagineBody(Wanted):
    """What would a user like to find for a query? The fields of a list say what may guide it."""

    model_config = _example(history=["sku-0"], query="red lamp", k=2, pictures=1, seed=1)

    query: str = Field(min_length=1)
    k: int = Field(default=2, ge=1, description="How many items guide the pictures.")
    pictures: int = Field(default=1, ge=1, le=8)
    temperature: float = Field(default=0.8, gt=0, le=100)
    top_p: float = Field(default=0.95, gt=0, le=1)
    guidance: float = Field(
        default=2.0, ge=0, le=20, description="Above 1, the query and the guides count more."
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="Another seed draws other pictures.")


class ChangeBody(BaseModel):
    """A change of the catalogue: it happens as a whole or not at all."""

    model_config = _example(
        add=[{"item_id": "sku-100", "attributes": {"title": "Brass lamp", "price": 30}}],
        remove=["sku-9"], stock={"sku-4": False},
    )  # fmt: skip

    add: list[NewItem] = Field(default=[], description="Items that come.")
    remove: list[ItemId] = Field(default=[], description="Items that leave.")
    stock: dict[ItemId, bool] = Field(
        default={}, description="Items that are in stock (true) or sold out (false) from now on."
    )
    rollback: int | None = Field(
        default=None, ge=1, description="The version to go back to; then nothing else is given."
    )
    if_version: int | None = Field(
        default=None, ge=1, description="Change nothing unless this is the version now."
    )
