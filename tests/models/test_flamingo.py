"""What a model that sees pictures says, compared with what it must."""

import copy

import pytest
import torch
from accelerate import cpu_offload
from peft import LoraConfig, get_peft_model
from torch.nn import functional
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    DynamicCache,
    FalconConfig,
    FalconForCausalLM,
    ViTConfig,
    ViTModel,
)

from genrec.decoding import TokenTrie, beam_search
from genrec.decoding.steppers import ReorderStepper, TreeStepper
from genrec.models import BRIDGE_MODULES, FlamingoConfig, FlamingoForCausalLM
from genrec.semantic_ids import SemanticIds
from tests.models.small_flamingo import (
    LANGUAGE_MODELS,
    PICTURE_TOKEN,
    VISION,
    VISION_MODELS,
    VOCABULARY,
    owners,
    pictures,
    small_flamingo,
    tokens,
)

# Four ways to fuse, with and without the exclusive mask where that means something.
WAYS = [
    {"fusion": "cross"},
    {"fusion": "cross", "exclusive": False},
    {"fusion": "late"},
    {"fusion": "late", "exclusive": False},
    {"fusion": "early"},
    {"fusion": "none"},
]
GATED = [way for way in WAYS if way["fusion"] in ("cross", "late")]


def name_of(way):
    return "-".join([way["fusion"], *(["all"] if "exclusive" in way else [])])


all_ways = pytest.mark.parametrize("way", WAYS, ids=name_of)
gated_ways = pytest.mark.parametrize("way", GATED, ids=name_of)

OWNERS = owners("..000.111... ...111.000..")


def prompt(owner_RT):
    """Draw tokens for rows of owners, with the marks of pictures where early fusion needs them."""
    token_RT = tokens(*owner_RT.shape)
    token_RT[owner_RT >= 0] = PICTURE_TOKEN
    return token_RT


def logits(model, token_RT, **inputs):
    with torch.no_grad():
        return model(token_RT, **inputs).logits


def changed(first, second):
    """Tell which tokens' logits differ."""
    return ((first - second).abs().amax(-1) > 1e-6).int().tolist()


@pytest.mark.parametrize("fusion", ["cross", "late", "none"])
@pytest.mark.parametrize("kind", sorted(LANGUAGE_MODELS))
def test_a_new_model_says_what_its_language_model_says_to_the_bit(kind, fusion):
    torch.manual_seed(0)
    language_model = LANGUAGE_MODELS[kind]().eval()
    token_RT = prompt(OWNERS)
    expected = logits(language_model, token_RT)
    config = FlamingoConfig(
        text_config=language_model.config, vision_config=ViTConfig(**VISION), fusion=fusion,
        resampler_heads=2,
    )  # fmt: skip
    model = FlamingoForCausalLM(config, language_model).eval()
    assert torch.equal(logits(model, token_RT, owner=OWNERS, pixel_values=pictures(2)), expected)


@pytest.mark.parametrize("fusion", ["cross", "late"])
def test_gates_that_start_open_let_pictures_in_at_once(fusion):
    torch.manual_seed(0)
    language_model = LANGUAGE_MODELS["llama"]().eval()
    config = FlamingoConfig(
        text_config=language_model.config, vision_config=ViTConfig(**VISION), fusion=fusion,
        resampler_heads=2, gate=1.0,
    )  # fmt: skip
    model = FlamingoForCausalLM(config, language_model).eval()
    token_RT = prompt(OWNERS)
    seen = logits(model, token_RT, owner=OWNERS, pixel_values=pictures(2))
    assert any(map(any, changed(seen, logits(model, token_RT))))


def test_what_differs_between_pictures_comes_through_a_new_resampler():
    model = small_flamingo().eval()
    with torch.no_grad():
        features_USD = model.encode_pictures(pictures(8))
        latents_UCD = model.resampler(features_USD)
    assert latents_UCD.std(dim=0).mean() > 0.1 * latents_UCD.std()


