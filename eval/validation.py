"""Validation while a model trains: how well it ranks for held-out users so far."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from accelerate.state import PartialState
from accelerate.utils import gather_object
from transformers import PreTrainedModel

from genrec.data import Dataset
from genrec.eval.harness import evaluate
from genrec.eval.intervals import Ints
from genrec.eval.ranking import ndcg_at, recall_at
from genrec.recommender import Recommender


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Scores a model by full ranking without the history, a share of the users in each process.

    It is called with the bare model in eval mode, as :func:`genrec.training.train` does.
    """

    dataset: Dataset
    event_E: Ints
    """The held-out events to predict."""

    serve: Callable[[PreTrainedModel], Recommender]
    """Makes a recommender of the model as it stands."""

    score: ClassVar[str] = "ndcg@10"
    """Which of the metrics decides what is best."""

    def __call__(self, model: PreTrainedModel) -> dict[str, float]:
        """Return the metrics, which are the same in all processes."""
        process = PartialState()
        mine = self.event_E[process.process_index :: process.num_processes]
        found = evaluate(self.serve(model), self.dataset, mine).ranks
        rank_E = np.asarray(gather_object(found.tolist()), dtype=np.int64)
        metrics = {"recall@10": recall_at(rank_E, 10), "ndcg@10": ndcg_at(rank_E, 10)}
        return {name: float(scores.mean()) for name, scores in metrics.items()}
