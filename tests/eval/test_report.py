import dataclasses
import io
import json
import math
from html.parser import HTMLParser

import numpy as np
import pytest
from PIL import Image

from genrec.data import Catalogue, Dataset, leave_one_out
from genrec.eval import evaluate, summarize, text_table, write_report
from genrec.eval.findings import Findings
from genrec.eval.results import Results
from genrec.eval.showcase import showcase
from tests.eval.written import Oracle, written

RATED = {"ann": [1, 2, 3], "bob": [4, 5, 1], "cyd": [2, 2, 2]}
TEXTS = {"ann": ["", "", "so <red>"], "bob": ["", "", "cosy"], "cyd": ["", "", "too big"]}


def shop(*, pictures=True):
    """Three users; the even items have a picture, and a title would like to be markup."""
    dataset = written(
        {"ann": [3, 1, 4], "bob": [1, 5, 9], "cyd": [2, 6, 5]}, ratings=RATED, texts=TEXTS
    )
    table = dataset.catalogue.table.to_dict(as_series=False)
    table["title"][4] = "<script>alert('4')</script>"
    if pictures:
        table["picture"] = [png(row) if row % 2 == 0 else None for row in range(12)]
    return Dataset(Catalogue(type(dataset.catalogue.table)(table)), dataset.interactions, "shop")


def png(row):
    encoded = io.BytesIO()
    Image.new("RGB", (300, 200), (20 * row, 90, 120)).save(encoded, format="PNG")
    return encoded.getvalue()


def run(dataset, *, offset=0, tasks=("recommend", "rate", "explain")):
    oracle = Oracle(
        ranking=lambda request: [
            item for item in np.roll(range(12), -offset).tolist() if item not in request.history
        ][:5],
        text=lambda request: "4" if request.task == "rate" else "so red",
    )
    events = leave_one_out(dataset.interactions).test
    return evaluate(oracle, dataset, events, tasks=tasks, k=5)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    dataset = shop()
    offsets = {"ours": 5, "other": 0, "best": 3}
    results = {name: run(dataset, offset=offset) for name, offset in offsets.items()}
    folder = tmp_path_factory.mktemp("runs") / "report"
    write_report(
        folder, results, dataset, optimum="best", summary={"ndcg@5": 0.5}, seeds={"seed": 3},
        config={"k": 5}, prompt_of=lambda request: f"after {request.history}",
    )  # fmt: skip
    return folder, results, dataset


class Page(HTMLParser):
    """Collects what a page holds, and fails where tags do not close."""

    VOID = ("meta", "br", "img", "link", "path", "use", "rect", "hr", "input")

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.texts, self.links = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data.strip())

    def having(self, name):
        return [attrs for _, attrs in self.tags if name in attrs.get("class", "").split()]


@pytest.fixture(scope="module")
def page(report):
    return Page((report[0] / "report.html").read_text())


def test_results_hold_every_metric_with_its_interval(report):
    folder, results, _ = report
    told = json.loads((folder / "results.json").read_text())
    for name, result in results.items():
        for task, found in result.tasks.items():
            entry = told["methods"][name][task]
            assert entry["counts"] == dict(found.counts)
            assert entry["metrics"] == {
                metric: interval._asdict() for metric, interval in found.metrics.items()
            }


def test_results_hold_what_it_takes_to_trust_them(report):
    folder, _, dataset = report
    told = json.loads((folder / "results.json").read_text())
    assert told["summary"] == {"ndcg@5": 0.5}
    assert (told["seeds"], told["config"]) == ({"seed": 3}, {"k": 5})
    assert told["dataset"]["fingerprint"] == dataset.fingerprint
    assert {"python", "genrec", "torch", "transformers"} <= set(told["versions"])
    assert told["git_revision"] is None or len(told["git_revision"]) >= 40


def test_results_compare_the_first_method_with_the_others(report):
    told = json.loads((report[0] / "results.json").read_text())
    assert list(told["comparisons"]) == ["other", "best"]
    comparison = told["comparisons"]["other"]["recommend"]["ndcg@5"]
    assert comparison["verdict"] in ("better", "worse", "cannot tell")
    assert set(comparison["difference"]) == {"value", "low", "high"}


def test_samples_hold_request_truth_and_all_answers(report):
    folder, results, _ = report
    lines = (folder / "samples.jsonl").read_text().splitlines()
    found = [json.loads(line) for line in lines]
    assert "".join(sample["task"][0] for sample in found) == "rrrrrreee"
    second = found[1]
    assert (second["user"], second["target"]) == ("bob", "sku-9")
    assert second["history"] == ["sku-1", "sku-5"]
    assert second["prompt"] == "after (1, 5)"
    assert second["answers"]["ours"]["items"] == ["sku-6", "sku-7", "sku-8", "sku-9", "sku-10"]
    assert second["answers"]["ours"]["rank"] == results["ours"]["recommend"].answers.rank_E[1] == 3
    assert found[3]["rating"] == 3.0
    assert found[3]["answers"]["ours"] == {"expected": 4.0, "likeliest": 4.0}
    assert (found[6]["text"], found[6]["answers"]["other"]) == ("so <red>", "so red")


