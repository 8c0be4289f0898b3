"""A catalogue that changes while it is served: versions, the disk, and requests in between."""

import asyncio
import json
import threading

import httpx
import numpy as np
import pytest

from genrec.artifacts import ArtifactError
from genrec.serving import TransformersRecommender
from genrec.serving.service import ServiceConfig, create_app
from genrec.serving.service.changes import Change, ChangeLog, ConflictError
from tests.serving.small_service import ADMIN, base64_png, client_of, make_engine, make_store


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_engine(tmp_path_factory.mktemp("shop"))


def new_item(name="chair", seed=50, **attributes):
    known = {"title": "oak chair", "category": "home > chair", "price": 20} | attributes
    return {"item_id": name, "attributes": known, "picture": base64_png(seed, "blue")}


def change(client, **body):
    return client.post("/v1/catalogue", json=body, headers=ADMIN)


def named(client, **body):
    answer = client.post("/v1/recommend", json={"k": 30, **body}).json()
    return answer["catalogue_version"], {one["item_id"] for one in answer["items"]}


ALL = {f"sku-{row}" for row in range(12)}


def test_items_come_leave_and_sell_out(shop):
    with client_of(make_store(*shop)) as client:
        answer = change(client, add=[new_item()], remove=["sku-3"], stock={"sku-7": False}).json()
        assert {name: answer[name] for name in ("catalogue_version", "items", "in_stock")} == {
            "catalogue_version": 2, "items": 12, "in_stock": 11
        }  # fmt: skip
        assert answer["versions"][0]["change"] == "1 added, 1 removed, 1 out of stock"
        there = ALL - {"sku-3"} | {"chair"}
        assert named(client) == (2, there - {"sku-7"})
        assert named(client, in_stock=False) == (2, there)
        assert named(client, category="chair") == (2, {"chair"})
        assert client.get("/v1/items/chair/picture").status_code == 200
        assert client.get("/v1/items/sku-3").status_code == 404
        assert named(client, history=["chair"], in_stock=False) == (2, there - {"chair"})
        change(client, stock={"sku-7": True})
        assert named(client) == (3, there)


def test_an_item_that_is_replaced_may_be_sold_out(shop):
    with client_of(make_store(*shop)) as client:
        change(client, remove=["sku-2"], add=[new_item("sku-2")], stock={"sku-2": False})
        assert not client.get("/v1/items/sku-2").json()["in_stock"]
        change(client, remove=["sku-2"], add=[new_item("sku-2")])
        assert client.get("/v1/items/sku-2").json()["in_stock"]


def test_new_items_get_ids_that_nobody_has(shop):
    store = make_store(*shop)
    with client_of(store) as client:
        change(client, add=[new_item(f"chair-{n}", seed=n) for n in range(4)])
        change(client, remove=["sku-0"])
        change(client, add=[new_item("chair-9", seed=99)])
    codes_NL = store.current.renderer.ids.codes_NL
    assert len(np.unique(codes_NL, axis=0)) == len(codes_NL) == 16
    before = shop[0].renderer.ids.codes_NL
    np.testing.assert_array_equal(codes_NL[:11], before[1:])
    assert not (codes_NL[-1] == before[0]).all()  # kept for the item that left
    assert shop[1].version == 1


def test_an_item_that_returns_has_its_old_id_and_its_new_words(shop):
    store = make_store(*shop)
    with client_of(store) as client:
        change(client, remove=["sku-2"], add=[new_item("sku-2", title="green lamp")])
        assert client.get("/v1/items/sku-2").json()["title"] == "green lamp"
    renderer = store.current.renderer
    row = renderer.catalogue.rows(["sku-2"])[0]
    before = shop[0].renderer.ids.codes_NL[2]
    np.testing.assert_array_equal(renderer.ids.codes_NL[row], before)


