"""What each built-in task is learnt from, worked by hand on three users of the small shop."""

import numpy as np
import polars as pl
import pytest

from genrec.data import Catalogue, Dataset, Dialogue, Interactions, leave_one_out
from genrec.prompts import Mixture, MixtureConfig, PromptConfig, Task, TaskError, Tasks
from genrec.recommender import Turn
from tests.small_shop import small_dataset, small_renderer

# Items are 3 * colour + thing: red phone, red case, red lamp, blue phone, ...
BOUGHT = {"ann": (0, 1, 2, 3, 4), "bob": (5, 6, 5, 7, 8, 9), "cid": (10, 11)}

DIALOGUES = (
    Dialogue((
        Turn("user", "I have a red phone", (0,)),
        Turn("recommender", "Then take the red case or the lamp", (1, 2, 0)),
        Turn("user", "The case, thanks", (1,)),
        Turn("recommender", "And the blue case with it", (4, 1)),
    )),
    # Of ann the items 3 and 4 are held out.
    Dialogue((Turn("user", "Hello"), Turn("recommender", "Red lamp, blue case?", (2, 4))), "ann"),
    Dialogue((Turn("recommender", "Welcome! Grey lamp?", (11,)),)),
)  # fmt: skip


NEED_PICTURES = {"imagine", "imagine_directly", "item_to_picture", "picture_to_item"}


def shop(**columns):
    catalogue = small_dataset(users=1).catalogue
    rows = [
        {
            "user": user, "item": f"sku-{item}", "time": 100_000 * time, "rating": 1.0 + item % 5,
            "text": f"Reliable words about thing {item}", "summary": f"short {item}",
            "query": f"q{item}" if item % 2 else None, "behaviour": "view" if time else "buy",
        } | columns
        for user, items in BOUGHT.items()
        for time, item in enumerate(items)
    ]  # fmt: skip
    return Dataset(catalogue, Interactions.from_table(pl.DataFrame(rows), catalogue), "shop")


def mixture(
    task, *, dataset=None, config=None, every_position=False, candidates=4, own=None,
    dialogues=DIALOGUES,
):  # fmt: skip
    dataset = dataset or shop()
    renderer = small_renderer(dataset, config=config)
    if own is not None:
        renderer.tasks[own.name] = own
    return Mixture(
        dataset=dataset, train=leave_one_out(dataset.interactions).train, renderer=renderer,
        weights={task: 1.0}, every_position=every_position, dialogues=dialogues,
        config=MixtureConfig(candidates=candidates),
    )  # fmt: skip


def lessons(mix, *, seed=0):
    (found,) = mix._lessons.values()
    return [found.read(number, (seed, number)) for number in range(len(found))]


def test_the_next_item_is_learnt_from_what_other_items_came_before():
    learnt = [(one.request.history, one.answer) for one in lessons(mixture("recommend"))]
    # Train: ann 0 1 2, bob 5 6 5 7, cid 10 11 (too few events to hold any out).
    assert learnt == [((0,), 1), ((0, 1), 2), ((5,), 6), ((6,), 5), ((6, 5), 7), ((10,), 11)]


def test_a_decoder_learns_a_whole_history_at_once():
    learnt = lessons(mixture("recommend", every_position=True))
    assert [(*one.request.history, one.answer) for one in learnt] == [
        (0, 1, 2), (6, 5, 7), (10, 11)
    ]  # fmt: skip


def test_a_title_is_learnt_from_the_history_and_the_other_way_round():
    titles = mixture("history_to_title").dataset.catalogue.table["title"]
    for one, other in zip(
        lessons(mixture("history_to_title")), lessons(mixture("titles_to_item")), strict=True
    ):
        assert one.request.history == other.request.history
        assert one.answer == titles[other.answer]


@pytest.mark.parametrize(("task", "with_history"), [("search", True), ("query_to_item", False)])
def test_searches_are_learnt_from_events_with_a_query(task, with_history):
    found = {one.request.query: (one.request.history, one.answer) for one in lessons(mixture(task))}
    assert found == {
        "q1": ((0,) * with_history, 1), "q5": ((6,) * with_history, 5),
        "q7": ((6, 5) * with_history, 7), "q11": ((10,) * with_history, 11),
    }  # fmt: skip


