"""The guide to the service, run as written."""

import json
import re
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from genrec.serving import save_bundle
from tests.serving.small_service import ADMIN, client_of, make_engine, make_store

GUIDE = Path(__file__).parents[2] / "docs" / "service.md"
TEXT = GUIDE.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_engine(tmp_path_factory.mktemp("shop"))


def test_its_commands_are_answered(shop):
    commands = re.findall(r"curl localhost:8000(\S+).*?-d '(.*?)'", TEXT, re.DOTALL)
    assert len(commands) == 7
    with client_of(make_store(*shop)) as client:
        for path, body in commands:
            answer = client.post(path, json=json.loads(body), headers=ADMIN)
            assert answer.status_code == 200, answer.text


def test_its_routes_are_those_that_there_are(shop):
    table = TEXT[TEXT.index("## Routes") : TEXT.index("Histories name")]
    named = set(re.findall(r"`((?:GET|POST) /\S+)`", table)) - {"GET /openapi.json"}
    with client_of(make_store(*shop)) as client:
        paths = client.get("/openapi.json").json()["paths"]
    told = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert named == {name.replace("{item_id}", "{id}") for name in told}


def test_its_refusal_is_what_comes(shop):
    (shown,) = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    with client_of(make_store(*shop)) as client:
        answer = client.post("/v1/recommend", json={"history": ["sku-0", "sku-77"]})
    assert answer.json() == json.loads(shown)


def test_its_python_makes_an_application(shop, tmp_path, monkeypatch):
    engine, tokenizer = shop
    save_bundle(tmp_path / "runs" / "demo" / "model", engine._model, engine.renderer)
    tokenizer.save_pretrained(tmp_path / "runs" / "demo" / "tokenizer")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, str(GUIDE), "exec"), names)
    with TestClient(names["app"]) as client:
        assert client.get("/ready").status_code == 200
