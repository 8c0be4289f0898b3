import re
from pathlib import Path

from genrec.eval import methods
from genrec.recommender import Request

GUIDE = Path(__file__).parents[2] / "docs" / "evaluation.md"


def test_the_examples_of_the_guide_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(methods, "METHODS", methods.METHODS.copy())
    known = {"__name__": "guide"}
    recommender, metric, baseline = re.findall(r"```python\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    exec(recommender, known)
    printed = capsys.readouterr().out.splitlines()
    assert printed[0].startswith("recommend ")
    assert printed[2].startswith("same brand ")
    assert printed[-1] in ("better", "worse", "cannot tell")
    assert (tmp_path / "runs" / "same-brand" / "report.html").is_file()

    exec(metric, known)
    share, verdict = capsys.readouterr().out.splitlines()
    # Whoever names items of one brand alone is right as often as a user stays with a brand.
    dataset, test = known["dataset"], known["split"].test
    brand = dataset.catalogue.table["brand"].to_numpy()[dataset.interactions.item]
    assert f"value={(brand[test] == brand[test - 1]).mean()}," in share
    assert verdict in ("better", "cannot tell")

    exec(baseline, known)
    made = methods.make_method("same_brand", dataset, known["split"])
    ranking = made.recommend([Request(history=(0,), exclude=(0,))], 1)[0]
    brands = dataset.catalogue.table["brand"]
    assert brands[int(ranking.items[0])] == brands[0]