@pytest.mark.parametrize("task", ["rate", "explain", "explain_rated", "explain_hint"])
def test_what_is_said_of_an_item_is_learnt_from_every_event(task):
    learnt = lessons(mixture(task))
    assert [one.request.item for one in learnt] == [0, 1, 2, 5, 6, 5, 7, 10, 11]
    for one in learnt:
        item = one.request.item
        told = task == "explain_rated"
        assert one.request.rating == (1.0 + item % 5 if told else None)
        expected = 1.0 + item % 5 if task == "rate" else f"Reliable words about thing {item}"
        assert one.answer == expected


def test_a_hint_is_a_feature_word_of_the_explanation():
    hints = {
        one.request.hint for seed in range(5) for one in lessons(mixture("explain_hint"), seed=seed)
    }
    assert hints == {"reliable", "words"}  # not "about" and "thing", nor a number


def test_reviews_are_summed_up_and_understood():
    for one in lessons(mixture("summarize")):
        item = one.request.review.removeprefix("Reliable words about thing ")
        assert one.answer == f"short {item}"
    for one in lessons(mixture("preference")):
        assert one.answer == 1.0 + int(one.request.review.split()[-1]) % 5
        assert one.request.history == ()


def test_candidates_are_the_right_item_among_others_that_the_user_never_meets():
    met = {1: BOUGHT["ann"], 2: BOUGHT["ann"], 11: BOUGHT["cid"]}
    places = set()
    for one in lessons(mixture("direct")):
        candidates = one.request.candidates
        assert len(set(candidates)) == 4
        assert not (set(candidates) - {one.answer}) & set(met.get(one.answer, BOUGHT["bob"]))
        places.add(candidates.index(one.answer))
    assert len(places) > 1


