"""The texts' data and starting weights, bit for bit as NumPy's legacy generator draws them."""

from itertools import pairwise

import numpy as np
import pytest

from fusedelta import datasets

# name, shapes of X and y, first value of each weight array that is not zero, sum |w| of each
PROBLEMS = [
    (
        datasets.xor,
        ((4, 2), (4, 1)),
        [0.5488135039273248, 0.4375872112626925, 0.4236547993389047, 0.9636627605010293],
        [2.411649429368285, 1.3293602120447723, 1.0695489124055608, 0.9636627605010293],
    ),
    (
        datasets.spiral,
        ((400, 2), (400, 1)),
        [-0.8849720137673701, 0.0, -0.0009006347726421011, 0.0, 0.30761539623080447, 0.0],
        [18.492129593887576, 0.0, 25.104189146341334, 0.0, 1.9777484462384984, 0.0],
    ),
    (
        datasets.jumping_back,
        ((1, 5), (1, 4)),
        [0.45924889196586716, 0.0, 0.04666566321361543, 0.0, 0.015966252220214194, 0.0],
        [6.480565211768365, 0.0, 7.689559371197035, 0.0, 9.016135323456957, 0.0],
    ),
    (
        datasets.softmax,
        ((96, 6), (96, 4)),
        [-0.029749986874991488, 0.0, -0.27031020032926767, 0.0],
        [17.09246965349775, 0.0, 13.689584006019382, 0.0],
    ),
]


@pytest.mark.parametrize(("make", "shapes", "first", "sums"), PROBLEMS)
def test_arrays_are_those_of_the_text(make, shapes, first, sums):
    X, y, weights = make()
    assert (X.shape, y.shape) == shapes
    assert [weight.ravel()[0] for weight in weights] == first
    np.testing.assert_allclose([np.abs(weight).sum() for weight in weights], sums, rtol=1e-14)


@pytest.mark.parametrize("make", [case[0] for case in PROBLEMS])
def test_arrays_are_ready_for_a_network(make):
    problem = make()
    for array in (problem.X, problem.y, *problem.weights):
        assert array.dtype == np.float64
        assert array.flags.c_contiguous
    inputs = [problem.X.shape[1], *(b.size for b in problem.weights[1::2])]
    assert [W.shape for W in problem.weights[::2]] == list(pairwise(inputs))
    assert inputs[-1] == problem.y.shape[1]


@pytest.mark.parametrize("make", [case[0] for case in PROBLEMS])
def test_seed_changes_the_weights(make):
    assert not np.array_equal(make(seed=1).weights[0], make(seed=2).weights[0])
    np.testing.assert_array_equal(make(seed=1).weights[0], make(seed=1).weights[0])


def test_fourth_sample_of_xor_is_the_texts():
    assert datasets.xor().X[3].tolist() == [-1.0, 1.0]
    assert datasets.xor().y.ravel().tolist() == [0.0, 1.0, 1.0, 0.0]


def test_sample_of_jumping_back_is_the_texts():
    X, y, _ = datasets.jumping_back()
    assert X.tolist() == [[0.52, 0.93, 0.15, 0.72, 0.61]]
    assert y.tolist() == [[0.21, 0.83, 0.87, 0.75]]


def test_spiral_is_standardised_and_balanced():
    X, y, _ = datasets.spiral(samples_per_class=50, noise=0.1)
    assert X.shape == (100, 2)
    np.testing.assert_allclose(X.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(X.std(axis=0), 1, rtol=1e-12)
    assert y.sum() == 50


def test_spiral_without_noise_is_symmetric():
    X = datasets.spiral(samples_per_class=20, noise=0.0).X
    np.testing.assert_allclose(X[:20], -X[20:], atol=1e-12)


def test_softmax_targets_are_one_hot():
    y = datasets.softmax().y
    assert set(y.ravel()) == {0.0, 1.0}
    assert (y.sum(axis=1) == 1).all()
