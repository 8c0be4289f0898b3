"""All that is asked of vLLM itself, in tokens."""

import importlib
import logging
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers import AutoConfig

from genrec.models import FlamingoConfig
from genrec.optional import require
from genrec.prompts import Renderer
from genrec.serving.vllm.config import VLLMConfig

log = logging.getLogger(__name__)


class PromptPicture(NamedTuple):
    """A picture in a prompt."""

    key: str
    """Tells it from all other pictures."""

    features_SD: Tensor
    """What the model's picture encoder makes of it."""

    offset: int
    """The first token that sees it."""

    length: int
    """How many tokens do."""


class Prompt(NamedTuple):
    """A prompt as vLLM takes it."""

    tokens: list[int]
    pictures: tuple[PromptPicture, ...] = ()
    """In the order of their tokens."""

    def then(self, path: Sequence[int]) -> "Prompt":
        """Go on with some tokens."""
        return self._replace(tokens=[*self.tokens, *path])


class Engine:
    """A vLLM that runs one model."""

    scored_at_once = 128
    """Most tokens that one request may have scored (vLLM's ``MAX_LOGPROB_TOKEN_IDS``)."""

    def __init__(
        self, path: Path | str, renderer: Renderer, config: VLLMConfig, dtype: torch.dtype
    ) -> None:
        """Start vLLM.

        Args:
            path: The model directory.
            renderer: Writes the prompts; tells how long they are.
            config: How vLLM runs.
            dtype: The precision to compute in.
        """
        self._vllm = require("vllm", extra="vllm", why="VLLMRecommender")
        if (Path(path) / "adapter_config.json").is_file():
            raise ValueError(
                f"{path} holds an adapter beside its model; merge it (genrec.models.merge) and "
                "save the model anew"
            )
        shape = AutoConfig.from_pretrained(str(path))
        if shape.is_encoder_decoder:
            raise ValueError(
                f"{path} holds an encoder-decoder, but vLLM runs decoders alone; "
                "use the engine 'transformers'"
            )
        sees = isinstance(shape, FlamingoConfig)
        if sees:
            importlib.import_module("genrec.serving.vllm.flamingo").refuse_unknown(shape)
            # Also where genrec lies in a path and is not installed with its entry point.
            importlib.import_module("genrec.serving.vllm.plugin").register()
        on_cpu = importlib.import_module("vllm.platforms").current_platform.is_cpu()
        memory = config.kv_cache_memory_bytes
        if memory is None and on_cpu:
            memory = 2**30
        reason = _why_not_in_worker(config)
        prompts = renderer.config
        longest = prompts.prompt_tokens + max(prompts.answer_tokens, renderer.ids.levels)
        with _without_llvmlite():
            self._llm = self._vllm.LLM(
                str(path),
                dtype=dtype,
                max_model_len=config.max_model_len or longest,
                max_num_seqs=config.max_num_seqs,
                max_num_batched_tokens=config.max_num_batched_tokens,
                gpu_memory_utilization=config.gpu_memory_utilization,
                kv_cache_memory_bytes=memory,
                tensor_parallel_size=config.tensor_parallel_size,
                pipeline_parallel_size=config.pipeline_parallel_size,
                data_parallel_size=config.data_parallel_size,
                distributed_executor_backend=config.distributed_executor_backend,
                # Which tokens see a picture is decided at each step: nothing may be compiled.
                enforce_eager=config.enforce_eager or sees,
                enable_prefix_caching=True,
                # Only whole blocks are found again, so that long ones (128 on a CPU) cost time.
                block_size=32 if on_cpu else None,
                max_logprobs=max(self.scored_at_once, len(renderer.vocabulary.new_tokens) + 1),
                # Text is encoded and decoded here; generation_config.json decides nothing.
                skip_tokenizer_init=True,
                generation_config="vllm",
                worker_extension_cls="" if reason else "genrec.serving.vllm.worker.BeamWorker",
            )
        self.searches_in_worker = self._start_route(config, reason)
        self.unused: list[tuple[str, int | None]] = []
        """Catalogues, or numbered sets of one, that the workers hold and nobody asks for."""

    def _start_route(self, config: VLLMConfig, reason: str | None) -> bool:
        """Choose where beams are searched.

        Args:
            config: Which route is wanted.
            reason: Why the workers know no beams; ``None`` where they do.

        Returns:
            Whether it is in the workers.
        """
        if reason is None:
            reason = next(filter(None, self.ask_workers("genrec_obstacle")), None)
        version = self._vllm.__version__
        if reason is None:
            self.ask_workers("genrec_start", config.beam_memory_bytes)
            log.info("vLLM %s searches beams in its worker", version)
            return True
        if config.route == "worker":
            raise ValueError(
                f"this vLLM ({version}) cannot search beams in its worker: {reason}; "
                "set the route to 'portable'"
            )
        log.info("vLLM %s searches beams by requests: %s", version, reason)
        return False

    def ask_workers(self, method: str, *arguments: object) -> list[Any]:
        """Call a method of all workers and return what each says."""
        answers: list[Any] = self._llm.collective_rpc(method, args=arguments)
        return answers

    def score(self, prompts: Sequence[Prompt], wanted: Sequence[list[int]]) -> list[list[float]]:
        """Return the log-probability of every wanted token to follow its prompt."""
        asked = [
            (row, tokens[start : start + self.scored_at_once])
            for row, tokens in enumerate(wanted)
            for start in range(0, len(tokens), self.scored_at_once)
        ]
        outputs = self._run(
            [prompts[row] for row, _ in asked],
            [self._options(max_tokens=1, logprob_token_ids=tokens) for _, tokens in asked],
        )
        scores: list[list[float]] = [[] for _ in prompts]
        for (row, tokens), output in zip(asked, outputs, strict=True):
            # The token that vLLM wrote stands before those that it was asked for.
            if output.logprobs.token_ids[1:] != tokens:
                raise RuntimeError(
                    f"vLLM {self._vllm.__version__} scored other tokens than it was asked for; "
                    "install a version that genrec[vllm] allows"
                )
            scores[row] += output.logprobs.logprobs[1:]
        return scores

    def read(self, prompts: Sequence[Prompt], marks: Sequence[object]) -> None:
        """Have prompts computed whose ends the worker knows by their marks."""
        self._run(prompts, [self._options(max_tokens=1, extra_args={"genrec": m}) for m in marks])

    def write(
        self, prompts: Sequence[Prompt], rooms: Sequence[int], *, stops: Iterable[int]
    ) -> list[list[int]]:
        """Go on with the likeliest tokens up to a stop, which is kept, or while there is room."""
        stop_tokens = sorted(stops)
        options = [self._options(max_tokens=room, stop_token_ids=stop_tokens) for room in rooms]
        return [list(output.token_ids) for output in self._run(prompts, options)]

    def likeliest(self, prompts: Sequence[Prompt], count: int) -> list[list[int]]:
        """Return the ``count`` tokens most likely to follow each prompt, best first."""
        options = [self._options(max_tokens=1, logprobs=count) for _ in prompts]
        return [output.logprobs.token_ids[1:] for output in self._run(prompts, options)]

    def close(self) -> None:
        """Stop vLLM."""
        self._llm.llm_engine.engine_core.shutdown()

    def _options(self, **options: object) -> Any:
        # Each is used for one request, so vLLM need not copy it, which would take long.
        return self._vllm.SamplingParams(
            temperature=0.0, detokenize=False, flat_logprobs=True, skip_clone=True, **options
        )

    def _run(self, prompts: Sequence[Prompt], options: Sequence[object]) -> list[Any]:
        outputs = self._llm.generate(list(map(_input, prompts)), options, use_tqdm=False)
        return [output.outputs[0] for output in outputs]


