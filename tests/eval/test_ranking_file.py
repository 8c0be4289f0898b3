import polars as pl
import pytest

from genrec.data import DataError, leave_one_out
from genrec.eval import evaluate
from genrec.eval.ranking import MISSED
from genrec.eval.ranking_file import RankingFile
from tests.eval.written import written

TWO = written({"ann": [3, 1, 4], "bob": [1, 5, 9]})
LAST = leave_one_out(TWO.interactions).test
ROWS = {
    "user": ["ann", "ann", "ann", "cyd"],
    "item": ["sku-2", "sku-4", "gone", "sku-1"],
    "score": ["0.1", "0.9", "0.5", "1"],
}


def file(folder, name="run.csv", **changes):
    path, table = folder / name, pl.DataFrame(ROWS | changes)
    if path.suffix == ".parquet":
        table.write_parquet(path)
    else:
        table.write_csv(path, separator="," if path.suffix == ".csv" else "\t")
    return path


@pytest.mark.parametrize("name", ["run.csv", "run.tsv", "run.parquet"])
def test_items_are_ranked_by_their_score(tmp_path, name):
    run = RankingFile(file(tmp_path, name), TWO.catalogue)
    results = evaluate(run, TWO, LAST, k=2)
    assert results["recommend"].answers.items_EK.tolist() == [[4, 12], [-1, -1]]
    assert results.ranks.tolist() == [0, MISSED]
    counts = results["recommend"].counts
    assert (counts["invalid"], counts["short"]) == (1, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"score": ["1", "high", "2", "3"]}, "row 1 has no score"),
        ({"user": ["ann", "ann", None, "cyd"]}, "row 2 has no user"),
        ({"item": ["sku-2", "sku-2", "gone", "sku-1"]}, "ranks the item 'sku-2' twice for user 'a"),
    ],
)
def test_rows_that_say_nothing_are_refused(tmp_path, changes, message):
    with pytest.raises(DataError, match=message):
        RankingFile(file(tmp_path, **changes), TWO.catalogue)


def test_a_file_without_scores_is_refused(tmp_path):
    path = tmp_path / "run.csv"
    path.write_text("user,item\nann,sku-1\n")
    with pytest.raises(DataError, match="no column 'score'"):
        RankingFile(path, TWO.catalogue)
    with pytest.raises(DataError, match="does not exist"):
        RankingFile(tmp_path / "none.csv", TWO.catalogue)
    with pytest.raises(DataError, match="no table"):
        RankingFile(file(tmp_path).rename(tmp_path / "run.txt"), TWO.catalogue)


def test_a_file_about_others_is_refused(tmp_path):
    run = RankingFile(file(tmp_path, user=["1", "1", "1", "2"]), TWO.catalogue)
    with pytest.raises(DataError, match="none of the users"):
        evaluate(run, TWO, LAST)
    with pytest.raises(DataError, match="answers no 'direct'"):
        evaluate(run, TWO, LAST, tasks=["direct"])
