"""The kernels that finish an optimiser's step, against NumPy in extended precision."""

from itertools import pairwise

import numpy as np
import pytest
from cases import FUSED_ISAS

from fusedelta._kernels import FINISH_KERNELS, finish, zeros

NUMBERS = {
    "rate": 0.125,
    "mean_part": 0.75,
    "gradient_part": 0.375,
    "decay": 0.01,
    "epsilon": 1e-7,
    "momentum": 0.8,
    "rho": 0.95,
    "beta_1": 0.9,
    "beta_2": 0.999,
}

# What each kernel keeps; a velocity with "g" comes from the gradient, alone it is in place already
KEEPS = {
    "descent_finish": ["g"],
    "momentum_finish": ["velocity"],
    "nesterov_finish": ["g velocity"],
    "lion_finish": ["g m"],
    "adam_finish": ["g m v"],
    "amsgrad_finish": ["g m v u"],
    "nadam_finish": ["g m v"],
    "adamax_finish": ["g m u"],
    "rmsprop_finish": ["g v", "g v m", "g v velocity", "g v m velocity"],
    "adagrad_finish": ["g v"],
    "adadelta_finish": ["g v d"],
}
KEEPS["momentum_finish"].append("g velocity")
CASES = [(kernel, kept) for kernel in FINISH_KERNELS for kept in KEEPS[kernel]]
# Those that divide, but for a centered mean of squares, from which the square of the mean is taken
ADAPTIVE = [
    (kernel, kept)
    for kernel, kept in CASES
    if not {"v", "u"}.isdisjoint(kept.split()) and (kernel, "m" in kept) != ("rmsprop_finish", True)
]


