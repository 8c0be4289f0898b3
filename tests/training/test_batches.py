import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from genrec.data import leave_one_out
from genrec.models import TinyConfig, build_tiny
from genrec.prompts import Example, Mixture
from genrec.training import (
    PackingCollator,
    Position,
    Seq2SeqCollator,
    StepStream,
    TrainingError,
    make_collator,
)
from tests.small_shop import small_dataset, small_renderer

PAD = 3


def example(prompt, answer, weights=None):
    return Example(
        "recommend",
        np.asarray(prompt, dtype=np.int32),
        np.asarray([0.0] * len(prompt) if weights is None else weights),
        np.asarray(answer, dtype=np.int32),
    )


def test_a_row_holds_examples_end_to_end_with_labels_one_position_before():
    collator = PackingCollator(row_tokens=8, pad=PAD)
    batch = collator.collate([[example([10, 11], [12], [0, 1]), example([20], [21, 22])]])
    assert batch.inputs["input_ids"].tolist() == [[10, 11, 12, 20, 21, 22, PAD, PAD]]
    assert batch.inputs["position_ids"].tolist() == [[0, 1, 2, 0, 1, 2, 0, 1]]
    assert batch.labels_RT.tolist() == [[11, 12, PAD, 21, 22, PAD, PAD, PAD]]
    assert batch.weights_RT.tolist() == [[1, 1, 0, 1, 1, 0, 0, 0]]


def test_an_example_longer_than_a_row_is_refused():
    collator = PackingCollator(row_tokens=4, pad=PAD)
    with pytest.raises(TrainingError, match="has 5 tokens, but a row holds 4"):
        list(collator.rows([example([1, 2, 3], [4, 5])]))


def test_pictures_of_packed_examples_are_shared_and_keep_their_owners():
    class Numbered:
        def inputs(self, rows):
            return {"picture_features": torch.tensor(rows).view(-1, 1, 1)}

    first = example([10, 11], [12])._replace(owner=np.array([-1, 0], dtype=np.int32), pictures=(7,))
    second = example([20], [21])._replace(owner=np.array([0], dtype=np.int32), pictures=(7,))
    collator = PackingCollator(row_tokens=6, pad=PAD, pictures=Numbered())
    inputs = collator.collate([[first, second, example([30], [])]]).inputs
    assert inputs["owner"].tolist() == [[-1, 0, -1, 0, -1, -1]]
    assert inputs["picture_features"].flatten().tolist() == [7]


def test_the_weight_of_a_task_is_that_of_its_answer():
    heavy = example([10], [11, 12])._replace(answer_weight=2.5)
    packed = PackingCollator(row_tokens=4, pad=PAD).collate([[heavy]])
    assert packed.weights_RT.tolist() == [[2.5, 2.5, 0, 0]]
    apart = Seq2SeqCollator(pad=PAD, start=0).collate([[heavy]])
    assert apart.weights_RT.tolist() == [[2.5, 2.5]]


@given(sizes=st.lists(st.integers(1, 9), max_size=40), open_rows=st.integers(1, 5))
def test_packing_loses_no_example_and_overfills_no_row(sizes, open_rows):
    collator = PackingCollator(row_tokens=10, pad=PAD, open_rows=open_rows)
    examples = [example([number] * size, [0]) for number, size in enumerate(sizes)]
    rows = list(collator.rows(examples))
    assert all(sum(len(e.prompt) + 1 for e in row) <= 10 for row in rows)
    packed = sorted(int(e.prompt[0]) for row in rows for e in row)
    assert packed == list(range(len(sizes)))


@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
def test_packed_examples_do_not_see_each_other(architecture):
    config = TinyConfig(
        architecture=architecture, hidden_size=16, layers=2, heads=2, intermediate_size=32
    )
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": PAD}
    model = build_tiny(config, vocabulary_size=40, special=special, max_tokens=64, seed=0).eval()
    one, two = example([10, 11, 12], [13]), example([20, 21], [22, 23])
    packed = PackingCollator(row_tokens=9, pad=PAD).collate([[one, two]])
    logits_T = model(**packed.inputs, use_cache=False).logits[0]
    alone = PackingCollator(row_tokens=4, pad=PAD)
    for start, single in ((0, one), (4, two)):
        expected = model(**alone.collate([[single]]).inputs, use_cache=False).logits[0]
        torch.testing.assert_close(logits_T[start : start + 4], expected, rtol=1e-5, atol=1e-5)


