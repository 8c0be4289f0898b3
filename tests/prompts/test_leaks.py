"""Rendered training examples are scanned: no held-out item, no target in its own history, no user.

An item's ID is found in a prompt by its run of code tokens, wherever it stands.
"""

import numpy as np
import polars as pl
import pytest

from genrec.data import (
    Dataset,
    Dialogue,
    Interactions,
    SequencesConfig,
    leave_one_out,
    load_sequences,
)
from genrec.data.toy_shop import ToyShopConfig, toy_shop
from genrec.eval.dialogues import DialogueQuestions
from genrec.eval.item_questions import ItemQuestions
from genrec.eval.questions import Questions
from genrec.eval.tasks import ITEM_TASKS
from genrec.prompts import (
    Mixture,
    PromptConfig,
    Renderer,
    TaskError,
    Tasks,
    Vocabulary,
    corpus,
    train_tokenizer,
)
from genrec.recommender import Turn
from genrec.semantic_ids import SemanticIds
from tests.real_data import real_data
from tests.small_shop import small_dataset

LEVELS, CODES = 3, 24  # 13,824 IDs

OF_ITEMS = {"attribute", "description_to_item", "item_to_title", "picture_to_item", "title_to_item"}
"""Tasks about items alone: of no user, so there is nothing of a user's to leak."""


