import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from genrec.artifacts import ArtifactError
from genrec.decoding import TokenTrie
from genrec.decoding.trie_store import load_tensors
from genrec.semantic_ids import SemanticIds
from tests.decoding.tiny import continuations, item_tokens, random_ids

SIX = SemanticIds(np.array([[1, 0], [0, 2], [1, 2], [0, 2], [0, 1], [1, 1]]), (2, 3))
"""Level by level: code 0 has the children 1 and 2 (items 1 and 3), code 1 has 0, 1 and 2."""


def test_items_are_sorted_by_code_and_then_by_row():
    assert TokenTrie.from_semantic_ids(SIX, 10).row_N.tolist() == [4, 1, 3, 0, 5, 2]


def test_ranks_invert_the_order():
    trie = TokenTrie.from_semantic_ids(SIX, 10)
    assert trie.rank_N[trie.row_N].tolist() == list(range(6))


def test_levels_take_up_the_vocabulary_one_after_the_other():
    first, second = TokenTrie.from_semantic_ids(SIX, 10).levels
    assert first.token_M.tolist() == [10, 11]
    assert second.token_M.tolist() == [13, 14, 12, 13, 14]


def test_a_first_token_for_every_level_places_each_by_itself():
    trie = TokenTrie.from_semantic_ids(SIX, [30, 5])
    assert [level.token_M.tolist() for level in trie.levels] == [[30, 31], [6, 7, 5, 6, 7]]
    assert trie.vocabulary_end == 32


def test_bounds_say_which_items_and_children_a_node_has():
    first, second = TokenTrie.from_semantic_ids(SIX, 10).levels
    assert first.rank_bounds.tolist() == [0, 3, 6]
    assert second.rank_bounds.tolist() == [0, 1, 3, 4, 5, 6]
    assert first.child_bounds.tolist() == [0, 2]
    assert second.child_bounds.tolist() == [0, 2, 5]


def test_children_come_from_a_table_where_nodes_have_many():
    level = TokenTrie.from_semantic_ids(SIX, 10).levels[1]
    assert level.node_PK.tolist() == [[-1, 0, 1], [2, 3, 4]]
    children = level.children(torch.tensor([[1, 0]]))
    assert children.mask.tolist() == [[[0, 0, 0], [-np.inf, 0, 0]]]
    assert children.mask.dtype == torch.float32
    assert children.node[children.mask == 0].tolist() == [2, 3, 4, 0, 1]
    assert children.token.tolist() == [[[12, 13, 14], [12, 13, 14]]]


def test_children_are_padded_to_the_widest_node_where_nodes_have_few():
    ids = SemanticIds(SIX.codes_NL, (2, 30))
    level = TokenTrie.from_semantic_ids(ids, 10).levels[1]
    assert level.node_PK is None
    children = level.children(torch.tensor([[1, 0]]))
    assert children.mask.tolist() == [[[0, 0, 0], [0, 0, -np.inf]]]
    assert children.mask.dtype == torch.float32
    assert children.node[children.mask == 0].tolist() == [2, 3, 4, 0, 1]
    assert children.token[children.mask == 0].tolist() == [12, 13, 14, 13, 14]


LEVELS = [
    TokenTrie.from_semantic_ids(SemanticIds(SIX.codes_NL, (2, k)), 10).levels[1] for k in (3, 30)
]
"""The same level, with a table and without."""


@pytest.mark.parametrize("level", LEVELS)
def test_no_node_has_no_children(level):
    for parent in (torch.tensor([[-1, 0]]), torch.tensor([[-1, 0]], dtype=torch.int32)):
        children = level.children(parent)
        assert children.mask[0, 0].isneginf().all()
        assert (children.mask[0, 1] == 0).sum() == 2
        assert children.rank_bounds[0, 0].diff().eq(0).all()
    first, end = level.ranks(torch.tensor([-1, 4]))
    assert (end - first).tolist() == [0, 1]


