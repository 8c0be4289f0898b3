"""The settings of a Flamingo model, as ``config.json`` holds them."""

from typing import Any, ClassVar, Literal

from transformers import AutoConfig, PretrainedConfig

Fusion = Literal["cross", "early", "late", "none"]


class FlamingoConfig(PretrainedConfig):  # type: ignore[misc]
    """A decoder, a picture encoder, and how the one sees what the other does."""

    model_type = "genrec_flamingo"
    sub_configs: ClassVar[dict[str, Any]] = {
        "text_config": AutoConfig, "vision_config": AutoConfig,
    }  # fmt: skip

    text_config: dict[str, Any] | PretrainedConfig | None = None
    """The language model: any decoder of transformers."""

    vision_config: dict[str, Any] | PretrainedConfig | None = None
    """The picture encoder, such as CLIP's or SigLIP's; none with ``fusion`` none."""

    preprocessing: dict[str, Any] | None = None
    """How pictures become the encoder's pixels: :class:`genrec.models.vision.Preprocessing`."""

    fusion: Fusion = "cross"
    """``cross`` is Flamingo's and UniMP's; the others are the ablations of UniMP's tables 3 and 8:
    ``early`` puts latents in the places of the ``[IMG]`` tokens, ``late`` adds the pooled latents
    to the last hidden states, ``none`` is the language model alone."""

    exclusive: bool = True
    """Whether a token sees the picture of its own item only (UniMP, section 2.2), and not all
    pictures of its example so far."""

    every_n_layers: int = 2
    """Cross-attention stands before every n-th layer of the decoder; 1 takes all."""

    latents: int = 16
    """Latents that the resampler makes of a picture; of early fusion, its ``[IMG]`` tokens."""

    resampler_layers: int = 2
    """Blocks of the resampler; Flamingo has 6."""

    resampler_heads: int = 8
    """Attention heads of the resampler; they divide the encoder's width."""

    cross_heads: int | None = None
    """Attention heads of a cross-attention; none takes as many as the decoder has."""

    feed_forward_multiple: int = 4
    """Width inside the new feed-forward layers, in widths of the stream."""

    gate: float = 0.0
    """Where the gates start, before their tanh: at 0 a new model says what its decoder says. A
    decoder that is itself new has nothing to protect and learns to look sooner from 1."""

    freeze_vision: bool = True
    """Whether the encoder's weights stay as they are, so that a picture is encoded only once."""

    picture_token_id: int | None = None
    """Number of the ``[IMG]`` token, which early fusion looks for."""

    initializer_range: float = 0.02
    """Standard deviation of the new layers' first weights."""

    def __post_init__(self, **kwargs: Any) -> None:
        """Build the configs of the parts and refuse what does not fit."""
        self.text_config, self.vision_config = _built(self.text_config), _built(self.vision_config)
        # Said for no part, it stays as each part has it.
        kwargs = {"attn_implementation": {}, "experts_implementation": {}} | kwargs
        super().__post_init__(**kwargs)
        self.tie_word_embeddings = getattr(self.text_config, "tie_word_embeddings", False)
        if self.text_config is not None:  # transformers makes empty configs to see the defaults
            self._refuse_nonsense(self.text_config, self.vision_config)

    def _refuse_nonsense(self, text: Any, vision: Any) -> None:
        for name in ("every_n_layers", "latents", "resampler_layers", "feed_forward_multiple"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if self.fusion != "none" and vision is None:
            raise ValueError(f"fusion {self.fusion!r} needs a vision_config; or set fusion to none")
        if vision is not None and vision.hidden_size % self.resampler_heads:
            raise ValueError(
                f"the encoder's width {vision.hidden_size} is not a multiple of the "
                f"{self.resampler_heads} resampler_heads"
            )
        heads = self.cross_heads or text.num_attention_heads
        if self.fusion == "cross" and text.hidden_size % heads:
            raise ValueError(
                f"the decoder's width {text.hidden_size} is not a multiple of the "
                f"{heads} cross_heads"
            )
        if self.fusion == "cross" and self.every_n_layers > text.num_hidden_layers:
            raise ValueError(
                f"every_n_layers is {self.every_n_layers}, but the decoder has only "
                f"{text.num_hidden_layers} layers; no token would see a picture"
            )
        if self.fusion == "early" and self.picture_token_id is None:
            raise ValueError("early fusion needs picture_token_id, the number of the [IMG] token")
        if self.fusion == "early" and not self.exclusive:
            raise ValueError(
                "exclusive must stay true with early fusion: "
                "what other tokens see of a picture is up to the decoder's own attention"
            )


def _built(config: dict[str, Any] | PretrainedConfig | None) -> Any:
    """Make a config of what JSON holds of it."""
    if not isinstance(config, dict):
        return config
    return AutoConfig.for_model(**config)


AutoConfig.register(FlamingoConfig.model_type, FlamingoConfig)
