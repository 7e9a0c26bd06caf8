"""Pictures have the right size and show what they should."""

import io

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.image import imread

import fusedelta as fd
from fusedelta import plots


@pytest.fixture(scope="module")
def plane():
    """A trained network with two inputs, its data and history."""
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 2))
    y = (X[:, :1] > 0).astype(float)
    net = fd.Sequential(
        [fd.Dense(4, "tanh"), fd.Dense(1, "sigmoid")],
        loss="binary_crossentropy",
        optimizer=fd.SGD(0.5),
        seed=0,
    )
    return net, X, y, net.fit(X, y, epochs=100, verbose=0)


@pytest.fixture(scope="module")
def regression():
    X = np.linspace(-1, 1, 20)[:, np.newaxis]
    net = fd.Sequential([fd.Dense(1)], loss="mean_squared_error", seed=0)
    return net.fit(X, 2 * X, epochs=5, verbose=0)


def share(image, colour):
    """The part of an image's pixels that are close to a colour."""
    return float((np.abs(image[..., :3] - to_rgb(colour)) < 0.04).all(axis=-1).mean())


@pytest.fixture(scope="module")
def panels(plane, tmp_path_factory):
    """The picture of a classifier."""
    net, X, y, history = plane
    path = tmp_path_factory.mktemp("plots") / "panels.png"
    plots.draw_classifier(net, X, y, history, path)
    return imread(path)


def test_four_panels(panels):
    assert panels.shape[:2] == (1400, 1600)
    top, bottom = panels[:700], panels[700:]
    for panel in (top[:, :800], top[:, 800:]):
        assert 0.0005 < share(panel, plots.BLUE) < 0.05  # points of both classes
        assert 0.0005 < share(panel, plots.ORANGE) < 0.05
    assert share(bottom, plots.BLUE) == 0
    for panel in (bottom[:, :800], bottom[:, 800:]):
        assert 0.003 < share(panel, plots.INK) < 0.1  # a curve and its axes


def test_boundary_is_filled_with_the_probability(panels):
    boundary = panels[:700, 860:1420]
    left, right = boundary[:, :200], boundary[:, -200:]
    assert left[..., 2].mean() > right[..., 2].mean() + 0.1  # blue where class 0 lies
    assert right[..., 0].mean() > left[..., 0].mean() + 0.1  # orange where class 1 lies


@pytest.mark.parametrize(
    ("suffix", "signature"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")]
)
def test_formats(regression, tmp_path, suffix, signature):
    path = tmp_path / f"curve.{suffix}"
    plots.draw_history(regression, path, "regression")
    assert path.read_bytes().startswith(signature)


def test_history_has_a_panel_for_each_figure(plane, regression, tmp_path):
    heights = []
    for history in (regression, plane[3]):
        path = tmp_path / "curve.png"
        plots.draw_history(history, path, "curve")
        image = imread(path)
        assert image.shape[1] == 1000
        assert 0.003 < share(image, plots.INK) < 0.1
        heights.append(image.shape[0])
    assert heights == [600, 1200]


def test_validation_is_drawn_beside_the_training(tmp_path):
    results = np.array([[1.0, 0.5], [0.5, 0.75], [0.2, 0.9]])
    history = fd.History(results, True, 1.5 * results)
    plots.draw_history(history, tmp_path / "curve.png", "curve")
    image = imread(tmp_path / "curve.png")
    assert image.shape[:2] == (1200, 1000)
    for panel in (image[:600], image[600:]):
        assert 0.002 < share(panel, plots.ORANGE) < 0.1
        assert 0.003 < share(panel, plots.INK) < 0.1


def test_history_of_one_epoch_is_visible(tmp_path):
    shares = []
    for values in ([1.0], [np.nan]):  # nothing can be drawn for nan
        history = fd.History(np.array([[value, np.nan] for value in values]), False)
        plots.draw_history(history, tmp_path / "point.png", "one epoch")
        inside = imread(tmp_path / "point.png")[60:450, 400:]
        shares.append(share(inside, plots.INK))
    assert shares[0] > 0.0003
    assert shares[1] == 0


@pytest.mark.parametrize("losses", [[0.76], [1.2, 0.6], [1.2, 0.9, 0.25], [1.2] * 9 + [0.02]])
def test_ticks_are_whole_epochs_and_several_losses(losses):
    _, (axes,) = plots._figure((5, 3), 1, 1)
    plots._draw_curve(axes, "loss", losses, [1.1 * loss for loss in losses])
    axes.figure.savefig(io.BytesIO())
    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        labels = [tick.label1.get_text() for tick in axis.get_major_ticks()]
        shown = [
            float(label)
            for label, place in zip(labels, axis.get_majorticklocs(), strict=True)
            if low <= place <= high
        ]
        assert len(set(shown)) == len(shown) >= 2
        if axis is axes.xaxis:
            assert shown == [round(epoch) for epoch in shown]
        assert not any(tick.label1.get_text() for tick in axis.get_minor_ticks())


def test_history_with_a_loss_of_zero_is_drawn(tmp_path):
    history = fd.History(np.array([[1.0, np.nan], [0.0, np.nan]]), False)
    plots.draw_history(history, tmp_path / "zero.png", "zero")
    assert imread(tmp_path / "zero.png").shape[:2] == (600, 1000)


def test_same_picture_twice(regression, tmp_path):
    paths = [tmp_path / "one.png", tmp_path / "two.png"]
    for path in paths:
        plots.draw_history(regression, path, "same")
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_style_does_not_leak(regression, tmp_path):
    import matplotlib

    before = dict(matplotlib.rcParams)
    plots.draw_history(regression, tmp_path / "curve.png", "curve")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("path", ["picture.xyz", "picture", "a.pgf", "a.gif", "a.raw"])
def test_unknown_suffix(path):
    message = rf"plot: expected a file ending in \.png, \.pdf or \.svg; got '{path}'"
    with pytest.raises(ValueError, match=message):
        plots.check_path(path)


def test_a_picture_that_cannot_be_written(tmp_path):
    (tmp_path / "a.png").mkdir()
    with pytest.raises(IsADirectoryError, match="expected a file to write, it is a directory"):
        plots.check_path(tmp_path / "a.png")
    with pytest.raises(FileNotFoundError, match="no such directory"):
        plots.check_path(tmp_path / "absent" / "a.SVG")
    plots.check_path(tmp_path / "b.PDF")
    assert not (tmp_path / "b.PDF").exists()


def test_without_matplotlib(monkeypatch):
    def absent(name):
        raise ModuleNotFoundError(name)

    monkeypatch.setattr(plots, "import_module", absent)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'fusedelta\[plot\]'"):
        plots.check_path("picture.png")
