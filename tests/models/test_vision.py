import json

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPConfig, CLIPModel, SiglipConfig, SiglipModel, ViTConfig, ViTModel
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.siglip.image_processing_pil_siglip import SiglipImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from genrec.artifacts import ArtifactError
from genrec.models import (
    FlamingoForCausalLM,
    Preprocessing,
    TinyConfig,
    TinyVisionConfig,
    VisionConfig,
    add_vision,
    build_tiny,
)
from genrec.models.vision import load_encoder, preprocessing_of
from tests.models.small_flamingo import LANGUAGE_MODELS, VISION, owners, pictures, tokens

TEXT = {
    "hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
    "vocab_size": 30, "max_position_embeddings": 16,
}  # fmt: skip
TINY = VisionConfig(
    tiny=TinyVisionConfig(image_size=16, hidden_size=16, layers=1, heads=2), latents=3
)


def picture(width, height):
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(noise)


PROCESSORS = {
    "clip": lambda: CLIPImageProcessorPil(
        size={"shortest_edge": 18}, crop_size={"height": 16, "width": 16}
    ),
    "siglip": lambda: SiglipImageProcessorPil(size={"height": 16, "width": 12}),
    "vit": lambda: ViTImageProcessorPil(size={"height": 16, "width": 16}),
}


@pytest.mark.parametrize("size", [(40, 30), (30, 41), (16, 16), (7, 9)])
@pytest.mark.parametrize("kind", sorted(PROCESSORS))
def test_pixels_are_those_of_the_encoders_own_processor(kind, size, tmp_path):
    processor = PROCESSORS[kind]()
    processor.save_pretrained(tmp_path)
    ours = Preprocessing.from_pretrained(str(tmp_path))
    found = ours.normalise(torch.from_numpy(ours.pixels(picture(*size)))[None])
    expected = processor([picture(*size)], return_tensors="pt")["pixel_values"]
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_the_settings_of_older_processors_are_read(tmp_path):
    settings = {
        "size": 18, "do_center_crop": True, "crop_size": 16, "resample": 3,
        "image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6],
    }  # fmt: skip
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    assert Preprocessing.from_pretrained(str(tmp_path)) == Preprocessing(
        height=16, width=16, shortest_edge=18, mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6)
    )


def test_pictures_of_no_fixed_size_are_refused(tmp_path):
    settings = {"size": {"shortest_edge": 18}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings))
    with pytest.raises(ValueError, match="keep their proportions"):
        Preprocessing.from_pretrained(str(tmp_path))


def test_pictures_that_are_cut_after_both_sides_were_scaled_are_refused(tmp_path):
    big, small = {"height": 18, "width": 18}, {"height": 16, "width": 16}
    ViTImageProcessorPil(size=big).save_pretrained(tmp_path)
    settings = json.loads((tmp_path / "preprocessor_config.json").read_text())
    cut = {"do_center_crop": True, "crop_size": small}  # as DeiT has it
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(settings | cut))
    with pytest.raises(ValueError, match=r"scaled to \{'height': 18.* cut to \{'height': 16"):
        Preprocessing.from_pretrained(str(tmp_path))


def test_pixels_worked_by_hand():
    grey = Image.new("L", (2, 4), 255)
    ours = Preprocessing(height=2, width=2, mean=(0.0, 0.5, 1.0), std=(1.0, 0.5, 0.25))
    pixels = ours.pixels(grey)
    assert pixels.shape == (3, 2, 2)
    assert ours.normalise(torch.from_numpy(pixels)[None])[0, :, 0, 0].tolist() == [1.0, 1.0, 0.0]


def _towers(path, family, config):
    torch.manual_seed(0)
    model = family(config(text_config=TEXT, vision_config=VISION))
    model.save_pretrained(path)
    return model.vision_model


ENCODERS = {
    "clip": lambda path: _towers(path, CLIPModel, CLIPConfig),
    "siglip": lambda path: _towers(path, SiglipModel, SiglipConfig),
    "vit": lambda path: _saved(path, ViTModel(ViTConfig(**VISION))),
}


def _saved(path, model):
    model.save_pretrained(path)
    return model


@pytest.mark.parametrize("kind", sorted(ENCODERS))
def test_of_two_towers_the_one_for_pictures_is_loaded(kind, tmp_path):
    tower = ENCODERS[kind](tmp_path).eval()
    PROCESSORS["vit"]().save_pretrained(tmp_path)
    encoder = load_encoder(str(tmp_path)).eval()
    with torch.no_grad():
        expected = tower(pixel_values=pictures(2)).last_hidden_state
        found = encoder(pixel_values=pictures(2)).last_hidden_state
        torch.testing.assert_close(found, expected)
        config = VisionConfig(encoder=str(tmp_path), latents=3, resampler_heads=2)
        model = add_vision(LANGUAGE_MODELS["llama"](), config, picture_token=4, seed=0)
        torch.testing.assert_close(model.eval().encode_pictures(pictures(2)), expected)
    assert not any(weight.requires_grad for weight in model.vision_model.parameters())
    assert preprocessing_of(model) == Preprocessing(height=16, width=16, resample="bilinear")


