"""A decoder that looks at pictures: Flamingo, as UniMP uses it, over any language model."""

from genrec.models.flamingo.config import FlamingoConfig, Fusion
from genrec.models.flamingo.model import BRIDGE_MODULES, FlamingoForCausalLM

__all__ = ["BRIDGE_MODULES", "FlamingoConfig", "FlamingoForCausalLM", "Fusion"]
