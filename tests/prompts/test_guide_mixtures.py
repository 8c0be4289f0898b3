import re
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "mixtures.md"


def test_the_python_of_the_guide_runs_and_prints_what_it_says(capsys):
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(GUIDE), "exec"), names)
    expected = re.findall(r"^print\(.*\)  # (.*)", "\n".join(blocks), re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == expected
