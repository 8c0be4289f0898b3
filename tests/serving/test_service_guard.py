"""What the service refuses before it looks at a question, and how it stops."""

import asyncio
import threading

import httpx
import pytest

from genrec.serving import TransformersRecommender
from genrec.serving.service import LimitsConfig, ServiceConfig, create_app
from tests.serving.small_service import ADMIN, client_of, make_engine, make_store


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_engine(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def gate(monkeypatch):
    """Hold the model up until the gate is opened."""
    gate, ask = threading.Event(), TransformersRecommender.recommend

    def slow(self, requests, k):
        gate.wait(10)
        return ask(self, requests, k)

    monkeypatch.setattr(TransformersRecommender, "recommend", slow)
    yield gate
    gate.set()


def together(app, scenario):
    """Run a scenario with a client in the event loop of the service."""

    async def main():
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with (
            app.router.lifespan_context(app),
            httpx.AsyncClient(transport=transport, base_url="http://shop") as client,
        ):
            return await scenario(client)

    return asyncio.run(asyncio.wait_for(main(), 30))


def code_of(response):
    return response.status_code, response.json()["error"]["code"]


def test_a_body_that_is_too_large_is_refused_whatever_it_says_of_itself(shop):
    config = ServiceConfig(limits=LimitsConfig(body_bytes=200))

    async def scenario(client):
        async def without_length():
            yield b'{"history": ['
            for _ in range(50):
                yield b'"sku-0",'

        told = await client.post("/v1/recommend", content=b" " * 201)
        untold = await client.post("/v1/recommend", content=without_length())
        json = {"Content-Type": "application/json"}
        fits = await client.post("/v1/recommend", content=b"{}" + b" " * 198, headers=json)
        return [code_of(told), code_of(untold), fits.status_code]

    assert together(create_app(make_store(*shop), config), scenario) == [
        (413, "too_large"), (413, "too_large"), 200
    ]  # fmt: skip


def test_a_body_that_does_not_come_is_not_waited_for(shop):
    async def scenario(client):
        async def never_ends():
            yield b"{"
            await asyncio.sleep(20)

        return code_of(await client.post("/v1/recommend", content=never_ends()))

    app = create_app(make_store(*shop), ServiceConfig(body_timeout_s=0.1))
    assert together(app, scenario) == (408, "slow")


def test_overload_is_told_and_passes(shop, gate):
    async def scenario(client):
        async def ask():
            return await client.post("/v1/recommend", json={"k": 1})

        first = asyncio.create_task(ask())
        await asyncio.sleep(0.1)
        waiting = [asyncio.create_task(ask()) for _ in range(2)]
        await asyncio.sleep(0.1)
        refused = await ask()
        gate.set()
        answers = await asyncio.gather(first, *waiting)
        return refused, [answer.status_code for answer in answers], (await ask()).status_code

    config = ServiceConfig(limits=LimitsConfig(waiting=2), gather_ms=0)
    refused, answers, later = together(create_app(make_store(*shop), config), scenario)
    assert code_of(refused) == (429, "overloaded")
    assert int(refused.headers["retry-after"]) >= 1
    assert (answers, later) == ([200] * 3, 200)


def test_too_many_at_once_are_refused_but_health_is_told(shop, gate):
    async def scenario(client):
        asks = [asyncio.create_task(client.post("/v1/recommend", json={"k": 1})) for _ in range(3)]
        await asyncio.sleep(0.2)
        health = (await client.get("/health")).status_code
        gate.set()
        return health, sorted(answer.status_code for answer in await asyncio.gather(*asks))

    app = create_app(make_store(*shop), ServiceConfig(limits=LimitsConfig(concurrent=2)))
    assert together(app, scenario) == (200, [200, 200, 429])


def test_who_waits_too_long_is_told_and_holds_nobody_up(shop, gate):
    async def scenario(client):
        late = [client.post("/v1/recommend", json={"k": 1}) for _ in range(3)]
        codes = [code_of(answer) for answer in await asyncio.gather(*late)]
        gate.set()
        answer = await client.post("/v1/recommend", json={"k": 1})
        return codes, answer.status_code

    app = create_app(make_store(*shop), ServiceConfig(timeout_s=0.3))
    assert together(app, scenario) == ([(504, "timeout")] * 3, 200)


def test_nothing_is_computed_for_who_has_left(shop, gate):
    app = create_app(make_store(*shop), ServiceConfig(gather_ms=0))
    scope = {
        "type": "http", "http_version": "1.1", "method": "POST", "path": "/v1/recommend",
        "raw_path": b"/v1/recommend", "query_string": b"", "root_path": "", "scheme": "http",
        "headers": [(b"content-type", b"application/json")], "server": ("shop", 80),
    }  # fmt: skip

    async def scenario(client):
        first = asyncio.create_task(client.post("/v1/recommend", json={"k": 1}))
        await asyncio.sleep(0.1)
        sent, messages = [], [{"type": "http.request", "body": b"{}"}]

        async def receive():
            if messages:
                return messages.pop()
            await asyncio.sleep(0.1)
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        await app(scope, receive, send)
        gate.set()
        assert (await first).status_code == 200
        assert (await client.post("/v1/recommend", json={"k": 1})).status_code == 200
        return sent[0]["status"], (await client.get("/metrics")).text

    status, counted = together(app, scenario)
    assert status == 499
    assert 'genrec_batch_size_sum{method="recommend"} 2.0' in counted


def test_shutting_down_answers_what_was_taken(shop, gate):
    app = create_app(make_store(*shop), ServiceConfig())

    async def main():
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop") as client:
            before = (await client.get("/ready")).status_code
            async with app.router.lifespan_context(app):
                assert (await client.get("/ready")).status_code == 200
                asks = [
                    asyncio.create_task(client.post("/v1/recommend", json={"k": 1}))
                    for _ in range(4)
                ]
                await asyncio.sleep(0.1)
                asyncio.get_running_loop().call_later(0.2, gate.set)
            answers = [answer.status_code for answer in await asyncio.gather(*asks)]
            after = await client.post("/v1/recommend", json={"k": 1})
            return before, answers, code_of(after), (await client.get("/ready")).status_code

    assert asyncio.run(main()) == (503, [200] * 4, (503, "closing"), 503)


def test_tokens_are_asked_for_except_for_health_and_the_page(shop):
    with client_of(make_store(*shop), token="customer") as client:
        for path in ("/health", "/ready", "/", "/page/app.js"):
            assert client.get(path).status_code == 200, path
        for path in ("/v1/items", "/v1/catalogue", "/metrics", "/openapi.json"):
            response = client.get(path)
            assert code_of(response) == (401, "unauthorized")
            assert response.headers["www-authenticate"] == "Bearer"
            for shown in ("customer2", "custome", "", "\u00fc"):
                wrong = {"Authorization": f"Bearer {shown}".encode()}
                assert client.get(path, headers=wrong).status_code == 401
            for token in ("customer", "keeper"):
                right = {"Authorization": f"Bearer {token}"}
                assert client.get(path, headers=right).status_code == 200
        change = {"stock": {"sku-1": False}}
        customer = {"Authorization": "Bearer customer"}
        assert client.post("/v1/catalogue", json=change, headers=customer).status_code == 401


def test_without_an_admin_token_nobody_changes_the_catalogue(shop):
    with client_of(make_store(*shop), admin_token=None) as client:
        change = {"stock": {"sku-1": False}}
        for headers in ({}, ADMIN, {"Authorization": "Bearer "}):
            response = client.post("/v1/catalogue", json=change, headers=headers)
            assert code_of(response) == (403, "no_changes")


def test_a_failure_is_told_without_its_words(shop, monkeypatch):
    def broken(self, requests, k):
        raise RuntimeError("the secrets of sku-4")

    monkeypatch.setattr(TransformersRecommender, "recommend", broken)
    with client_of(make_store(*shop)) as client:
        response = client.post("/v1/recommend", json={})
        assert code_of(response) == (500, "internal")
        assert response.headers["x-request-id"] in response.text
        assert "secrets" not in response.text


def test_answers_carry_headers_that_keep_browsers_safe(shop):
    with client_of(make_store(*shop)) as client:
        for path in ("/", "/v1/items", "/nothing", "/page/app.js"):
            headers = client.get(path).headers
            assert "default-src 'none'" in headers["content-security-policy"]
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
        assert client.get("/page/../app.py").status_code == 404
        assert code_of(client.get("/nothing")) == (404, "no_route")
        assert code_of(client.get("/v1/recommend")) == (405, "no_route")