def test_the_seed_draws_the_candidates():
    first, again, other = (
        [one.request.candidates for one in lessons(mixture("direct"), seed=seed)]
        for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_a_user_who_met_nearly_everything_has_fewer_candidates():
    catalogue = small_dataset(users=1).catalogue
    rows = [{"user": "u", "item": f"sku-{item}", "time": item} for item in range(10)]
    dataset = Dataset(catalogue, Interactions.from_table(pl.DataFrame(rows), catalogue), "fan")
    for one in lessons(mixture("direct", dataset=dataset, candidates=9)):
        assert set(one.request.candidates) == {one.answer, 10, 11}


def test_a_selection_is_what_the_user_meets_next_among_others():
    counts = set()
    for seed in range(6):
        for one in lessons(mixture("select"), seed=seed):
            history, fitting = set(one.request.history), set(one.answer)
            user = next(items for items in BOUGHT.values() if fitting & set(items))
            assert fitting <= set(user[: len(user) - 2 * (len(user) > 2)])
            assert not fitting & history
            assert fitting <= set(one.request.candidates)
            assert not (set(one.request.candidates) - fitting) & set(user)
            counts.add(len(fitting))
    assert counts == {1, 2}


def test_items_teach_their_titles_and_their_attributes():
    table = shop().catalogue.table
    for one in lessons(mixture("title_to_item")):
        assert one.answer == one.request.item
    assert [one.answer for one in lessons(mixture("item_to_title"))] == table["title"].to_list()
    asked = set()
    for seed in range(8):
        for one in lessons(mixture("attribute"), seed=seed):
            value = table[one.request.attribute][one.request.item]
            assert one.answer == (value if isinstance(value, str) else f"{value:g}")
            asked.add(one.request.attribute)
    assert asked == {"title", "brand", "price"}


def test_items_without_what_is_asked_teach_nothing():
    table = shop().catalogue.table.with_columns(pl.Series("title", ["one", *[None] * 11]))
    dataset = shop()
    dataset = Dataset(Catalogue(table), dataset.interactions, "untitled")
    assert [one.answer for one in lessons(mixture("title_to_item", dataset=dataset))] == [0]
    assert len(lessons(mixture("description_to_item", dataset=dataset))) == 12


def test_a_history_of_titles_passes_over_items_without_one():
    titles = [None if row in (0, 6) else f"thing {row}" for row in range(12)]
    table = shop().catalogue.table.with_columns(pl.Series("title", titles))
    dataset = Dataset(Catalogue(table), shop().interactions, "untitled")
    learnt = lessons(mixture("titles_to_item", dataset=dataset))
    assert [(one.request.history, one.answer) for one in learnt] == [
        ((1,), 2), ((5,), 7), ((10,), 11)
    ]  # fmt: skip


def test_a_dialogue_teaches_what_the_recommender_is_the_first_to_name():
    learnt = lessons(mixture("converse"))
    told = [(len(one.request.dialogue), one.request.history, one.answer) for one in learnt]
    # Item 0 was named before. The second dialogue names a held-out item of its user; in the third
    # nothing was said before.
    assert told == [(1, (0,), 1), (1, (0,), 2), (3, (0, 1, 2), 4)]


def test_a_dialogue_teaches_what_the_recommender_says():
    learnt = lessons(mixture("reply"))
    told = [(len(one.request.dialogue), one.request.history, one.answer) for one in learnt]
    # Not what ann hears about an item that is held out; a welcome answers nobody.
    assert told == [
        (1, (0,), "Then take the red case or the lamp"),
        (3, (0, 1, 2), "And the blue case with it"),
    ]


def test_silence_teaches_nothing():
    talk = Dialogue((Turn("user", "Hello"), Turn("recommender", " \u200b", (2,))))
    with pytest.raises(TaskError, match=r"for reply, .* dialogues in which recommenders answer"):
        mixture("reply", dialogues=(talk,))


def test_dialogues_teach_no_ratings():
    own = Task(name="mood", version=1, answer="rating", prompts=("How glad is {dialogue}",))
    with pytest.raises(TaskError, match="target 'rating'; dialogues teach to name an 'item'"):
        mixture("mood", own=own)


def test_what_is_told_of_a_history_is_read_from_its_events():
    config = PromptConfig(history_context=("gap", "behaviour", "rating"))
    request = lessons(mixture("recommend", config=config))[4].request
    assert request.history == (6, 5)
    assert request.ratings == (2.0, 1.0)
    assert request.behaviours == ("view", "view")
    assert request.times == (100_000, 200_000)
    assert (request.time, request.behaviour) == (300_000, "view")
    assert request.scenarios == ()


def test_what_is_not_told_of_a_history_is_not_read():
    request = lessons(mixture("recommend"))[4].request
    assert (request.ratings, request.behaviours, request.times) == ((), (), ())


def test_a_task_of_ones_own_is_learnt_without_code():
    own = Task(
        name="guess", version=1, answer="text", target="query",
        prompts=("Of {item} after {history} somebody asked for:",),
    )  # fmt: skip
    learnt = lessons(mixture("guess", own=own))
    assert [(one.request.item, one.answer) for one in learnt] == [
        (1, "q1"), (5, "q5"), (5, "q5"), (7, "q7"), (11, "q11")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("task", "needs"),
    [
        ("summarize", "the events' column 'text' and the events' column 'summary'"),
        ("rate", "the events' ratings"),
        ("search", "the events' column 'query'"),
        ("picture_to_item", "items with pictures"),
    ],
)
def test_a_task_without_lessons_says_what_it_needs(task, needs):
    dataset = shop(rating=None, text=" ", summary=None, query="\u200b")
    with pytest.raises(TaskError, match=f"'shop' has no training examples for {task}, .*{needs}"):
        mixture(task, dataset=dataset)


def test_ratings_on_another_scale_are_refused_before_training():
    with pytest.raises(TaskError, match=r"2.5 was given .* set prompts.rating_scale .* \(2.5,\)"):
        mixture("rate", dataset=shop(rating=2.5))
    halves = PromptConfig(rating_scale=(2.0, 2.5, 3.0))
    assert mixture("rate", dataset=shop(rating=2.5), config=halves).counts == {"rate": 9}


def test_drawing_is_not_learnt_without_image_tokens():
    with pytest.raises(TaskError, match="there are no image tokens to learn it from"):
        mixture("imagine")


def test_every_built_in_task_is_learnt_here_or_needs_pictures():
    learnt = set()
    for task in Tasks.load():
        try:
            learnt.add(mixture(task).renderer.tasks[task].name)
        except TaskError:
            continue
    assert set(Tasks.load()) - learnt == NEED_PICTURES


def test_every_lesson_can_be_written():
    for task in sorted(set(Tasks.load()) - NEED_PICTURES):
        mix = mixture(task)
        assert all(len(example.answer) for example in mix.epoch(0)), task


def test_requests_hold_plain_numbers():
    for task in ("direct", "select", "recommend"):
        one = lessons(mixture(task))[0]
        rows = [*one.request.history, *one.request.candidates]
        assert not any(isinstance(row, np.generic) for row in rows)
