import re
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "vision.md"


def test_the_examples_of_the_guide_run_and_print_what_they_say(capsys):
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(GUIDE), "exec"), names)
        expected = re.findall(r"^print\(.*\)  # (.*)", block, re.MULTILINE)
        assert capsys.readouterr().out.splitlines() == expected
