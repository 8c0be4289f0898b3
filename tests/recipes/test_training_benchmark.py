"""The benchmark of training runs, on shapes that take seconds."""

import json

import pytest
from accelerate.state import AcceleratorState, PartialState

from recipes.benchmarks import loss, trainers, training_gpu

CONFIG = trainers.Config(steps=4, rows=2, row_tokens=160, layers=1, width=32, users=20, runs=1)


@pytest.mark.parametrize("run", [trainers.run_genrec, trainers.run_trainer])
def test_both_ways_train(run):
    AcceleratorState._reset_state()
    PartialState._reset_state()
    measured = run(CONFIG)
    AcceleratorState._reset_state()
    PartialState._reset_state()
    assert measured.seconds > 0
    assert measured.processor_seconds > 0


def test_both_read_the_same_rows():
    stream, _ = trainers.make_stream(CONFIG)
    (_, first), *_ = (next(stream.read(trainers.Position(0, 0))),)
    rows = trainers.Rows(stream)
    for ours, theirs in zip(first, rows, strict=False):
        assert [e.prompt.tolist() for e in ours] == [e.prompt.tolist() for e in theirs]


@pytest.mark.parametrize("way", ["plain", "chunked", "recomputed"])
def test_a_loss_is_measured(way, capsys):
    loss.main(loss.Config(way=way, tokens=8, width=4, vocabulary=50, logits_at_once=100))
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["seconds"] >= 0
    assert found["config"]["way"] == way


def test_a_step_with_pictures_is_measured(capsys):
    training_gpu.main(
        training_gpu.Config(
            width=32, layers=4, vocabulary=100, rows=2, row_tokens=32, example_tokens=16,
            pictures=2, vision_width=8, steps=1,
        )
    )  # fmt: skip
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["step_ms"] > 0
    assert found["step_ms_with_pictures"] > 0


def test_flops_are_those_of_the_weights_and_of_what_tokens_see():
    config = training_gpu.Config(
        width=32, layers=2, vocabulary=100, rows=2, row_tokens=32, example_tokens=16
    )
    decoder = training_gpu.make_decoder(config)
    heads = decoder.config.num_attention_heads * decoder.config.head_dim
    by_hand = 64 * (6 * decoder.num_parameters() + 12 * 2 * heads * 8)
    assert training_gpu.flops_of_step(decoder, config) == by_hand
