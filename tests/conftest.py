"""Fixtures for all tests."""

import os

import numpy as np
import pytest
from cases import FUSED_ISAS, ISAS
from hypothesis import settings

import fusedelta as fd
from fusedelta import _cpu, _threads, cli

ENGINES = {"compiled": fd.Sequential, "reference": fd.reference.Sequential}


# The checks of a change try the same examples every time; a developer's run tries new ones.
settings.register_profile("ci", derandomize=True)
if "CI" in os.environ:
    settings.load_profile("ci")


def pytest_collection_modifyitems(items):
    """Mark what need not be repeated in a process with another instruction set."""
    for item in items:
        if not {"isa", "engine", "fused_isas"}.isdisjoint(item.fixturenames):
            item.add_marker(pytest.mark.any_isa)


@pytest.fixture(params=["compiled", pytest.param("reference", marks=pytest.mark.any_isa)])
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


@pytest.fixture(params=[*ISAS, "reference"])
def engine(request):
    """The class of networks: the compiled one on each instruction set, then its NumPy twin."""
    if request.param == "reference":
        yield fd.reference.Sequential
        return
    before = _cpu.use_isa(request.param)
    yield fd.Sequential
    _cpu.use_isa(before)


@pytest.fixture
def fused_isas():
    """The instruction sets that promise each other's bits."""
    if len(FUSED_ISAS) < 2:
        pytest.skip(f"one instruction set with FMA here: {FUSED_ISAS}")
    return FUSED_ISAS


@pytest.fixture
def run(capsys):
    """Run the command line in this process; return its exit status, output and errors."""

    def run(*arguments):
        status = cli.main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture
def refused(run):
    """Run a command that must fail; return its message."""

    def refused(*arguments):
        status, _, errors = run(*arguments)
        assert status == 2
        assert errors.startswith("fusedelta: error: ")
        assert errors.count("\n") == 1
        return errors.removeprefix("fusedelta: error: ").rstrip("\n")

    return refused