@pytest.mark.parametrize("kind", sorted(LANGUAGE_MODELS))
def test_every_decoder_sees_pictures_from_the_first_owned_token_on(kind):
    model = small_flamingo(kind, every_n_layers=1)
    token_RT = prompt(OWNERS)
    shown = logits(model, token_RT, owner=OWNERS, pixel_values=pictures(2))
    assert changed(shown, logits(model, token_RT)) == [
        [0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1]
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("way", "expected"),
    [
        ({"fusion": "cross"}, "000000111111"),
        ({"fusion": "cross", "exclusive": False}, "000000111111"),
        ({"fusion": "early"}, "000000111111"),
        ({"fusion": "late"}, "000000111000"),
        ({"fusion": "late", "exclusive": False}, "000000111111"),
        ({"fusion": "none"}, "000000000000"),
    ],
    ids=lambda value: name_of(value) if isinstance(value, dict) else "",
)
def test_a_picture_changes_nothing_before_its_item(way, expected):
    model = small_flamingo(**way)
    token_RT, other = prompt(OWNERS)[:1], pictures(2)
    other[1] += 1.0
    before = logits(model, token_RT, owner=OWNERS[:1], pixel_values=pictures(2))
    after = logits(model, token_RT, owner=OWNERS[:1], pixel_values=other)
    assert changed(before, after) == [[int(mark) for mark in expected]]


def test_only_the_tokens_of_an_item_read_its_picture():
    model = small_flamingo(every_n_layers=4)  # before the last layer alone
    read = {}
    layer = model.language_model.model.layers[3]
    layer.cross_attention.register_forward_hook(lambda _, args, out: read.update(x=args[0], y=out))
    logits(model, prompt(OWNERS), owner=OWNERS, pixel_values=pictures(2))
    is_changed_RT = (read["x"] != read["y"]).any(dim=2)
    assert torch.equal(is_changed_RT, OWNERS >= 0)


def test_pictures_are_projected_once_and_only_owned_tokens_ask():
    model = small_flamingo(every_n_layers=1)
    counts = []
    for layer in model.language_model.model.layers:
        for name in ("query", "key_value"):
            module = getattr(layer.cross_attention, name)
            module.register_forward_hook(lambda _, args, out: counts.append(tuple(args[0].shape)))
    owner_RT = owners("00.11.00.11. 11.00.11.00.")
    logits(model, prompt(owner_RT), owner=owner_RT, pixel_values=pictures(2))
    assert counts == 4 * [(16, 32), (2, 3, 32)]  # 16 tokens; 2 pictures of 3 latents


@all_ways
def test_packed_examples_do_not_see_each_other(way):
    model = small_flamingo(**way)
    first, second = prompt(owners("..000.")), prompt(owners("111.000."))
    owner_RT = owners("..000.111.000.")
    position_RT = torch.tensor([[*range(6), *range(8)]])
    packed = logits(
        model, torch.cat([first, second], dim=1), owner=owner_RT, pixel_values=pictures(2),
        position_ids=position_RT, use_cache=False,
    )  # fmt: skip
    for token_RT, part in ((first, slice(0, 6)), (second, slice(6, 14))):
        owner = owner_RT[:, part]
        alone = logits(model, token_RT, owner=owner, pixel_values=pictures(2))
        torch.testing.assert_close(packed[:, part], alone, rtol=1e-4, atol=1e-5)


@all_ways
def test_padding_on_the_left_changes_nothing(way):
    model = small_flamingo(**way)
    token_RT, owner_RT = prompt(OWNERS), OWNERS
    expected = logits(model, token_RT[1:], owner=owner_RT[1:], pixel_values=pictures(2))
    padded = functional.pad(token_RT[1:], (3, 0)), functional.pad(owner_RT[1:], (3, 0), value=-1)
    seen_RT = functional.pad(torch.ones_like(token_RT[1:]), (3, 0))
    found = logits(
        model, padded[0], owner=padded[1], attention_mask=seen_RT, pixel_values=pictures(2),
        position_ids=(seen_RT.cumsum(dim=1) - 1).clamp_min(0),
    )  # fmt: skip
    torch.testing.assert_close(found[:, 3:], expected, rtol=1e-4, atol=1e-5)