def optimizer_blocks(dtype, kept, rng, size=320):
    """w and what is kept: gradients of all sizes, and a quarter of padding."""
    blocks = {name: zeros((size,), dtype) for name in ("w", *kept.split())}
    for block in blocks.values():
        block[: 3 * size // 4] = rng.standard_normal(3 * size // 4)
    scale = 10.0 ** rng.integers(-8, 3, size)
    for name, block in blocks.items():
        if name in "gm":
            block *= scale
        if name in "vud":
            block *= block * scale * scale
        if name != "w":
            block[:3] = 0
    if "v" in kept and "m" in kept:
        blocks["v"] += blocks["m"] * blocks["m"]  # as means of squares are
    if "u" in blocks:
        blocks["u"][:] = np.sqrt(np.abs(blocks["u"]))
    return blocks


def expected_finish(kernel, blocks):
    """The blocks afterwards, in longdouble, with the numbers rounded as the kernel has them."""
    dtype = blocks["w"].dtype
    n = {name: np.longdouble(dtype.type(value)) for name, value in NUMBERS.items()}
    rest = {
        name: np.longdouble(dtype.type(1 - NUMBERS[name])) for name in ("rho", "beta_1", "beta_2")
    }
    b = {name: block.astype(np.longdouble) for name, block in blocks.items()}
    g = b.get("g")

    def mean(name, left, new):
        b[name] = n[left] * b[name] + rest[left] * new
        return b[name]

    if kernel == "descent_finish":
        step = g
    elif kernel == "momentum_finish":
        step = b["velocity"] = b["velocity"] if g is None else n["momentum"] * b["velocity"] + g
    elif kernel == "nesterov_finish":
        b["velocity"] = n["momentum"] * b["velocity"] + g
        step = g + n["momentum"] * b["velocity"]
    elif kernel == "lion_finish":
        step = np.sign(n["beta_1"] * b["m"] + rest["beta_1"] * g)
        mean("m", "beta_2", g)
    elif kernel == "adamax_finish":
        b["u"] = np.maximum(n["beta_2"] * b["u"], abs(g))
        step = mean("m", "beta_1", g) / (b["u"] + n["epsilon"])
    elif kernel == "rmsprop_finish":
        square = mean("v", "rho", g * g)
        if "m" in b:
            square = square - mean("m", "rho", g) ** 2
        step = g / (np.sqrt(square) + n["epsilon"])
        if "velocity" in b:
            step = b["velocity"] = n["momentum"] * b["velocity"] + step
    elif kernel == "adagrad_finish":
        b["v"] = b["v"] + g * g
        step = g / (np.sqrt(b["v"]) + n["epsilon"])
    elif kernel == "adadelta_finish":
        square = mean("v", "rho", g * g)
        step = np.sqrt(b["d"] + n["epsilon"]) / np.sqrt(square + n["epsilon"]) * g
        mean("d", "rho", step * step)
    else:
        step, square = mean("m", "beta_1", g), mean("v", "beta_2", g * g)
        if kernel == "amsgrad_finish":
            square = b["u"] = np.maximum(b["u"], square)
        if kernel == "nadam_finish":
            step = n["mean_part"] * step + n["gradient_part"] * g
        step = step / (np.sqrt(square) + n["epsilon"])
    b["w"] = b["w"] - n["decay"] * b["w"] - n["rate"] * step
    return b


def sizes(blocks, expected):
    """How large the terms are that each block is the sum of."""
    found = {name: np.abs(blocks[name]) + np.abs(expected[name]) for name in blocks}
    if "g" in blocks:
        for name in {"m", "velocity"} & set(blocks):
            found[name] = found[name] + np.abs(blocks["g"])
    step = np.abs(expected["w"] - blocks["w"])
    found["w"] = found["w"] + step
    return found


@pytest.mark.parametrize(("kernel", "kept"), CASES)
def test_finish(isa, dtype, kernel, kept, rng):
    blocks = optimizer_blocks(dtype, kept, rng)
    before = {name: block.copy() for name, block in blocks.items()}
    expected = expected_finish(kernel, blocks)
    finish(isa, kernel, blocks, NUMBERS)
    eps = np.finfo(dtype).eps
    # a centered mean of squares loses digits when the square of the mean is taken from it
    ulps = 500 if kernel == "rmsprop_finish" and "m" in blocks else 4
    for name, size in sizes(before, expected).items():
        assert np.all(np.abs(blocks[name] - expected[name]) <= ulps * eps * size), name
        assert not blocks[name][240:].any()
    if "g" in blocks:
        np.testing.assert_array_equal(blocks["g"], before["g"])


@pytest.mark.parametrize(("kernel", "kept"), ADAPTIVE)
def test_steps_are_exact_to_a_few_roundings(isa, dtype, kernel, kept, rng):
    """The step alone, from weights of zero."""
    blocks = optimizer_blocks(dtype, kept, rng)
    blocks["w"][:] = 0
    if "m" in blocks:
        blocks["g"][:] = 0
    if "velocity" in blocks:
        blocks["velocity"][:] = 0
    expected = expected_finish(kernel, blocks)
    finish(isa, kernel, blocks, NUMBERS)
    step, exact = blocks["w"], expected["w"].astype(dtype)
    np.testing.assert_allclose(step, exact, rtol=6 * np.finfo(dtype).eps)


@pytest.mark.any_isa
@pytest.mark.parametrize(("kernel", "kept"), CASES)
def test_finish_in_pieces_and_on_other_instruction_sets_gives_the_same_bits(dtype, kernel, kept):
    results = []
    for isa in FUSED_ISAS or ["base"]:
        for borders in ((0, 320), (0, 16, 64, 320)):
            blocks = optimizer_blocks(dtype, kept, np.random.default_rng(3))
            for first, last in pairwise(borders):
                finish(isa, kernel, blocks, NUMBERS, first=first, last=last)
            results.append(blocks)
    for result in results[1:]:
        for name, block in result.items():
            np.testing.assert_array_equal(block, results[0][name])


@pytest.mark.parametrize(("kernel", "kept"), [case for case in CASES if case[1] != "g"])
def test_what_has_decayed_becomes_zero(isa, dtype, kernel, kept):
    """Denormal numbers would stay for good, and are slow; what is no number stays as it is."""
    smallest = np.finfo(dtype).tiny
    blocks = {name: zeros((16,), dtype) for name in ("w", *kept.split())}
    kept_names = [name for name in kept.split() if name != "g"]
    for name in kept_names:
        blocks[name][:4] = smallest / 2, 4 * smallest, np.nan, np.inf
    finish(isa, kernel, blocks, NUMBERS)
    for name in kept_names:
        if name != "u":  # a maximum: in amsgrad it does not decay
            assert blocks[name][0] == 0, name
            assert np.isnan(blocks[name][2]), name
        elif kernel == "adamax_finish":
            assert blocks[name][0] == 0
    first = blocks[kept_names[0]]
    assert first[1] > smallest
    assert np.isinf(first[3])


def test_signs(isa, dtype):
    """Lion's step has the size of the rate, is zero without a gradient, and hides no nan."""
    blocks = {name: zeros((16,), dtype) for name in ("w", "g", "m")}
    blocks["g"][:6] = 1e-30, -1e30, 0, -0.0, np.nan, -np.inf
    finish(isa, "lion_finish", blocks, NUMBERS)
    expected = np.array([-0.125, 0.125, 0, 0, np.nan, 0.125], dtype)
    np.testing.assert_array_equal(blocks["w"][:6], expected)
