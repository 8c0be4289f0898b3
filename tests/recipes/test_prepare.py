import subprocess
import sys
from pathlib import Path

import pytest

from genrec.config import ConfigError, load_config
from genrec.data import AmazonConfig, DataError, Dataset, MovieLensConfig
from recipes.prepare import Config, main
from tests.real_data import real_data

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "recipes" / "prepare.py"
SHIPPED = sorted((ROOT / "recipes" / "configs").glob("prepare_*.yaml"))

LOG = "user,item,time\n" + "".join(f"u{u},i{(u + n) % 5},{n}\n" for u in range(6) for n in range(4))


def tabular(folder: Path, log: str = LOG, **more: str) -> Path:
    (folder / "log.csv").write_text(log)
    lines = [f"out: {folder / 'data'}", "name: log", *(f"{k}: {v}" for k, v in more.items())]
    lines.append(f"tabular: {{interactions: {folder / 'log.csv'}}}")
    (folder / "log.yaml").write_text("\n".join(lines) + "\n")
    return folder / "log.yaml"


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_config_loads(path):
    assert load_config(Config, path).name == path.stem.removeprefix("prepare_").replace(
        "tabular", "shop"
    )


def test_there_is_a_config_for_every_kind_of_data():
    configs = [load_config(Config, path) for path in SHIPPED]
    for loader in ("amazon", "movielens", "sequences", "tabular", "toy"):
        assert any(getattr(config, loader) is not None for config in configs)


def test_a_table_becomes_a_data_set(tmp_path, capsys):
    main(load_config(Config, tabular(tmp_path, source="a till", licence="ours")))
    dataset = Dataset.load(tmp_path / "data")
    assert dataset.counts == {"users": 6, "items": 5, "interactions": 24, "pictures": 0}
    assert (dataset.name, dataset.info["source"], dataset.info["licence"]) == (
        "log",
        "a till",
        "ours",
    )
    printed = capsys.readouterr().out
    assert "interactions      24" in printed
    assert f"written to {tmp_path / 'data'}" in printed


def test_a_core_is_taken_where_the_config_says_so(tmp_path):
    sparse = LOG + "stranger,rare,1\n"
    main(load_config(Config, tabular(tmp_path, sparse, core="{user_events: 4, item_events: 2}")))
    assert Dataset.load(tmp_path / "data").counts["users"] == 6


@pytest.mark.parametrize("name", ["user_events", "item_events"])
def test_a_core_of_no_event_is_refused(tmp_path, name):
    config = load_config(Config, tabular(tmp_path, core=f"{{{name}: 0}}"))
    with pytest.raises(DataError, match=f"{name} is 0; a core needs at least 1"):
        main(config)
    assert not (tmp_path / "data").exists()


def test_events_that_were_dropped_are_told(tmp_path, capsys):
    (tmp_path / "items.csv").write_text("item_id\ni0\ni1\ni2\ni3\n")
    path = tabular(tmp_path)
    path.write_text(
        path.read_text().replace(
            "log.csv}", "log.csv, items: " + str(tmp_path / "items.csv")
            + ", rules: {unknown_items: drop}}",
        )
    )  # fmt: skip
    main(load_config(Config, path))
    dropped = LOG.count(",i4,")
    assert f"dropped           {dropped} events of unknown items" in capsys.readouterr().out


def test_the_toy_shop_is_prepared(tmp_path):
    path = ROOT / "recipes" / "configs" / "prepare_toy.yaml"
    main(load_config(Config, path, [f"--out={tmp_path / 'toy'}"]))
    dataset = Dataset.load(tmp_path / "toy")
    assert dataset.name == "toy"
    assert dataset.counts["pictures"] > 0


def test_no_loader_is_refused():
    with pytest.raises(ValueError, match=r"give one of amazon, .*, not none"):
        Config(out=Path("x"), name="x")


def test_two_loaders_are_refused():
    amazon, movielens = AmazonConfig(reviews=Path("x.json")), MovieLensConfig(folder=Path("x"))
    with pytest.raises(ValueError, match="not amazon and movielens"):
        Config(out=Path("x"), name="x", amazon=amazon, movielens=movielens)


def test_an_unknown_option_of_a_loader_is_refused(tmp_path):
    path = tabular(tmp_path)
    path.write_text(path.read_text().replace("interactions:", "interaction:"))
    with pytest.raises(ConfigError, match="no field 'interaction'; did you mean 'interactions'"):
        load_config(Config, path)


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(RECIPE), *args], capture_output=True, text=True, check=False, cwd=ROOT
    )


def test_bad_data_end_with_one_line_and_nothing_half_written(tmp_path):
    path = tabular(tmp_path, LOG + ",i1,1\n")
    ran = run("--config", str(path))
    assert ran.returncode == 1
    assert ran.stderr == (
        f"prepare: {tmp_path / 'log.csv'}, row 26 has no user; drop the row or name its user\n"
    )
    assert sorted(file.name for file in tmp_path.iterdir()) == ["log.csv", "log.yaml"]


def test_bad_data_leave_the_earlier_data_set(tmp_path):
    main(load_config(Config, tabular(tmp_path)))
    run("--config", str(tabular(tmp_path, LOG + ",i1,1\n")))
    assert Dataset.load(tmp_path / "data").counts["interactions"] == 24


def test_beauty_is_prepared_by_its_shipped_config(tmp_path):
    folder = real_data("amazon-beauty")
    config = load_config(
        Config,
        ROOT / "recipes" / "configs" / "prepare_beauty.yaml",
        [
            f"--out={tmp_path / 'data'}",
            f"--sequences.sequences={folder / 'sequences.tsv'}",
            f"--sequences.items={folder / 'items.jsonl'}",
        ],
    )
    main(config)
    dataset = Dataset.load(tmp_path / "data")
    assert dataset.counts["interactions"] == 198_502
    assert dataset.catalogue.attributes == ("title", "brand", "categories", "price")
