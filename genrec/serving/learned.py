"""What a model has learned, and the refusal of all else.

A model answers any prompt, and those of tasks that it never saw with nonsense.
"""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Final

from genrec.artifacts import read_json
from genrec.prompts import TaskError
from genrec.recommender import Request
from genrec.serving.bundle import model_directory

_WITHOUT: Final = {
    "direct": "give the candidates as `only`",
    "explain_hint": "leave the hint out",
    "explain_rated": "leave the rating out",
}
"""How to do without some tasks that callers do not ask for by name."""


def learned_tasks(path: Path | str) -> list[str] | None:
    """Read which tasks a model was trained on; ``None`` where its directory does not say."""
    info = read_json(model_directory(path) / "genrec.json").get("training") or {}
    tasks = (info.get("config") or {}).get("tasks")
    return None if not tasks else sorted(tasks)


def refuse_unlearned(requests: Sequence[Request], learned: Collection[str] | None) -> None:
    """Refuse requests of tasks that a model did not learn.

    Args:
        requests: What is asked.
        learned: The tasks that it learned; ``None``, where that is not known, refuses nothing.

    Raises:
        TaskError: When there is such a request.
    """
    if learned is None:
        return
    for task in dict.fromkeys(request.task for request in requests):
        if task not in learned:
            way = f"{_WITHOUT[task]}, or " if task in _WITHOUT else ""
            raise TaskError(
                f"the model did not learn the task {task!r}; it learned "
                f"{', '.join(sorted(learned))}: {way}fine-tune a model with {task!r} among the "
                "`tasks` of recipes/finetune.py"
            )
