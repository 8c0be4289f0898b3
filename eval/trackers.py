"""Send the numbers of an evaluation to the trackers that accelerate knows."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from genrec.eval.results import Results


def check_trackers(names: Sequence[str]) -> None:
    """Refuse trackers that cannot be logged to, before an evaluation is under way.

    Raises:
        ValueError: When there is no such tracker, or its package is not installed.
    """
    if names:
        from genrec.training import trackers  # only who tracks needs accelerate

        trackers.check_trackers(names)


def track(
    results: Mapping[str, Results],
    trackers: Sequence[str],
    folder: Path | str,
    *,
    config: Mapping[str, Any] | None = None,
) -> None:
    """Log every metric under names such as ``genrec/recommend/ndcg@10``.

    Args:
        results: The methods by name.
        trackers: Names that accelerate knows, such as ``tensorboard``, ``wandb``, ``mlflow``.
        folder: Where those that write files put them.
        config: What is noted about the evaluation.
    """
    from accelerate import Accelerator  # only who tracks needs these
    from accelerate.utils import ProjectConfiguration

    from genrec.training.journal import flat

    project = ProjectConfiguration(str(folder), logging_dir=str(folder))
    accelerator = Accelerator(cpu=True, log_with=list(trackers), project_config=project)
    accelerator.init_trackers("evaluation", config=flat(dict(config or {})))
    accelerator.log(flat_metrics(results), step=0)
    accelerator.end_training()


def flat_metrics(results: Mapping[str, Results]) -> dict[str, float]:
    """List every metric of every method and task under a name of its own."""
    return {
        f"{method}/{task}/{metric}": value
        for method, found in results.items()
        for task, result in found.tasks.items()
        for metric, value in {**result.statistics.values, **result.figures}.items()
        if value == value  # trackers do not take NaN
    }