@all_ways
@pytest.mark.parametrize("kind", ["llama", "gemma3", "gpt_neox"])
def test_decoding_with_a_cache_is_as_without(way, kind):
    model = small_flamingo(kind, **way)
    token_RT = functional.pad(prompt(OWNERS), (0, 4), value=7)
    owner_RT = functional.pad(OWNERS, (0, 4), value=-1)
    expected = logits(model, token_RT, owner=owner_RT, pixel_values=pictures(2))
    cache = DynamicCache(config=model.config)
    shown = {"owner": OWNERS, "pixel_values": pictures(2)}
    found = [logits(model, token_RT[:, :12], past_key_values=cache, use_cache=True, **shown)]
    for at in range(12, 16):
        step = logits(model, token_RT[:, at : at + 1], past_key_values=cache, use_cache=True)
        found.append(step)
    torch.testing.assert_close(torch.cat(found, dim=1), expected, rtol=1e-4, atol=1e-5)


@all_ways
def test_beams_generate_the_same_with_and_without_a_cache(way):
    model = small_flamingo(**way)
    options = {"owner": OWNERS, "pixel_values": pictures(2), "max_new_tokens": 4, "num_beams": 3,
               "do_sample": False, "num_return_sequences": 3}  # fmt: skip
    token_RT = prompt(OWNERS)
    options["attention_mask"] = torch.ones_like(token_RT)
    cached = model.generate(token_RT, **options)
    assert torch.equal(cached, model.generate(token_RT, use_cache=False, **options))
    blind = {"owner": None, "pixel_values": None}
    if way["fusion"] == "none":
        assert torch.equal(cached, model.generate(token_RT, **options | blind))


def test_generation_depends_on_the_pictures():
    model = small_flamingo("qwen3", every_n_layers=1)  # untied: a token does not call for itself
    for name, weight in model.named_parameters():
        if "cross_attention.out" in name or "resampler.project" in name:
            torch.nn.init.normal_(weight, std=1.0)
    token_RT = prompt(OWNERS)
    options = {"max_new_tokens": 8, "do_sample": False, "owner": OWNERS,
               "attention_mask": torch.ones_like(token_RT)}  # fmt: skip
    first = model.generate(token_RT, pixel_values=pictures(2), **options)
    assert not torch.equal(first, model.generate(token_RT, pixel_values=-pictures(2), **options))
    expected = logits(model, token_RT, owner=OWNERS, pixel_values=pictures(2))[:, -1].argmax(-1)
    assert torch.equal(first[:, 12], expected)


@all_ways
def test_both_ways_to_search_find_what_transformers_finds(way, monkeypatch):
    model = small_flamingo(**way)
    codes = torch.cartesian_prod(torch.arange(3), torch.arange(4)).int().numpy()
    trie = TokenTrie.from_semantic_ids(SemanticIds(codes, (3, 4)), [20, 30])
    token_RT = prompt(OWNERS)
    shown = {"owner": OWNERS, "pixel_values": pictures(2)}
    found = beam_search(model, trie, token_RT, beams=5, prompt_inputs=shown)
    monkeypatch.setattr("genrec.decoding.steppers.TreeStepper", ReorderStepper)
    reordered = beam_search(model, trie, token_RT, beams=5, prompt_inputs=shown)
    assert TreeStepper is not ReorderStepper
    paths = {tuple(code): row for row, code in enumerate(codes.tolist())}
    out = model.generate(
        token_RT, attention_mask=torch.ones_like(token_RT), num_beams=5, num_return_sequences=5,
        max_new_tokens=2, min_new_tokens=2, length_penalty=0.0, do_sample=False, **shown,
        output_scores=True, return_dict_in_generate=True,
        prefix_allowed_tokens_fn=lambda _, sent: (
            [20, 21, 22] if len(sent) == token_RT.shape[1] else [30, 31, 32, 33]
        ),
    )  # fmt: skip
    pairs = (out.sequences[:, 12:] - torch.tensor([20, 30])).tolist()
    expected = torch.tensor([paths[tuple(pair)] for pair in pairs]).view(2, 5)
    for beams in (found, reordered):
        assert torch.equal(beams.items_BK, expected)
        torch.testing.assert_close(
            beams.log_probs_BK, out.sequences_scores.view(2, 5), rtol=1e-4, atol=1e-4
        )


@all_ways
@pytest.mark.parametrize("vision", sorted(VISION_MODELS))
def test_a_saved_model_comes_back(way, vision, tmp_path):
    model = small_flamingo(vision=vision, **way)
    model.save_pretrained(tmp_path)
    assert (tmp_path / "model.safetensors").is_file()
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert isinstance(loaded, FlamingoForCausalLM)
    assert AutoConfig.from_pretrained(tmp_path).fusion == way["fusion"]
    inputs = {"owner": OWNERS, "pixel_values": pictures(2)}
    expected = logits(model, prompt(OWNERS), **inputs)
    assert torch.equal(logits(loaded, prompt(OWNERS), **inputs), expected)