def test_what_is_not_a_number_is_null_in_the_files(tmp_path):
    dataset = shop()
    mute = Oracle(text=lambda request: "no idea")
    events = leave_one_out(dataset.interactions).test
    write_report(tmp_path / "r", {"mute": evaluate(mute, dataset, events, tasks=["rate"])}, dataset)
    told = json.loads((tmp_path / "r" / "results.json").read_text())
    assert told["methods"]["mute"]["rate"]["metrics"]["mae"]["value"] is None
    first = json.loads((tmp_path / "r" / "samples.jsonl").open().readline())
    assert first["answers"]["mute"] == {"expected": None, "likeliest": None}


def test_the_page_needs_nothing_else(page):
    assert page.links == [link for link in page.links if link.startswith("#")]
    assert not [tag for tag, _ in page.tags if tag in ("script", "link", "iframe")]


def test_the_page_has_a_table_and_plots_for_every_task(page):
    sections = [attrs.get("id") for tag, attrs in page.tags if tag == "section"]
    assert sections[:4] == ["recommend", "rate", "explain", "users"]
    assert sum(tag == "table" for tag, _ in page.tags) == 3 + 1  # and the riches of texts
    assert sum(tag == "svg" for tag, _ in page.tags) == 6


def test_the_page_says_what_is_ranked(tmp_path):
    dataset, events = shop(), leave_one_out(shop().interactions).test
    first = Oracle(ranking=lambda request: sorted(request.only or range(12))[:3])
    run = evaluate(first, dataset, events, tasks=("recommend", "direct"), k=3, candidates=4)
    write_report(tmp_path / "report", {"first": run}, dataset)
    told = " ".join((tmp_path / "report" / "report.html").read_text().split())
    assert "3 requests, ranked over the whole catalogue." in told
    assert "3 requests, ranked over the candidates of each." in told


def test_the_page_shows_each_user_with_history_truth_and_ranking(page):
    assert [text for text in page.texts if text in ("ann", "bob", "cyd")]
    differing = len(page.having("user")) - 3  # those are shown with two rankings each
    assert 0 < differing <= 3
    assert len(page.having("tile")) == 3 * (2 + 1 + 5) + differing * (2 + 1 + 2 * 5)
    assert {"Found", "Missed", "Better by other than by ours"} <= set(page.texts)
    assert "found at place 1" in page.texts
    assert "missed" in page.texts


def test_items_without_a_picture_get_a_tile_with_their_title(page):
    blank = page.having("none")
    assert blank
    assert all(int(attrs["aria-label"].removeprefix("title ")) % 2 for attrs in blank)


def test_titles_and_texts_are_never_markup(report, page):
    assert "<script>alert" not in (report[0] / "report.html").read_text()
    assert "<script>alert('4')</script>" in page.texts
    assert "so <red>" in page.texts


def test_every_picture_is_in_the_page_once_and_small(report):
    text = (report[0] / "report.html").read_text()
    rankings = {"ours": report[1]["ours"]["recommend"]}
    shown = showcase(rankings, report[2], count=12)
    assert all(text.count(uri) == 1 for uri in shown.pictures.values())
    assert max(map(len, shown.pictures.values())) < 4000


def test_a_report_of_items_without_any_picture_works(tmp_path):
    dataset = shop(pictures=False)
    path = write_report(tmp_path / "r", {"ours": run(dataset)}, dataset)
    assert len(Page(path.read_text()).having("none")) == 24


def test_hits_and_misses_are_drawn_by_halves_where_there_are_enough():
    log = {f"user {u}": [u % 5, 5 + u % 3, 8 + u % 2] for u in range(40)}
    dataset = written(log)
    events = leave_one_out(dataset.interactions).test
    result = evaluate(Oracle(ranking=lambda request: [8]), dataset, events)["recommend"]
    hits, misses = showcase({"eight": result}, dataset, count=12).groups
    assert (len(hits.shoppers), len(misses.shoppers)) == (6, 6)
    assert {shopper.place for shopper in hits.shoppers} == {1}
    assert {shopper.place for shopper in misses.shoppers} == {None}
    assert "from 20 whose next item eight found" in hits.about


def test_too_few_hits_are_made_up_for_by_misses():
    dataset = written({f"user {u}": [1, 2, 3] for u in range(20)})
    events = leave_one_out(dataset.interactions).test
    result = evaluate(Oracle(ranking=lambda request: [9]), dataset, events)["recommend"]
    (misses,) = showcase({"nine": result}, dataset, count=12).groups
    assert (misses.heading, len(misses.shoppers)) == ("Missed", 12)


