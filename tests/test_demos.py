"""The four demos print the figures of their texts."""

import re

import numpy as np
import pytest

import fusedelta as fd
from fusedelta import demos


def printed(capsys, name, **options):
    demos.run(name, **options)
    return capsys.readouterr().out


def table_after(output, header):
    """The rows of numbers under a header, as lists of floats."""
    lines = output[re.search(rf"^{header}.*$", output, re.MULTILINE).end() :].splitlines()[2:]
    rows = []
    for line in lines:
        if not line.strip():
            break
        rows.append([float(cell) for cell in re.sub(r"\(.*?\)", "", line).split()])
    return np.array(rows)


def test_xor(capsys):
    output = printed(capsys, "xor")
    losses = dict(table_after(output, "epoch"))
    assert (losses[1], losses[100], losses[1000], losses[10000]) == (0.7283, 0.4923, 0.0903, 0.0014)
    assert "loss 0.72826 before training, 0.0013533 after\n10000 steps in " in output
    outputs, targets = table_after(output, "output").T
    assert outputs.tolist() == [0.0345, 0.9718, 0.9840, 0.0215]
    assert targets.tolist() == [0, 1, 1, 0]


def test_spiral(capsys):
    output = printed(capsys, "spiral")
    epochs = table_after(output, "epoch")
    assert epochs[:, 0].tolist() == list(range(100, 1001, 100))
    assert re.search(r"^100 +0\.0972 +0\.9900$", output, re.MULTILINE)
    assert epochs[2, 2] == 1.0
    assert re.search(r"^1000 +0\.002\d +1\.0000$", output, re.MULTILINE)
    assert re.search(
        r"^loss 0.75544 before training, 0.002\d+ after; accuracy 1.0000$", output, re.M
    )


def test_spiral_gradient_flow(capsys):
    """From the 100th of the 1000 steps on the last bits decide: without FMA they end elsewhere."""
    output = printed(capsys, "spiral")
    assert re.findall(r"\((\d+), (\d+)\)", output) == [("2", "16"), ("16", "8"), ("8", "1")]
    _, weights, gradients, ratios = table_after(output, "Layer").T
    near, about = (0.1, 0.25) if fd.show_config()["isa"] == "base" else (0.02, 0.1)
    np.testing.assert_allclose(weights, [5.59, 6.68, 6.02], rtol=near)
    np.testing.assert_allclose(gradients, [0.0006, 0.0016, 0.0019], rtol=about)
    np.testing.assert_allclose(ratios, gradients / weights, rtol=1e-3)


def test_jumping_back(capsys):
    output = printed(capsys, "jumping-back")
    match = re.search(r"loss 0.10596 before training, (\S+) after", output)
    assert 2.75e-7 < float(match[1]) < 2.85e-7
    outputs, targets = table_after(output, "output").T
    assert targets.tolist() == [0.21, 0.83, 0.87, 0.75]
    np.testing.assert_allclose(outputs, targets, atol=1e-3)


def test_softmax(capsys):
    output = printed(capsys, "softmax")
    epochs = table_after(output, "epoch")
    assert epochs[[0, 1, -1], 0].tolist() == [1, 2, 200]
    assert epochs[[0, 1, 3, 5], 1].tolist() == [1.5932, 1.5549, 1.1908, 1.0679]
    assert "1.0668 after; accuracy 0.5312" in output


@pytest.mark.parametrize("name", demos.DEMOS)
def test_build_starts_from_the_texts_weights(name):
    net, problem = demos.build(name)
    assert net.dtype == np.float64
    for ours, theirs in zip(net.get_weights(), problem.weights, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    assert net.predict(problem.X).shape == problem.y.shape


def test_dtype_and_seed_are_used(capsys):
    net, _ = demos.build("softmax", dtype="float32", seed=1)
    assert net.dtype == np.float32
    default, _ = demos.build("softmax", dtype="float32")
    assert not np.array_equal(net.get_weights()[0], default.get_weights()[0])
    output = printed(capsys, "softmax", dtype="float32", seed=1)
    assert "float32" in output
    assert "loss 1.5932 before" not in output


@pytest.mark.parametrize("name", ["spiral", "softmax"])
def test_plot_is_drawn(capsys, tmp_path, name):
    path = tmp_path / "picture.png"
    assert printed(capsys, name, plot=path).endswith(f"plot: {path}\n")
    assert path.stat().st_size > 20_000


def test_unfit_plot_is_refused_before_training(monkeypatch):
    def untouchable(*arguments, **options):
        raise AssertionError("trained in vain")

    monkeypatch.setattr(fd.Sequential, "fit", untouchable)
    with pytest.raises(ValueError, match="plot: expected a file ending in"):
        demos.run("xor", plot="picture.xyz")
