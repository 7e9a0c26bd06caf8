"""Fixtures for all tests."""

import numpy as np
import pytest

import fusedelta as fd

ENGINES = {"compiled": fd.Sequential, "reference": fd.reference.Sequential}


@pytest.fixture(params=ENGINES)
def sequential(request):
    """The class of networks: the compiled one, then its NumPy twin."""
    return ENGINES[request.param]


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """The dtypes that a network can have."""
    return request.param


@pytest.fixture
def rng():
    """A generator with the same numbers in every run."""
    return np.random.default_rng(7)
