"""What vLLM calls in each of its processes, by the entry point ``vllm.general_plugins``."""

from vllm import ModelRegistry

# By being imported it makes the model's config known to transformers, which vLLM reads it with.
from genrec.models.flamingo import FlamingoForCausalLM


def register() -> None:
    """Make the Flamingo model known to vLLM; its code is loaded where it is used."""
    name = FlamingoForCausalLM.__name__
    if name not in ModelRegistry.get_supported_archs():
        ModelRegistry.register_model(name, "genrec.serving.vllm.flamingo:FlamingoForVLLM")
