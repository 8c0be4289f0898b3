"""Honest scoring of any recommender: metrics with intervals, baselines, reports."""

from genrec.eval.background import Background
from genrec.eval.baselines import (
    MeanRatingConfig,
    MeanRatingRecommender,
    PopularityRecommender,
)
from genrec.eval.bert_score import BertScore
from genrec.eval.beyond import beyond_accuracy
from genrec.eval.content_knn import (
    ContentKNNConfig,
    ContentKNNRecommender,
    tune_content_knn,
)
from genrec.eval.dialogues import evaluate_dialogues
from genrec.eval.harness import evaluate
from genrec.eval.hybrid import HybridConfig, HybridRecommender, Part, tune_hybrid
from genrec.eval.intervals import Comparison, Interval, Statistics, bootstrap, compare
from genrec.eval.item_knn import ItemKNNConfig, ItemKNNRecommender, tune_item_knn
from genrec.eval.item_questions import ItemQuestions, sample_items
from genrec.eval.kinds import ProtocolError
from genrec.eval.leaks import LeakError
from genrec.eval.peeking import refuse_peeking
from genrec.eval.questions import Question, Questions, rated_requests, sample_users
from genrec.eval.ranking import hit_rate_at, mrr_at, ndcg_at, recall_at
from genrec.eval.ranking_file import RankingFile
from genrec.eval.report import summarize, write_report
from genrec.eval.reported import read_report
from genrec.eval.results import Results, TaskResults
from genrec.eval.seeds import across_seeds, mean_of_runs
from genrec.eval.slices import slice_results
from genrec.eval.stress import STRESSES
from genrec.eval.table import text_table
from genrec.eval.tasks import DIALOGUE_TASKS, ITEM_TASKS, RANKING_TASKS, TASKS, Task
from genrec.eval.under_stress import put_under_stress
from genrec.recommender import TaskError

__all__ = [
    "DIALOGUE_TASKS",
    "ITEM_TASKS",
    "RANKING_TASKS",
    "STRESSES",
    "TASKS",
    "Background",
    "BertScore",
    "Comparison",
    "ContentKNNConfig",
    "ContentKNNRecommender",
    "HybridConfig",
    "HybridRecommender",
    "Interval",
    "ItemKNNConfig",
    "ItemKNNRecommender",
    "ItemQuestions",
    "LeakError",
    "MeanRatingConfig",
    "MeanRatingRecommender",
    "Part",
    "PopularityRecommender",
    "ProtocolError",
    "Question",
    "Questions",
    "RankingFile",
    "Results",
    "Statistics",
    "Task",
    "TaskError",
    "TaskResults",
    "across_seeds",
    "beyond_accuracy",
    "bootstrap",
    "compare",
    "evaluate",
    "evaluate_dialogues",
    "hit_rate_at",
    "mean_of_runs",
    "mrr_at",
    "ndcg_at",
    "put_under_stress",
    "rated_requests",
    "read_report",
    "recall_at",
    "refuse_peeking",
    "sample_items",
    "sample_users",
    "slice_results",
    "summarize",
    "text_table",
    "tune_content_knn",
    "tune_hybrid",
    "tune_item_knn",
    "write_report",
]
