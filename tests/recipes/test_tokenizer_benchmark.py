import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "recipes" / "benchmarks"


def last_line(*command: str) -> dict:
    done = subprocess.run([sys.executable, *command], check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def test_the_quick_benchmark_tells_everything_that_is_asked_for():
    pytest.importorskip("vector_quantize_pytorch")
    found = last_line(str(BENCHMARKS / "tokenizer.py"), "--quick")
    assert found["collision_rate_final"] == 0
    assert found["items_per_second"] > 0
    assert 0 < found["min_codes_used_share"] <= 1
    assert 0.5 < found["mse_ratio_vs_resvq"] < 2
    for key in ("seconds_rqvae", "seconds_rqkmeans", "speedup_vs_resvq"):
        assert found[key] > 0, key
    for method, ways in found["made_unique"].items():
        assert all(way["in_collision"] == 0 for way in ways.values()), method
        assert ways["extra_level"]["cost"] == 0


def test_assignment_at_scale_reads_the_features_from_a_file(tmp_path):
    heaps_NF = np.random.default_rng(0).normal(size=(300, 40)).astype(np.float32)
    np.save(tmp_path / "features.npy", heaps_NF)
    found = last_line(
        str(BENCHMARKS / "tokenizer_scale.py"), f"--features={tmp_path / 'features.npy'}",
        "--items=2000", "--method=rqkmeans",
    )  # fmt: skip
    assert found["items"] == 2000
    assert found["items_per_second"] > 0
