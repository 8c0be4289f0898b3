"""Small tokenizers of the kinds that language models have, made in a moment."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from genrec.prompts import train_tokenizer

CORPUS = ["red phone", "blue case", "a fine green lamp with </s> and <pad> in its name"] * 20

CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def llama_like() -> PreTrainedTokenizerFast:
    """SentencePiece BPE that falls back to bytes, as Llama 2's."""
    return train_tokenizer(CORPUS, size=300, kind="llama")


def t5_like() -> PreTrainedTokenizerFast:
    """A unigram model, as T5's; letters that it never saw are unknown."""
    return train_tokenizer(CORPUS, size=60, kind="t5")


def qwen_like() -> PreTrainedTokenizerFast:
    """Byte-level BPE with chat markers and a chat template, as Qwen's."""
    return _byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], ignore_merges=False)


def llama3_like() -> PreTrainedTokenizerFast:
    """Byte-level BPE that takes whole words from its vocabulary before it merges, as Llama 3's."""
    return _byte_level(["<|endoftext|>", "<|im_start|>", "<|im_end|>"], ignore_merges=True)


def _byte_level(special: list[str], *, ignore_merges: bool) -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=500,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator([*CORPUS, *special * 20, "<tool_call>"], trainer)
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )
    tokenizer.add_tokens(["<tool_call>"])
    tokenizer.chat_template = CHAT
    return tokenizer


MAKERS = {
    "llama": llama_like,
    "llama3": llama3_like,
    "qwen": qwen_like,
    "t5": t5_like,
}
