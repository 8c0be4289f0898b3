import dataclasses

import numpy as np
import polars as pl
import pytest

from genrec.data import Catalogue, Dataset, leave_one_out
from genrec.eval.leaks import LeakError, refuse_leaks
from genrec.eval.questions import Questions
from genrec.eval.tasks import TaskError
from genrec.recommender import Request
from tests.eval.written import written


def ask(dataset, events, task="recommend", **options):
    return list(Questions.about(dataset, np.array(events), task, **options))


def with_times(dataset, times):
    interactions = dataclasses.replace(dataset.interactions, time=np.array(times))
    return Dataset(dataset.catalogue, interactions, dataset.name)


def untitled(dataset, row):
    titles = [None if item == row else f"title {item}" for item in range(len(dataset.catalogue))]
    table = dataset.catalogue.table.with_columns(pl.Series("title", titles))
    return Dataset(Catalogue(table), dataset.interactions, dataset.name)


def test_the_history_is_what_the_same_user_did_before():
    dataset = written({"ann": [3, 1, 4], "bob": [1, 5, 9, 2]})
    questions = ask(dataset, [2, 5])
    assert [(q.request.history, q.target) for q in questions] == [((3, 1), 4), ((1, 5), 9)]


def test_the_history_is_excluded_unless_told_otherwise():
    dataset = written({"ann": [3, 1, 4]})
    assert ask(dataset, [2])[0].request.exclude == (3, 1)
    assert ask(dataset, [2], exclude_history=False)[0].request.exclude == ()


def test_ratings_of_the_history_come_along_where_they_are_known():
    dataset = written({"ann": [3, 1, 4]}, ratings={"ann": [5, None, 2]})
    assert ask(dataset, [2])[0].request.ratings == (5.0, None)


def test_a_history_without_any_rating_has_none():
    assert ask(written({"ann": [3, 1, 4]}), [2])[0].request.ratings == ()


def test_a_search_asks_only_where_there_is_a_query():
    dataset = written(
        {"ann": [3, 1], "bob": [2, 7]}, queries={"ann": ["x", None], "bob": ["y", "a mug"]}
    )
    questions = ask(dataset, [1, 3], "search")
    assert [(q.event, q.request.query) for q in questions] == [(3, "a mug")]


def test_a_rating_is_asked_about_the_target_and_not_told():
    dataset = written({"ann": [3, 1]}, ratings={"ann": [5, 2]})
    question = ask(dataset, [1], "rate")[0]
    assert (question.request.item, question.request.rating, question.rating) == (1, None, 2.0)


def test_an_explanation_is_asked_with_the_rating_to_explain():
    dataset = written({"ann": [3, 1]}, ratings={"ann": [5, 2]}, texts={"ann": ["a", "too big"]})
    question = ask(dataset, [1], "explain")[0]
    assert (question.request.item, question.request.rating, question.text) == (1, 2.0, "too big")


def test_candidates_are_the_target_and_items_that_the_user_never_meets():
    dataset = written({"ann": [3, 1, 4, 5], "bob": [2, 7]})
    question = ask(dataset, [2], "direct", candidates=6)[0]
    assert question.fitting == (4,)
    assert len(set(question.request.candidates)) == 6
    assert 4 in question.request.candidates
    assert not {3, 1, 5} & set(question.request.candidates)
    assert question.request.only == question.request.candidates


def test_all_methods_choose_among_the_same_candidates():
    dataset = written({"ann": [3, 1, 4, 5], "bob": [2, 7]})
    first, again = (ask(dataset, events, "select") for events in ([2, 5], [5]))
    assert first[1].request == again[0].request


def test_fitting_items_are_those_that_the_user_meets_next():
    dataset = written({f"user {u}": [0, 1, 2, 3, 1, 4] for u in range(40)})
    chosen = [q.fitting for q in ask(dataset, range(2, 6 * 40, 6), "select")]
    assert set(chosen) == {(2,), (2, 3)}  # item 1 was met before


def test_a_small_catalogue_has_fewer_candidates():
    dataset = written({"ann": [3, 1, 4]}, items=5)
    assert sorted(ask(dataset, [2], "direct")[0].request.candidates) == [0, 2, 4]


def test_when_the_user_did_what_comes_along():
    question = ask(written({"ann": [3, 1, 4]}), [2])[0]
    assert (question.request.times, question.request.time) == ((0, 1), 2)


def test_a_review_is_asked_about_without_its_user():
    dataset = written({"ann": [3, 1]}, ratings={"ann": [5, 2]}, texts={"ann": ["a", "too big"]})
    question = ask(dataset, [1], "preference")[0]
    assert question.request == Request(task="preference", review="too big")
    assert question.rating == 2.0