def test_a_rollback_is_a_version_that_answers_as_the_old_one(shop):
    with client_of(make_store(*shop)) as client:
        first = client.post("/v1/recommend", json={"history": ["sku-1"]}).json()
        change(client, stock={"sku-2": False})
        change(client, add=[new_item()], remove=["sku-5", "sku-0"])
        change(client, remove=["chair"])
        assert change(client, rollback=2).json()["catalogue_version"] == 5
        assert named(client, in_stock=False) == (5, ALL)
        assert named(client) == (5, ALL - {"sku-2"})
        assert change(client, rollback=3).json()["items"] == 11
        assert change(client, rollback=1).json()["catalogue_version"] == 7
        again = client.post("/v1/recommend", json={"history": ["sku-1"]}).json()
        assert again["items"] == first["items"]


@pytest.mark.parametrize(
    ("body", "status", "code", "field"),
    [
        ({}, 422, "nothing", "rollback"),
        ({"rollback": 1, "remove": ["sku-0"]}, 422, "too_many", "rollback"),
        ({"rollback": 1}, 422, "unknown_version", "rollback"),
        ({"remove": ["sku-0", "sku-77"]}, 422, "unknown_item", "remove.1"),
        ({"remove": sorted(ALL)}, 422, "no_items", "remove"),
        ({"remove": ["sku-1"], "stock": {"sku-1": True}}, 422, "unknown_item", "stock"),
        ({"add": [new_item("sku-1")]}, 422, "item_exists", "add.0.item_id"),
        ({"add": [new_item("a"), new_item("a")]}, 422, "item_exists", "add.1.item_id"),
        ({"add": [new_item(size=3)]}, 422, "unknown_attribute", "add.0.attributes.size"),
        ({"stock": {"sku-0": False}, "if_version": 4}, 409, "conflict", None),
    ],
)
def test_a_change_that_makes_no_sense_changes_nothing(shop, body, status, code, field):
    with client_of(make_store(*shop)) as client:
        response = change(client, **body)
        assert response.status_code == status
        error = response.json()["error"]
        assert (error["code"], error.get("field")) == (code, field)
        assert named(client) == (1, ALL)


def test_without_a_tokenizer_items_leave_but_none_come(shop):
    with client_of(make_store(shop[0], None)) as client:
        assert change(client, add=[new_item()]).json()["error"]["code"] == "no_tokenizer"
        assert client.get("/v1/catalogue").json()["can_add"] is False
        change(client, remove=["sku-1"], stock={"sku-2": False})
        assert named(client) == (2, ALL - {"sku-1", "sku-2"})


def test_a_restart_serves_the_same_version(shop, tmp_path):
    with client_of(make_store(*shop, tmp_path)) as client:
        change(client, add=[new_item("chair-0", 1), new_item("chair-1", 2)])
        change(client, remove=["sku-4"], stock={"chair-0": False})
        change(client, rollback=2)
        change(client, remove=["chair-0"], add=[new_item("chair-2", 3)])
        before = client.post("/v1/recommend", json={"history": ["sku-1"], "k": 30}).json()
    store = make_store(*shop, tmp_path)
    with client_of(store) as client:
        after = client.post("/v1/recommend", json={"history": ["sku-1"], "k": 30}).json()
        assert after == before
        assert after["catalogue_version"] == 5
        # The tokenizer has gone on, too: what follows gets IDs that are free now.
        assert change(client, add=[new_item("chair-3", 4)]).status_code == 200
    ids = store.current.renderer.ids
    assert ids.are_unique
    assert store.newcomers.tokenizer.ids == ids


def test_processes_that_share_the_state_follow_each_other(shop, tmp_path):
    config = ServiceConfig(follow_s=0.02)
    one, other = make_store(*shop, tmp_path), make_store(*shop, tmp_path)
    with client_of(one) as client, client_of(other, config) as follower:
        change(client, add=[new_item()], stock={"sku-0": False})
        for _ in range(300):
            if follower.get("/v1/catalogue").json()["catalogue_version"] == 2:
                break
            threading.Event().wait(0.02)
        assert named(follower) == named(client) == (2, ALL - {"sku-0"} | {"chair"})
        # Whoever has not noticed yet looks first, and so nothing is lost.
        assert change(client, remove=["chair"]).json()["catalogue_version"] == 3
        assert change(follower, stock={"sku-1": False}).json()["catalogue_version"] == 4


