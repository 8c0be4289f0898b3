"""The Flamingo model in vLLM.

A token sees the picture of its own item alone. So the item's own text tokens are what vLLM calls
the placeholders of the picture, and no others are put into the prompt. Each picture is resampled
once; of the rows that vLLM asks for, one a token, all are the same latents, stored once (a stride
of 0). At each step vLLM hands back exactly the rows of the tokens that it computes, whatever of the
prompt it has in its cache or leaves to the next step. The model embeds the text as usual, keeps
which tokens see what, and its layers add gated cross-attention to these tokens.

The layers are vLLM's own, of any decoder whose layers it calls with ``hidden_states`` and
``residual``; resampler and cross-attention are those that were trained.

Shape letters in this file: T tokens of a step, U pictures, S features of each, C latents of each,
D width.
"""

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from transformers import BatchFeature
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from vllm.config import VllmConfig
from vllm.inputs.engine import MultiModalInput, mm_input
from vllm.model_executor.models.interfaces import SupportsMultiModal
from vllm.model_executor.models.utils import init_vllm_registered_model, maybe_prefix
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.multimodal.inputs import (
    MultiModalFieldConfig,
    MultiModalKwargsItems,
    PlaceholderRange,
)
from vllm.multimodal.parse import MultiModalDataParser, ProcessorBatchItems
from vllm.multimodal.processing import (
    BaseDummyInputsBuilder,
    BaseMultiModalProcessor,
    BaseProcessingInfo,
)

from genrec.models.flamingo import FlamingoConfig
from genrec.models.flamingo.fusion import GatedCrossAttention
from genrec.models.flamingo.resampler import PerceiverResampler
from genrec.models.flamingo.sight import OwnPictures, own_pictures


class SeenPicture(NamedTuple):
    """A picture in a prompt, as an entry of ``multi_modal_data["image"]``."""

    features_SD: Tensor
    """What the encoder makes of it."""

    offset: int
    """The first token of the prompt that sees it."""

    length: int
    """How many tokens do."""


class FlamingoInfo(BaseProcessingInfo):  # type: ignore[misc]
    """What vLLM wants to know of the pictures before the first comes."""

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        """Allow any number of pictures."""
        return {"image": None}

    def get_mm_max_tokens_per_item(
        self, seq_len: int, mm_counts: Mapping[str, int]
    ) -> Mapping[str, int]:
        """Return how many tokens one item may have: the prompt may be one long item."""
        return dict.fromkeys(mm_counts, seq_len)

    def get_data_parser(self) -> MultiModalDataParser:
        """Take pictures as :class:`SeenPicture`."""
        return _Parser()


class _Parser(MultiModalDataParser):  # type: ignore[misc]
    def _get_subparsers(self) -> Mapping[str, Callable[[Any], Any]]:
        return {"image": _parsed}


def _parsed(pictures: Sequence[tuple[Tensor, int, int]]) -> ProcessorBatchItems:
    return ProcessorBatchItems([SeenPicture(*each) for each in pictures], "image")


class FlamingoDummies(BaseDummyInputsBuilder):  # type: ignore[misc]
    """A blank picture, for vLLM to see how much memory one may take."""

    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:
        """Return no text."""
        return ""

    def get_dummy_mm_data(
        self, seq_len: int, mm_counts: Mapping[str, int], mm_options: Mapping[str, Any]
    ) -> dict[str, list[SeenPicture]]:
        """Make blank pictures that share the prompt among them."""
        vision = self.info.get_hf_config().vision_config
        features_SD = torch.zeros(_patches(vision), vision.hidden_size)
        count = mm_counts.get("image", 0)
        length = seq_len // max(1, count)
        return {"image": [SeenPicture(features_SD, n * length, length) for n in range(count)]}


