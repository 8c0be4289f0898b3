import json

import pytest

from genrec.config import ConfigError, load_config
from genrec.data import DataError
from recipes.generate import Config, main
from tests.small_shop import small_bundle


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "model"
    small_bundle(path)
    return path


def generate(model, folder, *lines, **changes):
    requests = folder / "users.jsonl"
    requests.write_text("".join(f"{line}\n" for line in lines))
    main(Config(model=model, requests=requests, out=folder / "items.jsonl", **changes))
    return [json.loads(line) for line in (folder / "items.jsonl").read_text().splitlines()]


def test_answers_come_in_the_order_of_the_requests_with_their_fields(model, tmp_path):
    answers = generate(
        model, tmp_path,
        '{"user": "a", "history": ["sku-1"]}',
        '{"user": "b", "history": [], "query": "red lamp"}',
        '{"user": "c", "history": ["sku-2", "sku-3"]}',
        k=4, batch_size=2,
    )  # fmt: skip
    assert [answer["user"] for answer in answers] == ["a", "b", "c"]
    assert answers[1]["query"] == "red lamp"
    for answer in answers:
        items = [item["item_id"] for item in answer["items"]]
        assert len(set(items)) == 4
        assert not set(items) & set(answer["history"])


def test_only_and_exclude_hold_for_all(model, tmp_path):
    options = {"k": 10, "only": ("sku-0", "sku-5", "sku-7"), "exclude": ("sku-5",)}
    answers = generate(model, tmp_path, '{"history": ["sku-1"]}', **options)
    assert {item["item_id"] for item in answers[0]["items"]} == {"sku-0", "sku-7"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", r"users.jsonl, line 2: no JSON object"),
        ('{"user": "a"}', r'line 2: needs "history"'),
        ('{"history": "sku-1"}', r'line 2: needs "history"'),
        ('{"history": ["sku-99"]}', "line 2: the catalogue has no item 'sku-99'"),
        ('{"history": [["sku-1"]]}', "line 2: item ids are texts"),
        ('{"history": [], "query": 5}', r'line 2: "query" is 5; give words'),
    ],
)
def test_a_wrong_line_is_named_and_nothing_is_written(model, tmp_path, line, message):
    with pytest.raises(DataError, match=message):
        generate(model, tmp_path, '{"history": []}', line)
    assert [path.name for path in tmp_path.iterdir()] == ["users.jsonl"]


def test_a_user_whom_nothing_is_left_for_is_refused_with_the_lines(model, tmp_path):
    everything = json.dumps({"history": [f"sku-{row}" for row in range(12)]})
    with pytest.raises(DataError, match=r"users.jsonl, lines 1 to 2: request 1: .* leaves no item"):
        generate(model, tmp_path, '{"history": []}', everything)


def test_users_are_counted_where_no_bar_is_shown(model, tmp_path, capsys):
    generate(model, tmp_path, '{"history": []}', "", '{"history": ["sku-1"]}', k=1)
    assert capsys.readouterr().out.endswith("items.jsonl: 2 users\n")


def test_a_missing_file_and_an_unknown_item_to_exclude_are_named(model, tmp_path):
    with pytest.raises(DataError, match=r"nobody.jsonl does not exist"):
        main(Config(model=model, requests=tmp_path / "nobody.jsonl", out=tmp_path / "out"))
    with pytest.raises(DataError, match=r"^the catalogue has no item 'sku-99'"):
        generate(model, tmp_path, '{"history": []}', exclude=("sku-99",))


@pytest.mark.parametrize("name", ["k", "beams", "batch_size"])
def test_a_number_below_1_is_refused(tmp_path, name):
    numbers = {name: 0}
    with pytest.raises(ValueError, match=f"{name} is 0; it must be at least 1"):
        Config(model=tmp_path, requests=tmp_path, out=tmp_path, **numbers)


def test_a_field_that_does_not_exist_is_refused(tmp_path):
    path = tmp_path / "generate.yaml"
    path.write_text("model: a\nrequests: b\nout: c\nbeam: 3\n")
    with pytest.raises(ConfigError, match="did you mean 'beams'"):
        load_config(Config, path)