def renderer_of(dataset, *, config=None):
    number_N1 = np.arange(len(dataset.catalogue))[:, None]
    codes_NL = (number_N1 // CODES ** np.arange(LEVELS) % CODES).astype(np.int32)
    ids = SemanticIds(codes_NL, (CODES,) * LEVELS)
    tasks = Tasks.load()
    train = leave_one_out(dataset.interactions).train
    tokenizer = train_tokenizer(corpus(dataset, train, tasks), size=900)
    return Renderer(
        vocabulary=Vocabulary.extend(tokenizer, ids), ids=ids, catalogue=dataset.catalogue,
        tasks=tasks, config=config or PromptConfig(history_items=8),
    )  # fmt: skip


def mixture(dataset, renderer, task, *, dialogues=(), every_position=False):
    return Mixture(
        dataset=dataset, train=leave_one_out(dataset.interactions).train, renderer=renderer,
        weights={task: 1.0}, every_position=every_position, dialogues=dialogues,
    )  # fmt: skip


def one_user(dataset, user):
    """Keep a single user's events, so that all that is rendered is about this user."""
    events = dataset.interactions
    return Dataset(dataset.catalogue, events.select(events.user_of == user), f"user {user}")


def named(renderer, tokens):
    """Read the items that a run of tokens names, in order, with repetitions."""
    vocabulary, rows = renderer.vocabulary, []
    codes = np.asarray(tokens) - vocabulary.first_code
    first_level = (codes >= 0) & (codes < CODES)
    for place in np.flatnonzero(first_level):
        run = codes[place : place + LEVELS] - CODES * np.arange(LEVELS)
        rows.append(int(run @ CODES ** np.arange(LEVELS)))
    return rows


def talk(dataset):
    """Make up a talk for each user in which all items are named, held-out ones last."""
    events = dataset.interactions
    return [
        Dialogue(
            tuple(
                turn
                for item in events.item[events.offsets[user] : events.offsets[user + 1]].tolist()
                for turn in (Turn("user", "And now?"), Turn("recommender", "This.", (item,)))
            ),
            str(events.users[user]),
        )
        for user in range(events.user_count)
    ]


def scan(dataset, renderer, users):
    """Render every task for some users one by one; return the tasks that had examples."""
    seen = set()
    for user in users:
        mine = one_user(dataset, user)
        split = leave_one_out(mine.interactions)
        held_out = set(mine.interactions.item[~split.train].tolist())
        held_out -= set(mine.interactions.item[split.train].tolist())  # bought before, too
        for task in sorted(set(renderer.tasks) - OF_ITEMS):
            for every_position in (False, True):
                try:
                    mix = mixture(
                        mine, renderer, task, dialogues=talk(mine), every_position=every_position
                    )
                except TaskError:
                    continue
                seen.add(task)
                for example in mix.epoch(0):
                    refuse_leak(renderer, example, held_out)
    return seen


def refuse_leak(renderer, example, held_out):
    shown, answer = named(renderer, example.prompt), named(renderer, example.answer)
    assert not held_out & {*shown, *answer}, f"{example.task} shows a held-out item"
    task = renderer.tasks[example.task]
    if "candidates" in task.slots:  # they name the right items by design, each once
        assert all(shown.count(item) == 1 for item in answer), f"{example.task} shows its target"
    elif task.answer == "item":
        assert not set(answer) & set(shown), f"{example.task} shows its target"
    if "history" in task.slots and not task.slots & {"candidates", "item", "card"}:
        assert len(set(shown)) == len(shown), f"{example.task} repeats an item"


@pytest.fixture(scope="module")
def toy():
    shop = toy_shop(ToyShopConfig(users=40)).dataset
    return shop, renderer_of(shop)


LEARNT_IN_THE_TOY_SHOP = {
    "converse", "direct", "explain", "explain_hint", "explain_rated", "history_to_title",
    "preference", "query_to_item", "rate", "recommend", "reply", "search", "select",
    "titles_to_item",
}  # fmt: skip


def test_nothing_leaks_in_the_toy_shop(toy):
    assert scan(*toy, users=range(12)) == LEARNT_IN_THE_TOY_SHOP


def test_nothing_leaks_where_users_buy_the_same_again():
    """In the small shop most items come twice, and some of the held-out ones, too."""
    dataset = small_dataset(users=10, events=8)
    events = dataset.interactions
    repeats = [len(set(events.history(stop - 1).tolist())) < 7 for stop in events.offsets[1:]]
    assert all(repeats)
    assert "select" in scan(dataset, renderer_of(dataset), users=range(10))


def test_nothing_leaks_in_beauty():
    folder = real_data("amazon-beauty")
    config = SequencesConfig(
        sequences=folder / "sequences.tsv", items=folder / "items.jsonl", attributes=("title",)
    )
    beauty = load_sequences(config, name="beauty")
    users = np.random.default_rng(0).choice(beauty.interactions.user_count, 12, replace=False)
    seen = scan(beauty, renderer_of(beauty), users.tolist())
    assert seen == {
        "converse",
        "direct",
        "history_to_title",
        "recommend",
        "reply",
        "select",
        "titles_to_item",
    }


def test_the_scan_notices_a_leak(toy):
    dataset, renderer = toy
    example = next(mixture(dataset, renderer, "recommend").epoch(0))
    shown = named(renderer, example.prompt)[0]
    with pytest.raises(AssertionError, match="shows a held-out item"):
        refuse_leak(renderer, example, held_out={shown})
    leaky = example._replace(answer=renderer.items.tokens_NL[shown])
    with pytest.raises(AssertionError, match="shows its target"):
        refuse_leak(renderer, leaky, held_out=set())


def test_no_user_stands_in_a_prompt(toy):
    """Prompts of a shop do not change when its users are called otherwise."""
    dataset, renderer = toy
    events = dataset.interactions
    table = events.to_table(dataset.catalogue).with_columns(user=pl.lit("SECRET-") + pl.col("user"))
    renamed = Dataset(
        dataset.catalogue, Interactions.from_table(table, dataset.catalogue), "renamed"
    )
    for task in sorted(LEARNT_IN_THE_TOY_SHOP - {"converse", "reply"}):
        pairs = zip(
            mixture(dataset, renderer, task).epoch(0),
            mixture(renamed, renderer, task).epoch(0),
            strict=True,
        )
        for one, other in pairs:
            assert one.prompt.tolist() == other.prompt.tolist()


FROM_THE_PAST = {"recommend", "titles_to_item", "history_to_title"}


@pytest.mark.parametrize(
    "task", sorted({*FROM_THE_PAST, "search", "query_to_item", "rate", "explain"})
)
def test_training_and_evaluation_write_the_same_prompt(toy, task):
    """The same event, once as a lesson and once as a question, gives the same tokens."""
    dataset, renderer = toy
    train = leave_one_out(dataset.interactions).train
    mix = mixture(dataset, renderer, task)
    learnt = {
        tuple(renderer.render(lesson.request, phrasing=0).prompt.tolist())
        for number in range(len(mix._lessons[task]))
        for lesson in [mix._lessons[task].read(number, (0, number))]
    }
    asked = [
        tuple(renderer.render(question.request, phrasing=0).prompt.tolist())
        for question in Questions.about(dataset, np.flatnonzero(train), task)
        if question.request.history or task not in FROM_THE_PAST
    ]
    assert asked
    assert set(asked) == learnt


@pytest.mark.parametrize("task", sorted(set(ITEM_TASKS) - {"attribute", "picture_to_item"}))
def test_items_are_asked_about_as_they_were_learnt(toy, task):
    dataset, renderer = toy
    (found,) = mixture(dataset, renderer, task)._lessons.values()
    learnt = [found.read(number, (0, number)) for number in range(len(found))]
    for lesson, question in zip(learnt, ItemQuestions.about(dataset, task), strict=True):
        assert lesson.request == question.request
        assert lesson.answer == (question.text or question.target)


@pytest.mark.parametrize("task", ["converse", "reply"])
def test_dialogues_are_asked_about_as_they_were_learnt(toy, task):
    dataset, renderer = toy
    talks = [Dialogue(one.turns, None) for one in talk(dataset)[:5]]  # nothing is held out
    (found,) = mixture(dataset, renderer, task, dialogues=talks)._lessons.values()
    asked = list(DialogueQuestions(tuple(talks), dataset.catalogue, task=task))
    assert len(asked) == len(found)
    for number, question in enumerate(asked):
        lesson = found.read(number, (0, number))
        assert lesson.request.dialogue == question.request.dialogue
        assert lesson.answer == (question.text or question.target)
