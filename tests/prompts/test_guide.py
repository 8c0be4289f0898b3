import re
from pathlib import Path

from genrec.prompts import Tasks
from genrec.prompts.tasks import SLOTS

GUIDE = (Path(__file__).parents[2] / "docs" / "prompts.md").read_text(encoding="utf-8")


def test_the_python_of_the_guide_runs_and_prints_what_it_says(capsys):
    (block,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
    exec(compile(block, "prompts.md", "exec"), {})
    prompt, *others = capsys.readouterr().out.splitlines()
    assert prompt in re.findall(r"```text\n(.*?)\n```", GUIDE, re.DOTALL)
    assert others == re.findall(r"^print\(.*\)  # (.*)", block, re.MULTILINE)


def test_the_guide_tells_every_task_and_every_slot():
    for name in Tasks.load():
        assert f"`{name}`" in GUIDE
    for slot in SLOTS:
        assert f"`{{{slot}}}`" in GUIDE
