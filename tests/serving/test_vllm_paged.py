"""Where the keys and values of beams lie, by hand and by following every token."""

import importlib

import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.serving.vllm_setup import needs_vllm

pytestmark = needs_vllm


def paged():
    return importlib.import_module("genrec.serving.vllm.paged")


def prompts(*lengths, block_size=4):
    """Make prompts whose blocks in vLLM's cache are numbered from 100."""
    made, first = [], 100
    for length in lengths:
        blocks = -(-length // block_size)
        made.append(paged().CachedPrompt(7, length, tuple(range(first, first + blocks))))
        first += blocks
    return made


def test_full_blocks_are_shared_and_the_rest_begins_each_tail():
    # Of 10 tokens two blocks of 4 are full; the tail takes tokens 8 to 9 and two codes.
    tails = paged().Tails.lay_out(prompts(10), slots=2, levels=3, block_size=4)
    assert tails.table_BKM.tolist() == [[[0, 1, 2], [0, 1, 3]]]
    assert tails.tail_BKJ.tolist() == [[[2], [3]]]
    assert tails.source_X.tolist() == [100, 101, 102]
    assert tails.place_X.tolist() == [0, 1, 2]
    assert tails.blocks == 4


def test_the_block_of_the_last_token_is_never_shared():
    # Its token is computed once more, and written: 8 tokens fill two blocks, but share only one.
    tails = paged().Tails.lay_out(prompts(8), slots=1, levels=4, block_size=4)
    assert tails.table_BKM.tolist() == [[[0, 1, 2]]]
    assert tails.tail_BKJ.tolist() == [[[1, 2]]]
    assert tails.source_X.tolist() == [100, 101]


def test_prompts_of_different_lengths_lie_behind_each_other():
    tails = paged().Tails.lay_out(prompts(1, 6), slots=2, levels=2, block_size=4)
    assert tails.table_BKM[0, :, 0].tolist() == [1, 2]
    assert tails.table_BKM[1].tolist() == [[0, 3], [0, 4]]
    assert dict(zip(tails.source_X.tolist(), tails.place_X.tolist(), strict=True)) == {
        100: 1, 101: 0, 102: 3,
    }  # fmt: skip


def test_prompts_that_begin_alike_share_what_they_share_in_the_cache():
    one, other = prompts(10, 11)
    other = other._replace(blocks=(one.blocks[0], *other.blocks[1:]))
    tails = paged().Tails.lay_out([one, other], slots=1, levels=2, block_size=4)
    assert tails.table_BKM.tolist() == [[[0, 1, 3]], [[0, 2, 4]]]
    assert tails.source_X.tolist() == [100, 101, 104, 102, 105]
    assert tails.place_X.tolist() == [0, 1, 2, 3, 4]
    assert tails.blocks == 5


def test_first_children_keep_the_slot_and_others_take_free_ones():
    slot_BW = torch.tensor([[2, 0]])
    parent_BV = torch.tensor([[1, 1, 0]])
    slot, source = paged().assign_slots(slot_BW, parent_BV, 4)
    assert slot.tolist() == [[0, 1, 2]]
    assert source.tolist() == [[0, 0, 2]]


@given(st.data())
def test_no_two_beams_share_a_slot_and_no_source_is_overwritten(data):
    slots = data.draw(st.integers(1, 6))
    width = data.draw(st.integers(1, slots))
    before = data.draw(st.permutations(range(slots)))[:width]
    children = data.draw(st.lists(st.integers(0, width - 1), min_size=1, max_size=slots))
    slot, source = paged().assign_slots(torch.tensor([before]), torch.tensor([children]), slots)
    (new,), (old,) = slot.tolist(), source.tolist()
    assert len(set(new)) == len(new)
    assert max(new) < slots
    assert old == [before[child] for child in children]
    moved = {n for n, o in zip(new, old, strict=True) if n != o}
    assert not moved & set(old)


@given(st.data())
def test_every_beam_reads_its_own_history(data):
    """Write tokens where the layout says, follow beams about, and read each one's sequence back."""
    block_size, levels = 4, data.draw(st.integers(2, 6))
    slots = data.draw(st.integers(1, 4))
    lengths = data.draw(st.lists(st.integers(1, 11), min_size=1, max_size=3))
    asked = prompts(*lengths)
    tails = paged().Tails.lay_out(asked, slots=slots, levels=levels, block_size=block_size)
    cache = {}  # block and place in it -> token
    place_of = dict(zip(tails.source_X.tolist(), tails.place_X.tolist(), strict=True))
    for row, prompt in enumerate(asked):
        for position in range(prompt.length - 1):
            block = place_of[prompt.blocks[position // block_size]]
            cache[block, position % block_size] = ("prompt", row, position)

    def read_and_write(row, slot, position, token):
        table = tails.table_BKM[row, slot].tolist()
        cache[table[position // block_size], position % block_size] = token
        return [cache[table[p // block_size], p % block_size] for p in range(position + 1)]

    slot_BW = torch.zeros(len(asked), 1, dtype=torch.long)
    paths = [[[("prompt", row, prompt.length - 1)]] for row, prompt in enumerate(asked)]
    for step in range(levels):
        if step > 0:
            width = data.draw(st.integers(1, slots))
            parents = [
                [data.draw(st.integers(0, slot_BW.shape[1] - 1)) for _ in range(width)]
                for _ in asked
            ]
            slot_BW, source_BW = paged().assign_slots(slot_BW, torch.tensor(parents), slots)
            copies = {}
            for row in range(len(asked)):
                for to, source in zip(slot_BW[row].tolist(), source_BW[row].tolist(), strict=True):
                    pairs = zip(
                        tails.tail_BKJ[row, source].tolist(), tails.tail_BKJ[row, to].tolist(),
                        strict=True,
                    )  # fmt: skip
                    for old, new in pairs:
                        for place in range(block_size):
                            if (old, place) in cache:
                                copies[new, place] = cache[old, place]
            cache |= copies
            paths = [
                [[*paths[row][parent], ("code", row, step, beam)] for beam, parent in enumerate(of)]
                for row, of in enumerate(parents)
            ]
        for row, prompt in enumerate(asked):
            for beam, slot in enumerate(slot_BW[row].tolist()):
                position = prompt.length - 1 + step
                found = read_and_write(row, slot, position, paths[row][beam][-1])
                before = [("prompt", row, p) for p in range(prompt.length - 1)]
                assert found == before + paths[row][beam]
