"""The chat template of an instruction-tuned model around a prompt.

A template is code that joins texts. Were a prompt given to it as text, data could spell its control
tokens. So it joins placeholders, and what stands around them is encoded by itself: only the
template's own words become control tokens.
"""

from typing import NamedTuple

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerFast

_SYSTEM = "GENREC-SYSTEM-MESSAGE"
_USER = "GENREC-USER-MESSAGE"


class ChatFrame(NamedTuple):
    """The tokens around a prompt that make it the user's message of a chat."""

    before_system: list[int]
    before_user: list[int]
    """What follows the system message, or begins a chat without one."""

    before_answer: list[int]


def chat_frame(tokenizer: PreTrainedTokenizerFast, *, with_system: bool) -> ChatFrame:
    """Read a tokenizer's chat template.

    A model that can think before it answers is told not to.

    Raises:
        ValueError: When there is no template, or it does not take these messages as they are.
    """
    if not tokenizer.chat_template:
        raise ValueError(
            "the tokenizer has no chat template; turn prompts.chat off, or take an "
            "instruction-tuned model"
        )
    messages = [{"role": "user", "content": _USER}]
    if with_system:
        messages.insert(0, {"role": "system", "content": _SYSTEM})
    try:
        text = tokenizer.apply_chat_template(
            messages, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
    except TemplateError as error:
        raise ValueError(
            f"the chat template refuses a chat: {error}; if it knows no system message, leave "
            "prompts.system empty"
        ) from error
    marks = [_SYSTEM, _USER] if with_system else [_USER]
    parts = []
    for mark in marks:
        part, found, text = text.partition(mark)
        if not found or mark in text:
            raise ValueError("the chat template does not tell each message once and in order")
        parts.append(part)
    before_system, before_user = parts if with_system else ("", parts[0])
    encode = tokenizer.encode
    return ChatFrame(
        *(encode(part, add_special_tokens=False) for part in (before_system, before_user, text))
    )
