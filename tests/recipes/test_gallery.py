import re
from pathlib import Path

import pytest

from genrec.data.toy_shop import ToyShopConfig
from genrec.data.toy_shop import toy_shop as open_toy_shop
from genrec.prompts import Tasks
from recipes import gallery

PAGE = Path(__file__).parents[2] / "docs" / "gallery.md"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """Make the gallery of a toy shop and of a data set on disk, which is a smaller toy shop."""
    folder = tmp_path_factory.mktemp("gallery")
    config = ToyShopConfig(categories=4, users=20)
    open_toy_shop(config, seed=1).dataset.save(folder / "other")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gallery, "toy_shop", lambda: open_toy_shop(config))
        gallery.main(gallery.Config(datasets={"other": folder / "other"}, out=folder / "page.md"))
    return folder / "page.md"


def test_every_task_is_written_for_every_data_set(page):
    text = page.read_text()
    for name in ("toy-shop", "other"):
        assert set(re.findall(rf"^### {name}: (\w+)$", text, re.MULTILINE)) == set(Tasks.load())
    assert "Not with this data" not in text


def test_its_pictures_are_there_small_and_of_the_toy_shop_alone(page):
    named = set(re.findall(r"\]\((page/[^)]*)\)", page.read_text()))
    files = {str(file.relative_to(page.parent)) for file in page.with_suffix("").rglob("*.webp")}
    assert named == files
    assert all("toy-shop" in name for name in named)
    assert all((page.parent / name).stat().st_size < 3_000 for name in named)


def test_the_shipped_page_has_every_task_and_all_its_pictures():
    text = PAGE.read_text()
    for name in ("toy-shop", "beauty", "movielens"):
        assert set(re.findall(rf"^### {name}: (\w+)$", text, re.MULTILINE)) == set(Tasks.load())
    for name in set(re.findall(r"\]\((gallery/[^)]*)\)", text)):
        assert (PAGE.parent / name).is_file()
