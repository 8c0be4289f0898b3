"""The tasks that can be scored: what each is asked about, and in which kind it is answered."""

from collections.abc import Sequence
from typing import Final, Literal, get_args

from genrec.recommender import TaskError

AnswerKind = Literal["ranking", "rating", "text", "choice"]

Task = Literal[
    "recommend", "search", "direct", "select", "rate", "preference", "explain", "explain_rated",
    "explain_hint", "summarize", "query_to_item", "titles_to_item", "history_to_title",
    "title_to_item", "description_to_item", "picture_to_item", "item_to_title", "attribute",
    "converse", "reply",
]  # fmt: skip
TASKS: Final[tuple[Task, ...]] = get_args(Task)
"""All tasks that can be scored: about held-out events unless another tuple here has them."""

ITEM_TASKS: Final = (
    "title_to_item", "description_to_item", "picture_to_item", "item_to_title", "attribute",
)  # fmt: skip
"""Tasks about items of the catalogue, which no user has to do with."""

TITLED_TASKS: Final = ("titles_to_item", "history_to_title")
"""Tasks about events that name items by their titles."""

CONVERSE: Final = "converse"
"""The task of naming the item that a dialogue asks for."""

REPLY: Final = "reply"
"""The task of saying what the recommending side of a dialogue says next."""

DIALOGUE_TASKS: Final = (CONVERSE, REPLY)
"""Tasks about dialogues, which ``evaluate_dialogues`` asks."""

RANKING_TASKS: Final = ("recommend", "search", "direct")
"""Tasks that are answered by a ranking of items for a user: what any recommender can be asked."""

QUERY_TASKS: Final = ("search", "query_to_item")
"""Tasks that ask for the item behind a query, for a user or for anybody."""

RATING_TASKS: Final = ("rate", "preference")
"""Tasks that are answered by a rating."""

FACT_TASKS: Final = ("item_to_title", "attribute", "history_to_title")
"""Tasks that are answered by a text that is right or wrong."""

TEXT_TASKS: Final = (
    "explain", "explain_rated", "explain_hint", "summarize", REPLY, *FACT_TASKS,
)  # fmt: skip
"""Tasks that are answered by a text."""

_DRAWING: Final = ("imagine", "imagine_directly", "item_to_picture")


def kind_of_answer(task: str) -> AnswerKind:
    """Tell in which kind a task is answered."""
    if task in RATING_TASKS:
        return "rating"
    if task in TEXT_TASKS:
        return "text"
    return "choice" if task == "select" else "ranking"


def check_tasks(tasks: Sequence[str]) -> None:
    """Refuse tasks that nothing here can score.

    Raises:
        TaskError: The message says why.
    """
    for task in tasks:
        if task in _DRAWING:
            raise TaskError(
                f"{task!r} is answered by a picture, which has no score here; "
                "recipes/benchmarks/imagine.py measures what is drawn"
            )
        if task not in TASKS:
            raise TaskError(f"there is no task {task!r}; there are {', '.join(TASKS)}")
