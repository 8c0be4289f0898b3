import polars as pl
import pytest

from genrec.artifacts import ArtifactError
from genrec.data import Catalogue
from genrec.recommender import Request
from genrec.serving.restated import count_weights, identity, restated
from tests.small_shop import small_bundle


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model") / "model"
    return folder, small_bundle(folder)


def prompt(renderer, task="explain"):
    example = renderer.render(Request(task=task, history=(1, 2), item=4))
    return renderer.vocabulary.tokenizer.decode(example.prompt.tolist())


def test_other_facts_about_the_items_reach_the_prompts(saved):
    renderer = saved[1].renderer
    table = renderer.catalogue.table.with_columns(title=pl.lit("violet boat"))
    told = prompt(restated(renderer, Catalogue(table)))
    assert "violet boat" in told
    assert "violet boat" not in prompt(renderer)


def test_unseen_words_are_those_kept_out_of_training(saved):
    renderer = saved[1].renderer
    told = restated(renderer, renderer.catalogue, unseen=True)
    for task in ("explain", "rate"):
        request = Request(task=task, history=(1, 2), item=4)
        expected = renderer.render(request, phrasing=None).prompt
        assert told.render(request).prompt.tolist() == expected.tolist()
        assert prompt(told, task) != prompt(renderer, task)


def test_other_attributes_are_refused(saved):
    renderer = saved[1].renderer
    with pytest.raises(ArtifactError, match="columns"):
        restated(renderer, Catalogue(renderer.catalogue.table.drop("price")))


def test_weights_are_counted_and_models_told_apart(saved, tmp_path):
    folder, bundle = saved
    stored = {weight.data_ptr(): weight.numel() for weight in bundle.model.parameters()}
    assert count_weights(folder) == (sum(stored.values()), None)
    before = identity(folder)
    assert identity(folder) == before
    small_bundle(tmp_path / "other", architecture="t5")
    assert identity(tmp_path / "other") != before