@pytest.mark.parametrize("level", LEVELS)
def test_what_is_picked_is_what_stands_at_the_place(level):
    parent_BW = torch.tensor([[0, 1], [1, 1]])
    children = level.children(parent_BW)
    place_BX = torch.tensor([[1, 5], [level.width, 2]])
    picked = children.pick(place_BX)
    assert picked.parent_BX.tolist() == [[0, 5 // level.width], [1, 0]]
    for b, x in itertools.product(range(2), range(2)):
        w, c = divmod(int(place_BX[b, x]), level.width)
        if children.mask[b, w, c] == 0:
            assert picked.node_BX[b, x] == children.node[b, w, c]
            assert picked.token_BX[b, x] == children.token[b, w, c]


@pytest.mark.parametrize("level", LEVELS)
def test_the_items_of_children_lie_between_bounds(level):
    children = level.children(torch.tensor([[1, 0]]))
    assert children.rank_bounds.tolist() == [[[3, 4, 5, 6], [0, 1, 3, 4]]]
    counts = children.in_places(children.rank_bounds.diff())
    assert counts[children.mask == 0].tolist() == [1, 1, 1, 1, 2]


def test_walking_ends_at_the_node_of_the_path():
    trie = TokenTrie.from_semantic_ids(SIX, 10)
    assert trie.walk(torch.tensor([[11, 12], [10, 14]])).tolist() == [2, 1]
    assert trie.walk(torch.tensor([[11]])).tolist() == [1]
    assert trie.walk(torch.empty(3, 0, dtype=torch.long)).tolist() == [0, 0, 0]


def test_walking_off_the_trie_is_an_error_that_names_the_path():
    trie = TokenTrie.from_semantic_ids(SIX, 10)
    with pytest.raises(ValueError, match=r"row 1: no ID begins with the tokens \[10, 12\]"):
        trie.walk(torch.tensor([[11, 12], [10, 12]]))


@settings(deadline=None, max_examples=60)
@given(
    items=st.integers(1, 60),
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    seed=st.integers(0, 2**16),
)
def test_the_children_of_every_path_are_the_continuations_of_the_items(items, sizes, seed):
    ids = random_ids(items, sizes, seed=seed, unique=False)
    trie = TokenTrie.from_semantic_ids(ids, 40)
    for path, tokens in continuations(ids).items():
        level = trie.levels[len(path)]
        children = level.children(trie.walk(torch.tensor([path], dtype=torch.long)))
        assert set(children.mask.flatten().tolist()) <= {0, -np.inf}
        node, token = (x[children.mask == 0] for x in (children.node, children.token))
        assert token.tolist() == level.token_M[node].tolist() == tokens


@settings(deadline=None, max_examples=60)
@given(
    items=st.integers(1, 60),
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    seed=st.integers(0, 2**16),
)
def test_the_ranks_below_a_leaf_are_the_items_that_share_its_id(items, sizes, seed):
    ids = random_ids(items, sizes, seed=seed, unique=False)
    trie = TokenTrie.from_semantic_ids(ids, 40)
    paths = item_tokens(ids)
    first, end = trie.levels[-1].ranks(trie.walk(torch.tensor(paths)))
    for row in range(items):
        sharing = [other for other in range(items) if paths[other] == paths[row]]
        assert trie.row_N[first[row] : end[row]].tolist() == sharing


def test_many_codes_per_level_do_not_overflow():
    ids = SemanticIds(np.array([[65535] * 5, [0] * 5, [65535] * 4 + [3]]), (65536,) * 5)
    trie = TokenTrie.from_semantic_ids(ids, 100)
    assert trie.row_N.tolist() == [1, 2, 0]
    assert trie.levels[4].token_M.tolist() == [100 + 4 * 65536 + code for code in (0, 3, 65535)]


def same(first: TokenTrie, second: TokenTrie) -> bool:
    ours, theirs = first._tensors(), second._tensors()
    return ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)


def test_what_was_saved_is_loaded(tmp_path):
    trie = TokenTrie.from_semantic_ids(random_ids(50, (4, 30, 3)), 40)
    trie.save(tmp_path / "index.safetensors")
    loaded = TokenTrie.load(tmp_path / "index.safetensors")
    assert same(trie, loaded)
    assert [level.max_branch for level in loaded.levels] == [lv.max_branch for lv in trie.levels]
    assert loaded.vocabulary_end == trie.vocabulary_end
    assert loaded.bytes == trie.bytes
    assert [path.name for path in tmp_path.iterdir()] == ["index.safetensors"]


def test_a_missing_or_foreign_file_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="does not exist"):
        TokenTrie.load(tmp_path / "index.safetensors")
    (tmp_path / "broken.safetensors").write_bytes(b"not tensors")
    with pytest.raises(ArtifactError, match="holds no index"):
        TokenTrie.load(tmp_path / "broken.safetensors")
    SIX.save(tmp_path / "ids.safetensors")
    with pytest.raises(ArtifactError, match="has the format None"):
        TokenTrie.load(tmp_path / "ids.safetensors")


