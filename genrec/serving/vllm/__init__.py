"""Fine-tuned models in vLLM."""

from genrec.serving.vllm.config import VLLMConfig
from genrec.serving.vllm.recommender import VLLMRecommender

__all__ = ["VLLMConfig", "VLLMRecommender"]
