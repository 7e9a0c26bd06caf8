"""The benchmarks without the peers: the workloads, a tiny race, and what is written of it."""

import json
import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from exact import has_extended_precision

from fusedelta import _cpu

ROOT = Path(__file__).parents[1]
sys.path.append(str(ROOT))

from benchmarks import __main__ as command  # noqa: E402
from benchmarks import (  # noqa: E402
    accuracy,
    bench_kernels,
    calls,
    disk,
    ensemble,
    instructions,
    peak,
    report,
    rivals,
    scaling,
    workloads,
)

SMALL = [w.name for w in workloads.WORKLOADS if w.flops * w.batches < 1e8]


def test_workloads_have_names_of_their_own():
    names = [workload.name for workload in workloads.WORKLOADS]
    assert len(set(names)) == len(names)
    assert len({workload.about for workload in workloads.WORKLOADS}) == len(names)


@pytest.mark.parametrize("name", SMALL)
def test_data_fit_the_network(name):
    workload = workloads.named(name)
    X, y, weights = workload.data()
    m = workload.batch * workload.batches
    assert X.shape == (m, workload.sizes[0])
    assert len(y) == m
    assert X.dtype == workload.dtype
    shapes = [shape for k, n, _ in workload.layers for shape in ((k, n), (n,))]
    assert [array.shape for array in weights] == shapes
    assert np.mean(X == 0) == pytest.approx(workload.zeros, abs=0.01) or workload.problem
    assert np.array_equal(X, workload.data().X)


def test_operations_of_a_step():
    policy = workloads.named("policy")
    inner = 64 * 64 + 64 * 4
    assert policy.flops == 2 * 64 * (2 * 8 * 64 + 3 * inner)
    assert workloads.named("predict-32").flops == 2 * 32 * (8 * 64 + inner)


@pytest.mark.parametrize("name", SMALL)
def test_losses_agree_and_tell_training_from_standing_still(name):
    workload = workloads.named(name)
    losses = []
    for rival in (rivals.OURS, rivals.TWIN, "numpy-by-hand"):
        racer = rivals.build(rival, workload)
        racer.run(1)
        first = racer.loss()
        racer.run(workload.checked_epochs - 1)
        losses.append(racer.loss())
        if not workload.predicts:
            assert abs(losses[-1] - first) > 10 * workload.tolerance * first
    assert losses[:2] == pytest.approx(losses[1:], rel=workload.tolerance)


def test_the_peak_is_unknown_where_the_compiler_is_for_another_machine(monkeypatch):
    def compiled(command, **_):
        Path(command[-1]).write_bytes(b"\x7fELF of another machine")
        return subprocess.CompletedProcess(command, 0)

    monkeypatch.setattr(peak.shutil, "which", lambda name: name)
    monkeypatch.setattr(peak.subprocess, "run", compiled)
    assert peak.load.__wrapped__("base", "float32") is None


def test_the_command_races_and_writes(tmp_path, capsys):
    written, readme = tmp_path / "figures.json", tmp_path / "README.md"
    readme.write_text("before\n<!-- benchmarks -->\nold\n<!-- /benchmarks -->\nafter\n")
    tiny = ["xor", "--rivals", "fusedelta", "numpy-by-hand", "--rounds", "2", "--seconds", "0.01"]
    subprocess.run(
        [sys.executable, "-m", "benchmarks", *tiny, "--json", written], cwd=ROOT, check=True
    )
    (result,) = json.loads(written.read_text())["results"]
    assert set(result["rivals"]) == {"fusedelta", "numpy-by-hand"}
    for figures in result["rivals"].values():
        assert len(figures["microseconds"]) == 2
        assert all(0 < t < math.inf for t in figures["microseconds"])

    assert command.main(["--from", str(written), "--readme", str(readme)]) == 0
    header, _, row = capsys.readouterr().out.splitlines()
    assert header.split()[:2] == ["workload", "ours"]
    assert "numpy-by-hand" in row
    text = readme.read_text()
    assert text.startswith("before\n<!-- benchmarks -->\n| workload |")
    assert text.endswith("<!-- /benchmarks -->\nafter\n")
    assert "old" not in text


