"""What passes without a copy, and what is converted; what is refused is in test_validation.py."""

import numpy as np
import pytest

from fusedelta import losses
from fusedelta._screen import Screen
from fusedelta.arrays import Prepare

X = np.arange(12.0).reshape(4, 3)
Y = {
    "mean_squared_error": np.ones((4, 2)),
    "poisson": np.ones((4, 2)),
    "hinge": np.where(np.eye(4, 2), 1.0, -1.0),
    "binary_crossentropy": np.ones((4, 2)),
    "categorical_crossentropy": np.eye(2)[[0, 1, 1, 0]],
    "sparse_categorical_crossentropy": np.array([0, 1, 1, 0]),
}


@pytest.fixture(params=[None, Screen], ids=["plain", "screened"])
def screen_type(request):
    return request.param


@pytest.mark.parametrize("loss", Y)
def test_ready_arrays_pass_without_a_copy(loss, screen_type):
    prepare = Prepare(3, 2, np.dtype("float64"), losses.LOSSES[loss], screen_type)
    ready_X, ready_y = prepare(X, Y[loss])
    assert ready_X is X
    assert np.shares_memory(ready_y, Y[loss])
    assert prepare(X)[1] is None
    assert np.shares_memory(prepare.sample(X[0]), X)
    weights = np.ones(4)
    assert prepare.weights(weights, 4) is weights


def test_other_arrays_are_converted(screen_type):
    loss = losses.LOSSES["mean_squared_error"]
    prepare = Prepare(3, 2, np.dtype("float32"), loss, screen_type)
    for given in (X, np.asfortranarray(X), X.astype(int)):
        ready, _ = prepare(given)
        assert ready.dtype == np.float32
        assert ready.flags.c_contiguous
        np.testing.assert_array_equal(ready, X)
