"""The commands beside `train` and `predict`: demo, compare, info."""

import re

import fusedelta as fd
from fusedelta import commands


def test_demo(run, tmp_path):
    plot = tmp_path / "loss.png"
    status, output, _ = run("demo", "softmax", "--dtype", "float32", "--seed", 3, "--plot", plot)
    assert status == 0
    assert output.startswith("softmax: 6-10-4, relu and a softmax output")
    assert "float32" in output
    assert plot.exists()


def test_compare_demos(run):
    status, output, _ = run("compare", "xor", "softmax", "--dtype", "float64")
    assert status == 0
    rows = [line.split() for line in output.splitlines()[2:4]]
    assert [row[:2] for row in rows] == [["xor", "4"], ["softmax", "96"]]
    assert all(row[-1] == "agree" for row in rows)
    assert all(float(row[-2]) < 1e-9 for row in rows)
    assert output.startswith("float64")
    assert output.endswith("largest relative difference after a few steps\n")


def test_compare_takes_every_demo_and_both_dtypes_by_default(run, monkeypatch):
    result = fd.compare(*commands.demos.build("xor")[:1], [[0, 0]], [[0]], steps=1, verbose=0)
    monkeypatch.setattr(fd, "compare", lambda *data, **options: result)
    _, output, _ = run("compare")
    names = [line.split()[0] for line in output.splitlines() if "agree" in line]
    assert names == [*commands.demos.DEMOS] * 2
    assert re.findall(r"^float\d\d", output, re.M) == ["float32", "float64"]


def test_compare_own_sizes(run):
    status, output, _ = run(
        *("compare", "--layers", "8,16,4", "--batch", 12, "--activation", "relu"),
        *("--dtype", "float32"),
    )
    assert status == 0
    assert re.search(r"^8-16-4 relu +12 .* agree$", output, re.M)
    assert "float32" in output


def test_info(run):
    status, output, _ = run("info")
    assert status == 0
    assert output == f"{fd.show_config()}\n"
    assert fd.__version__ in output