def test_a_readme_without_markers_is_left_alone(tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("no markers\n")
    with pytest.raises(ValueError, match=r"README\.md"):
        report.write_between_markers(readme, "table")
    assert readme.read_text() == "no markers\n"


def test_an_unknown_workload_is_named(capsys):
    with pytest.raises(SystemExit):
        command.main(["no-such"])
    assert "no-such" in capsys.readouterr().err


# ---- instructions --------------------------------------------------------------------------------


@pytest.fixture
def gate(monkeypatch, tmp_path, capsys):
    """Run the gate on counts of its own; return its exit status and what it printed."""

    def run(counted, *, compiler="gcc 1", figures=None, valgrind=True, arguments=()):
        path = tmp_path / "figures.json"
        written = {"compiler": "gcc 1", "isa": "avx2", "instructions_per_step": figures or counted}
        path.write_text(json.dumps(written))
        config = {"compiler": compiler, "available": [instructions.ISA]}
        monkeypatch.setattr(instructions, "FIGURES", path)
        monkeypatch.setattr(instructions, "per_step", lambda: counted)
        monkeypatch.setattr(instructions.fd, "show_config", lambda: config)
        monkeypatch.setattr(instructions.shutil, "which", lambda name: name if valgrind else None)
        monkeypatch.setattr(sys, "argv", ["instructions", *arguments])
        status = instructions.main()
        return status, capsys.readouterr().out, json.loads(path.read_text())

    return run


@pytest.mark.parametrize(
    ("now", "status", "verdict"), [(102.9, 0, "within 3%"), (103.1, 1, "MORE than 3% above")]
)
def test_the_gate_fails_above_its_slack(gate, now, status, verdict):
    got, printed, _ = gate({"a": now, "b": 50.0}, figures={"a": 100.0, "b": 50.0})
    assert got == status
    assert verdict in printed


def test_the_gate_says_why_it_gives_no_verdict(gate):
    status, printed, _ = gate({"a": 200.0}, figures={"a": 100.0}, compiler="clang 2")
    assert (status, printed.splitlines()[-1]) == (
        0,
        "no verdict: clang 2 built this, gcc 1 what the figures are of",
    )
    status, printed, _ = gate({"a": 200.0}, figures={"a": 100.0}, valgrind=False)
    assert (status, printed) == (
        0,
        "instructions not counted: there is no valgrind on this machine\n",
    )


def test_the_gate_renews_its_figures(gate):
    status, _, written = gate(
        {"a": 200.0}, figures={"a": 100.0}, compiler="clang 2", arguments=["--write"]
    )
    assert status == 0
    assert written == {
        "compiler": "clang 2",
        "isa": "avx2",
        "instructions_per_step": {"a": 200.0},
    }


# ---- kernels -------------------------------------------------------------------------------------


def test_every_kernel_has_a_benchmark_that_runs():
    isa = bench_kernels.ISAS[0]
    cases = list(bench_kernels.cases([isa], ["float32"]))
    assert {case.kernel.partition("apply_")[0] or "apply" for case in cases} == set(
        _cpu.kernel_names()
    )
    smallest = {}
    for case in cases:
        smallest[case.kernel] = min(smallest.get(case.kernel, case), case, key=lambda c: c.work)
    for case in smallest.values():
        bench_kernels.make_bench(case)(2)
        assert len(bench_kernels.row(case, 1e-6, 100.0)) == 7


# ---- accuracy ------------------------------------------------------------------------------------


def test_accuracy_goes_through_all_numbers():
    for dtype, every in (("float32", 99_991), ("float64", 991)):
        numbers = np.concatenate(list(accuracy.inputs(dtype, every)))
        assert numbers.dtype == dtype
        assert numbers[0] == 0
        assert len(numbers) > 15_000
        assert len(set(numbers.tolist())) == len(numbers)
        exponents = np.unique(np.frexp(numbers[np.isfinite(numbers)])[1])
        assert len(exponents) > {"float32": 250, "float64": 2000}[dtype]
    assert sum(len(x) for x in accuracy.inputs("float32", 1 << 12)) == (1 << 20) - 2 * 2047


def test_accuracy_finds_the_worst():
    worst = accuracy.Worst()
    x = np.array([1.0, 2.0, 3.0], "float32")
    exact = np.array([0.5, 4.0, np.inf])
    beyond_4 = np.nextafter(np.float32(4), np.float32(5))
    worst.look(x, np.array([0.5, beyond_4, np.inf], "float32"), exact)
    assert (worst.ulps, worst.x, worst.count, worst.wrong) == (1.0, 2.0, 3, 0)
    worst.look(x, np.array([np.nan, 4, 1], "float32"), exact)
    assert (worst.ulps, worst.count, worst.wrong) == (1.0, 6, 1)


@pytest.mark.skipif(not has_extended_precision(), reason="long double is no wider than double here")
def test_accuracy_command(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["accuracy", "tanh", "log1p", "--every", "65537"])
    assert accuracy.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[2:]] == ["tanh", "log1p", "tanh", "log1p"]
    monkeypatch.setitem(accuracy.ULPS, "tanh", 0.1)
    assert accuracy.main() == 1
    monkeypatch.setattr(sys, "argv", ["accuracy", "tan"])
    with pytest.raises(SystemExit):
        accuracy.main()
    assert "no function tan; there are exp" in capsys.readouterr().err


