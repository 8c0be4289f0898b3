"""The demo page in headless Chromium, over an untrained model of the small shop."""

import re
import shutil
import socket
import threading
from contextlib import contextmanager

import pytest

from genrec.recommender import Rating
from genrec.serving import TransformersRecommender
from genrec.serving.service import Examples, create_app
from tests.serving.small_service import base64_png, make_engine, make_store

playwright = pytest.importorskip("playwright.sync_api")
uvicorn = pytest.importorskip("uvicorn")

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")

WICKED = "<img src=x onerror=document.title='broken'>"


@contextmanager
def serving(store, **settings):
    """Serve at a free port of this machine, in a thread."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    app = create_app(store, admin_token="keeper", **settings)
    server = uvicorn.Server(uvicorn.Config(app, log_level="error", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(20)


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    return make_engine(tmp_path_factory.mktemp("shop"))


@pytest.fixture(scope="module")
def service(shop):
    with pytest.MonkeyPatch.context() as patch:
        ratings = [Rating(3.5, 4.0)]
        patch.setattr(TransformersRecommender, "rate", lambda _, asked: ratings * len(asked))
        examples = Examples([["sku-0", "sku-4"]])
        with serving(make_store(*shop), examples=examples) as address:
            yield address


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as drivers:
        browser = drivers.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, service):
    """Open the page, and see to it that nothing goes wrong on it."""
    context = browser.new_context(viewport={"width": 1200, "height": 800})
    page = context.new_page()
    wrong = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(service)
    page.wait_for_selector(".found li")
    yield page
    context.close()
    assert wrong == []


def found(page, shopper=0):
    section = page.locator(".shopper").nth(shopper)
    return section.locator(".found li").evaluate_all("all => all.map(li => li.dataset.item)")


def wait_for(page, condition):
    """Wait until some JavaScript is true of the page; Playwright's own way needs eval."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(25)
    raise AssertionError(f"never: {condition}")


def history_length(page, count, shopper=0):
    script = (
        f"document.querySelectorAll('.shopper')[{shopper}].querySelectorAll('.history li').length"
    )
    wait_for(page, f"{script} === {count}")
    wait_for(page, "!document.querySelector('.busy')")


def test_it_begins_with_a_shopper_and_ten_recommendations(page):
    history_length(page, 2)
    items = found(page)
    assert len(set(items)) == 10
    assert not {"sku-0", "sku-4"} & set(items)
    first = page.locator(".found li").first
    assert re.search(r"[\d.]+ %", first.inner_text())
    page.locator(".score:has-text('★ 3.5')").first.wait_for()
    wait_for(
        page, "[...document.images].some(image => image.complete && image.naturalWidth === 16)"
    )


def test_a_click_in_the_catalogue_changes_the_recommendations(page):
    before = found(page)
    page.locator("#items button", has_text="blue lamp").click()
    history_length(page, 3)
    assert "sku-5" in before
    assert "sku-5" not in found(page)
    page.locator(".history button").last.click()
    history_length(page, 2)
    assert found(page) == before
    page.locator(".found .add").first.click()
    history_length(page, 3)
    assert before[0] not in found(page)


def test_a_new_customer_gets_recommendations_too(page):
    page.get_by_role("button", name="Clear").click()
    history_length(page, 0)
    assert page.locator(".shopper .empty").is_visible()
    assert len(found(page)) == 10
    page.get_by_role("button", name="Random shopper").click()
    history_length(page, 2)


def test_a_search_asks_the_model_for_what_fits(page):
    with page.expect_response("**/v1/search") as asked:
        page.get_by_placeholder("Search, or leave empty").fill("red lamp")
        page.keyboard.press("Enter")
    assert asked.value.request.post_data_json["query"] == "red lamp"
    page.get_by_text("Found for “red lamp”").wait_for()
    assert found(page) == [one["item_id"] for one in asked.value.json()["items"]]


def test_an_explanation_stands_with_its_item(page):
    with page.expect_response("**/v1/explain") as asked:
        page.locator(".why").first.click()
    page.locator(".reason").first.wait_for(state="visible")
    assert page.locator(".reason").first.inner_text() == f"“{asked.value.json()['text']}”"
    assert asked.value.request.post_data_json["item"] == found(page)[0]


def test_two_shoppers_are_compared(page):
    page.get_by_label("Compare two").check()
    history_length(page, 2, shopper=1)
    page.locator("#items button", has_text="grey case").click()
    history_length(page, 3, shopper=1)
    history_length(page, 2, shopper=0)
    assert "sku-10" not in found(page, 1)
    assert "sku-10" in found(page, 0)
    boxes = [page.locator(".shopper").nth(number).bounding_box() for number in (0, 1)]
    assert boxes[0]["y"] == boxes[1]["y"]
    page.get_by_label("Compare two").uncheck()
    assert page.locator(".shopper").count() == 1


def test_the_catalogue_is_browsed(page):
    page.get_by_placeholder("Find items").fill("lamp")
    wait_for(page, "document.querySelectorAll('#items li').length === 4")
    page.get_by_label("Category to show").select_option("home > phone")
    page.get_by_text("Nothing found").wait_for()
    page.get_by_placeholder("Find items").fill("")
    wait_for(page, "document.querySelectorAll('#items li').length === 4")


def test_it_is_used_without_a_mouse(page):
    page.locator("#items button").first.focus()
    page.keyboard.press("Enter")
    history_length(page, 3)
    unnamed = page.evaluate(
        "[...document.querySelectorAll('button, input, select')].filter(one =>"
        " !(one.textContent.trim() || one.ariaLabel || one.labels?.length)).length"
    )
    assert unnamed == 0
    assert page.locator("[role=status]").inner_text() == "10 recommendations for Shopper 1."


@pytest.mark.parametrize("compare", [False, True])
def test_it_fits_on_a_phone(page, compare):
    page.set_viewport_size({"width": 320, "height": 640})
    if compare:
        page.get_by_label("Compare two").check()
        history_length(page, 2, shopper=1)
    assert page.evaluate("document.documentElement.scrollWidth") == 320


def test_dark_mode_follows_the_system(page):
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(ground) != light


def test_what_a_catalogue_says_is_text_and_never_code(shop, browser):
    store = make_store(*shop)
    with serving(store, examples=Examples([["evil"]])) as address:
        context = browser.new_context()
        attributes = {"title": WICKED, "category": WICKED}
        item = {"item_id": "evil", "attributes": attributes, "picture": base64_png(1)}
        added = context.request.post(
            f"{address}/v1/catalogue", data={"add": [item]},
            headers={"Authorization": "Bearer keeper"},
        )  # fmt: skip
        assert added.ok
        page = context.new_page()
        page.goto(address)
        page.wait_for_selector(".found li")
        page.get_by_placeholder("Find items").fill("onerror")
        page.locator("#items .title", has_text=WICKED).wait_for()
        assert page.title() == "genrec: try it"
        assert page.locator("img[src=x]").count() == 0
        context.close()


def test_a_token_is_asked_for_and_used(shop, browser):
    with serving(make_store(*shop), token="customer") as address:
        context = browser.new_context()
        page = context.new_page()
        page.goto(address)
        page.get_by_label("This service needs a token").fill("customer")
        page.get_by_role("button", name="Use it").click()
        page.wait_for_selector(".found li")
        wait_for(page, "[...document.images].some(image => image.naturalWidth === 16)")
        context.close()
