import re
from pathlib import Path

GUIDE = Path(__file__).parents[2] / "docs" / "training.md"


def test_the_python_of_the_guide_runs_as_written():
    for block in re.findall(r"```python\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL):
        exec(compile(block, str(GUIDE), "exec"), {})
