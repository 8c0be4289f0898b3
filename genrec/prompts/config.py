"""How items, histories and answers are written: the part of a prompt that no task decides."""

from dataclasses import dataclass, field
from typing import Final, Literal, get_args

Context = Literal["gap", "scenario", "behaviour", "rating"]

CONTEXTS: Final = get_args(Context)
"""What can be told of each event of a history beside its item."""

_WORDS: Final = {"gap": "{} later", "scenario": "in {}", "behaviour": "{}", "rating": "rated {}"}


@dataclass(frozen=True, kw_only=True)
class PromptConfig:
    """How items and histories are written."""

    attributes: tuple[str, ...] = ()
    """Attributes of an item's card, in this order; empty takes all of the catalogue's."""

    attribute_words: dict[str, str] = field(default_factory=dict)
    """What to call some attributes instead of their names; an empty word writes values alone."""

    attribute_tokens: int = 20
    """Longest value of an attribute, in tokens (UniMP truncates to 20 words)."""

    attribute_limits: dict[str, int] = field(default_factory=dict)
    """Other longest values for some attributes, in tokens, such as ``{description: 60}``."""

    missing: str = ""
    """What stands for an attribute or picture that an item lacks, such as ``unknown``; empty leaves
    it out."""

    title: str = "title"
    """The attribute that names an item, where a prompt or an answer tells titles."""

    pictures: bool = False
    """Show the pictures of items, to models that look at them."""

    picture_tokens: int = 1
    """Tokens ``[IMG]`` for each picture; a model that reads pictures as a prefix needs several."""

    history_items: int = 50
    """Keep so many of the latest items of a history."""

    history_cards: bool = False
    """Write the attributes of the history's items too, not their semantic IDs alone."""

    history_context: tuple[Context, ...] = ()
    """What to tell of each event of a history: ``gap`` (the time since the event before), its
    ``scenario`` and ``behaviour`` before the item, and the ``rating`` given behind it."""

    context_words: dict[str, str] = field(default_factory=dict)
    """How to tell it, if not by ``{gap: '{} later', scenario: 'in {}', behaviour: '{}', rating:
    'rated {}'}``; braces stand for the value."""

    candidate_cards: bool = False
    """Write the attributes of candidates too, not their semantic IDs alone."""

    prompt_tokens: int = 448
    """Longest prompt, in tokens; the oldest items of a history that do not fit are left out."""

    text_tokens: int = 64
    """Longest query, hint, review, or turn of a dialogue in a prompt, in tokens."""

    dialogue_turns: int = 10
    """Keep so many of the latest turns of a dialogue."""

    answer_tokens: int = 64
    """Longest answer, such as an explanation or all items of a selection, in tokens."""

    rating_scale: tuple[float, ...] = (1.0, 2.0, 3.0, 4.0, 5.0)
    """All ratings that can be given, such as 0.5, 1.0, ... 5.0; answers are on it."""

    context_weight: float = 1.0
    """Loss weight of the semantic IDs of the history's own items: context reconstruction (UniMP,
    equation 7)."""

    attribute_weight: float = 0.0
    """Loss weight of the attributes on the cards of a history; UniMP reconstructs them too."""

    chat: bool = False
    """Wrap prompts in the chat template of an instruction-tuned model's tokenizer."""

    system: str = ""
    """What a chat's system message says; empty for none."""

    def __post_init__(self) -> None:
        for name in ("attributes", "history_context", "rating_scale"):
            object.__setattr__(self, name, tuple(getattr(self, name)))  # JSON knows only lists
        for name in (
            "attribute_tokens", "picture_tokens", "history_items", "prompt_tokens", "text_tokens",
            "dialogue_turns", "answer_tokens",
        ):  # fmt: skip
            _check_at_least_1(name, getattr(self, name))
        for attribute, limit in self.attribute_limits.items():
            _check_at_least_1(f"attribute_limits[{attribute!r}]", limit)
        for name in ("context_weight", "attribute_weight"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} is {getattr(self, name)}; it cannot be negative")
        unknown = sorted({*self.history_context, *self.context_words} - set(CONTEXTS))
        if unknown:
            raise ValueError(
                f"the context {unknown} of a history is unknown; use some of {CONTEXTS}"
            )
        for name, words in self.context_words.items():
            if words.count("{}") != 1:
                raise ValueError(
                    f"context_words[{name!r}] is {words!r}; it needs one pair of braces, as "
                    f"{_WORDS[name]!r} has"
                )
        if len(self.rating_scale) < 2 or list(self.rating_scale) != sorted(set(self.rating_scale)):
            raise ValueError(
                f"rating_scale is {self.rating_scale}; give at least two ratings, lowest first"
            )
        if self.system and not self.chat:
            raise ValueError("a system message needs a chat; set chat to true")

    def words_for(self, context: Context, value: str) -> str:
        """Tell one thing of an event in words."""
        return self.context_words.get(context, _WORDS[context]).replace("{}", value)


def _check_at_least_1(name: str, value: int) -> None:
    if value < 1:
        raise ValueError(f"{name} is {value}; it must be at least 1")
