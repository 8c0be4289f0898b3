"""The panel of the demo page that shows drawn pictures, over an untrained model that draws."""

import pytest

from genrec.models.image_tokens import ImageTokenizer
from genrec.serving import GenRec, save_bundle
from genrec.serving.service import Examples, images_of, load_store
from tests.serving.test_imagine import IMAGES, make_renderer, png, seeing_model
from tests.serving.test_page import CHROMIUM, browser, serving, wait_for

__all__ = ["browser"]  # a fixture

pytest.importorskip("diffusers")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="needs chromium")


def test_what_a_shopper_searches_for_is_drawn_beside_what_guided_it(browser, tmp_path):
    renderer = make_renderer([png(row) for row in range(12)])
    images = ImageTokenizer.new(IMAGES, seed=0)
    save_bundle(tmp_path / "model", seeing_model(renderer), renderer, images=images)
    store = load_store(GenRec.from_pretrained(tmp_path, device="cpu"))
    settings = {"images": images_of(tmp_path), "tasks": ["recommend", "search", "imagine"]}
    with serving(store, examples=Examples([["sku-0", "sku-4"]]), **settings) as address:
        page = browser.new_context().new_page()
        page.goto(address)
        page.wait_for_selector(".found li")
        page.get_by_role("button", name="Draw it").click()
        wait_for(page, "document.getElementById('status').textContent.startsWith('Search for')")
        page.locator("#ask input[type=search]").fill("red lamp")
        page.get_by_role("button", name="Draw it").click()
        page.wait_for_selector(".drawn img[alt='red lamp, drawn for Shopper 1']")
        wait_for(page, "[...document.querySelectorAll('.drawn > img')].length === 4")
        wait_for(page, "[...document.querySelectorAll('.drawn > img')].every(i => i.naturalWidth)")
        assert page.locator(".drawn > span[title^='Guided by']").count() == 2
        page.context.close()