def test_of_two_that_write_one_version_one_is_told(tmp_path):
    logs = [ChangeLog(tmp_path, {"catalogue": "a"}) for _ in range(2)]
    for number, log in enumerate(logs):
        change = log.prepare(Change(version=2, when=str(number), stock={"sku-0": bool(number)}))
        if number == 0:
            log.commit(change)
        else:
            with pytest.raises(ConflictError, match="version 2"):
                log.commit(change)
    assert logs[1].after(1)[0].when == "0"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000002.json", "base.json"]


def test_a_change_that_was_cut_off_did_not_happen(shop, tmp_path, monkeypatch):
    store = make_store(*shop, tmp_path)
    with client_of(store) as client:
        with monkeypatch.context() as patch:
            patch.setattr(ChangeLog, "commit", lambda *_: 1 / 0)
            assert change(client, add=[new_item()]).status_code == 500
        assert named(client) == (1, ALL)
        assert [path.name for path in tmp_path.iterdir()] == ["base.json"]
        assert change(client, add=[new_item()]).json()["catalogue_version"] == 2


def test_the_state_of_another_catalogue_is_refused(tmp_path):
    ChangeLog(tmp_path, {"catalogue": "a"})
    with pytest.raises(ArtifactError, match=r"catalogue of the model is b.*state in"):
        ChangeLog(tmp_path, {"catalogue": "b"})


def test_a_broken_change_is_named(tmp_path):
    log = ChangeLog(tmp_path, {})
    (tmp_path / "000002.json").write_text(json.dumps({"version": 2}))
    with pytest.raises(ArtifactError, match=r"000002.json does not tell a change"):
        log.after(1)


def test_requests_are_answered_wholly_by_one_version_and_none_is_lost(shop, monkeypatch):
    """Callers go on asking while the catalogue changes under them, with the model held up."""
    gate, ask = threading.Event(), TransformersRecommender.recommend

    def slow(self, requests, k):
        gate.wait(10)
        return ask(self, requests, k)

    monkeypatch.setattr(TransformersRecommender, "recommend", slow)
    app = create_app(make_store(*shop), admin_token="keeper")

    async def main():
        transport = httpx.ASGITransport(app)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://shop", timeout=30) as client,
        ):

            def ask_all(count):
                body = {"k": 30, "in_stock": True}
                return [
                    asyncio.create_task(client.post("/v1/recommend", json=body))
                    for _ in range(count)
                ]

            async def alter(**body):
                return await client.post("/v1/catalogue", json=body, headers=ADMIN)

            asks = ask_all(3)
            await asyncio.sleep(0.1)
            sold_out = (await alter(stock={"sku-0": False})).json()["catalogue_version"]
            asks += ask_all(3)
            await asyncio.sleep(0.05)
            adding = asyncio.create_task(alter(add=[new_item()], stock={"sku-0": True}))
            await asyncio.sleep(0.05)
            gate.set()
            added = (await adding).json()["catalogue_version"]
            asks += ask_all(3)
            answers = [answer.json() for answer in await asyncio.gather(*asks)]
            return sold_out, added, answers

    sold_out, added, answers = asyncio.run(main())
    assert (sold_out, added) == (2, 3)
    items = {1: ALL, 2: ALL - {"sku-0"}, 3: ALL | {"chair"}}
    assert [answer["catalogue_version"] for answer in answers] == [1] * 3 + [2] * 3 + [3] * 3
    for answer in answers:
        assert {one["item_id"] for one in answer["items"]} == items[answer["catalogue_version"]]