def _patches(vision: Any) -> int:
    """Return how many patches an encoder cuts a picture into."""
    size = vision.image_size
    height, width = (size, size) if isinstance(size, int) else size
    return int((height // vision.patch_size) * (width // vision.patch_size))


class FlamingoProcessor(BaseMultiModalProcessor[FlamingoInfo]):  # type: ignore[misc]
    """Hands pictures on as they come: all is known of them."""

    requires_tokenizer = False

    def apply(self, inputs: Any, timing_ctx: Any) -> MultiModalInput:
        """Say which tokens of a prompt see which picture."""
        pictures: list[SeenPicture] = inputs.mm_data_items["image"].get_all()
        hashes = self._get_mm_hashes(inputs)
        fields = self._get_mm_fields_config(BatchFeature(), {})
        items = [
            MultiModalKwargsItems.from_hf_inputs(
                BatchFeature({
                    "picture_features": picture.features_SD[None],
                    "tokens": torch.tensor([picture.length]),
                }),
                fields,
            )["image"][0]
            for picture in pictures
        ]  # fmt: skip
        if inputs.cache is not None:
            items = _cached(inputs.cache, items, hashes["image"])
        ranges = [PlaceholderRange(offset=each.offset, length=each.length) for each in pictures]
        return mm_input(
            list(inputs.prompt), MultiModalKwargsItems({"image": items}), hashes, {"image": ranges}
        )

    def _get_mm_fields_config(self, *_: Any) -> Mapping[str, MultiModalFieldConfig]:
        return {
            "picture_features": MultiModalFieldConfig.batched("image"),
            "tokens": MultiModalFieldConfig.batched("image", keep_on_cpu=True),
        }

    def _get_prompt_updates(self, *_: Any) -> Sequence[Any]:
        return []  # the prompt stays as it is


def _cached(cache: Any, items: Sequence[Any], hashes: Sequence[str]) -> list[Any]:
    """Leave out what the engine has got before."""
    for name in hashes:
        cache.touch_sender_cache_item(name)
    try:
        pairs = zip(items, hashes, strict=True)
        return [cache.get_and_update_item((item, []), name)[0] for item, name in pairs]
    finally:
        cache.release_sender_touches()


@MULTIMODAL_REGISTRY.register_processor(
    FlamingoProcessor, info=FlamingoInfo, dummy_inputs=FlamingoDummies
)
class FlamingoForVLLM(nn.Module, SupportsMultiModal):  # type: ignore[misc]
    """:class:`~genrec.models.FlamingoForCausalLM` with vLLM's layers, fed with encoded pictures."""

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__()
        config: FlamingoConfig = vllm_config.model_config.hf_config
        refuse_unknown(config)
        text: Any = config.text_config
        vision: Any = config.vision_config
        self.config = config
        with self._mark_language_model(vllm_config):  # type: ignore[operator]  # vLLM is untyped
            self.language_model = init_vllm_registered_model(
                vllm_config=vllm_config,
                hf_config=text,
                prefix=maybe_prefix(prefix, "language_model"),
                architectures=[MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[text.model_type]],
            )
        with self._mark_tower_model(vllm_config, "image"):  # type: ignore[operator]
            self.resampler = PerceiverResampler(
                width=vision.hidden_size,
                out_width=text.hidden_size,
                latents=config.latents,
                layers=config.resampler_layers,
                heads=config.resampler_heads,
                multiple=config.feed_forward_multiple,
            )
        decoder = _decoder_of(self.language_model)
        # Compiled once, it would never again ask who sees what.
        decoder.do_not_compile = True
        self.cross_attention = nn.ModuleDict()
        for number, layer in enumerate(decoder.layers):
            if (number + 1) % config.every_n_layers == 0:
                self.cross_attention[str(number)] = GatedCrossAttention(
                    text.hidden_size,
                    heads=config.cross_heads or text.num_attention_heads,
                    multiple=config.feed_forward_multiple,
                )
                layer.forward = self._looking_first(layer.forward, str(number))
        self._sight: OwnPictures | None = None

    @classmethod
    def get_placeholder_str(cls, modality: str, i: int) -> str | None:
        """Return nothing: a picture adds no text to a prompt."""
        return None

    def embed_multimodal(self, **inputs: Any) -> list[Tensor]:
        """Resample pictures; the rows of each are one a token that sees it, of width C times D."""
        features_USD = inputs["picture_features"]
        if not isinstance(features_USD, Tensor):
            features_USD = torch.stack(list(features_USD))
        latents_UCD = self.resampler(features_USD)
        counts = torch.as_tensor(inputs["tokens"]).flatten().tolist()
        pairs = zip(latents_UCD.flatten(1), counts, strict=True)
        return [latents_X.expand(int(count), -1) for latents_X, count in pairs]

    def embed_input_ids(
        self,
        input_ids: Tensor,
        multimodal_embeddings: Sequence[Tensor] | None = None,
        *,
        is_multimodal: Tensor | None = None,
    ) -> Tensor:
        """Embed the text of a step and keep who sees what for the layers."""
        self._sight = None
        if multimodal_embeddings is not None and len(multimodal_embeddings) > 0:
            assert is_multimodal is not None
            self._sight = self._seen(multimodal_embeddings, is_multimodal.to(input_ids.device))
        embedded_TD: Tensor = self.language_model.embed_input_ids(input_ids)
        return embedded_TD

    def _seen(self, rows: Sequence[Tensor], is_seeing_T: Tensor) -> OwnPictures:
        """Tell the layers which tokens see which picture."""
        number_of: dict[int, int] = {}
        # One picture's rows are one place in memory, in whichever prompts it stands.
        numbers = [number_of.setdefault(each.data_ptr(), len(number_of)) for each in rows]
        latents = {number: each[0] for number, each in zip(numbers, rows, strict=True)}
        latents_UX = torch.stack([latents[number] for number in range(len(number_of))])
        counts = torch.tensor([len(each) for each in rows])
        owner_T = torch.full(is_seeing_T.shape, -1, device=is_seeing_T.device)
        owner_T[is_seeing_T] = torch.tensor(numbers).repeat_interleave(counts).to(owner_T.device)
        latents_UCD = latents_UX.view(len(latents_UX), self.config.latents, -1)
        sight: OwnPictures = own_pictures(owner_T[None], latents_UCD)
        return sight

    def _looking_first(self, forward: Callable[..., Any], number: str) -> Callable[..., Any]:
        """Put cross-attention before a layer (Flamingo, section 2.2 and figure 4)."""
        signature = inspect.signature(forward)

        def look_and_run(*args: Any, **kwargs: Any) -> Any:
            if self._sight is None:
                return forward(*args, **kwargs)
            given = signature.bind(*args, **kwargs).arguments
            x_TD, residual_TD = given["hidden_states"], given.get("residual")
            # vLLM adds the residual within the next norm; here it is needed at once.
            x_TD = x_TD if residual_TD is None else x_TD + residual_TD
            given["hidden_states"] = self.cross_attention[number](x_TD[None], self._sight)[0]
            given["residual"] = None
            more = given.pop("kwargs", {})
            return forward(**given, **more)

        return look_and_run

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        intermediate_tensors: Any = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """Run the decoder over the tokens of a step."""
        try:
            hidden_TD: Tensor = self.language_model(
                input_ids, positions, intermediate_tensors, inputs_embeds=inputs_embeds
            )
        finally:
            self._sight = None
        return hidden_TD

    def compute_logits(self, hidden_states: Tensor) -> Tensor | None:
        """Return the logits after tokens."""
        logits: Tensor | None = self.language_model.compute_logits(hidden_states)
        return logits

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """Load what ``FlamingoForCausalLM.save_pretrained`` wrote, but for the picture encoder."""
        ours = dict(self.resampler.named_parameters(prefix="resampler"))
        ours |= dict(self.cross_attention.named_parameters(prefix="cross_attention"))
        loaded: set[str] = set()

        def theirs() -> Iterator[tuple[str, Tensor]]:
            for name, weight in weights:
                own_name = _own_name(name)
                if own_name is None:
                    yield name.removeprefix("language_model."), weight
                elif own_name:
                    with torch.no_grad():
                        ours[own_name].copy_(weight)
                    loaded.add(own_name)

        of_decoder = self.language_model.load_weights(theirs())
        missing = sorted(set(ours) - loaded)
        if missing:
            raise ValueError(f"the model directory lacks the weight {missing[0]}")
        return loaded | {f"language_model.{name}" for name in of_decoder}


def _own_name(name: str) -> str | None:
    """Return what a weight is called here: ``None`` for the decoder's, empty for one not needed."""
    if name.startswith("vision_model."):
        return ""
    if name.startswith("resampler."):
        return name
    before, found, after = name.partition(".cross_attention.")
    return f"cross_attention.{before.rpartition('.')[2]}.{after}" if found else None


def _decoder_of(language_model: nn.Module) -> Any:
    """Find the part of one of vLLM's language models that runs its layers.

    Raises:
        ValueError: When its layers are not called as expected.
    """
    decoder = getattr(language_model, "model", None)
    layers = getattr(decoder, "layers", ())
    wanted = {"hidden_states", "residual"}
    if layers and all(wanted <= set(inspect.signature(each.forward).parameters) for each in layers):
        return decoder
    raise ValueError(
        f"vLLM calls the layers of {type(language_model).__name__} in another way than those of "
        "Llama, Qwen, Gemma or Mistral; use the engine 'transformers'"
    )


def refuse_unknown(config: FlamingoConfig) -> None:
    """Refuse what vLLM cannot run.

    Raises:
        ValueError: When pictures meet text in another way, or tokens see more than their own.
    """
    remedy = "use the engine 'transformers'"
    if config.fusion != "cross":
        raise ValueError(
            f"in vLLM pictures reach text by cross-attention, but this model's fusion is "
            f"{config.fusion!r}; {remedy}"
        )
    if not config.exclusive:
        raise ValueError(
            "in vLLM a token sees the picture of its own item alone, but this model was trained "
            f"with exclusive=False; {remedy}"
        )
