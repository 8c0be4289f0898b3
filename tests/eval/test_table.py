import pytest

from genrec.eval.table import main_metric


@pytest.mark.parametrize(
    ("task", "metrics", "main"),
    [
        ("recommend", ["hr@5", "ndcg@5", "ndcg@10", "mrr@10"], "ndcg@10"),
        ("recommend", ["hr@1", "ndcg@1", "ndcg@3"], "ndcg@3"),
        ("rate", ["mae", "rmse"], "rmse"),
        ("explain", ["bleu-4", "rouge-l"], "rouge-l"),
        ("item_to_title", ["exact-match", "rouge-l"], "rouge-l"),
        ("attribute", ["exact-match", "rouge-l"], "exact-match"),
        ("select", ["precision", "f1"], "f1"),
    ],
)
def test_each_task_has_the_metric_that_suits_its_answers(task, metrics, main):
    assert main_metric(task, metrics) == main
