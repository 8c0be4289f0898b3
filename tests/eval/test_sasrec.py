import dataclasses
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from genrec.artifacts import ArtifactError
from genrec.data import leave_one_out
from genrec.eval import evaluate
from genrec.eval.sasrec import (
    DivergedError,
    SASRec,
    SASRecConfig,
    SASRecRecommender,
    SASRecTrainingConfig,
    train_sasrec,
)
from genrec.eval.sasrec.batches import NOTHING, batches, cut
from genrec.eval.sasrec.losses import full_cross_entropy, sampled_softmax
from genrec.recommender import Recommender, Request
from tests.eval.written import written

TINY = SASRecConfig(dim=16, layers=2, heads=2, hidden_dim=32, max_items=8, dropout=0.0)
ITEMS = 12


def tiny_model(config=TINY, items=ITEMS, seed=0):
    model = SASRec(config, items)
    model.initialise(generator=torch.Generator().manual_seed(seed))
    return model.eval()


def walks(users=30, length=6):
    """Users who walk around the catalogue in steps of five."""
    return written(
        {f"user {u}": [(u + 5 * step) % ITEMS for step in range(length)] for u in range(users)},
        items=ITEMS,
    )


def everything(dataset):
    return np.ones(len(dataset.interactions), dtype=bool)


@pytest.fixture(scope="module")
def trained():
    dataset = walks()
    training = SASRecTrainingConfig(
        loss="cross_entropy", epochs=40, patience=40, tokens=64, learning_rate=5e-3, warmup_steps=5
    )
    return dataset, train_sasrec(dataset, leave_one_out(dataset.interactions), TINY, training)


def test_histories_are_cut_from_the_end_and_shifted_by_one():
    dataset = written({"ann": [7, 3, 5, 2, 4], "bob": [1, 6]}, items=8)
    pieces = cut(dataset.interactions, everything(dataset), max_items=3, start=8)
    places = [
        (pieces.history_T[s : s + n].tolist(), pieces.target_T[s : s + n].tolist())
        for s, n in zip(pieces.start_P, pieces.length_P, strict=True)
    ]
    assert places == [([3, 5, 2], [5, 2, 4]), ([8, 7], [7, 3]), ([8, 1], [1, 6])]


def test_only_train_events_are_read_and_predicted():
    dataset = written({"ann": [7, 3, 5], "bob": [1], "cid": [2, 6]}, items=8)
    train = np.array([1, 1, 0, 0, 0, 1], dtype=bool)
    pieces = cut(dataset.interactions, train, max_items=3, start=8)
    assert pieces.history_T.tolist() == [8, 7, 8]
    assert pieces.target_T.tolist() == [7, 3, 6]


@given(
    lengths=st.lists(st.integers(1, 20), min_size=1, max_size=12),
    max_items=st.integers(1, 7),
    tokens=st.integers(1, 40),
)
@settings(max_examples=50, deadline=None)
def test_every_train_event_is_the_target_of_one_place(lengths, max_items, tokens):
    draw = np.random.default_rng(sum(lengths))
    dataset = written(
        {f"user {u}": draw.integers(ITEMS, size=n).tolist() for u, n in enumerate(lengths)}
    )
    pieces = cut(dataset.interactions, everything(dataset), max_items=max_items, start=ITEMS)
    seen = []
    for batch in batches(pieces, tokens, rng=np.random.default_rng(0)):
        assert batch.history_BL.shape == batch.target_BL.shape
        assert batch.history_BL.shape[1] <= max_items
        real_BL = batch.target_BL != NOTHING
        assert (real_BL.sum(dim=1) > 0).all()
        assert not (real_BL[:, 1:] & ~real_BL[:, :-1]).any(), "padding stands at the end"
        seen += zip(
            batch.history_BL[real_BL].tolist(), batch.target_BL[real_BL].tolist(), strict=True
        )
    items = dataset.interactions.item.tolist()
    firsts = set(dataset.interactions.offsets[:-1].tolist())
    pairs = [(ITEMS if row in firsts else items[row - 1], item) for row, item in enumerate(items)]
    assert sorted(seen) == sorted(pairs)


@pytest.mark.parametrize("norm_first", [True, False])
def test_a_place_knows_itself_and_what_stands_before_it(norm_first):
    model = tiny_model(dataclasses.replace(TINY, norm_first=norm_first))
    history_BL = torch.tensor([[1, 2, 3, 4, 5]])
    for changed in range(5):
        other_BL = history_BL.clone()
        other_BL[0, changed] = 9
        gap_L = (model(history_BL) - model(other_BL)).abs().amax(dim=2)[0]
        assert (gap_L[:changed] == 0).all()
        assert (gap_L[changed:] > 1e-6).all()


