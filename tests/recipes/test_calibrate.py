import re

import pytest
import torch

from genrec import GenRec
from genrec.config import parse_args
from genrec.data import Dataset, leave_one_out
from genrec.eval import TaskError, rated_requests
from genrec.models import TinyVisionConfig, VisionConfig, add_vision
from genrec.prompts import PromptConfig
from genrec.recommender import Request
from genrec.serving import (
    TransformersRecommender,
    fit_calibration,
    load_bundle,
    load_calibration,
    save_bundle,
)
from recipes.calibrate import Config, main
from tests.small_shop import (
    small_bundle,
    small_dataset,
    small_model,
    small_renderer,
    with_pictures,
)


def teach_to_rate(model, renderer):
    """Teach a model that every second item gets a 5 and the others a 4 or a 1."""
    rows = [row % 12 for row in range(24)]
    ratings = [5.0 if row % 2 else (4.0 if row % 4 else 1.0) for row in rows]
    examples = [
        renderer.render(Request(task="rate", item=row), answer=rating)
        for row, rating in zip(rows, ratings, strict=True)
    ]
    model.train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(40):
        loss = torch.zeros(())
        for example in examples[::3]:
            tokens = torch.tensor([[*example.prompt.tolist(), *example.answer.tolist()]])
            labels = tokens.clone()
            labels[:, : len(example.prompt)] = -100
            loss = loss + model(input_ids=tokens, labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    small_dataset().save(folder / "data")
    small_bundle(folder / "untaught")
    model, renderer = load_bundle(folder / "untaught")
    teach_to_rate(model, renderer)
    save_bundle(folder / "model", model, renderer)
    return folder


def config(shop, model):
    return parse_args(Config, None, [f"--model={shop / model}", f"--dataset={shop / 'data'}"])


def test_a_calibration_is_fitted_and_kept_and_the_errors_are_told(shop, capsys):
    before = GenRec.from_pretrained(shop / "model", device="cpu").rate([], "sku-4")
    main(config(shop, "model"))
    calibration = load_calibration(shop / "model")
    assert calibration.events == 30
    printed = capsys.readouterr().out
    errors = dict(re.findall(r"(as it is|calibrated): .*, ([0-9.]+) by the expected", printed))
    assert float(errors["calibrated"]) < float(errors["as it is"])
    assert GenRec.from_pretrained(shop / "model", device="cpu").rate([], "sku-4") != before


def test_a_model_that_was_never_taught_to_rate_is_refused(shop):
    with pytest.raises(TaskError, match="does not answer in ratings"):
        main(config(shop, "untaught"))
    assert load_calibration(shop / "untaught") is None


def test_a_model_that_sees_is_calibrated_with_its_pictures(shop):
    dataset = with_pictures(Dataset.load(shop / "data"))
    renderer = small_renderer(dataset, config=PromptConfig(pictures=True))
    vision = VisionConfig(tiny=TinyVisionConfig(image_size=16, layers=1), gate=1.0)
    model = add_vision(
        small_model(renderer), vision, picture_token=renderer.vocabulary.image, seed=0
    )
    teach_to_rate(model, renderer)
    save_bundle(shop / "seeing", model, renderer)
    recommender = GenRec.from_pretrained(shop / "seeing", device="cpu").recommender
    requests, ratings = rated_requests(dataset, leave_one_out(dataset.interactions).validation)
    seen = fit_calibration(recommender.rating_log_probs(requests), ratings, (1, 2, 3, 4, 5))
    main(config(shop, "seeing"))
    kept = load_calibration(shop / "seeing")
    assert kept.biases == pytest.approx(seen.biases, abs=1e-4)
    assert kept.temperature == pytest.approx(seen.temperature, rel=1e-4)
    blind = TransformersRecommender(model, renderer).calibrate(requests, ratings)
    assert blind.temperature != pytest.approx(seen.temperature, rel=1e-2)
