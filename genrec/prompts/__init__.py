"""Tasks as data, the unified item format, and text that can never become control."""

from genrec.prompts.blend import Blend, side_by_side
from genrec.prompts.config import PromptConfig
from genrec.prompts.corpus import corpus
from genrec.prompts.mixture import Examples, Mixture, MixtureConfig
from genrec.prompts.parse import AnswerError, AnswerParser, Parsed
from genrec.prompts.plain_text import clean
from genrec.prompts.render import Example, Renderer
from genrec.prompts.sentencepiece import load_tokenizer, make_tokenizer, train_tokenizer
from genrec.prompts.tasks import Answer, Task, Tasks
from genrec.prompts.vocabulary import Vocabulary
from genrec.recommender import TaskError

__all__ = [
    "Answer",
    "AnswerError",
    "AnswerParser",
    "Blend",
    "Example",
    "Examples",
    "Mixture",
    "MixtureConfig",
    "Parsed",
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
    "side_by_side",
    "train_tokenizer",
]
