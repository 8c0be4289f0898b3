"""The benchmark of vLLM runs, on a shape that takes seconds."""

import json

import tests.serving.vllm_setup as setup
from recipes.benchmarks import serving


@setup.needs_vllm
def test_both_routes_are_measured_and_agree_with_transformers(capsys):
    serving.main(serving.Config(users=2, history=5, beams=3, items=300, layers=1, width=64, runs=2))
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["identical"]
    assert result["largest_score_difference"] < 1e-4
    for name in ("in_worker", "portable", "transformers"):
        assert result[f"speedup_{name}"] > 0
        assert result["processor_seconds"][name] > 0
