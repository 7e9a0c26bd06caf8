"""Fast training of small neural networks on a CPU.

`Sequential` is the network, `layers` says what it is made of; `reference` holds the same network in
pure NumPy.

A name is imported when it is first used, so that the import itself costs little; `__init__.pyi`
tells type checkers and editors where each comes from.
"""

from importlib import import_module

from fusedelta import _start  # noqa: F401
from fusedelta._version import __version__  # noqa: F401

#: What the package offers: the modules, and the names that are taken from each of them.
_NAMES = {
    "activations": ["ELU", "GELU", "LeakyReLU"],
    "callbacks": [
        "Callback",
        "CSVLogger",
        "LambdaCallback",
        "LearningRateScheduler",
        "ProgressBar",
    ],
    "comparison": ["compare"],
    "config": ["show_config"],
    "diagnostics": ["gradient_check", "gradient_flow"],
    "divergence": ["DivergenceWarning"],
    "ensemble": ["Ensemble"],
    "history": ["EnsembleHistory", "History"],
    "initializers": [
        "Constant",
        "GlorotNormal",
        "GlorotUniform",
        "HeNormal",
        "HeUniform",
        "LecunNormal",
        "Ones",
        "RandomNormal",
        "RandomUniform",
        "Zeros",
    ],
    "layers": ["Activation", "Dense", "Dropout", "Residual"],
    "losses": [
        "BinaryCrossentropy",
        "BinaryFocalCrossentropy",
        "CategoricalCrossentropy",
        "CategoricalFocalCrossentropy",
        "Huber",
        "Quantile",
        "SparseCategoricalCrossentropy",
    ],
    "monitors": ["EarlyStopping", "ModelCheckpoint", "ReduceLROnPlateau"],
    "network": ["Sequential", "load"],
    "normalization": ["BatchNormalization", "LayerNormalization"],
    "optimizers": [
        "SGD",
        "Adadelta",
        "Adagrad",
        "Adam",
        "Adamax",
        "AdamW",
        "Lion",
        "NAdam",
        "RMSprop",
    ],
    "profiling": ["profile"],
    "reference": [],
    "regularizers": ["L1", "L1L2", "L2", "MaxNorm"],
    "schedules": [
        "CosineDecay",
        "ExponentialDecay",
        "InverseTimeDecay",
        "InvScaling",
        "OneCycle",
        "PiecewiseConstantDecay",
        "PolynomialDecay",
        "StepDecay",
    ],
    "sources": [],
    "threads": [],
    "user_loss": [],
}
_HOMES = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted([*_HOMES, "__version__", "reference", "threads"])


def __getattr__(name: str) -> object:
    if name in _HOMES:
        value = getattr(import_module(f"fusedelta.{_HOMES[name]}"), name)
    elif name in _NAMES:
        value = import_module(f"fusedelta.{name}")
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value  # the next time it is found at once
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES, *_NAMES})
