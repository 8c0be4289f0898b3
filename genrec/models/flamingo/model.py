"""A decoder that looks at pictures, put together from any language model and picture encoder.

Shape letters in this file: R rows, T tokens of a row, U distinct pictures of a call, S features of
each, D width, C latents, H height, W width of pixels.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoModelForCausalLM,
    Cache,
    GenerationMixin,
    PreTrainedModel,
)
from transformers.modeling_outputs import CausalLMOutputWithPast

from genrec.models.flamingo.config import FlamingoConfig
from genrec.models.flamingo.fusion import GatedCrossAttention, LateFusion, put_latents
from genrec.models.flamingo.resampler import PerceiverResampler
from genrec.models.flamingo.shown import Shown
from genrec.models.flamingo.sight import (
    AllPictures,
    OwnPictures,
    SeenPictures,
    Sight,
    all_pictures,
    own_pictures,
)
from genrec.models.flamingo.wiring import add_cross_attention, add_late_fusion, freeze_unused

BRIDGE_MODULES = ("resampler", "cross_attention", "late_fusion")
"""Names of the modules that lead from pictures to text: what UniMP trains beside new tokens."""


class FlamingoForCausalLM(PreTrainedModel, GenerationMixin):  # type: ignore[misc]
    """Flamingo (https://arxiv.org/abs/2204.14198) as UniMP uses it, over any decoder.

    The language model stays what it is, names and code; each n-th of its layers gets a module
    ``cross_attention`` that acts before it. Which pictures a token sees travels to the layers as an
    argument, so that nothing is left behind in the model between calls.
    """

    config_class = FlamingoConfig
    base_model_prefix = "language_model"
    # What is tied, the language model says. PEFT looks into the parts where this is no ``None``.
    _tied_weights_keys: ClassVar[dict[str, str]] = {}
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def __init__(
        self,
        config: FlamingoConfig,
        language_model: PreTrainedModel | None = None,
        vision_model: PreTrainedModel | None = None,
    ) -> None:
        """Put a model together.

        Args:
            config: Its shape.
            language_model: The decoder to build on; made from the config when left out.
            vision_model: The picture encoder to build on; made from the config when left out.
        """
        super().__init__(config)
        for part in (language_model, vision_model):
            for module in part.modules() if part is not None else ():
                module._is_hf_initialized = True  # their weights stay as they are
        self.language_model = language_model or AutoModelForCausalLM.from_config(config.text_config)
        # One config for both, so that a new vocabulary or attention is known everywhere.
        config.text_config = self.language_model.config
        self._supports_attention_backend = self.language_model._supports_attention_backend
        if config.fusion != "none":
            self.vision_model = vision_model or AutoModel.from_config(config.vision_config)
            config.vision_config = self.vision_model.config
            freeze_unused(self.vision_model, entirely=config.freeze_vision)
            self._build_bridge()
        self.post_init()

    def _build_bridge(self) -> None:
        config, text = self.config, self.config.text_config
        self.resampler = PerceiverResampler(
            width=config.vision_config.hidden_size,
            out_width=text.hidden_size,
            latents=config.latents,
            layers=config.resampler_layers,
            heads=config.resampler_heads,
            multiple=config.feed_forward_multiple,
        )
        decoder = self.language_model.get_decoder()
        if config.fusion == "late":
            add_late_fusion(decoder, width=text.hidden_size, gate=config.gate)
        if config.fusion == "cross":
            add_cross_attention(
                decoder,
                every_n_layers=config.every_n_layers,
                width=text.hidden_size,
                heads=config.cross_heads or text.num_attention_heads,
                multiple=config.feed_forward_multiple,
                gate=config.gate,
            )

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        """Give the new layers their first weights; parts know how to begin themselves."""
        super()._init_weights(module)
        if isinstance(module, PerceiverResampler):
            nn.init.normal_(module.latents_CD, std=self.config.initializer_range)

    @torch.no_grad()
    def initialize_weights(self) -> None:
        """Set what is new in the decoder too, before the decoder's own rules, which know it not."""
        for name, module in self.named_modules():
            if isinstance(module, GatedCrossAttention | LateFusion):
                for gate in filter(_is_new, module.parameters(recurse=False)):
                    gate.fill_(self.config.gate)
            in_bridge = bool(set(name.split(".")) & set(BRIDGE_MODULES))
            if in_bridge and isinstance(module, nn.Linear) and _is_new(module.weight):
                # Wide enough for what differs between pictures to come through from the first step
                # on: a decoder's usual 0.02 drowns it in what all have in common.
                module.weight.normal_(std=module.in_features**-0.5)
        super().initialize_weights()

    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        inputs_embeds: Tensor | None = None,
        owner: Tensor | None = None,
        picture_features: Tensor | None = None,
        pixel_values: Tensor | None = None,
        labels: Tensor | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int | Tensor = 0,
        num_items_in_batch: int | Tensor | None = None,
        **kwargs: Any,
    ) -> CausalLMOutputWithPast:
        """Read tokens, some of which see pictures, and score what follows.

        Args:
            input_ids: Tokens, of shape (R, T).
            attention_mask: As the language model takes it.
            position_ids: As the language model takes them; in packed rows, which are read without a
                cache, they start again with each example.
            past_key_values: Keys and values of the tokens before.
            inputs_embeds: Instead of ``input_ids``.
            owner: For each token the picture that it belongs to, an index into the pictures of this
                call, or -1; of shape (R, T). ``None`` where no token of the call has one.
            picture_features: What the encoder makes of each distinct picture, of shape (U, S, D).
            pixel_values: Instead of these the pictures, of shape (U, 3, height, width).
            labels: Tokens to learn, -100 where there is nothing to; gives a loss.
            use_cache: Whether to return keys and values.
            logits_to_keep: Score after so many of the last tokens only; 0 is all.
            num_items_in_batch: Divide the loss by this and not by the number of labels.
            kwargs: What else the language model takes.
        """
        shown = Shown(owner, picture_features, pixel_values)
        inputs, sight = self._read_pictures(
            input_ids, position_ids, past_key_values, inputs_embeds, shown
        )
        out: CausalLMOutputWithPast = self.language_model(
            **inputs,
            attention_mask=attention_mask,
            position_ids=position_ids,
            past_key_values=past_key_values,
            use_cache=use_cache,
            logits_to_keep=logits_to_keep,
            **kwargs,
        )
        _remember(sight, out.past_key_values)
        if labels is not None:
            out.loss = self.loss_function(
                logits=out.logits,
                labels=labels,
                vocab_size=out.logits.shape[-1],
                num_items_in_batch=num_items_in_batch,
            )
        return out

    def encode_pictures(self, pixel_values: Tensor) -> Tensor:
        """Return the encoder's features of pictures, of shape (U, S, D)."""
        pixel_values = pixel_values.to(self.vision_model.dtype)
        with torch.set_grad_enabled(torch.is_grad_enabled() and not self.config.freeze_vision):
            features_USD: Tensor = self.vision_model(pixel_values=pixel_values).last_hidden_state
        return features_USD

    def _read_pictures(
        self,
        input_ids: Tensor | None,
        position_ids: Tensor | None,
        past_key_values: Cache | None,
        inputs_embeds: Tensor | None,
        shown: Shown,
    ) -> tuple[dict[str, Any], Sight | None]:
        """Work out who sees what; returns the inputs of the language model and the sight."""
        tokens = input_ids if inputs_embeds is None else inputs_embeds
        if tokens is None:
            raise ValueError("give input_ids or inputs_embeds")
        inputs: dict[str, Any] = {"input_ids": input_ids, "inputs_embeds": inputs_embeds}
        if self.config.fusion == "none":
            return inputs, None
        sight = self._sight(tokens, shown, position_ids, past_key_values)
        if self.config.fusion != "early":
            return inputs | {"pictures": sight}, sight
        if isinstance(sight, OwnPictures):
            if input_ids is None or inputs_embeds is not None:
                raise ValueError("early fusion looks for [IMG] among input_ids; give these alone")
            embeds_RTD = self.get_input_embeddings()(input_ids)
            embeds_RTD = put_latents(
                embeds_RTD, input_ids, sight, picture_token=self.config.picture_token_id
            )
            inputs = {"input_ids": None, "inputs_embeds": embeds_RTD}
        return inputs, sight

    def _sight(
        self,
        tokens: Tensor,
        shown: Shown,
        position_ids: Tensor | None,
        past_key_values: Cache | None,
    ) -> Sight | None:
        """Work out which tokens see which pictures; ``None`` where no token sees any."""
        seen = SeenPictures.of(past_key_values)
        owner = shown.owner_of(tokens)
        if owner is None:
            if seen is not None:
                return seen.sight(tokens.shape[1])
            if not (self.training and torch.is_grad_enabled()):
                return None
            # The weights take part in every step, or processes that share gradients would wait for
            # one whose batch has no pictures.
            owner = tokens.new_full(tokens.shape[:2], -1, dtype=torch.long)
            shown = Shown.to_nobody(self.config, self.device)
        latents_UCD = self.resampler(self._features(shown))
        if self.config.exclusive:
            own: OwnPictures = own_pictures(owner, latents_UCD)
            return own
        if seen is not None:
            raise ValueError(
                "without exclusive attention all pictures must come with the first tokens; "
                "this cache has seen some before"
            )
        every: AllPictures = all_pictures(owner, latents_UCD, position_ids)
        return every

    def _features(self, shown: Shown) -> Tensor:
        given_USD = shown.features(width=self.config.vision_config.hidden_size)
        if given_USD is not None:
            return given_USD
        assert shown.pixels_U3HW is not None
        return self.encode_pictures(shown.pixels_U3HW)

    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        owner: Tensor | None = None,
        picture_features: Tensor | None = None,
        pixel_values: Tensor | None = None,
        is_first_iteration: bool = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Show the pictures with the prompt; generated tokens own none."""
        inputs: dict[str, Any] = super().prepare_inputs_for_generation(
            input_ids, is_first_iteration=is_first_iteration, **kwargs
        )
        is_cached = inputs.get("past_key_values") is not None and not is_first_iteration
        if owner is None or is_cached:
            return inputs
        fed = inputs["input_ids"] if inputs["input_ids"] is not None else inputs["inputs_embeds"]
        generated = max(0, fed.shape[1] - owner.shape[1])  # without a cache all is read again
        return inputs | {
            "owner": nn.functional.pad(owner, (0, generated), value=-1),
            "picture_features": picture_features,
            "pixel_values": pixel_values,
        }

    def _expand_inputs_for_generation(
        self, expand_size: int = 1, **kwargs: Any
    ) -> tuple[Tensor, dict[str, Any]]:
        """Repeat the rows for beams, but not the pictures, which the rows share."""
        shared = {name: kwargs.pop(name, None) for name in ("picture_features", "pixel_values")}
        input_ids, expanded = super()._expand_inputs_for_generation(
            expand_size=expand_size, **kwargs
        )
        expanded |= {name: value for name, value in shared.items() if value is not None}
        return input_ids, expanded

    def gradient_checkpointing_enable(
        self, gradient_checkpointing_kwargs: dict[str, Any] | None = None, **kwargs: Any
    ) -> None:
        """Save memory by computing layers again on the way back.

        Raises:
            ValueError: When asked for torch's older, reentrant way, which sees no gradients of what
                reaches a layer by name, as the pictures do.
        """
        wanted = {"use_reentrant": False} | (gradient_checkpointing_kwargs or {})
        if wanted["use_reentrant"]:
            raise ValueError("pictures need gradient checkpointing with use_reentrant=False")
        super().gradient_checkpointing_enable(wanted, **kwargs)

    def train(self, mode: bool = True) -> "FlamingoForCausalLM":
        """Set training mode; a frozen encoder stays as it will be used."""
        super().train(mode)
        if self.config.fusion != "none" and self.config.freeze_vision:
            self.vision_model.eval()
        return self

    def get_input_embeddings(self) -> nn.Module:
        """Return the language model's rows of tokens."""
        rows: nn.Module = self.language_model.get_input_embeddings()
        return rows

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the language model's rows of tokens."""
        self.language_model.set_input_embeddings(value)

    def get_output_embeddings(self) -> nn.Module:
        """Return the language model's head."""
        head: nn.Module = self.language_model.get_output_embeddings()
        return head

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the language model's head."""
        self.language_model.set_output_embeddings(value)


def _remember(sight: Sight | None, cache: Cache | None) -> None:
    """Let the tokens to come see the pictures too, where tokens see more than their own."""
    if isinstance(sight, AllPictures) and cache is not None and SeenPictures.of(cache) is None:
        cache.layers.append(SeenPictures(sight, beside=cache.layers[0]))


AutoModelForCausalLM.register(FlamingoConfig, FlamingoForCausalLM)


def _is_new(weight: Tensor) -> bool:
    """Tell whether a weight came from no checkpoint, and let nobody else set it."""
    is_new = not getattr(weight, "_is_hf_initialized", False)
    weight._is_hf_initialized = True  # type: ignore[attr-defined]
    return is_new