def test_layers_that_a_checkpoint_lacks_begin_with_closed_gates(tmp_path):
    model = small_flamingo(every_n_layers=2)
    model.save_pretrained(tmp_path)
    more = FlamingoForCausalLM.from_pretrained(tmp_path, every_n_layers=1)
    gates = [
        layer.cross_attention.attention_gate.item() for layer in more.language_model.model.layers
    ]
    assert gates == pytest.approx([0.0, 0.8, 0.0, 0.8])
    inputs = {"owner": OWNERS, "pixel_values": pictures(2)}
    expected = logits(model, prompt(OWNERS), **inputs)
    torch.testing.assert_close(logits(more, prompt(OWNERS), **inputs), expected)


@pytest.mark.parametrize("kind", ["llama", "qwen3"])
def test_new_tokens_get_rows_and_stay_tied_or_untied(kind, tmp_path):
    model = small_flamingo(kind)
    expected = logits(model, prompt(OWNERS), owner=OWNERS, pixel_values=pictures(2))
    model.resize_token_embeddings(VOCABULARY + 6)
    model.save_pretrained(tmp_path)
    for grown in (model, FlamingoForCausalLM.from_pretrained(tmp_path)):
        rows, head = grown.get_input_embeddings(), grown.get_output_embeddings()
        assert (rows.weight is head.weight) == (kind == "llama")
        assert rows.num_embeddings == grown.config.get_text_config().vocab_size == VOCABULARY + 6
        found = logits(grown, prompt(OWNERS), owner=OWNERS, pixel_values=pictures(2))
        assert found.shape[-1] == VOCABULARY + 6
        torch.testing.assert_close(found[..., :VOCABULARY], expected)


def test_features_stand_for_pixels():
    model = small_flamingo()
    features_USD = model.encode_pictures(pictures(2))
    assert features_USD.shape == (2, 5, 16)  # four patches and the class token
    torch.testing.assert_close(
        logits(model, prompt(OWNERS), owner=OWNERS, picture_features=features_USD),
        logits(model, prompt(OWNERS), owner=OWNERS, pixel_values=pictures(2)),
    )


@gated_ways
def test_rows_without_pictures_are_as_if_alone(way):
    model = small_flamingo(**way)
    owner_RT, token_RT = owners("..000.111... ............"), prompt(OWNERS)
    found = logits(model, token_RT, owner=owner_RT, pixel_values=pictures(2))
    torch.testing.assert_close(found[1:], logits(model, token_RT[1:]), rtol=1e-5, atol=1e-6)
    nobody = torch.full_like(owner_RT, -1)
    assert torch.equal(
        logits(model, token_RT, owner=nobody, pixel_values=pictures(1)), logits(model, token_RT)
    )


@pytest.mark.parametrize("way", WAYS[:-1], ids=name_of)
def test_in_a_batch_without_pictures_the_new_weights_get_zero_gradients(way):
    model = small_flamingo(freeze_vision=False, **way).train()
    expected = model.eval()(prompt(OWNERS)).logits
    out = model.train()(prompt(OWNERS))
    assert torch.equal(out.logits, expected)
    out.logits.sum().backward()
    trained = [weight for weight in model.parameters() if weight.requires_grad]
    assert all(weight.grad is not None for weight in trained)
    assert not any(weight.grad.any() for weight in model.resampler.parameters())


@all_ways
@pytest.mark.parametrize("vision", sorted(VISION_MODELS))
def test_every_weight_that_trains_gets_a_gradient(way, vision):
    model = small_flamingo(vision=vision, freeze_vision=False, **way).train()
    model(
        prompt(OWNERS), owner=OWNERS, pixel_values=pictures(2), labels=prompt(OWNERS)
    ).loss.backward()
    missing = [
        name for name, weight in model.named_parameters()
        if weight.requires_grad and (weight.grad is None or not weight.grad.any())
    ]  # fmt: skip
    # Keys have biases, which change no softmax: their gradients are zeros but for rounding.
    assert [name for name in missing if "bias" not in name] == []