def test_a_query_alone_leads_to_the_item():
    dataset = written({"ann": [3, 1]}, queries={"ann": ["x", "a mug"]})
    (question,) = ask(dataset, [1], "query_to_item")
    (search,) = ask(dataset, [1], "search")
    assert question.request == dataclasses.replace(search.request, task="query_to_item")


def test_the_title_of_what_comes_next_is_the_answer():
    (question,) = ask(written({"ann": [3, 1, 4]}), [2], "history_to_title")
    assert (question.request.history, question.request.item) == ((3, 1), None)
    assert (question.text, question.target) == ("title 4", 4)


def test_an_item_without_a_title_has_none_to_ask_for():
    dataset = untitled(written({"ann": [3, 1, 4], "bob": [2, 5]}), row=4)
    assert [q.event for q in ask(dataset, [2, 4], "history_to_title")] == [4]
    assert [q.event for q in ask(dataset, [2, 4], "titles_to_item")] == [2, 4]
    with pytest.raises(TaskError, match="no event of written has an item with a title"):
        ask(dataset, [2], "history_to_title")


def test_a_title_that_no_item_has_is_refused_with_the_near_one():
    for task in ("titles_to_item", "history_to_title"):
        with pytest.raises(TaskError, match=r"'titel', but .* did you mean 'title'"):
            ask(written({"ann": [3, 1]}), [1], task, title="titel")


@pytest.mark.parametrize(
    ("task", "needed"),
    [
        ("search", "a query"),
        ("query_to_item", "a query"),
        ("rate", "a rating"),
        ("explain", "a text"),
        ("summarize", "a text and a summary"),
    ],
)
def test_a_task_that_the_data_cannot_carry_is_refused(task, needed):
    with pytest.raises(TaskError, match=f"no event of written has {needed}"):
        ask(written({"ann": [3, 1]}), [1], task)


def test_an_unknown_task_is_refused_with_the_known_ones():
    with pytest.raises(TaskError, match="no task 'guess'; there are recommend, search"):
        ask(written({"ann": [3, 1]}), [1], "guess")


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("title_to_item", "no question about events, but about items"),
        ("reply", "about dialogues; call evaluate_dialogues"),
        ("imagine", "is answered by a picture, which has no score here"),
    ],
)
def test_a_task_about_something_else_is_refused(task, message):
    with pytest.raises(TaskError, match=message):
        ask(written({"ann": [3, 1]}), [1], task)


def test_a_target_that_was_recorded_twice_is_refused_naming_the_user():
    dataset = with_times(written({"ann": [3, 4, 4]}), [0, 7, 7])
    with pytest.raises(LeakError, match="event 2 of user 'ann' is recorded twice"):
        ask(dataset, [2])


def test_an_item_met_long_before_is_no_leak():
    assert ask(written({"ann": [4, 1, 4]}), [2])[0].request.history == (4, 1)


def test_learning_from_a_target_is_refused_naming_the_user():
    dataset = written({"ann": [3, 1, 4], "bob": [1, 5, 9]})
    split = leave_one_out(dataset.interactions)
    cheat = split.train.copy()
    cheat[split.test[1]] = True
    with pytest.raises(LeakError, match=r"event 5 of user 'bob'.* 1 of 2 events"):
        refuse_leaks(dataset.interactions, split.test, cheat)


def test_learning_from_what_came_after_a_target_is_refused():
    dataset = written({"ann": [3, 1, 4]})
    with pytest.raises(LeakError, match="event 1 of user 'ann'"):
        refuse_leaks(dataset.interactions, np.array([1]), np.array([True, False, True]))


def test_learning_from_the_train_events_is_no_leak():
    dataset = written({"ann": [3, 1, 4], "bob": [1, 5, 9]})
    split = leave_one_out(dataset.interactions)
    refuse_leaks(dataset.interactions, split.test, split.train)
    refuse_leaks(dataset.interactions, split.validation, split.train)


@pytest.mark.parametrize(
    ("events", "train", "message"),
    [
        ([0, 3], None, "rows 0 to 2"),
        ([-1], None, "rows 0 to 2"),
        ([1, 1], None, "listed twice"),
        ([1], np.array([True]), "train marks 1 events"),
    ],
)
def test_rows_that_do_not_fit_the_data_are_refused(events, train, message):
    with pytest.raises(ValueError, match=message):
        refuse_leaks(written({"ann": [3, 1, 4]}).interactions, np.array(events), train)
