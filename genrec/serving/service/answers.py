"""What the service answers over the wire."""

from pydantic import BaseModel, Field

from genrec.serving.service.schemas import Value


class Item(BaseModel):
    """An item of the catalogue."""

    item_id: str
    title: str | None
    attributes: dict[str, Value]
    in_stock: bool
    picture: str | None = Field(description="Where its picture is; null if there is none.")


class Ranked(BaseModel):
    """One item of a list."""

    item_id: str
    score: float = Field(description="Its log-probability, boosts included.")
    item: Item | None = Field(default=None, description="The item, where details were asked for.")


class Answer(BaseModel):
    """What every answer says."""

    catalogue_version: int = Field(description="The version that answered, as a whole.")


class RankedAnswer(Answer):
    """A list, best first; it is shorter than k only where fewer items are allowed."""

    items: list[Ranked]


class ItemRating(BaseModel):
    """A predicted rating."""

    item_id: str
    expected: float = Field(description="The mean of all ratings, weighed by their probability.")
    likeliest: float


class RateAnswer(Answer):
    """The ratings, in the order of the items."""

    ratings: list[ItemRating]


class ReviewRatingAnswer(Answer):
    """The rating that a review speaks of."""

    expected: float = Field(description="The mean of all ratings, weighed by their probability.")
    likeliest: float


class TextAnswer(Answer):
    """An answer in words."""

    text: str


class ImagineAnswer(RankedAnswer):
    """Pictures, and the items that guided them."""

    pictures: list[str] = Field(description="PNG files in base64.")


class SelectAnswer(Answer):
    """Those of the candidates that fit, and maybe none."""

    items: list[str]


class ItemsAnswer(Answer):
    """One page of the catalogue."""

    total: int
    page: int
    pages: int
    items: list[Item]


class ExampleAnswer(Answer):
    """Somebody's history, to begin with."""

    history: list[str]


class VersionAnswer(BaseModel):
    """A version of the catalogue."""

    version: int
    when: str
    change: str


class CatalogueAnswer(Answer):
    """What is served."""

    items: int
    in_stock: int
    attributes: list[str]
    categories: dict[str, int] = Field(description="Categories with their numbers of items.")
    tasks: list[str] = Field(description="What can be asked of the model.")
    can_add: bool = Field(description="Whether new items can be taken in.")
    versions: list[VersionAnswer] = Field(description="The latest changes, newest first.")


class HealthAnswer(BaseModel):
    """How the service is."""

    status: str


class ErrorDetail(BaseModel):
    """Why there is no answer."""

    code: str
    message: str
    field: str | None = None
    remedy: str | None = None


class ErrorAnswer(BaseModel):
    """What stands in the place of an answer."""

    error: ErrorDetail