def test_a_frozen_encoder_neither_learns_nor_drops_anything():
    model = small_flamingo().train()
    assert not model.vision_model.training
    assert model.resampler.training
    model(prompt(OWNERS), owner=OWNERS, pixel_values=pictures(2)).logits.sum().backward()
    assert all(weight.grad is None for weight in model.vision_model.parameters())
    assert small_flamingo(freeze_vision=False).train().vision_model.training


def test_labels_give_the_loss_of_the_next_tokens():
    model, token_RT = small_flamingo(), prompt(OWNERS)
    out = model(token_RT, owner=OWNERS, pixel_values=pictures(2), labels=token_RT)
    expected = functional.cross_entropy(out.logits[:, :-1].flatten(0, 1), token_RT[:, 1:].flatten())
    torch.testing.assert_close(out.loss, expected)
    shared = model(
        token_RT, owner=OWNERS, pixel_values=pictures(2), labels=token_RT, num_items_in_batch=44
    )  # the Trainer counts the labels of all parts of a step
    torch.testing.assert_close(shared.loss, expected / 2)


@all_ways
def test_gradient_checkpointing_changes_no_gradient(way):
    def gradients(model):
        # Two forwards before their backwards: nothing of the first may be forgotten.
        first = model(prompt(OWNERS), owner=OWNERS, pixel_values=pictures(2), use_cache=False)
        other = OWNERS.flip(0)
        second = model(prompt(other), owner=other, pixel_values=pictures(2) + 1, use_cache=False)
        first.logits.square().sum().backward()
        second.logits.square().sum().backward()
        return [w.grad for w in model.parameters() if w.grad is not None]

    plain = gradients(small_flamingo(freeze_vision=False, **way).train())
    model = small_flamingo(freeze_vision=False, **way).train()
    model.gradient_checkpointing_enable()
    assert model.is_gradient_checkpointing
    for found, expected in zip(gradients(model), plain, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_reentrant_checkpointing_is_refused():
    with pytest.raises(ValueError, match="use_reentrant=False"):
        small_flamingo().gradient_checkpointing_enable({"use_reentrant": True})


def test_adapters_train_on_top_and_merge():
    model = small_flamingo()
    inputs = {"owner": OWNERS, "pixel_values": pictures(2)}
    lora = LoraConfig(
        r=2, target_modules=["q_proj", "v_proj"], modules_to_save=list(BRIDGE_MODULES),
        task_type="CAUSAL_LM",
    )  # fmt: skip
    before = logits(model, prompt(OWNERS), **inputs)
    adapted = get_peft_model(model, lora).train()
    optimizer = torch.optim.AdamW([w for w in adapted.parameters() if w.requires_grad], lr=0.05)
    for _ in range(2):
        adapted(input_ids=prompt(OWNERS), labels=prompt(OWNERS), **inputs).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    adapted.eval()
    after = logits(adapted, prompt(OWNERS), **inputs)
    assert (after - before).abs().max() > 1e-2
    assert (after - logits(adapted, prompt(OWNERS))).abs().max() > 1e-3
    merged = adapted.merge_and_unload()
    assert isinstance(merged, FlamingoForCausalLM)
    torch.testing.assert_close(
        logits(merged, prompt(OWNERS), **inputs), after, rtol=1e-4, atol=1e-5
    )


def test_the_attention_of_the_language_model_can_be_chosen(tmp_path):
    model = small_flamingo()
    inputs = {"owner": OWNERS, "pixel_values": pictures(2)}
    expected = logits(model, prompt(OWNERS), **inputs)
    assert model.language_model.config._attn_implementation == "sdpa"
    model.save_pretrained(tmp_path)
    eager = FlamingoForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    model.set_attn_implementation("eager")
    for changed_model in (eager, model):
        assert changed_model.language_model.config._attn_implementation == "eager"
        assert changed_model.config.get_text_config()._attn_implementation == "eager"
        torch.testing.assert_close(
            logits(changed_model, prompt(OWNERS), **inputs), expected, rtol=1e-4, atol=1e-5
        )


def test_a_compiled_model_says_the_same():
    model = small_flamingo(layers=1, every_n_layers=1)
    inputs = {"owner": OWNERS, "pixel_values": pictures(2)}
    expected = logits(model, prompt(OWNERS), **inputs)
    compiled = torch.compile(model, backend="eager")
    torch.testing.assert_close(logits(compiled, prompt(OWNERS), **inputs), expected)


def test_a_copy_sees_by_its_own_weights():
    model = small_flamingo()
    inputs = {"owner": OWNERS, "pixel_values": pictures(2)}
    twin = copy.deepcopy(model)
    expected = logits(model, prompt(OWNERS), **inputs)
    for name, weight in model.named_parameters():
        if "cross_attention" in name:
            torch.nn.init.zeros_(weight)
    assert torch.equal(logits(twin, prompt(OWNERS), **inputs), expected)


@gated_ways
def test_weights_may_wait_off_the_device(way):
    model = small_flamingo(**way)
    inputs = {"owner": OWNERS, "pixel_values": pictures(2)}
    expected = logits(model, prompt(OWNERS), **inputs)
    layers = model._no_split_modules
    assert {"LlamaDecoderLayer", "ViTLayer"} <= set(layers)
    # As a device map does it, each layer's weights come when the layer is called.
    weights = model.state_dict()
    for module in model.modules():
        if type(module).__name__ in layers:
            prefix = next(name for name, other in model.named_modules() if other is module)
            part = {k.removeprefix(f"{prefix}."): v for k, v in weights.items() if prefix in k}
            cpu_offload(module, execution_device="cpu", state_dict=part)
    assert next(model.language_model.model.layers[0].parameters()).device.type == "meta"
    torch.testing.assert_close(logits(model, prompt(OWNERS), **inputs), expected)


@gated_ways
def test_a_decoder_may_be_held_in_fewer_bits_than_what_is_new(way):
    model = small_flamingo(**way)
    inputs = {"owner": OWNERS, "pixel_values": pictures(2)}
    expected = logits(model, prompt(OWNERS), **inputs)
    for name, weight in model.named_parameters():
        if not set(BRIDGE_MODULES) & set(name.split(".")):
            weight.data = weight.data.to(torch.bfloat16)
    found = logits(model, prompt(OWNERS), **inputs)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found.float(), expected, rtol=0.1, atol=0.05)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        logits(small_flamingo(**way), prompt(OWNERS), **inputs)


