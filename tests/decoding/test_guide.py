import re
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "decoding.md"


def test_the_python_of_the_guide_runs_as_written():
    blocks = re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 4
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(GUIDE), "exec"), names)
    assert names["samples"].shape == (2, 5)