def test_a_trie_that_could_not_be_saved_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "index.safetensors"
    TokenTrie.from_semantic_ids(SIX, 10).save(path)
    before = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("genrec.decoding.trie_store.save_file", full)
    with pytest.raises(OSError, match="No space left"):
        TokenTrie.from_semantic_ids(random_ids(50, (9, 9)), 10).save(path)
    assert path.read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 1


@settings(deadline=None, max_examples=60)
@given(
    data=st.data(),
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    seed=st.integers(0, 2**16),
)
def test_an_updated_trie_is_the_one_built_anew(data, sizes, seed):
    before = random_ids(20, sizes, seed=seed, unique=False)
    stay = data.draw(st.lists(st.booleans(), min_size=20, max_size=20))
    added = random_ids(7, sizes, seed=seed + 1, unique=False).codes_NL
    # New items may come anywhere among those that stay.
    old_rows = [row for row in range(20) if stay[row]]
    for _ in range(7):
        old_rows.insert(data.draw(st.integers(0, len(old_rows))), -1)
    new = iter(added)
    codes = [before.codes_NL[row] if row >= 0 else next(new) for row in old_rows]
    after = SemanticIds(np.array(codes), tuple(sizes))
    updated = TokenTrie.from_semantic_ids(before, 40).updated(after, old_rows)
    assert same(updated, TokenTrie.from_semantic_ids(after, 40))


@pytest.mark.parametrize(
    ("codes", "old_rows", "message"),
    [
        ([[1, 0], [0, 2]], [0], "old rows are given for 1 items, but there are 2"),
        ([[0, 2], [1, 0]], [1, 0], "in the order in which they came, each once"),
        ([[1, 0], [0, 2]], [0, 6], "in the order in which they came, each once"),
        ([[0, 0], [0, 2], [0, 1]], [0, 1, 4], "an item that stays has another ID"),
    ],
)
def test_an_update_that_is_none_is_refused(codes, old_rows, message):
    trie = TokenTrie.from_semantic_ids(SIX, 10)
    with pytest.raises(ValueError, match=message):
        trie.updated(SemanticIds(np.array(codes), (2, 3)), old_rows)


def test_paths_of_any_length_are_ids_too():
    trie = TokenTrie.from_paths([[7, 3], [7], [5, 9, 2]])
    assert trie.row_N.tolist() == [2, 1, 0]
    assert [level.token_M.tolist() for level in trie.levels] == [[5, 7], [9, -1, 3], [2, -1, -1]]
    assert trie.vocabulary_end == 10


@pytest.mark.parametrize("paths", [[], [[1], []]])
def test_items_without_tokens_are_refused(paths):
    with pytest.raises(ValueError, match="an ID of at least one token"):
        TokenTrie.from_paths(paths)


def test_masks_are_counted_as_memory_and_never_saved(tmp_path):
    trie = TokenTrie.from_semantic_ids(SIX, 10)
    saved = sum(tensor.nbytes for tensor in trie._tensors().values())
    masks = [level.mask_rows for level in trie.levels]
    assert [mask.shape for mask in masks] == [(2, 2), (3, 3)]
    assert trie.bytes == saved + sum(mask.nbytes for mask in masks)
    trie.save(tmp_path / "index.safetensors")
    assert all(k in trie._tensors() for k in load_tensors(tmp_path / "index.safetensors")[0])


def test_the_same_trie_moves_to_another_device():
    trie = TokenTrie.from_semantic_ids(SIX, 10).to("meta")
    assert trie.device.type == "meta"
    assert {t.device.type for level in trie.levels for t in (level.token_M, level.rank_bounds)} == {
        "meta"
    }


@pytest.mark.parametrize(
    ("first_token", "message"),
    [([1, 2, 3], "3 vocabulary ids, but the IDs have 2 levels"), (-1, "holds -1")],
)
def test_wrong_first_tokens_are_refused(first_token, message):
    with pytest.raises(ValueError, match=message):
        TokenTrie.from_semantic_ids(SIX, first_token)