def test_early_fusion_puts_latents_in_the_places_of_the_marks():
    model, token_RT = small_flamingo(fusion="early"), prompt(OWNERS)
    latents_UCD = model.resampler(model.encode_pictures(pictures(2)))
    embeds_RTD = model.get_input_embeddings()(token_RT).detach().clone()
    for row, start, picture in ((0, 2, 0), (0, 6, 1), (1, 3, 1), (1, 7, 0)):
        embeds_RTD[row, start : start + 3] = latents_UCD[picture]
    with torch.no_grad():
        expected = model.language_model(inputs_embeds=embeds_RTD).logits
    assert torch.equal(logits(model, token_RT, owner=OWNERS, pixel_values=pictures(2)), expected)


def test_early_fusion_leaves_the_words_of_an_item_alone():
    model = small_flamingo(fusion="early")
    token_RT, owner_RT = prompt(owners("..000.......")), owners("..00000.....")
    marks_only = logits(model, token_RT, owner=owners("..000......."), pixel_values=pictures(1))
    assert torch.equal(
        logits(model, token_RT, owner=owner_RT, pixel_values=pictures(1)), marks_only
    )


def test_early_fusion_tells_the_end_of_a_row_from_the_begin_of_the_next():
    model, owner_RT = small_flamingo(fusion="early"), owners("..000 000..")
    token_RT = prompt(owner_RT)
    together = logits(model, token_RT, owner=owner_RT, pixel_values=pictures(1))
    for row in range(2):
        some = slice(row, row + 1)
        alone = logits(model, token_RT[some], owner=owner_RT[some], pixel_values=pictures(1))
        torch.testing.assert_close(together[some], alone)