def test_users_are_shown_where_two_methods_differ_most():
    dataset = written({f"user {u}": [1, 2, 3 + u % 3] for u in range(30)})
    events = leave_one_out(dataset.interactions).test
    ours, theirs = (
        evaluate(Oracle(ranking=lambda r, order=order: order), dataset, events)["recommend"]
        for order in ([3, 4], [5, 4, 3])
    )
    groups = showcase({"ours": ours, "theirs": theirs}, dataset, count=8, rival="theirs").groups
    better, worse = groups[2:]
    assert (better.heading, worse.heading) == (
        "Better by ours than by theirs", "Better by theirs than by ours",
    )  # fmt: skip
    assert [[s.place for s in shopper.shown] for shopper in better.shoppers] == [[1, 3]] * 2
    assert [[s.place for s in shopper.shown] for shopper in worse.shoppers] == [[None, 1]] * 2


def test_methods_that_answered_about_other_events_are_not_compared():
    dataset = shop()
    events = leave_one_out(dataset.interactions).test
    some = evaluate(Oracle(ranking=lambda request: [0]), dataset, events[:2])
    with pytest.raises(ValueError, match="ours was asked 'recommend' about 3 events, other"):
        Findings({"ours": run(dataset), "other": some}, dataset)


def test_no_results_and_an_unknown_optimum_are_refused():
    dataset = shop()
    with pytest.raises(ValueError, match="no results"):
        Findings({}, dataset)
    with pytest.raises(ValueError, match="optimum 'best' is not among ours"):
        Findings({"ours": run(dataset)}, dataset, "best")


def test_a_failed_report_leaves_the_old_one(report, tmp_path):
    folder, results, dataset = tmp_path / "r", report[1], report[2]
    write_report(folder, results, dataset)
    before = (folder / "results.json").read_text()
    with pytest.raises(ZeroDivisionError):
        write_report(folder, results, dataset, prompt_of=lambda request: 1 / 0)
    assert (folder / "results.json").read_text() == before


def test_the_summary_names_the_subject_bare_and_the_others_with_their_name():
    dataset = shop()
    results = {"ours": run(dataset, offset=4), "other": run(dataset)}
    told = summarize(results, subject="ours")
    ours, other = (results[name]["recommend"].metrics["ndcg@5"] for name in results)
    assert told["ndcg@5"] == ours.value
    assert told["ndcg@5_other_interval"] == [other.low, other.high]
    assert told["invalid_rate"] == 0


def test_the_text_table_aligns_methods_with_half_widths():
    dataset = shop()
    results = {"ours": run(dataset, offset=4), "a much longer name": run(dataset)}
    head, rule, *rows = text_table(results, "rate").splitlines()
    assert head.split() == [
        "rate", "calibration", "mae", "mae-likeliest", "rmse-likeliest", "rmse",
    ]  # fmt: skip
    assert {len(line) for line in (head, rule, *rows)} == {len(head)}
    mae = results["ours"]["rate"].metrics["mae"]
    assert f"{mae.value:.3f} +-{mae.half_width:.3f}" in rows[0]


def test_the_text_table_shows_a_dash_where_nothing_was_scored():
    dataset = shop()
    events = leave_one_out(dataset.interactions).test
    mute = evaluate(Oracle(text=lambda request: ""), dataset, events, tasks=["rate"])
    assert math.isnan(mute.metrics["mae"].value)
    assert text_table({"mute": mute}, "rate").splitlines()[-1].split() == ["mute", *["-"] * 5]


def test_a_method_that_says_nothing_is_neither_the_best_nor_the_rival(tmp_path):
    dataset = shop()
    events = leave_one_out(dataset.interactions).test
    mute, low, right = (
        evaluate(Oracle(text=lambda request, said=said: said), dataset, events, tasks=["rate"])
        for said in ("", "1", "2")
    )
    findings = Findings({"subject": low, "mute": mute, "other": right}, dataset)
    assert findings.rival("rate") == "other"
    page = write_report(tmp_path / "report", {"mute": mute, "low": low}, dataset).read_text()
    assert page.count('<td class="best">') == 5
    assert '<td class="best">-<' not in page


def test_methods_without_the_task_are_not_in_its_table():
    dataset = shop()
    everything, ranked = run(dataset), run(dataset, tasks=("recommend",))
    assert "ranker" not in text_table({"all": everything, "ranker": ranked}, "rate")


def test_results_can_be_put_together_from_parts():
    dataset = shop()
    parts = run(dataset)
    only = dataclasses.replace(parts, tasks={"rate": parts["rate"]})
    assert isinstance(only, Results)
    assert only.metrics == parts["rate"].metrics
