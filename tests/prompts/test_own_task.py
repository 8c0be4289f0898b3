"""A task of one's own: one file outside the package, learnt from and asked without other code."""

from genrec import GenRec
from genrec.data import leave_one_out
from genrec.prompts import AnswerParser, Mixture, PromptConfig, Renderer, Tasks
from genrec.serving import save_bundle
from tests.small_shop import small_dataset, small_model, small_renderer

GIFT = """
name: gift
version: 1
answer: item
inputs: [history, query]
prompts:
  - "Bought so far: {history} A gift for somebody who likes {query} is:"
unseen: "Who owns {history} gives to a friend of {query}"
"""


def test_a_file_is_all_that_a_task_takes(tmp_path):
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "gift.yaml").write_text(GIFT)
    dataset, shop = small_dataset(), small_renderer()
    renderer = Renderer(
        vocabulary=shop.vocabulary, ids=shop.ids, catalogue=shop.catalogue,
        tasks=Tasks.load([tmp_path / "tasks"]), config=PromptConfig(),
    )  # fmt: skip

    mixture = Mixture(
        dataset=dataset, train=leave_one_out(dataset.interactions).train, renderer=renderer,
        weights={"gift": 1.0}, every_position=True,
    )  # fmt: skip
    example = next(iter(mixture.epoch(0)))
    assert example.task == "gift"
    assert "A gift for somebody" in renderer.vocabulary.tokenizer.decode(example.prompt.tolist())
    (row,) = AnswerParser(renderer).parse("gift", example.answer)
    assert 0 <= row < len(dataset.catalogue)

    save_bundle(tmp_path / "model", small_model(renderer), renderer)
    rec = GenRec.from_pretrained(tmp_path / "model", device="cpu")
    assert len(rec.search(["sku-0"], "red lamps", k=3, task="gift")) == 3
