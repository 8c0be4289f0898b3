"""Tasks as data, the unified item format, and text that can never become control."""

from genrec.prompts.config import PromptConfig
from genrec.prompts.corpus import corpus
from genrec.prompts.mixture import Mixture
from genrec.prompts.render import Example, Renderer
from genrec.prompts.sentencepiece import load_tokenizer, make_tokenizer, train_tokenizer
from genrec.prompts.tasks import Task, TaskError, Tasks
from genrec.prompts.vocabulary import Vocabulary, clean

__all__ = [
    "Example",
    "Mixture",
    "PromptConfig",
    "Renderer",
    "Task",
    "TaskError",
    "Tasks",
    "Vocabulary",
    "clean",
    "corpus",
    "load_tokenizer",
    "make_tokenizer",
    "train_tokenizer",
]
