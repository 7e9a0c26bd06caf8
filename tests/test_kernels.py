"""Each kernel, on each instruction set, in both dtypes, against NumPy in extended precision."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import test_loss_kernels
from cases import (
    DENSE_SHAPES,
    ELEMENTWISE,
    NARROW_SHAPES,
    ONLINE_SHAPES,
    SLOPED,
    TALL_SHAPES,
    TYPICAL,
)
from exact import (
    SLOPE,
    SLOPES,
    activation,
    assert_padding_zero,
    assert_within,
    derivative,
)

from fusedelta import _cpu
from fusedelta._kernels import (
    ELEMENTWISE_KERNELS,
    FINISH_KERNELS,
    LAYER_KERNELS,
    LOSS_KERNELS,
    NORMALIZE_KERNELS,
    TENSOR_KERNELS,
    Matrices,
    all_within,
    apply,
)

PATHS = {
    "dense": DENSE_SHAPES,
    "online": ONLINE_SHAPES,
    "narrow": NARROW_SHAPES,
    "tall": TALL_SHAPES,
}
OTHER_KERNELS = {
    "narrow_gather": "test_narrow_gather",
    "online_step": "test_whole_steps_are_their_parts",
    "narrow_step": "test_whole_steps_are_their_parts",
    "apply": "test_apply",
    "through_output": "test_through_output",
    "rescale": "test_rescale",  # of test_loss_kernels.py
}


def test_every_kernel_has_a_test():
    lists = (
        *(LAYER_KERNELS, ELEMENTWISE_KERNELS, NORMALIZE_KERNELS),
        *(LOSS_KERNELS, FINISH_KERNELS, TENSOR_KERNELS),
    )
    tested = {*OTHER_KERNELS, *(name for names in lists for name in names)}
    assert tested == set(_cpu.kernel_names())
    tests = {*globals(), *vars(test_loss_kernels)}
    assert all(name in tests for name in OTHER_KERNELS.values())


@pytest.mark.any_isa
def test_registers_left_in_use_are_seen():
    """Behind each kernel of these tests: see check_registers in _cpu.pyx."""
    flags = Path("/proc/cpuinfo")
    if not flags.exists() or " xgetbv1 " not in flags.read_text().replace("\n", " "):
        pytest.skip("a processor or a system that does not tell which registers are in use")
    if "avx2" not in _cpu.available_isas():
        pytest.skip("registers of 16 bytes have no upper halves")
    assert _cpu.sees_registers()


# ---- oracles -------------------------------------------------------------------------------------


def views(matrices, block):
    """W (k, n) and b (n) of the weights or their target."""
    k, n = matrices.k, matrices.n
    return (block[:n, :k].T, block[n, :n]) if matrices.tall else (block[:k, :n], block[k, :n])


def fill(matrices, rng, narrow=False):
    """Random numbers in the valid part of every matrix, returned sample-major, in longdouble."""
    m, k, n = matrices.m, matrices.k, matrices.n
    (W, b), targets = views(matrices, matrices.W), views(matrices, matrices.target)
    X = matrices.X[:k, :m].T if narrow else matrices.X[:, :k]
    D = matrices.D[:, :m].T if narrow else matrices.D[:, :n]
    X[...] = rng.standard_normal((m, k)) * (rng.random((m, k)) > 0.2)
    D[...] = rng.standard_normal((m, n))
    W[...], b[...] = rng.standard_normal((k, n)) / np.sqrt(k), rng.standard_normal(n) / np.sqrt(k)
    for target in targets:
        target[...] = rng.standard_normal(target.shape)
    if narrow:
        matrices.X[k] = 1
    return [np.array(a, np.longdouble) for a in (X, W, b, D)]


# ---- layers --------------------------------------------------------------------------------------


def check_layer(isa, dtype, path, shape, kind, rng):
    """Forward, backward and update of one path of the dense layer."""
    narrow, tall = path == "narrow", path == "tall"
    m, k, n = shape
    below = kind if kind != "linear" else "tanh"
    settings = {"act": kind, "act_below": below, "slope": SLOPE, "narrow": narrow, "tall": tall}
    matrices = Matrices(isa, dtype, m, k, n, **settings)
    X, W, b, D = fill(matrices, rng, narrow)
    size = np.abs(X) @ np.abs(W) + np.abs(b)

    matrices.run(f"{path}_forward")
    Y, Z = matrices.Y[:n, :m].T if narrow else matrices.Y[:, :n], X @ W + b
    steepest = np.exp(Z) + 1 if kind == "exponential" else 2
    assert_within(Y, activation(kind, Z), size * steepest, k)
    if kind in SLOPED:
        S = matrices.S[:n, :m].T if narrow else matrices.S[:, :n]
        assert_within(S, sum(SLOPES[kind](Z)), size * 2, k)

    matrices.Sx[...] = rng.standard_normal(matrices.Sx.shape)
    matrices.Dx[...] = np.nan  # all of which is written
    matrices.run(f"{path}_backward")
    Dx = matrices.Dx[:k, :m].T if narrow else matrices.Dx[:, :k]
    slope = matrices.Sx if below in SLOPED else matrices.X
    slope = slope[:k, :m].T if narrow else slope[:, :k]
    slope = derivative(below, slope.astype(np.longdouble))
    assert_within(Dx, (D @ W.T) * slope, (np.abs(D) @ np.abs(W.T)) * (1 + np.abs(slope)), n)
    if not narrow:
        assert_padding_zero(matrices.Dx[:, k:])

    ones = np.hstack([X, np.ones((m, 1))])
    gradient, terms = ones.T @ D, np.abs(ones.T) @ np.abs(D)
    for alpha, beta in ((-0.5, 1.0), (0.25, 0.0), (1.0, 0.9)):
        before = np.vstack(views(matrices, matrices.target)).astype(np.longdouble)
        matrices.run(f"{path}_update", alpha=alpha, beta=beta)
        after = np.vstack(views(matrices, matrices.target))
        expected = beta * before + alpha * gradient
        assert_within(after, expected, abs(alpha) * terms + np.abs(before), m)
        for view in views(matrices, matrices.target):
            view[...] = 0
        assert_padding_zero(matrices.target)
        for view, values in zip(
            views(matrices, matrices.target), np.split(after, [k]), strict=True
        ):
            view[...] = values


@pytest.mark.parametrize(
    ("path", "shape"),
    [(path, shape) for path, shapes in PATHS.items() for shape in shapes],
    ids=str,
)
def test_layer(isa, dtype, path, shape, rng):
    for kind in TYPICAL:
        check_layer(isa, dtype, path, shape, kind, rng)


@pytest.mark.parametrize("k", [32, 33, 35, 46, 64, 785])
def test_online_forward_lists_the_inputs_that_are_not_zero(isa, dtype, k, rng):
    for share in (0, 0.2, 0.8, 1):
        matrices = Matrices(isa, dtype, 1, k, 3)
        x = matrices.X[0]
        x[:] = 1  # the padding, too
        x[:k] = rng.standard_normal(k) * (rng.random(k) < share)  # some of the zeros are -0
        x[k - 3] = np.finfo(dtype).smallest_subnormal
        matrices.run("online_forward")
        found = matrices.list[0]
        np.testing.assert_array_equal(matrices.list[1 : 1 + found], np.flatnonzero(x[:k]))


@pytest.mark.parametrize("shape", TALL_SHAPES, ids=str)
def test_tall_layers_read_nothing_beyond_a_sample(isa, dtype, shape, rng):
    """Inputs without padding give the bits of those with it, whatever lies behind the last one."""
    m, k, n = shape
    results = []
    for is_packed in (False, True):
        matrices = Matrices(isa, dtype, m, k, n, tall=True)
        fill(matrices, np.random.default_rng(4))
        if is_packed:
            matrices.pack_inputs()
        else:
            matrices.X[:, k:] = np.nan
        matrices.run("tall_forward")
        matrices.run("tall_update", alpha=0.5, beta=1.0)
        results.append((matrices.Y.copy(), matrices.target.copy()))
    for got, expected in zip(*results, strict=True):
        assert np.isfinite(got).all()
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("shape", TALL_SHAPES, ids=str)
def test_samples_of_tall_layers_have_the_same_bits_alone(isa, dtype, shape, rng):
    m, k, n = shape
    for kind in ELEMENTWISE:
        batch = Matrices(isa, dtype, m, k, n, act=kind, slope=SLOPE, tall=True)
        alone = Matrices(isa, dtype, 1, k, n, act=kind, slope=SLOPE, tall=True)
        fill(batch, rng)
        alone.W[:] = batch.W
        batch.run("tall_forward")
        for i in range(0, m, 1 + m // 20):
            alone.X[:] = batch.X[i]
            alone.run("tall_forward")
            np.testing.assert_array_equal(alone.Y[0, :n], batch.Y[i, :n], err_msg=kind)


@pytest.mark.parametrize("kind", ELEMENTWISE)
def test_layers_of_every_activation(isa, dtype, kind, rng):
    check_layer(isa, dtype, "dense", (7, 13, 17), kind, rng)
    check_layer(isa, dtype, "online", (1, 13, 17), kind, rng)
    check_layer(isa, dtype, "narrow", (17, 5, 3), kind, rng)
    check_layer(isa, dtype, "tall", (21, 35, 3), kind, rng)


@pytest.mark.parametrize("path", ["dense", "online", "tall"])
def test_softmax_output(isa, dtype, path, rng):
    for n in (2, 3, 4) if path == "tall" else (2, 10, 17, 100):
        m, k, tall = 1 if path == "online" else 5, 21 if path == "tall" else 7, path == "tall"
        matrices = Matrices(isa, dtype, m, k, n, act="softmax", tall=tall)
        X, W, b, _ = fill(matrices, rng)
        matrices.run(f"{path}_forward")
        e = np.exp(X @ W + b - (X @ W + b).max(1, keepdims=True))
        assert_within(matrices.Y[:, :n], e / e.sum(1, keepdims=True), 1e-3, 40)
        assert_padding_zero(matrices.Y[:, n:])


def test_update_discards_what_beta_zero_discards(isa, dtype, rng):
    for path, m in (("dense", 3), ("online", 1), ("narrow", 3), ("narrow", 40), ("tall", 400)):
        k, n = (70, 3) if path == "tall" else (4, 5)
        matrices = Matrices(isa, dtype, m, k, n, narrow=path == "narrow", tall=path == "tall")
        fill(matrices, rng, path == "narrow")
        for target in views(matrices, matrices.target):
            target[...] = np.nan
        matrices.run(f"{path}_update", alpha=1.0, beta=0.0)
        assert np.isfinite(matrices.target).all()


@pytest.mark.parametrize(
    "shape",
    [(23, 33, 129), (31, 17, 1030), (8, 37, 130), (300, 2080, 520), (40, 150, 1), (300, 90, 4)],
    ids=str,
)
def test_split_work_gives_the_bits_of_the_whole(isa, dtype, shape, rng):
    m, k, n = shape
    path = "tall" if n <= 4 else "dense"
    matrices = Matrices(isa, dtype, m, k, n, act="tanh", act_below="tanh", tall=path == "tall")
    height = matrices.height
    fill(matrices, rng)
    start = matrices.target.copy()
    results = []
    for cuts in ((0, m), (0, 1, 5, m)), ((0, m), (0, 7, m)):
        for borders in cuts:
            matrices.target[:] = start
            matrices.Y[:] = matrices.Dx[:] = 0
            for first, last in pairwise(borders):
                matrices.run(f"{path}_forward", first=first, last=last)
                matrices.run(f"{path}_backward", first=first, last=last)
            weights = (0, 3, height - 2, height - 1, height)
            for first, last in pairwise(weights if len(borders) > 2 else (0, height)):
                matrices.run(f"{path}_update", alpha=0.5, beta=1.0, first=first, last=last)
            results.append([a.copy() for a in (matrices.Y, matrices.Dx, matrices.target)])
    for result in results[1:]:
        for got, expected in zip(result, results[0], strict=True):
            np.testing.assert_array_equal(got, expected)


def test_paths_give_the_same_bits_forward(isa, dtype, rng):
    """A sample has the same outputs alone, in a batch, and feature-major."""
    for kind in ELEMENTWISE:
        check_paths(isa, dtype, kind, 37, 9, 14, rng)
        for m in (37, 100, 117):  # with two inputs in vectors by threes, and one, two or none left
            check_paths(isa, dtype, kind, m, 2, 14, rng)


def check_paths(isa, dtype, kind, m, k, n, rng):
    batch = Matrices(isa, dtype, m, k, n, act=kind, slope=SLOPE)
    narrow = Matrices(isa, dtype, m, k, n, act=kind, slope=SLOPE, narrow=True)
    fill(batch, rng)
    narrow.W[:] = batch.W
    narrow.narrow_gather(np.ascontiguousarray(batch.X[:, :k]))
    batch.run("dense_forward")
    narrow.run("narrow_forward")
    np.testing.assert_array_equal(narrow.Y[:n, :m].T, batch.Y[:, :n], err_msg=kind)
    for i in range(m):
        alone = Matrices(isa, dtype, 1, k, n, act=kind, slope=SLOPE)
        alone.X[:], alone.W[:] = batch.X[i], batch.W
        alone.run("online_forward")
        np.testing.assert_array_equal(alone.Y[0, :n], batch.Y[i, :n], err_msg=kind)


@pytest.mark.parametrize(("path", "shapes"), PATHS.items())
def test_instruction_sets_give_the_same_bits(fused_isas, dtype, path, shapes):
    for kind in ELEMENTWISE:
        for shape in shapes:
            results = []
            for isa in fused_isas:
                matrices = Matrices(
                    isa,
                    dtype,
                    *shape,
                    act=kind,
                    act_below=kind,
                    slope=SLOPE,
                    narrow=path == "narrow",
                    tall=path == "tall",
                )
                fill(matrices, np.random.default_rng(3), path == "narrow")
                for passes in ("forward", "backward", "update"):
                    matrices.run(f"{path}_{passes}", alpha=-0.1, beta=1.0)
                m, k, n = shape
                Y = matrices.Y[:n, :m] if path == "narrow" else matrices.Y[:, :n]
                Dx = matrices.Dx[:k, :m] if path == "narrow" else matrices.Dx
                results.append((Y, Dx, matrices.target))
            for got, expected in zip(*results, strict=True):
                np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize(("path", "m"), [("online", 1), ("narrow", 3), ("narrow", 90)])
def test_whole_steps_are_their_parts(isa, dtype, path, m):
    """The same bits as forward, loss and update one by one."""
    results = []
    for whole in (True, False):
        rng, narrow = np.random.default_rng(8), path == "narrow"
        matrices = Matrices(isa, dtype, m, 6, 5, act="tanh", narrow=narrow)
        fill(matrices, rng, narrow)
        (matrices.T[:, :m] if narrow else matrices.T[:, :5])[...] = 0.25
        if whole:
            assert matrices.step(f"{path}_step", alpha=-0.1) > 0
        else:
            matrices.run(f"{path}_forward")
            Y, T = (matrices.Y[:5, :m], matrices.T[:, :m]) if narrow else (matrices.Y, matrices.T)
            gap = (Y - T)[..., : m if narrow else 5]
            slope = 1 - (Y * Y)[..., : m if narrow else 5]
            matrices.D[:] = 0
            (matrices.D[:, :m] if narrow else matrices.D[:, :5])[...] = gap * slope
            matrices.run(f"{path}_update", alpha=-0.1, beta=1.0)
        Y = matrices.Y[:, :m] if narrow else matrices.Y  # feature-major, the rest may be anything
        results.append((Y.copy(), matrices.D.copy(), matrices.target.copy()))
    for got, expected in zip(*results, strict=True):
        np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("m", [1, 3, 12, 40])
def test_steps_on_one_batch_are_as_many_calls(isa, dtype, m):
    """The same weights and losses, and no step after a loss that is not finite."""

    def trained(calls, times, first_target):
        matrices = Matrices(isa, dtype, m, 6, 5, act="tanh", narrow=True)
        fill(matrices, np.random.default_rng(8), narrow=True)
        matrices.T[:, :m] = 0.25
        matrices.T[0, 0] = first_target
        losses = [matrices.step("narrow_step", alpha=-0.1, times=times) for _ in range(calls)]
        return matrices.target.copy(), sum(losses)

    for got, expected in zip(trained(1, 7, 0.25), trained(7, 1, 0.25), strict=True):
        np.testing.assert_array_equal(got, expected)
    huge = np.sqrt(np.finfo(dtype).max) * 2  # whose square is infinite, and its deltas are not
    stopped, loss = trained(1, 7, huge)
    assert loss == np.inf
    np.testing.assert_array_equal(stopped, trained(1, 1, huge)[0])


def test_narrow_gather(isa, dtype, rng):
    samples = rng.standard_normal((19, 3)).astype(dtype)
    matrices = Matrices(isa, dtype, 19, 3, 1, narrow=True)
    matrices.narrow_gather(samples)
    np.testing.assert_array_equal(matrices.X[:3, :19], samples.T)
    order = rng.permutation(19)
    matrices.narrow_gather(samples, order)
    np.testing.assert_array_equal(matrices.X[:3, :19], samples[order].T)


# ---- single values -------------------------------------------------------------------------------


def test_apply(isa, dtype):
    """How exact each function is: test_activations.py."""
    x = np.linspace(-3, 3, 37, dtype=dtype)
    for kind in ELEMENTWISE:
        exact = activation(kind, x.astype(np.longdouble))
        assert_within(apply(isa, kind, x, SLOPE), exact, 1, 0)


def test_all_within(isa, dtype):
    for size in (1, 7, 64, 101):
        x = np.linspace(-1, 1, size, dtype=dtype)
        assert all_within(isa, x, -1, 1)
        for bad in (np.nan, np.inf, -np.inf, 1.5, -1.5):
            for at in {0, size // 2, size - 1}:
                y = x.copy()
                y[at] = bad
                assert not all_within(isa, y, -1, 1)
