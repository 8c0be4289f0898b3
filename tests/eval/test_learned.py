"""From lessons over a tiny model to scores: what was learnt is answered right."""

import numpy as np
import pytest
import torch

from genrec.data import Dialogue, leave_one_out
from genrec.eval import evaluate, evaluate_dialogues
from genrec.prompts import Mixture
from genrec.recommender import Turn
from genrec.serving import GenRec, TransformersRecommender
from tests.small_shop import small_dataset, small_model, small_renderer

TASKS = ("converse", "reply", "title_to_item", "item_to_title")
TALKS = [
    Dialogue((
        Turn("user", f"I like {colour} things."),
        Turn("recommender", f"Then the {colour} case is for you.", (3 * row + 1,)),
        Turn("user", "And to read at night?"),
        Turn("recommender", f"Take a {colour} lamp!", (3 * row + 2,)),
    ))
    for row, colour in enumerate(("red", "blue", "green", "grey"))
]  # fmt: skip
NONE = np.zeros(0, dtype=np.int64)


@pytest.fixture(scope="module")
def learned():
    """Train until the catalogue and four talks are nearly known by heart."""
    dataset = small_dataset()
    renderer = small_renderer(dataset)
    model = small_model(renderer)
    mixture = Mixture(
        dataset=dataset, train=leave_one_out(dataset.interactions).train, renderer=renderer,
        weights=dict.fromkeys(TASKS, 2.0), every_position=True, dialogues=TALKS,
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for number in range(35):
        examples = list(mixture.epoch(number))
        for start in range(0, len(examples), 32):
            loss = model(**batch(examples[start : start + 32], renderer.vocabulary.pad)).loss
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return TransformersRecommender(model.eval(), renderer), dataset


def batch(examples, pad):
    """Pad prompts with their answers, and learn the answers alone."""
    longest = max(len(one.prompt) + len(one.answer) for one in examples)
    tokens, labels = np.full((2, len(examples), longest), pad, dtype=np.int64)
    labels[:] = -100
    for row, one in enumerate(examples):
        stop = len(one.prompt) + len(one.answer)
        tokens[row, :stop] = [*one.prompt, *one.answer]
        labels[row, len(one.prompt) : stop] = one.answer
    inputs = {"input_ids": tokens, "attention_mask": (tokens != pad).astype(np.int64)}
    return {name: torch.from_numpy(value) for name, value in (inputs | {"labels": labels}).items()}


def test_what_a_recommender_names_and_says_is_learnt(learned):
    recommender, dataset = learned
    found = evaluate_dialogues(
        recommender, TALKS, dataset.catalogue, tasks=["converse", "reply"], k=3
    )
    assert found["converse"].metrics["hr@1"].value >= 0.5
    assert found["reply"].metrics["bleu-4"].value > 50
    rec = GenRec(recommender, dataset.catalogue)
    said = [(turn.speaker, turn.text) for turn in TALKS[1].turns[:1]]
    assert rec.reply(said) == found["reply"].answers.answers[2]


def test_items_and_their_titles_are_learnt(learned):
    recommender, dataset = learned
    found = evaluate(recommender, dataset, NONE, tasks=["title_to_item", "item_to_title"], k=3)
    assert found["title_to_item"].metrics["hr@1"].value >= 0.5
    assert found["item_to_title"].metrics["exact-match"].value >= 25
    untrained = TransformersRecommender(small_model(recommender.renderer), recommender.renderer)
    found = evaluate(untrained, dataset, NONE, tasks=["title_to_item", "item_to_title"], k=3)
    assert found["title_to_item"].metrics["hr@1"].value < 0.25
    assert found["item_to_title"].metrics["exact-match"].value == 0
