"""Honest scoring of any recommender: metrics with intervals, baselines, reports."""

from genrec.eval.baselines import (
    MeanRatingConfig,
    MeanRatingRecommender,
    PopularityRecommender,
)
from genrec.eval.content_knn import ContentKNNConfig, ContentKNNRecommender
from genrec.eval.harness import evaluate
from genrec.eval.hybrid import HybridConfig, HybridRecommender, tune_hybrid
from genrec.eval.intervals import Comparison, Interval, bootstrap, compare
from genrec.eval.item_knn import ItemKNNConfig, ItemKNNRecommender, tune_item_knn
from genrec.eval.kinds import ProtocolError
from genrec.eval.leaks import LeakError
from genrec.eval.peeking import refuse_peeking
from genrec.eval.questions import (
    RANKING_TASKS,
    TASKS,
    Question,
    Questions,
    Task,
    TaskError,
    rated_requests,
    sample_users,
)
from genrec.eval.ranking import hit_rate_at, mrr_at, ndcg_at, recall_at
from genrec.eval.report import summarize, write_report
from genrec.eval.results import Results, TaskResults
from genrec.eval.table import text_table

__all__ = [
    "RANKING_TASKS",
    "TASKS",
    "Comparison",
    "ContentKNNConfig",
    "ContentKNNRecommender",
    "HybridConfig",
    "HybridRecommender",
    "Interval",
    "ItemKNNConfig",
    "ItemKNNRecommender",
    "LeakError",
    "MeanRatingConfig",
    "MeanRatingRecommender",
    "PopularityRecommender",
    "ProtocolError",
    "Question",
    "Questions",
    "Results",
    "Task",
    "TaskError",
    "TaskResults",
    "bootstrap",
    "compare",
    "evaluate",
    "hit_rate_at",
    "mrr_at",
    "ndcg_at",
    "rated_requests",
    "recall_at",
    "refuse_peeking",
    "sample_users",
    "summarize",
    "text_table",
    "tune_hybrid",
    "tune_item_knn",
    "write_report",
]
