import json
import math

import numpy as np
import polars as pl
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from genrec.artifacts import ArtifactError
from genrec.data import Catalogue, DataError
from genrec.tokenization import AssignmentConfig, RQKMeansConfig, RQVAEConfig, SemanticTokenizer
from genrec.tokenization.training import TrainingConfig

ITEMS = 60
CONFIG = RQKMeansConfig(codebook_sizes=(6, 6, 6), components=4)


def features(items: int, seed: int = 0, shift: float = 0.0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    heaps = np.random.default_rng(99).normal(size=(8, 10))[draw.integers(8, size=items)]
    return (heaps + 0.3 * draw.normal(size=(items, 10)) + shift).astype(np.float32)


def catalogue(*names: str) -> Catalogue:
    return Catalogue(pl.DataFrame({"item_id": list(names)}))


def old_names() -> list[str]:
    return [f"old-{row}" for row in range(ITEMS)]


def new_names(count: int) -> list[str]:
    return [f"new-{row}" for row in range(count)]


def train(config=CONFIG, **options) -> SemanticTokenizer:
    short = TrainingConfig(epochs=3, batch_size=32, colliding=8)
    return SemanticTokenizer.train(
        features(ITEMS), config, training=short, catalogue=catalogue(*old_names()), **options
    )


def id_of(tokenizer: SemanticTokenizer, name: str) -> str:
    return tokenizer.ids.text(tokenizer.ledger.item_ids.index(name))


@pytest.mark.parametrize(
    "config", [CONFIG, RQVAEConfig(codebook_sizes=(6, 6, 6), latent_dim=4, hidden_dims=(8,))]
)
@pytest.mark.parametrize("strategy", ["reassign", "extra_level"])
def test_new_items_get_ids_and_old_ones_keep_theirs(config, strategy):
    tokenizer = train(config, assignment=AssignmentConfig(strategy=strategy))
    before_NL = tokenizer.ids.codes_NL.copy()
    drift = tokenizer.add(features(20, seed=1), new_names(20))
    assert len(tokenizer.ids) == ITEMS + 20
    assert tokenizer.ids.are_unique
    np.testing.assert_array_equal(tokenizer.ids.codes_NL[:ITEMS], before_NL)
    assert tokenizer.version == 2
    assert drift.items == 20
    assert drift.training_items == ITEMS


def test_twins_of_old_items_are_moved_and_counted():
    tokenizer = train()
    drift = tokenizer.add(features(ITEMS), new_names(ITEMS))
    assert tokenizer.ids.are_unique
    assert drift.moved_share > 0.9
    assert drift.final_error > 1.1 * drift.error
    assert drift.error == pytest.approx(drift.training_error, rel=1e-5)
    assert drift.verdict == "retrain"


def test_an_item_is_new_where_it_is_near_to_no_code():
    tokenizer = train()
    assert tokenizer.add(features(20, seed=1), new_names(20)).beyond_share < 0.1
    drift = tokenizer.add(features(20, seed=2, shift=3.0), [f"odd-{row}" for row in range(20)])
    assert drift.beyond_share == 1
    assert drift.verdict == "retrain"
    assert tokenizer.drift.items == 40


def test_the_order_is_that_of_the_catalogue():
    tokenizer = train()
    was = {name: id_of(tokenizer, name) for name in old_names()}
    shuffled = catalogue("new-1", *reversed(old_names()), "new-0")
    tokenizer.add(features(2, seed=1), ["new-0", "new-1"], catalogue=shuffled)
    assert tokenizer.catalogue == shuffled.fingerprint
    assert tokenizer.ledger.item_ids == shuffled.item_ids
    assert {name: id_of(tokenizer, name) for name in old_names()} == was


def test_a_removed_item_keeps_its_id_for_its_return():
    tokenizer = train()
    was = id_of(tokenizer, "old-7")
    tokenizer.remove(["old-7"])
    assert was not in [tokenizer.ids.text(row) for row in range(len(tokenizer.ids))]
    twin = features(ITEMS)[7:8]
    tokenizer.add(twin, ["twin"])
    assert id_of(tokenizer, "twin") != was
    assert tokenizer.add(features(1, seed=5), ["old-7"]) is None
    assert id_of(tokenizer, "old-7") == was


def test_a_freed_id_may_go_to_another_item():
    tokenizer = train(config=RQKMeansConfig(codebook_sizes=(6, 6, 6), components=4))
    codes_NL = tokenizer.encode(features(ITEMS))
    row = int((codes_NL == tokenizer.ids.codes_NL).all(axis=1).argmax())
    was = tokenizer.ids.text(row)
    tokenizer.remove([f"old-{row}"], free=True)
    tokenizer.add(features(ITEMS)[row : row + 1], ["twin"])
    assert id_of(tokenizer, "twin") == was
    tokenizer.add(features(ITEMS)[row : row + 1], [f"old-{row}"])
    assert id_of(tokenizer, f"old-{row}") != was
    assert tokenizer.ids.are_unique


def test_an_id_can_be_freed_long_after_the_item_left():
    tokenizer = train()
    tokenizer.remove(["old-3"])
    assert "old-3" in tokenizer.ledger.known
    tokenizer.remove(["old-3"], free=True)
    assert "old-3" not in tokenizer.ledger.known
    assert len(tokenizer.ids) == ITEMS - 1


def test_an_update_adds_removes_and_brings_back_in_one_version():
    tokenizer = train()
    was = {name: id_of(tokenizer, name) for name in old_names()}
    tokenizer.remove(["old-0"])
    now = catalogue("new-0", "old-0", *old_names()[10:], "new-1")
    assert tokenizer.new_items(now).tolist() == [0, len(now) - 1]
    drift = tokenizer.update(now, features(2, seed=1))
    assert drift.items == 2
    assert tokenizer.ledger.item_ids == now.item_ids
    assert id_of(tokenizer, "old-0") == was["old-0"]
    version = tokenizer.ledger.versions[-1]
    assert (version.version, version.added, version.removed) == (3, 3, 9)
    assert version.change == "added 2, removed 9, 1 came back"


def test_an_update_may_free_the_ids_of_those_that_leave():
    tokenizer = train()
    codes_NL = tokenizer.encode(features(ITEMS))
    row = int((codes_NL == tokenizer.ids.codes_NL).all(axis=1).argmax())
    was = tokenizer.ids.text(row)
    now = catalogue(*[name for name in old_names() if name != f"old-{row}"], "twin")
    tokenizer.update(now, features(ITEMS)[row : row + 1], free=True)
    assert id_of(tokenizer, "twin") == was
    assert tokenizer.ledger.versions[-1].change == "added 1, removed 1, freed 1 IDs"


def test_a_version_can_be_brought_back():
    tokenizer = train()
    first = tokenizer.ids
    tokenizer.update(catalogue("new-0", *reversed(old_names()[5:])), features(1, seed=1))
    second = tokenizer.ids
    tokenizer.rollback(1)
    assert tokenizer.ids == first
    assert tokenizer.catalogue == catalogue(*old_names()).fingerprint
    tokenizer.rollback(2)
    assert tokenizer.ids == second
    assert [version.change for version in tokenizer.ledger.versions] == [
        "trained", "added 1, removed 5", "rolled back to 1", "rolled back to 2"
    ]  # fmt: skip


def test_rolling_back_over_a_freed_id_leaves_it_to_its_first_owner():
    tokenizer = train()
    codes_NL = tokenizer.encode(features(ITEMS))
    row = int((codes_NL == tokenizer.ids.codes_NL).all(axis=1).argmax())
    was = tokenizer.ids.text(row)
    tokenizer.remove([f"old-{row}"], free=True)
    tokenizer.add(features(ITEMS)[row : row + 1], ["twin"])
    tokenizer.rollback(1)
    assert id_of(tokenizer, f"old-{row}") == was
    tokenizer.add(features(ITEMS)[row : row + 1], ["twin"])
    assert id_of(tokenizer, "twin") != was
    assert tokenizer.ids.are_unique


def test_an_item_that_rolls_back_to_its_first_id_gives_up_the_second():
    tokenizer = train()
    first, (last,) = id_of(tokenizer, old_names()[-1]), features(ITEMS)[-1:]
    tokenizer.remove(["old-59"], free=True)
    tokenizer.add(np.stack([last, last]), ["twin", "old-59"])
    assert id_of(tokenizer, "old-59") != first
    tokenizer.rollback(1)
    tokenizer.update(catalogue(*old_names()))
    assert id_of(tokenizer, "old-59") == first
    tokenizer.remove(["old-59"])
    tokenizer.add(last[None], ["old-59"])
    assert id_of(tokenizer, "old-59") == first


def test_the_whole_story_survives_the_disk(tmp_path):
    tokenizer = train()
    tokenizer.add(features(5, seed=1), new_names(5))
    tokenizer.remove(["old-2", "new-3"])
    now = catalogue(*reversed(tokenizer.ledger.item_ids))
    tokenizer.update(now)
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    again = SemanticTokenizer.from_pretrained(tmp_path / "tokenizer", catalogue=now)
    assert again.ids == tokenizer.ids
    assert again.ledger.versions == tokenizer.ledger.versions
    assert again.drift == tokenizer.drift
    for version in range(1, 5):
        np.testing.assert_array_equal(
            again.ledger.rows_at(version), tokenizer.ledger.rows_at(version)
        )
    log = json.loads((tmp_path / "tokenizer" / "versions.json").read_text())["versions"]
    assert log[1]["drift"]["verdict"] in ("keep", "watch", "retrain")


def test_a_failed_change_leaves_everything_as_it_was():
    tokenizer = train()
    before = tokenizer.ledger
    with pytest.raises(DataError):
        tokenizer.add(features(2), ["new-0", "old-1"])
    with pytest.raises(DataError):
        tokenizer.remove(["old-1", "never-there"])
    assert tokenizer.ledger is before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.add(features(1), ["old-1"]), "'old-1' is there already"),
        (lambda t: t.add(features(2), ["new", "new"]), "'new' is named twice"),
        (lambda t: t.remove(["nobody"]), "has no item 'nobody'"),
        (lambda t: t.remove(["nobody"], free=True), "keeps no ID for an item 'nobody'"),
        (lambda t: t.remove(old_names()), "no item would be left"),
        (
            lambda t: t.add(features(1), ["new"], catalogue=catalogue(*old_names())),
            "lacks the item 'new', which was not removed",
        ),
        (
            lambda t: t.remove(["old-1"], catalogue=catalogue(*old_names())),
            "has the item 'old-1', which was not added",
        ),
    ],
)
def test_changes_that_make_no_sense_are_refused(change, words):
    with pytest.raises(DataError, match=words):
        change(train())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.add(features(2), ["new"]), "features of 2 items for 1 ids"),
        (lambda t: t.add(features(1)[:, :4], ["new"]), "4 wide, but the tokenizer was trained"),
        (lambda t: t.add(np.full((1, 10), np.nan), ["new"]), "are not finite"),
        (lambda t: t.add(features(300), new_names(300)), "300 new items do not fit the 156 places"),
        (lambda t: t.update(catalogue("a", "b"), features(1)), "2 items of the catalogue have no"),
        (lambda t: t.rollback(2), "there is no version 2; there are 1 to 1"),
    ],
)
def test_features_that_do_not_fit_are_refused(change, words):
    with pytest.raises(ValueError, match=words):
        change(train())