# ---- scaling -------------------------------------------------------------------------------------


def test_scaling_of_thin_networks(monkeypatch, capsys):
    monkeypatch.setattr(scaling.machine, "pin", lambda cores: None)
    monkeypatch.setattr(scaling, "THIN_SAMPLES", 1000)
    assert scaling.main(["--thin", "--most-rows", "400"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("2-16-8-1") == 2
    assert len(re.findall(r"^ *(32|400) +[0-9]", shown, re.MULTILINE)) == 4


def test_scaling_command(monkeypatch, capsys):
    monkeypatch.setattr(scaling.machine, "pin", lambda cores: None)
    assert scaling.main(["--most-rows", "10000", "--most-epochs", "10"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("32-64-64-1 relu")
    rows = [line.split()[:2] for line in lines if line[:1].isdigit() or line.startswith(" ")]
    assert [row for row in rows if row[0] != "rows"][-4:] == [
        ["1,000", "1"],
        ["10,000", "1"],
        ["1,000", "1"],
        ["1,000", "10"],
    ]
    fit = scaling.Fit(rows=10, epochs=3, seconds=6.0)
    assert fit.per_sample == pytest.approx(0.2)
    assert "2.00" in scaling.table([fit, scaling.Fit(10, 3, 12.0)])


# ---- calls ---------------------------------------------------------------------------------------


def test_calls_command(monkeypatch, capsys):
    monkeypatch.setattr(calls.machine, "pin", lambda cores: None)
    assert calls.main(["--calls", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("8-64-64-4 tanh")
    timed = [line.rsplit("  ", 1)[0].strip() for line in lines[4:]]
    assert timed == list(calls.calls())


# ---- disk ----------------------------------------------------------------------------------------


def test_disk_command(capsys, tmp_path):
    assert disk.main(["--megabytes", "3", "--tries", "2", "--folder", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "64-8-1 relu, float32, batches of 256" in lines
    rows = [line for line in lines if line.startswith(tuple(disk.WAYS))]
    assert len(rows) == 2 * len(disk.WAYS)
    assert rows[0].split()[-2] == "1.00"
    assert not list(tmp_path.iterdir())


def test_rates_of_the_disk():
    passes = [
        disk.Pass("read", False, 2.0, 300 * disk.MB, None),
        disk.Pass("evaluate", False, 4.0, 300 * disk.MB, 7 * disk.MB),
    ]
    assert [each.rate for each in passes] == [150, 75]
    last = disk.table(passes).splitlines()[-1].split()
    assert last == ["evaluate", "disk", "4", "s", "75", "0.50", "7"]


def test_the_file_is_what_it_says(tmp_path):
    path = tmp_path / "table.npy"
    disk.write(path, 10_000)
    table = np.load(path)
    assert table.shape == (10_000, disk.INPUTS + 1)
    np.testing.assert_array_equal(table[:, -1], table[:, 0] * table[:, 1])
    for way in disk.WAYS.values():
        way(path)


# ---- ensembles -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ensemble.WORKLOADS)
def test_ensembles_train_what_lone_networks_do(name):
    workload = workloads.named(f"{name}*3")
    racer = rivals.build(ensemble.OURS, workload)
    racer.run(2)
    lone = [rivals.build(rivals.OURS, each) for each in workload.alone]
    for each in lone:
        each.run(2)
    losses = [each.loss() for each in lone]
    assert racer.loss() == np.mean(losses)
    assert len(set(losses)) == 3


def test_ensembles_command(tmp_path, capsys):
    path = tmp_path / "figures.json"
    tiny = ["--rounds", "2", "--seconds", "0.01", "--rivals", "ensemble", "--json", str(path)]
    assert ensemble.main(["spiral", "--members", "2", "3", "--threads", "1", *tiny]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[:3] for line in lines[2:]] == [["spiral", "2", "1"], ["spiral", "3", "1"]]
    results = json.loads(path.read_text())["results"]
    assert [len(result["rivals"]["ensemble"]["microseconds"]) for result in results] == [2, 2]
    with pytest.raises(SystemExit):
        ensemble.main(["xor"])
    assert "no workload xor" in capsys.readouterr().err


def test_ensembles_table():
    times = {"ensemble": [8.0, 4.0, 40.0], "jax-vmap": [24.0], "torch-each": [80.0]}
    figures = {rival: {"microseconds": each} for rival, each in times.items()}
    result = {"workload": "spiral*4", "members": 4, "threads": 2, "rivals": figures}
    assert ensemble.row(result) == [
        *("spiral", "4", "2", "2 us"),
        *("6 us (3.0)", "left out", "20 us (10.0)", "3.0"),
    ]
