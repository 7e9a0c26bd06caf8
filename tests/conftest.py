"""Fixtures for all tests."""

import os

import numpy as np
import pytest
from cases import ISAS
from hypothesis import settings

import fusedelta as fd
from fusedelta import _cpu, _threads

ENGINES = {"compiled": fd.Sequential, "reference": fd.reference.Sequential}


# The checks of a change try the same examples every time; a developer's run tries new ones.
settings.register_profile("ci", derandomize=True)
if "CI" in os.environ:
    settings.load_profile("ci")


@pytest.fixture(params=ENGINES)
def sequential(request):
    """The class of networks: the compiled one, then its NumPy twin."""
    return ENGINES[request.param]


@pytest.fixture
def cls(sequential):
    """The class of ensembles of such networks."""
    return {fd.Sequential: fd.Ensemble}.get(sequential, fd.reference.Ensemble)


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """The dtypes that a network can have."""
    return request.param


@pytest.fixture
def rng():
    """A generator with the same numbers in every run."""
    return np.random.default_rng(7)


@pytest.fixture(params=ISAS)
def isa(request):
    """Kernels of each instruction set this machine runs, or of the one FUSEDELTA_ISA names."""
    before = _cpu.use_isa(request.param)
    yield request.param
    _cpu.use_isa(before)


@pytest.fixture
def eager():
    """Whatever can be shared is."""
    before = _threads.use_flops_per_thread(1)
    yield
    _threads.use_flops_per_thread(before)