def test_a_pooler_may_be_missing_and_nothing_else(tmp_path):
    whole = ViTModel(ViTConfig(**VISION))
    weights = whole.state_dict()
    pooled = {name for name in weights if name.startswith("pooler.")}
    assert pooled
    whole.save_pretrained(
        tmp_path, state_dict={name: weights[name] for name in weights if name not in pooled}
    )
    load_encoder(str(tmp_path))
    whole.save_pretrained(tmp_path, state_dict={name: weights[name] for name in pooled})
    with pytest.raises(ArtifactError, match=r"lacks \d+ weights of the picture encoder"):
        load_encoder(str(tmp_path))


def test_vision_keeps_the_language_model_and_depends_on_the_seed_alone():
    language_model = LANGUAGE_MODELS["qwen3"]().eval()
    token_RT, owner_RT = tokens(1, 8), owners("..000...")
    with torch.no_grad():
        expected = language_model(token_RT).logits
        torch.manual_seed(5)
        first = add_vision(language_model, TINY, picture_token=4, seed=0).eval()
        found = first(token_RT, owner=owner_RT, pixel_values=pictures(1)).logits
    assert torch.equal(found, expected)
    again = add_vision(LANGUAGE_MODELS["qwen3"](), TINY, picture_token=4, seed=0)
    other = add_vision(LANGUAGE_MODELS["qwen3"](), TINY, picture_token=4, seed=1)
    new = [m.resampler.latents_CD for m in (first, again, other)]
    assert torch.equal(new[0], new[1])
    assert not torch.equal(new[0], new[2])


def test_new_rows_of_tokens_survive_being_put_together():
    language_model = LANGUAGE_MODELS["llama"]()
    language_model.resize_token_embeddings(60, mean_resizing=False)
    before = language_model.get_input_embeddings().weight.detach().clone()
    model = add_vision(language_model, TINY, picture_token=4, seed=0)
    assert torch.equal(model.get_input_embeddings().weight, before)


def test_a_tiny_encoder_learns_and_a_pretrained_one_when_told(tmp_path):
    assert TINY.trains_encoder
    tiny = add_vision(LANGUAGE_MODELS["llama"](), TINY, picture_token=4, seed=0)
    assert any(weight.requires_grad for weight in tiny.vision_model.parameters())
    assert preprocessing_of(tiny) == Preprocessing(height=16, width=16)
    ENCODERS["clip"](tmp_path)
    PROCESSORS["clip"]().save_pretrained(tmp_path)
    told = VisionConfig(encoder=str(tmp_path), train_encoder=True, resampler_heads=2)
    model = add_vision(LANGUAGE_MODELS["llama"](), told, picture_token=4, seed=0)
    assert any(weight.requires_grad for weight in model.vision_model.parameters())


def test_a_tiny_language_model_goes_on_dropping_in_training_only():
    special = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 3}
    shape = TinyConfig(hidden_size=16, layers=2, heads=2, intermediate_size=32, dropout=0.5)
    language_model = build_tiny(shape, vocabulary_size=50, special=special, max_tokens=32, seed=0)
    model = add_vision(language_model, TINY, picture_token=4, seed=0).train()
    inputs = {"owner": owners("..000..."), "pixel_values": pictures(1)}
    assert not torch.equal(
        model(tokens(1, 8), **inputs).logits, model(tokens(1, 8), **inputs).logits
    )
    model.eval()
    assert torch.equal(model(tokens(1, 8), **inputs).logits, model(tokens(1, 8), **inputs).logits)


def test_without_fusion_there_is_nothing_but_the_language_model():
    config = VisionConfig(fusion="none")
    model = add_vision(LANGUAGE_MODELS["llama"](), config, picture_token=None, seed=0)
    assert isinstance(model, FlamingoForCausalLM)
    assert all(name.startswith("language_model.") for name, _ in model.named_parameters())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: TinyVisionConfig(image_size=60),
            "image_size 60 is not a multiple of patch_size 8",
        ),
        (lambda: TinyVisionConfig(heads=0), "heads is 0; it must be at least 1"),
        (lambda: TinyVisionConfig(heads=3), "hidden_size 64 is not a multiple of the 3 heads"),
        (lambda: Preprocessing(height=20, shortest_edge=16), "too few to cut out 20 x 64"),
    ],
)
def test_configs_that_cannot_be_meant_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_model_made_without_preprocessing_says_so():
    model = add_vision(LANGUAGE_MODELS["llama"](), TINY, picture_token=4, seed=0)
    model.config.preprocessing = None
    with pytest.raises(ValueError, match="has no preprocessing; make the model by add_vision"):
        preprocessing_of(model)