def test_early_fusion_reads_an_item_that_has_far_more_words_than_others():
    model = small_flamingo(fusion="early", latents=1)
    mark_RT, owner_RT = owners("0.1.2.........."), owners("0.1.22222222222")
    token_RT = prompt(mark_RT)
    marks_only = logits(model, token_RT, owner=mark_RT, pixel_values=pictures(3))
    assert torch.equal(
        logits(model, token_RT, owner=owner_RT, pixel_values=pictures(3)), marks_only
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"owner": OWNERS[:, 1:]}, r"owner has the shape \(2, 11\), but the tokens have \(2, 12\)"),
        ({"owner": OWNERS + 1}, "names picture 2, but only 2 pictures were given"),
        ({"owner": None}, "pictures came, but no owner"),
        ({"pixel_values": None}, "give picture_features or pixel_values, not both"),
        (
            {"picture_features": torch.ones(2, 5, 16)},
            "give picture_features or pixel_values, not both",
        ),
        (
            {"pixel_values": None, "picture_features": torch.ones(2, 5, 8)},
            r"shape \(2, 5, 8\), but this encoder makes \(pictures, features, 16\)",
        ),
        ({"input_ids": None}, "give input_ids or inputs_embeds"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(change, message):
    inputs = {"input_ids": prompt(OWNERS), "owner": OWNERS, "pixel_values": pictures(2)}
    with pytest.raises(ValueError, match=message):
        small_flamingo()(**inputs | change)


def test_marks_that_do_not_fit_the_latents_are_refused():
    model = small_flamingo(fusion="early", latents=2)
    with pytest.raises(ValueError, match=r"3 tokens that stand for its picture, .* has 2 latents"):
        model(prompt(OWNERS[:1]), owner=OWNERS[:1], pixel_values=pictures(2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"every_n_layers": 5}, "every_n_layers is 5, but the decoder has only 4 layers"),
        ({"latents": 0}, "latents is 0; it must be at least 1"),
        ({"resampler_heads": 3}, "width 16 is not a multiple of the 3 resampler_heads"),
        ({"cross_heads": 5}, "width 32 is not a multiple of the 5 cross_heads"),
        ({"fusion": "early", "picture_token_id": None}, "early fusion needs picture_token_id"),
        ({"fusion": "early", "exclusive": False}, "exclusive must stay true with early fusion"),
    ],
)
def test_configs_that_cannot_be_meant_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        small_flamingo(**change)


def test_heads_that_do_not_divide_the_width_matter_to_cross_attention_alone():
    small = small_flamingo("qwen3").config
    parts = {
        "text_config": {**small.text_config.to_dict(), "num_attention_heads": 3},
        "vision_config": small.vision_config, "resampler_heads": 2,
    }  # fmt: skip
    with pytest.raises(ValueError, match="width 32 is not a multiple of the 3 cross_heads"):
        FlamingoConfig(**parts)
    assert FlamingoConfig(**parts, fusion="late").fusion == "late"


def test_pictures_without_an_encoder_are_refused():
    text = LANGUAGE_MODELS["llama"]().config
    with pytest.raises(ValueError, match="fusion 'cross' needs a vision_config"):
        FlamingoConfig(text_config=text)
    assert FlamingoConfig(text_config=text, fusion="none").vision_config is None


def test_a_decoder_that_hands_its_layers_nothing_is_refused():
    falcon = FalconForCausalLM(
        FalconConfig(vocab_size=50, hidden_size=32, num_hidden_layers=2, num_attention_heads=2)
    )
    encoder = ViTModel(ViTConfig(**VISION))
    config = FlamingoConfig(
        text_config=falcon.config, vision_config=encoder.config, resampler_heads=2
    )
    model = FlamingoForCausalLM(config, falcon, encoder)
    with pytest.raises(TypeError, match="no word of pictures reached a FalconDecoderLayer"):
        model(tokens(1, 4))


def test_a_model_learns_what_only_pictures_tell():
    model = small_flamingo(open_gates=False, every_n_layers=1, freeze_vision=False).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    owner_RT = owners("..0... ..1...")
    token_RT = prompt(owner_RT)[:1].expand(2, -1)  # the same words for both
    answer_R = torch.tensor([10, 11])
    for _ in range(40):
        out = model(token_RT, owner=owner_RT, pixel_values=pictures(2))
        functional.cross_entropy(out.logits[:, -1], answer_R).backward()
        optimizer.step()
        optimizer.zero_grad()
    shown = logits(model.eval(), token_RT, owner=owner_RT, pixel_values=pictures(2))
    assert shown[:, -1].argmax(dim=1).tolist() == [10, 11]
    swapped = logits(model, token_RT, owner=owner_RT, pixel_values=pictures(2).flip(0))
    assert swapped[:, -1].argmax(dim=1).tolist() == [11, 10]
