"""The benchmark script runs and writes its tables; what it measures there means nothing."""

import json
import subprocess
from importlib.util import find_spec

import pytest

from places import ROOT
from processes import forked, python
from signxai.evidence import METRICS

pytestmark = pytest.mark.slow
SCRIPT = ROOT / "benchmarks" / "run.py"


def benchmark(*arguments: str) -> subprocess.CompletedProcess[str]:
    return forked(SCRIPT, *arguments, OMP_NUM_THREADS="1")


def test_a_quick_run_writes_its_tables_and_nothing_else(tmp_path):
    output = tmp_path / "RESULTS.md"
    methods = ("lrp_epsilon_0_1", "lrp_gamma_0_25", "integrated_gradients")
    done = benchmark("--quick", "--only", *methods, "small CNN*", "1-D CNN*", "--output", str(output))
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.iterdir()) == [output]
    text = output.read_text(encoding="utf-8")
    headings = [line for line in text.splitlines() if line.startswith("#")]
    assert headings == [
        "# Benchmarks",
        "## LRP: cost and deviation",
        "### small CNN b2",
        "### 1-D CNN b1",
        "## Many gradients: integrated gradients, SmoothGrad, VarGrad",
        "## Overhead on a 10-layer 1-D CNN",
        "## Peak memory",
        *(["## Keras: cost against its own gradient"] if find_spec("keras") else []),
    ]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")]
    measured = {(row[0], row[1]) for row in rows} | {(row[0], "") for row in rows}
    assert {(method, "") for method in methods[:2]} | {("1-D CNN b1", "integrated_gradients")} <= measured
    lrp = [row for row in rows if row[0] in methods[:2] and len(row) == 9]
    deviations = [row[7] for row in lrp]
    assert len(deviations) == 4
    assert all(float(cell.split(", ")[1]) < 1e-11 for cell in deviations), deviations  # in float64 signxai and Zennit agree
    overhead = [row for row in rows if row[0] in ("1-D CNN", "1-D CNN with batch norms") and len(row) == 10]
    assert len(overhead) == 2
    assert all(float(row[-1]) < 1e-5 for row in overhead)  # what is written out by hand is the same method


def test_a_quick_run_measures_data_sets_and_leaves_no_store(tmp_path):
    pytest.importorskip("zarr")
    pytest.importorskip("ray")
    output, before = tmp_path / "RESULTS.md", set((ROOT / "out").glob("benchmark-*"))
    done = python(SCRIPT, "--quick", "--only", "datasets", "--output", output, OMP_NUM_THREADS="1")  # Ray wants one of its own
    assert done.returncode == 0, done.stderr
    assert set((ROOT / "out").glob("benchmark-*")) <= before
    title, loops, rays, memory = output.read_text(encoding="utf-8").split("\n### ")
    assert "## Data sets: a run against a loop" in title
    rows = [[cell.strip() for cell in text.splitlines()[-1].strip("|").split("|")] for text in (loops, rays, memory)]
    assert [row[1] for row in rows[:2]] == ["gradient, lrp_epsilon_0_25_std_x, lrp_zplus"] * 2
    assert len([line for line in loops.splitlines() if line.startswith("| 1-D CNN")]) == 3
    assert [len(row) for row in rows] == [6, 6, 4]
    seconds = [float(cell.removesuffix(" s")) for cell in rows[0][2:4]]
    assert all(value > 0 for value in [*seconds, *map(float, rows[1][2:4])])
    assert abs(float(rows[0][4].split()[0]) - seconds[0] / seconds[1]) < 0.2  # so that more than 1 is a run that takes less
    assert abs(float(rows[1][4].split()[0]) - float(rows[1][3]) / float(rows[1][2])) < 0.01


def test_a_quick_run_measures_metrics(tmp_path):
    pytest.importorskip("zarr")
    output = tmp_path / "RESULTS.md"
    done = benchmark("--quick", "--only", "evidence", "--output", str(output))
    assert done.returncode == 0, done.stderr
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in output.read_text(encoding="utf-8").splitlines()]
    found = {row[0]: row for row in rows}
    assert set(METRICS) <= set(found)
    assert found["srg"][2].startswith("30 passes"), "3 signals and 5 steps, whose ends both curves have in common"
    assert found["emprt"][2].startswith("6 explanations")
    assert all(len(found[name]) == (7 if metric.takes in ("decision", "method") else 2) for name, metric in METRICS.items())


@pytest.mark.skipif(not find_spec("keras"), reason="needs keras")
def test_a_quick_run_measures_networks_of_keras(tmp_path):
    output = tmp_path / "results.md"
    done = benchmark("--quick", "--only", "keras", "--output", str(output))
    assert done.returncode == 0, done.stderr
    rows = [line for line in output.read_text(encoding="utf-8").splitlines() if line.startswith("| MobileNetV2")]
    assert [row.split(" | ")[0] for row in rows] == ["| MobileNetV2 b1", "| MobileNetV2 b8"]


def test_a_table_measured_anew_takes_its_place_among_the_others(tmp_path):
    output = tmp_path / "RESULTS.md"
    lrp, memory = "## LRP: cost and deviation\n\nkept\n\n### VGG16\n\n| kept |", "## Peak memory\n\n| replaced |"
    output.write_text(f"# Benchmarks\n\nold\n\n{lrp}\n\n{memory}\n", encoding="utf-8")
    read = "import json, pathlib, sys, run; print(json.dumps(run.saved(pathlib.Path(sys.argv[1]))))"
    done = forked("-c", read, output, cwd=SCRIPT.parent)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"lrp": lrp, "memory": memory}


def test_a_pattern_that_names_nothing_is_an_error():
    done = benchmark("--quick", "--only", "lrp_epsilno_0_1")
    assert done.returncode != 0
    assert "lrp_epsilno_0_1: no method, network or table" in done.stderr
