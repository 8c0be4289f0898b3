"""What all tests of vLLM share. Import it before anything that may import vLLM."""

import os

# vLLM in the process of the tests and without a GPU: nothing is bound to cores or sent anywhere.
os.environ.setdefault("VLLM_ENABLE_V1_MULTIPROCESSING", "0")
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")
os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")

import importlib

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from genrec.models import TinyConfig, build_tiny
from genrec.optional import is_installed
from genrec.prompts import Vocabulary

needs_vllm = pytest.mark.skipif(
    not is_installed("vllm"), reason="vllm is not installed: pip install 'genrec[vllm]'"
)


if is_installed("llvmlite"):  # as behind BM25 or whatever else brings numba: vLLM must start anyway
    importlib.import_module("llvmlite.binding.ffi")


def tiny_decoder(vocabulary: Vocabulary, architecture: str) -> PreTrainedModel:
    """Make a decoder with random weights whose beams differ by more than rounding."""
    model = build_tiny(
        # vLLM's attention on a CPU wants heads of 32 at least.
        TinyConfig(
            architecture=architecture, hidden_size=64, layers=2, heads=2, intermediate_size=128
        ),
        vocabulary_size=len(vocabulary), special=vocabulary.special, max_tokens=512, seed=0,
    )  # fmt: skip
    with torch.no_grad():
        for weights in model.parameters():
            if weights.ndim == 2:
                weights *= 8
    return model


def assert_same(rankings, expected):
    """Check that two engines name the same items in the same order, with the same scores."""
    for ours, theirs in zip(rankings, expected, strict=True):
        assert ours.items.tolist() == theirs.items.tolist()
        np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-4, rtol=0)


def worker_of(recommender):
    """Return the worker that vLLM runs in this process."""
    return recommender._engine._llm.llm_engine.model_executor.driver_worker.worker
