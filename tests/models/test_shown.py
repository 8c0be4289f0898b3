"""What calls show, without a model."""

import pytest
import torch

from genrec.models.flamingo.shown import Shown
from tests.models.small_flamingo import small_flamingo

TOKENS = torch.zeros(2, 3, dtype=torch.long)
OWNER = torch.tensor([[-1, 0, 0], [1, -1, -1]])
FEATURES = torch.ones(2, 5, 4)


@pytest.mark.parametrize(("owner", "features"), [(None, None), (OWNER, torch.ones(0, 5, 4))])
def test_where_nothing_is_shown_nobody_sees(owner, features):
    assert Shown(owner, features, None).owner_of(TOKENS) is None


def test_owners_are_those_of_tokens_and_of_their_embeddings():
    shown = Shown(OWNER, FEATURES, None)
    assert shown.owner_of(TOKENS) is OWNER
    assert shown.owner_of(torch.zeros(2, 3, 8)) is OWNER
    with pytest.raises(ValueError, match=r"owner has the shape \(2, 3\), .* have \(2, 1\)"):
        shown.owner_of(TOKENS[:, :1])


def test_pictures_need_owners():
    with pytest.raises(ValueError, match="no owner that tells"):
        Shown(None, None, torch.ones(1, 3, 8, 8)).owner_of(TOKENS)


def test_features_are_handed_on_and_pixels_wait_for_the_encoder():
    assert Shown(OWNER, FEATURES, None).features(width=4) is FEATURES
    assert Shown(OWNER, None, torch.ones(2, 3, 8, 8)).features(width=4) is None


@pytest.mark.parametrize("both", [True, False])
def test_features_or_pixels_must_come_and_not_both(both):
    given = (FEATURES, torch.ones(2, 3, 8, 8)) if both else (None, None)
    with pytest.raises(ValueError, match="not both"):
        Shown(OWNER, *given).features(width=4)


def test_features_of_another_encoder_are_refused():
    with pytest.raises(ValueError, match=r"\(2, 5, 4\), .* \(pictures, features, 16\)"):
        Shown(OWNER, FEATURES, None).features(width=16)


@pytest.mark.parametrize("learns", [True, False])
def test_what_nobody_sees_goes_the_way_that_pictures_go(learns):
    model = small_flamingo(freeze_vision=not learns)
    shown = Shown.to_nobody(model.config, model.device)
    vision = model.config.vision_config
    if learns:
        size = vision.image_size
        assert shown.pixels_U3HW.shape == (1, vision.num_channels, size, size)
        assert model.encode_pictures(shown.pixels_U3HW).shape[2] == vision.hidden_size
    else:
        assert shown.features(width=vision.hidden_size).shape == (1, 1, vision.hidden_size)
