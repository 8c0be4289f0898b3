"""The client against the real service, over an untrained model of the small shop."""

import dataclasses
import socket
import threading
import time

import numpy as np
import polars as pl
import pytest
import uvicorn

from genrec.data import Dataset, Dialogue, leave_one_out
from genrec.eval import evaluate, evaluate_dialogues
from genrec.eval.service import HTTPRecommender, ServiceError
from genrec.recommender import Rating, Request, Turn
from genrec.serving import TransformersRecommender
from genrec.serving.service import ServiceConfig, create_app
from tests.serving.small_service import make_engine, make_store, shop_with_pictures
from tests.small_shop import small_dataset

PLAIN = small_dataset(users=8).interactions
SUMMARIES = PLAIN.extras.with_columns(summary=pl.col("text").str.slice(0, 6))
SHOP = Dataset(shop_with_pictures(), dataclasses.replace(PLAIN, extras=SUMMARIES), "small")
LAST = leave_one_out(SHOP.interactions).test
TASKS = (
    "recommend", "search", "direct", "rate", "preference", "select", "explain", "explain_rated",
    "explain_hint", "summarize",
)  # fmt: skip
TALK = Dialogue(
    (
        Turn("user", "Like the red lamp?", (2,)),
        Turn("recommender", "These two.", (3, 4)),
        Turn("user", "Something blue for my desk."),
        Turn("recommender", "Then this one.", (5,)),
    )
)


@pytest.fixture(scope="module")
def engine(tmp_path_factory):
    return make_engine(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def url(engine):
    """Serve the engine on a free port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = create_app(make_store(*engine), ServiceConfig())
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join()


def test_a_service_is_scored_as_the_model_behind_it(engine, url):
    here = evaluate(engine[0], SHOP, LAST, tasks=TASKS, k=4, candidates=4)
    there = evaluate(
        HTTPRecommender(url, SHOP.catalogue), SHOP, LAST, tasks=TASKS, k=4, candidates=4
    )
    for task in TASKS:
        assert there[task].counts == here[task].counts
        assert there[task].statistics.values == pytest.approx(
            here[task].statistics.values, abs=1e-4, nan_ok=True
        )


def test_ratings_of_reviews_are_those_of_the_model(engine, url, monkeypatch):
    def rate(self, requests):  # the untrained model's answers are no ratings
        return [Rating(len(request.review) / 10, 4.0) for request in requests]

    monkeypatch.setattr(TransformersRecommender, "rate", rate)
    requests = [Request(task="preference", review=review) for review in ("fine", "too big")]
    assert HTTPRecommender(url, SHOP.catalogue).rate(requests) == [(0.4, 4.0), (0.7, 4.0)]


def test_a_service_talks_as_the_model_behind_it(engine, url):
    options = {"tasks": ["converse", "reply"], "k": 4}
    here = evaluate_dialogues(engine[0], [TALK, TALK], SHOP.catalogue, **options)
    client = HTTPRecommender(url, SHOP.catalogue)
    there = evaluate_dialogues(client, [TALK, TALK], SHOP.catalogue, **options)
    ours, theirs = there["converse"], here["converse"]
    assert ours.answers.items_EK.tolist() == theirs.answers.items_EK.tolist()
    assert ours.counts["requests"] == 6
    assert there["reply"].answers.answers == here["reply"].answers.answers


def test_a_client_answers_what_the_model_learned(engine, url):
    client = HTTPRecommender(url, SHOP.catalogue)
    assert set(client.tasks) == {*TASKS, "converse", "reply"}
    (found,) = client.recommend([Request(task="direct", candidates=(4, 2), history=(2,))], 9)
    assert sorted(found.items.tolist()) == [2, 4]


def test_constraints_reach_the_service(url):
    client = HTTPRecommender(url, SHOP.catalogue)
    (found,) = client.recommend([Request(history=(1, 2), exclude=(1, 2, 3), only=(2, 3, 4, 5))], 9)
    assert set(found.items.tolist()) == {4, 5}
    (part,) = client.recommend([Request(history=(1, 2), exclude=(1, 3))], 12)
    assert sorted(part.items.tolist()) == [0, 2, *range(4, 12)]
    (again,) = client.recommend([Request(history=(1,))], 12)
    assert sorted(again.items.tolist()) == list(range(12))
    assert (np.diff(again.scores) <= 0).all()


def test_what_the_service_cannot_do_is_said(url):
    client = HTTPRecommender(url, SHOP.catalogue)
    with pytest.raises(NotImplementedError, match="no route for 'title_to_item'"):
        client.recommend([Request(task="title_to_item", item=1)], 3)
    with pytest.raises(NotImplementedError, match="no route for 'item_to_title'"):
        client.generate([Request(task="item_to_title", item=1)])
    with pytest.raises(ServiceError, match="/v1/search answered 422"):
        client.recommend([Request(task="search", query="")], 3)
    with pytest.raises(ServiceError, match="does not answer"):
        HTTPRecommender("http://127.0.0.1:9", SHOP.catalogue).recommend([Request()], 3)


def test_what_is_no_address_is_refused_at_once():
    with pytest.raises(ValueError, match="'localhost:8000' is no address of a service"):
        HTTPRecommender("localhost:8000", None)
