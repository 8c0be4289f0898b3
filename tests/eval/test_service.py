"""The client against the real service, over an untrained model of the small shop."""

import socket
import threading
import time

import numpy as np
import pytest
import uvicorn

from genrec.data import Dataset, leave_one_out
from genrec.eval import evaluate
from genrec.eval.service import HTTPRecommender, ServiceError
from genrec.recommender import Request
from genrec.serving.service import ServiceConfig, create_app
from tests.serving.small_service import make_engine, make_store, shop_with_pictures
from tests.small_shop import small_dataset

SHOP = Dataset(shop_with_pictures(), small_dataset(users=8).interactions, "small")
LAST = leave_one_out(SHOP.interactions).test
TASKS = ("recommend", "search", "rate", "select", "explain", "explain_rated")


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


def test_constraints_reach_the_service(url):
    client = HTTPRecommender(url, SHOP.catalogue)
    (found,) = client.recommend([Request(history=(1, 2), exclude=(1, 2, 3), only=(2, 3, 4, 5))], 9)
    assert set(found.items.tolist()) == {4, 5}
    (again,) = client.recommend([Request(history=(1,))], 12)
    assert sorted(again.items.tolist()) == list(range(12))
    assert (np.diff(again.scores) <= 0).all()


def test_what_the_service_cannot_do_is_said(url):
    client = HTTPRecommender(url, SHOP.catalogue)
    with pytest.raises(NotImplementedError, match="no route for 'direct'"):
        client.recommend([Request(task="direct")], 3)
    with pytest.raises(ServiceError, match="/v1/search answered 422"):
        client.recommend([Request(task="search", query="")], 3)
    with pytest.raises(ServiceError, match="does not answer"):
        HTTPRecommender("http://127.0.0.1:9", SHOP.catalogue).recommend([Request()], 3)