def test_attention_by_hand():
    # One head, values that are the normalised inputs, queries of zero: a running mean.
    config = dataclasses.replace(TINY, layers=1, heads=1)
    block = tiny_model(config).blocks[0]
    width = config.dim
    with torch.no_grad():
        block.query_key_value.weight.zero_()
        block.query_key_value.weight[2 * width :] = torch.eye(width)
        block.mix.weight.copy_(torch.eye(width))
    x_BLD = torch.randn(2, 4, width, generator=torch.Generator().manual_seed(0))
    running_BLD = x_BLD.cumsum(dim=1) / torch.arange(1, 5)[:, None]
    torch.testing.assert_close(block._attend(x_BLD), running_BLD, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("similarity", ["dot", "cosine"])
def test_scores_are_products_or_cosines(similarity):
    model = tiny_model(dataclasses.replace(TINY, similarity=similarity, temperature=0.1))
    state_MD = torch.randn(3, TINY.dim, generator=torch.Generator().manual_seed(0))
    scores_MN = model.scores(state_MD)
    assert scores_MN.shape == (3, ITEMS)
    for m, n in itertools.product(range(3), range(ITEMS)):
        state_D, item_D = state_MD[m], model.items.weight[n]
        wanted = state_D @ item_D
        if similarity == "cosine":
            wanted = functional.cosine_similarity(state_D, item_D, dim=0) / 0.1
        torch.testing.assert_close(scores_MN[m, n], wanted, rtol=1e-5, atol=1e-6)
    item_M = torch.tensor([4, 0, 7])
    torch.testing.assert_close(
        model.scores_of(state_MD, item_M), scores_MN[torch.arange(3), item_M], rtol=1e-5, atol=1e-6
    )


def test_sampled_softmax_by_hand():
    model = tiny_model()
    state_MD = torch.randn(1, TINY.dim, generator=torch.Generator().manual_seed(0))
    scores_N = model.scores(state_MD)[0]
    # The target 3 is drawn by chance and must not count against itself.
    loss = sampled_softmax(model, state_MD, torch.tensor([3]), torch.tensor([1, 3, 1]))
    weights = scores_N.exp()
    wanted = -(weights[3] / (weights[3] + 2 * weights[1])).log()
    torch.testing.assert_close(loss, wanted, rtol=1e-5, atol=1e-6)


def test_a_draw_of_everything_is_the_full_softmax():
    model = tiny_model()
    state_MD = torch.randn(6, TINY.dim, generator=torch.Generator().manual_seed(0))
    target_M = torch.tensor([0, 3, 3, 11, 5, 7])
    drawn_S = torch.arange(ITEMS).repeat(4)
    sampled = sampled_softmax(model, state_MD, target_M, drawn_S, torch.full((ITEMS,), 4.0))
    full = full_cross_entropy(model, state_MD, target_M)
    torch.testing.assert_close(sampled, full, rtol=1e-5, atol=1e-6)


def test_a_large_uneven_draw_comes_near_the_full_softmax():
    model = tiny_model()
    generator = torch.Generator().manual_seed(0)
    state_MD = torch.randn(6, TINY.dim, generator=generator)
    target_M = torch.tensor([0, 3, 3, 11, 5, 7])
    share_N = torch.arange(1.0, ITEMS + 1) / torch.arange(1, ITEMS + 1).sum()
    drawn_S = torch.multinomial(share_N, 100_000, replacement=True, generator=generator)
    full = full_cross_entropy(model, state_MD, target_M)
    corrected = sampled_softmax(model, state_MD, target_M, drawn_S, 100_000 * share_N)
    plain = sampled_softmax(model, state_MD, target_M, drawn_S)
    torch.testing.assert_close(corrected, full, rtol=0, atol=0.02)
    assert abs(plain - full) > 1


def test_it_learns_sequences_by_heart(trained):
    dataset, (recommender, epochs, best) = trained
    split = leave_one_out(dataset.interactions)
    assert evaluate(recommender, dataset, split.test, train=split.train).metrics["hr@1"].value == 1
    assert epochs[best].score == max(epoch.score for epoch in epochs)
    assert epochs[-1].loss < 0.5 * epochs[0].loss


@pytest.mark.parametrize("logq", [True, False])
def test_a_sampled_softmax_learns_them_too(logq):
    dataset = walks()
    split = leave_one_out(dataset.interactions)
    training = SASRecTrainingConfig(
        negatives=8, popularity_power=0.5, logq=logq, epochs=40, patience=40, tokens=64,
        learning_rate=5e-3, warmup_steps=5, precision="bfloat16",
    )  # fmt: skip
    recommender = train_sasrec(dataset, split, TINY, training).recommender
    assert evaluate(recommender, dataset, split.test).metrics["hr@1"].value > 0.9


@given(
    histories=st.lists(st.lists(st.integers(0, ITEMS - 1), max_size=14), min_size=1, max_size=6),
    batch_size=st.integers(1, 4),
)
@settings(max_examples=30, deadline=None)
def test_a_ranking_is_that_of_all_scores_whatever_stands_beside_it(histories, batch_size):
    model = tiny_model()
    requests = [Request(history=tuple(history), exclude=(2, 3)) for history in histories]
    rankings = SASRecRecommender(model, "", batch_size=batch_size).recommend(requests, 5)
    for request, ranking in zip(requests, rankings, strict=True):
        read = [ITEMS, *request.history][-TINY.max_items :]
        with torch.no_grad():
            log_p_N = model.scores(model(torch.tensor([read]))[:, -1]).log_softmax(dim=1)[0]
        allowed = [item for item in range(ITEMS) if item not in (2, 3)]
        wanted = sorted(allowed, key=lambda item: -log_p_N[item].item())[:5]
        assert ranking.items.tolist() == wanted
        assert ranking.scores == pytest.approx(log_p_N[wanted].tolist(), abs=1e-5)


def test_what_is_saved_ranks_as_before(trained, tmp_path):
    recommender = trained[1].recommender
    recommender.save_pretrained(tmp_path / "sasrec")
    again = SASRecRecommender.from_pretrained(tmp_path / "sasrec")
    requests = [Request(), Request(history=(1, 6)), Request(history=(4,), only=(0, 1))]
    for ours, theirs in zip(
        recommender.recommend(requests, 4), again.recommend(requests, 4), strict=True
    ):
        assert ours.items.tolist() == theirs.items.tolist()
        assert ours.scores.tolist() == theirs.scores.tolist()
    assert again.model.config == TINY
    assert again.catalogue == trained[0].catalogue.fingerprint


def test_a_directory_without_a_model_is_refused(trained, tmp_path):
    with pytest.raises(ArtifactError, match=r"config\.json does not exist"):
        SASRecRecommender.from_pretrained(tmp_path)
    trained[1].recommender.save_pretrained(tmp_path / "sasrec")
    (tmp_path / "sasrec" / "model.safetensors").write_bytes(b"cut off")
    with pytest.raises(ArtifactError, match="does not hold a SASRec"):
        SASRecRecommender.from_pretrained(tmp_path / "sasrec")


def test_a_run_that_was_stopped_goes_on_as_if_nothing_had_happened(tmp_path):
    dataset = walks()
    split = leave_one_out(dataset.interactions)
    config = dataclasses.replace(TINY, dropout=0.2)
    short = SASRecTrainingConfig(negatives=8, epochs=2, tokens=64, warmup_steps=20)
    whole = dataclasses.replace(short, epochs=5)
    train_sasrec(dataset, split, config, short, folder=tmp_path)
    resumed = train_sasrec(dataset, split, config, whole, folder=tmp_path)
    straight = train_sasrec(dataset, split, config, whole)
    assert [epoch[:2] for epoch in resumed.epochs] == [epoch[:2] for epoch in straight.epochs]
    for ours, theirs in zip(
        resumed.recommender.model.parameters(),
        straight.recommender.model.parameters(),
        strict=True,
    ):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_training_stops_when_nothing_improves():
    dataset = walks()
    training = SASRecTrainingConfig(epochs=50, patience=2, learning_rate=1e-9, tokens=64)
    trained = train_sasrec(dataset, leave_one_out(dataset.interactions), TINY, training)
    assert len(trained.epochs) == trained.best + 3 < 50


def test_another_seed_is_another_model():
    dataset = walks()
    split = leave_one_out(dataset.interactions)
    training = SASRecTrainingConfig(epochs=1)
    losses = [
        train_sasrec(dataset, split, TINY, training, seed=seed).epochs[0].loss for seed in (0, 0, 1)
    ]
    assert losses[0] == losses[1] != losses[2]


def test_a_loss_that_is_no_number_stops_the_run():
    dataset = walks()
    training = SASRecTrainingConfig(
        loss="cross_entropy", learning_rate=1e30, warmup_steps=0, tokens=8
    )
    with pytest.raises(DivergedError, match="lower learning_rate"):
        train_sasrec(
            dataset,
            leave_one_out(dataset.interactions),
            dataclasses.replace(TINY, similarity="dot"),
            training,
        )


def test_data_without_anything_to_validate_on_are_refused():
    dataset = written({"ann": [0, 1]})
    with pytest.raises(ValueError, match="2 train events and 0 to validate on"):
        train_sasrec(dataset, leave_one_out(dataset.interactions), TINY)


def test_it_is_a_recommender_that_only_ranks():
    recommender = SASRecRecommender(tiny_model(), "")
    assert isinstance(recommender, Recommender)
    with pytest.raises(NotImplementedError, match="only ranks items"):
        recommender.generate([Request(task="rate")])


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        (SASRecConfig, {"dim": 10, "heads": 4}, "dim 10 is no multiple of heads 4"),
        (SASRecConfig, {"dropout": 1.0}, "dropout is 1.0"),
        (SASRecConfig, {"temperature": 0.0}, "temperature is 0.0"),
        (SASRecConfig, {"max_items": 0}, "max_items is 0"),
        (SASRecTrainingConfig, {"negatives": 0}, "negatives is 0"),
        (SASRecTrainingConfig, {"weight_decay": -1.0}, "weight_decay is -1.0"),
        (SASRecTrainingConfig, {"learning_rate": 0.0}, "learning_rate is 0.0"),
    ],
)
def test_a_config_that_makes_no_sense_is_refused(kind, wrong, message):
    with pytest.raises(ValueError, match=message):
        kind(**wrong)