def test_a_broken_ledger_is_refused(tmp_path):
    tokenizer = train()
    tokenizer.save_pretrained(tmp_path / "tokenizer")
    (tmp_path / "tokenizer" / "ledger.parquet").write_bytes(b"no table")
    with pytest.raises(ArtifactError, match="holds no ledger that can be read"):
        SemanticTokenizer.from_pretrained(tmp_path / "tokenizer")


def test_a_ledger_of_another_tokenizer_is_refused(tmp_path):
    train(seed=1).save_pretrained(tmp_path / "one")
    train(seed=2).save_pretrained(tmp_path / "two")
    (tmp_path / "two" / "ledger.parquet").replace(tmp_path / "one" / "ledger.parquet")
    with pytest.raises(ArtifactError, match=r"ledger\.parquet is"):
        SemanticTokenizer.from_pretrained(tmp_path / "one")


class GrowingShop(RuleBasedStateMachine):
    """Whatever comes and goes: IDs are unique, nobody's changes, every version can be had again."""

    @initialize(strategy=st.sampled_from(["reassign", "extra_level"]), per_id=st.integers(1, 2))
    def open(self, strategy, per_id):
        config = RQKMeansConfig(codebook_sizes=(3, 4), components=2)
        self.tokenizer = SemanticTokenizer.train(
            features(6), config, catalogue=catalogue(*old_names()[:6]),
            assignment=AssignmentConfig(strategy=strategy, items_per_id=per_id),
        )  # fmt: skip
        self.per_id, self.promised, self.freed, self.ids = per_id, {}, set(), []
        self.remember()

    def remember(self):
        codes = map(tuple, self.tokenizer.ids.codes_NL.tolist())
        self.promised |= dict(zip(self.tokenizer.ledger.item_ids, codes, strict=True))
        self.ids.append(self.tokenizer.ids)

    @rule(number=st.integers(0, 9), seed=st.integers(0, 5))
    def add(self, number, seed):
        name = f"old-{number}"
        if name in self.tokenizer.ledger.item_ids:
            return
        places = math.prod(self.tokenizer.codebook_sizes) * self.per_id
        kept = name in self.tokenizer.ledger.known
        if not kept and places == len(self.tokenizer.ledger.taken_EL):
            return
        self.tokenizer.add(features(1, seed=seed), [name])
        if name in self.promised and name not in self.freed:
            assert self.promised[name] == self.code(name)
        self.freed.discard(name)
        self.remember()

    @rule(number=st.integers(0, 9), free=st.booleans())
    def remove(self, number, free):
        name, present = f"old-{number}", self.tokenizer.ledger.item_ids
        if name not in present or len(present) == 1:
            return
        self.tokenizer.remove([name], free=free)
        self.freed |= {name} if free else set()
        self.ids.append(self.tokenizer.ids)

    @rule(version=st.integers(1, 30))
    def rollback(self, version):
        if version > self.tokenizer.version:
            return
        self.tokenizer.rollback(version)
        assert self.tokenizer.ids == self.ids[version - 1]
        self.freed = {
            name for name in self.promised if name not in self.tokenizer.ledger.known
        }  # an item may have lost its ID to the one that had it first
        self.remember()

    def code(self, name):
        row = self.tokenizer.ledger.item_ids.index(name)
        return tuple(self.tokenizer.ids.codes_NL[row].tolist())

    @invariant()
    def no_id_has_too_many_items(self):
        if hasattr(self, "tokenizer"):
            assert self.tokenizer.ids.items_per_id.max() <= self.per_id

    @invariant()
    def every_item_is_known_by_the_id_it_has(self):
        if hasattr(self, "tokenizer"):
            ledger = self.tokenizer.ledger
            assert [ledger.known[name] for name in ledger.item_ids] == ledger.rows_N.tolist()


GrowingShop.TestCase.settings = settings(max_examples=25, stateful_step_count=15, deadline=None)
test_a_growing_shop = GrowingShop.TestCase