@contextmanager
def _without_llvmlite() -> Iterator[None]:
    """Hide a module of numba's while vLLM starts.

    On a CPU vLLM 0.32 looks for its kernels in the attributes of every module, and fails over the
    library object of llvmlite, which takes any name for one of its functions, ``__dict__`` too.
    """
    hidden = sys.modules.pop("llvmlite.binding.ffi", None)
    try:
        yield
    finally:
        if hidden is not None:
            sys.modules["llvmlite.binding.ffi"] = hidden


def _why_not_in_worker(config: VLLMConfig) -> str | None:
    """Say why vLLM is not asked to search beams in its worker."""
    if config.route == "portable":
        return "so the settings say"
    try:
        importlib.import_module("genrec.serving.vllm.worker")
    except ImportError as error:  # parts of vLLM are no longer where they were
        return str(error)
    return None


def _input(prompt: Prompt) -> dict[str, Any]:
    """Write a prompt as vLLM's input."""
    if not prompt.pictures:
        return {"prompt_token_ids": prompt.tokens}
    return {
        "prompt_token_ids": prompt.tokens,
        "multi_modal_data": {"image": [picture[1:] for picture in prompt.pictures]},
        # How many tokens see it is part of what vLLM keeps by this name.
        "multi_modal_uuids": {"image": [f"{p.key}-{p.length}" for p in prompt.pictures]},
    }