def test_prompts_and_answers_of_an_encoder_decoder_are_padded_apart():
    collator = Seq2SeqCollator(pad=0, start=9)
    batch = collator.collate([[example([1, 2], [3])], [example([4], [5, 6])], []])
    assert batch.inputs["input_ids"].tolist() == [[1, 2], [4, 0], [0, 0]]
    assert batch.inputs["attention_mask"].tolist() == [[1, 1], [1, 0], [1, 0]]
    assert batch.inputs["decoder_input_ids"].tolist() == [[9, 3], [9, 5], [9, 0]]
    assert batch.weights_RT.tolist() == [[1, 0], [1, 1], [0, 0]]


@given(sizes=st.lists(st.integers(1, 50), max_size=60))
def test_buckets_hold_a_like_length_and_lose_no_example(sizes):
    examples = [example([number] * size, [0]) for number, size in enumerate(sizes)]
    rows = list(Seq2SeqCollator(pad=0, start=9, buffer=24, bucket=4).rows(examples))
    assert sorted(int(row[0].prompt[0]) for row in rows) == list(range(len(sizes)))
    for start in range(0, len(sizes), 24):
        buffered = sorted(sizes[start : start + 24])
        buckets = [buffered[i : i + 4] for i in range(0, len(buffered), 4)]
        lengths = [len(row[0].prompt) for row in rows[start : start + 24]]
        for bucket in sorted(buckets, key=len):  # the short one, if any, stands anywhere
            places = range(len(lengths) - len(bucket) + 1)
            assert any(lengths[i : i + len(bucket)] == bucket for i in places)


def test_buckets_come_in_a_mixed_order():
    examples = [example([1] * size, [0]) for size in range(1, 65)]
    rows = Seq2SeqCollator(pad=0, start=9, bucket=4).rows(examples)
    lengths = [len(row[0].prompt) for row in rows]
    assert lengths != sorted(lengths)


@pytest.fixture(scope="module")
def stream():
    dataset = small_dataset()
    renderer = small_renderer(dataset)
    mixture = Mixture(
        dataset=dataset, train=leave_one_out(dataset.interactions).train, renderer=renderer,
        weights={"recommend": 1.0, "rate": 0.5}, every_position=True,
    )  # fmt: skip
    collator = PackingCollator(row_tokens=128, pad=renderer.vocabulary.pad)
    return StepStream(mixture=mixture, collator=collator, rows_per_step=4)


BEGINNING = Position(0, 0)


def first(stream, count, position=BEGINNING):
    steps = stream.read(position)
    return [next(steps) for _ in range(count)]


def texts(steps):
    return [
        [e.prompt.tolist() + e.answer.tolist() for row in rows for e in row] for _, rows in steps
    ]


def test_reading_on_from_any_step_gives_the_steps_that_would_have_come(stream):
    steps = first(stream, 12)
    assert {position.epoch for position, _ in steps} > {0}
    for done in range(1, 12):
        rest = first(stream, 12 - done, steps[done - 1][0])
        assert texts(rest) == texts(steps[done:])


@pytest.mark.parametrize(("world", "micro_rows"), [(1, 4), (1, 3), (2, 4), (4, 1)])
def test_the_processes_of_a_step_share_all_its_rows(stream, world, micro_rows):
    _, rows = first(stream, 1)[0]
    shares = [
        batch
        for rank in range(world)
        for batch in stream.share(rows, rank=rank, world=world, micro_rows=micro_rows)
    ]
    together = stream.collator.collate(rows)
    tokens = sorted(row for batch in shares for row in batch.inputs["input_ids"].tolist())
    assert tokens == sorted(together.inputs["input_ids"].tolist())
    assert sum(float(b.weights_RT.sum()) for b in shares) == float(together.weights_RT.sum())


def test_rows_of_a_like_length_share_a_batch():
    rows = [[example([1] * size, [2])] for size in (7, 1, 8, 2, 7, 2, 1)] + [[]]
    stream = StepStream(mixture=None, collator=Seq2SeqCollator(pad=0, start=9), rows_per_step=8)
    batches = stream.share(rows, rank=0, world=1, micro_rows=4)
    assert [batch.inputs["input_ids"].shape for batch in batches] == [(4, 2), (4, 8)]
    assert sum(int(batch.inputs["attention_mask"].sum()) for batch in batches) == 28 + 1


def test_every_step_has_the_same_number_of_rows(stream):
    assert {len(rows) for _, rows in first(stream, 12)} == {4}


def test_the_collator_fits_the_model():
    special = {"bos_token_id": None, "eos_token_id": 1, "pad_token_id": 0}
    shape = {"hidden_size": 16, "layers": 1, "heads": 2, "intermediate_size": 16}
    for architecture, kind in (("t5", Seq2SeqCollator), ("llama", PackingCollator)):
        config = TinyConfig(architecture=architecture, **shape)
        model = build_tiny(config, vocabulary_size=8, special=special, max_tokens=8, seed=0)
        assert isinstance(make_collator(model, pad=0, row_tokens=8), kind)
