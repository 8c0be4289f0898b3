"""What the routes answer, over an untrained model of the small shop."""

import asyncio
import json
import logging

import httpx
import pytest

from genrec.recommender import Rating
from genrec.serving import GenRec, TransformersRecommender
from genrec.serving.service import LimitsConfig, ServiceConfig, create_app
from genrec.serving.service.logs import JsonLines
from tests.serving.small_service import base64_png, client_of, make_engine, make_store

HISTORY = ["sku-0", "sku-4"]
ALL = {f"sku-{row}" for row in range(12)}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_engine(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def client(shop):
    with client_of(make_store(*shop)) as client:
        yield client


def names(response):
    assert response.status_code == 200, response.text
    return [one["item_id"] for one in response.json()["items"]]


def refused(response, status, code, field=None):
    assert response.status_code == status, response.text
    error = response.json()["error"]
    assert error["code"] == code
    assert error.get("field") == field
    assert error["message"]
    return error


def test_lists_are_those_of_the_python_api(shop, client):
    engine, _ = shop
    rec = GenRec(engine, engine.renderer.catalogue)
    answer = client.post("/v1/recommend", json={"history": HISTORY, "k": 4}).json()
    expected = rec.recommend(HISTORY, k=4)
    assert [one["item_id"] for one in answer["items"]] == [item for item, _ in expected]
    assert [one["score"] for one in answer["items"]] == pytest.approx(
        [score for _, score in expected], abs=1e-4
    )
    assert answer["catalogue_version"] == 1
    found = client.post("/v1/search", json={"history": HISTORY, "query": "red lamp", "k": 4})
    assert names(found) == [item for item, _ in rec.search(HISTORY, "red lamp", k=4)]


@pytest.mark.parametrize(
    ("wishes", "expected"),
    [
        ({}, ALL - set(HISTORY)),
        ({"repeat": True}, ALL),
        ({"exclude": ["sku-7"]}, ALL - {*HISTORY, "sku-7"}),
        ({"only": ["sku-1", "sku-0"]}, {"sku-1"}),
        ({"category": "home > lamp"}, {"sku-2", "sku-5", "sku-8", "sku-11"}),
        ({"category": ["home > lamp", "home > case"], "price": {"max": 3}}, {"sku-1", "sku-2"}),
        ({"category": "home", "price": {"min": 11, "max": 11}}, {"sku-10"}),
    ],
)
def test_wishes_hold(client, wishes, expected):
    answer = client.post("/v1/recommend", json={"history": HISTORY, "k": 12, **wishes})
    assert set(names(answer)) == expected


def test_boosts_lift_and_diversity_spreads(shop, client):
    plain = names(client.post("/v1/recommend", json={"k": 12}))
    last = plain[-1]
    assert names(client.post("/v1/recommend", json={"k": 3, "boosts": {last: 50}}))[0] == last
    body = {"k": 12, "diversity": {"at_most": 1, "codes": 1}}
    spread = names(client.post("/v1/recommend", json=body))
    codes = shop[0].renderer.ids.codes_NL[[int(name[4:]) for name in spread], 0]
    assert len(set(codes.tolist())) == len(codes) < 12
    seeded = {"k": 5, "sampling": {"temperature": 2.0, "seed": 3}}
    draws = [names(client.post("/v1/recommend", json=seeded)) for _ in range(2)]
    assert draws[0] == draws[1]


def test_details_tell_the_item(client):
    body = {"only": ["sku-3"], "k": 1, "details": True}
    assert client.post("/v1/recommend", json=body).json()["items"][0]["item"] == {
        "item_id": "sku-3", "title": "blue phone", "in_stock": True,
        "attributes": {
            "title": "blue phone", "brand": "Acme", "price": 4.0, "category": "home > phone"
        },
        "picture": "/v1/items/sku-3/picture",
    }  # fmt: skip


def test_text_and_choices(client):
    assert isinstance(
        client.post("/v1/explain", json={"history": HISTORY, "item": "sku-7"}).json()["text"], str
    )
    body = {"history": HISTORY, "candidates": ["sku-3", "sku-9"]}
    assert set(names_of_choice(client.post("/v1/select", json=body))) <= {"sku-3", "sku-9"}


def names_of_choice(response):
    assert response.status_code == 200
    return response.json()["items"]


TALK = [
    {"speaker": "user", "text": "Like this lamp?", "items": ["sku-2"]},
    {"speaker": "recommender", "text": "Red or blue?"},
    {"speaker": "user", "text": "Blue."},
]


def test_talks_are_those_of_the_python_api(shop, client):
    engine, _ = shop
    rec = GenRec(engine, engine.renderer.catalogue)
    said = [(turn["speaker"], turn["text"], turn.get("items", [])) for turn in TALK]
    body = {"dialogue": TALK, "exclude": ["sku-2"], "k": 4}
    expected = rec.converse(said, k=4, exclude=["sku-2"])
    assert names(client.post("/v1/converse", json=body)) == [item for item, _ in expected]
    assert client.post("/v1/reply", json={"dialogue": TALK}).json()["text"] == rec.reply(said)


def test_a_new_item_that_is_spoken_of_reads_like_its_twin(client):
    twin = {
        "item_id": "mine", "picture": base64_png(0, "red"),
        "attributes": {
            "title": "red phone", "brand": "Acme", "price": 1.0, "category": "home > phone"
        },
    }  # fmt: skip

    def found(item, **more):
        dialogue = [{"speaker": "user", "text": "Like mine?", "items": [item]}, *TALK]
        body = {"dialogue": dialogue, "k": 12, "repeat": True, **more}
        return client.post("/v1/converse", json=body).json()["items"]

    ours, theirs = found("sku-0"), found("mine", new_items=[twin])
    assert [one["item_id"] for one in theirs] == [one["item_id"] for one in ours]
    assert [one["score"] for one in theirs] == pytest.approx([one["score"] for one in ours])


def test_a_choice_is_among_the_candidates(shop, client):
    engine, _ = shop
    rec = GenRec(engine, engine.renderer.catalogue)
    few = ["sku-9", "sku-3", "sku-0", "sku-5"]
    wished = {"history": HISTORY, "candidates": few, "k": 12}
    expected = rec.recommend(HISTORY, k=12, candidates=few, only=few, exclude=HISTORY)
    assert names(client.post("/v1/recommend", json=wished)) == [item for item, _ in expected]
    assert {item for item, _ in expected} == {"sku-9", "sku-3", "sku-5"}
    held = {**wished, "only": ["sku-3", "sku-4"]}
    assert names(client.post("/v1/recommend", json=held)) == ["sku-3"]


def test_reviews_are_read(shop, client):
    engine, _ = shop
    rec, review = GenRec(engine, engine.renderer.catalogue), "a fine red lamp"
    told = client.post("/v1/summarize", json={"review": review}).json()
    assert told["text"] == rec.summarize(review)


def test_ratings_come_in_the_order_of_the_items(shop, monkeypatch):
    engine, tokenizer = shop

    def rate(self, requests):
        return [Rating(request.item / 2, float(request.item)) for request in requests]

    monkeypatch.setattr(TransformersRecommender, "rate", rate)
    with client_of(make_store(engine, tokenizer)) as client:
        answer = client.post("/v1/rate", json={"history": HISTORY, "items": ["sku-5", "sku-2"]})
    assert answer.json()["ratings"] == [
        {"item_id": "sku-5", "expected": 2.5, "likeliest": 5.0},
        {"item_id": "sku-2", "expected": 1.0, "likeliest": 2.0},
    ]


def test_the_rating_of_a_review_is_the_models(shop, monkeypatch):
    def rate(self, requests):
        assert [(one.task, one.review) for one in requests] == [("preference", "too big")]
        return [Rating(2.5, 2.0)]

    monkeypatch.setattr(TransformersRecommender, "rate", rate)
    with client_of(make_store(*shop)) as client:
        answer = client.post("/v1/rate_review", json={"review": "too big"})
    assert answer.json() == {"catalogue_version": 1, "expected": 2.5, "likeliest": 2.0}


def test_an_untrained_answer_is_no_rating(client):
    refused(client.post("/v1/rate_review", json={"review": "fine"}), 501, "not_learned")
    refused(client.post("/v1/rate", json={"items": ["sku-5"]}), 501, "not_learned")


def test_tasks_that_were_not_learned_are_refused(shop):
    with client_of(make_store(*shop), tasks=["recommend"]) as client:
        error = refused(
            client.post("/v1/search", json={"query": "lamp"}), 501, "not_learned"
        )  # fmt: skip
        assert error["remedy"] == "it learned recommend"
        assert client.get("/v1/catalogue").json()["tasks"] == ["recommend"]


@pytest.mark.parametrize(
    ("route", "body", "code", "field"),
    [
        ("recommend", {"history": ["sku-0", "sku-77"]}, "unknown_item", "history.1"),
        ("recommend", {"only": ["nothing"]}, "unknown_item", "only.0"),
        ("recommend", {"boosts": {"sku-0": 1, "x": 2}}, "unknown_item", "boosts.1"),
        ("recommend", {"only": []}, "no_items", "only"),
        ("recommend", {"only": ["sku-0"], "exclude": ["sku-0"]}, "no_items", "only"),
        ("recommend", {"category": "garden"}, "no_items", None),
        ("recommend", {"category": []}, "invalid", "category"),
        ("recommend", {"k": 31}, "too_many", "k"),
        ("recommend", {"k": 0}, "invalid", "k"),
        ("recommend", {"history": ["sku-0"] * 41}, "too_many", "history"),
        ("recommend", {"exclude": ["sku-0"] * 21}, "too_many", "exclude"),
        ("recommend", {"kk": 1}, "invalid", "kk"),
        ("recommend", {"history": "sku-0"}, "invalid", "history"),
        ("recommend", {"boosts": {"sku-1": 1e9}}, "invalid", "boosts.sku-1"),
        ("recommend", {"boosts": {"sku-1": 1}, "sampling": {}}, "unanswerable", None),
        ("search", {}, "invalid", "query"),
        ("search", {"query": "x" * 51}, "too_many", "query"),
        ("rate", {"items": ["sku-0"] * 6}, "too_many", "items"),
        ("explain", {"item": "sku-0", "hint": "a", "rating": 2}, "too_many", "hint"),
        ("select", {"candidates": []}, "invalid", "candidates"),
        ("recommend", {"candidates": []}, "invalid", "candidates"),
        ("recommend", {"candidates": ["sku-0"] * 6}, "too_many", "candidates"),
        ("recommend", {"candidates": ["sku-0", "sku-77"]}, "unknown_item", "candidates.1"),
        ("recommend", {"candidates": ["sku-0"], "only": ["sku-1"]}, "no_items", "only"),
        ("converse", {"dialogue": []}, "invalid", "dialogue"),
        ("converse", {"dialogue": [{"speaker": "cat", "text": "?"}]}, "invalid",
         "dialogue.0.speaker"),
        ("converse", {"dialogue": [{"speaker": "user", "text": "?", "items": ["x"]}]},
         "unknown_item", "dialogue.0.items.0"),
        ("reply", {"dialogue": [{"speaker": "user", "text": "?"}] * 4}, "too_many", "dialogue"),
        ("reply", {"dialogue": [{"speaker": "user", "text": "x" * 51}]}, "too_many",
         "dialogue.0.text"),
        ("summarize", {"review": ""}, "invalid", "review"),
        ("rate_review", {"review": "x" * 51}, "too_many", "review"),
        ("recommend", {"history": ["mine"], "new_items": [{"item_id": "mine"}]}, "invalid",
         "new_items.0.attributes"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_its_field(shop, route, body, code, field):
    limits = LimitsConfig(
        k=30, history=40, named_items=20, text=50, candidates=5, passage=50, turns=3
    )
    with client_of(make_store(*shop), ServiceConfig(limits=limits)) as client:
        refused(client.post(f"/v1/{route}", json=body), 422, code, field)


@pytest.mark.parametrize(
    ("item", "code", "field"),
    [
        ({"item_id": "sku-3"}, "item_exists", "new_items.0.item_id"),
        ({"attributes": {"colour": "red"}}, "unknown_attribute", "new_items.0.attributes.colour"),
        ({"attributes": {"price": "dear"}}, "wrong_type", "new_items.0.attributes.price"),
        ({"attributes": {"price": 10**400}}, "too_large", "new_items.0.attributes.price"),
        ({"picture": "???"}, "broken_picture", "new_items.0.picture"),
        ({"picture": "AAAA"}, "broken_picture", "new_items.0.picture"),
    ],
)
def test_new_items_that_cannot_be_read_are_refused(client, item, code, field):
    body = {"new_items": [{"item_id": "mine", "attributes": {}, **item}]}
    refused(client.post("/v1/recommend", json=body), 422, code, field)


def test_beside_new_items_what_is_unknown_is_named_by_its_place(client):
    new = {"new_items": [{"item_id": "mine", "attributes": {}}]}
    response = client.post("/v1/recommend", json={"history": ["mine", "sku-0", "sku-77"], **new})
    refused(response, 422, "unknown_item", "history.2")


def test_too_large_a_picture_is_refused(shop):
    config = ServiceConfig(limits=LimitsConfig(picture_pixels=255))
    with client_of(make_store(*shop), config) as client:
        item = {"item_id": "mine", "attributes": {}, "picture": base64_png(0)}
        response = client.post("/v1/recommend", json={"new_items": [item]})
        error = refused(response, 422, "too_large", "new_items.0.picture")
    assert "16 x 16 pixels" in error["message"]


def test_an_item_that_looks_like_another_reads_like_it(client):
    twin = {
        "item_id": "mine", "picture": base64_png(0, "red"),
        "attributes": {"title": "red phone", "brand": "Acme", "price": 1, "category": None},
    }  # fmt: skip
    guest = client.post(
        "/v1/recommend", json={"history": ["mine", "sku-4"], "new_items": [twin], "k": 12}
    ).json()
    known = client.post("/v1/recommend", json={"history": HISTORY, "repeat": True, "k": 12}).json()
    score_of = {one["item_id"]: one["score"] for one in known["items"]}
    assert len(guest["items"]) == 11
    for one in guest["items"]:
        assert one["score"] == pytest.approx(score_of[one["item_id"]], abs=1e-4)
    for route, body in [("explain", {"item": "mine"}), ("select", {"candidates": ["sku-1"]})]:
        body |= {"history": ["mine"], "new_items": [twin]}
        assert client.post(f"/v1/{route}", json=body).status_code == 200


def test_new_items_need_a_tokenizer(shop):
    with client_of(make_store(shop[0], None)) as client:
        body = {"new_items": [{"item_id": "mine", "attributes": {}}]}
        refused(client.post("/v1/recommend", json=body), 422, "no_tokenizer", "new_items")


def test_items_are_found(client):
    assert names(client.get("/v1/items", params={"text": "LAMP red"})) == ["sku-2"]
    assert names(client.get("/v1/items", params={"ids": ["sku-9", "sku-1"]})) == ["sku-9", "sku-1"]
    page = client.get("/v1/items", params={"category": "home > case", "page": 2, "page_size": 3})
    assert names(page) == ["sku-10"]
    assert {name: page.json()[name] for name in ("total", "page", "pages")} == {
        "total": 4, "page": 2, "pages": 2
    }  # fmt: skip
    for nothing in ({"text": "("}, {"category": "garden"}, {"in_stock": False}):
        assert names(client.get("/v1/items", params=nothing)) == []
    refused(client.get("/v1/items", params={"ids": "x"}), 422, "unknown_item", "ids.0")
    refused(client.get("/v1/items", params={"page_size": 101}), 422, "too_many", "page_size")
    refused(client.get("/v1/items/none"), 404, "unknown_item", "item_id")


def test_pictures_are_cached_by_their_content(client):
    picture = client.get("/v1/items/sku-0/picture")
    assert picture.headers["content-type"] == "image/png"
    again = client.get(
        "/v1/items/sku-0/picture", headers={"If-None-Match": picture.headers["etag"]}
    )
    assert (again.status_code, again.content) == (304, b"")
    refused(client.get("/v1/items/sku-5/picture"), 404, "no_picture")


def test_somebody_to_begin_with(client):
    assert set(client.get("/v1/examples").json()["history"]) < ALL


def test_openapi_tells_bodies_answers_and_refusals(client):
    told = client.get("/openapi.json").json()
    assert {f"/v1/{name}" for name in ("recommend", "search", "rate", "explain", "select")} < set(
        told["paths"]
    )
    responses = told["paths"]["/v1/recommend"]["post"]["responses"]
    assert {"200", "401", "413", "422", "429", "501", "504"} <= set(responses)
    for name, schema in told["components"]["schemas"].items():
        for example in schema.get("examples", []):
            assert set(example) <= set(schema["properties"]), name


def test_examples_of_the_schemas_are_answered(client):
    for name, schema in client.get("/openapi.json").json()["components"]["schemas"].items():
        route = name.removesuffix("Body").lower()
        if name.endswith("Body") and route in ("recommend", "search", "explain", "select"):
            answer = client.post(f"/v1/{route}", json=schema["examples"][0])
            assert answer.status_code == 200, answer.text


def test_callers_at_the_same_time_share_batches(shop):
    engine, tokenizer = shop
    app = create_app(make_store(engine, tokenizer))

    async def ask_together():
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://shop") as client,
        ):
            bodies = [{"history": [f"sku-{n}"], "k": 1 + n % 3} for n in range(12)]
            asks = [client.post("/v1/recommend", json=body) for body in bodies]
            together = await asyncio.gather(*asks)
            alone = [await client.post("/v1/recommend", json=body) for body in bodies]
            return together, alone, (await client.get("/metrics")).text

    together, alone, metrics = asyncio.run(ask_together())
    for one, other in zip(together, alone, strict=True):
        assert names(one) == names(other)
    assert 'genrec_batch_size_count{method="recommend"} 13.0' in metrics
    assert 'genrec_batch_size_sum{method="recommend"} 24.0' in metrics
    assert 'genrec_requests_total{method="POST",route="/v1/recommend",status="200"} 24.0' in metrics


def test_logs_are_json_and_tell_nothing_of_users(client, caplog):
    with caplog.at_level(logging.INFO):
        client.post("/v1/search", json={"history": ["sku-4"], "query": "a secret wish"})
        client.post("/v1/search", json={"history": ["sku-nope"], "query": "a secret wish"})
        client.get("/v1/items/sku-4")
        client.get("/v1/items?text=secret")
    lines = [JsonLines().format(record) for record in caplog.records if "httpx" not in record.name]
    facts = [json.loads(line) for line in lines]
    assert [(one["route"], one["status"]) for one in facts if "route" in one] == [
        ("/v1/search", 200),
        ("/v1/search", 422),
        ("/v1/items/{item_id:path}", 200),
        ("/v1/items", 200),
    ]
    assert "sku" not in "".join(lines)
    assert "secret" not in "".join(lines)


def test_exceptions_are_logged_without_their_words():
    try:
        raise ValueError("sku-4 of user 7")
    except ValueError as error:
        failure = (type(error), error, error.__traceback__)
    record = logging.LogRecord("x", logging.ERROR, __file__, 1, "failed", (), failure)
    line = json.loads(JsonLines().format(record))
    assert line["exception"] == "ValueError"
    assert "test_service.py" in line["trace"]
    assert "user 7" not in json.dumps({**line, "trace": ""})
