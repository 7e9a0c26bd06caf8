"""Fast training of small neural networks on a CPU.

`Sequential` is the network, `layers` says what it is made of; `reference` holds the same network in
pure NumPy.
"""

from fusedelta import _start, reference, threads  # noqa: F401
from fusedelta._version import __version__
from fusedelta.activations import ELU, GELU, LeakyReLU
from fusedelta.callbacks import (
    Callback,
    CSVLogger,
    LambdaCallback,
    LearningRateScheduler,
    ProgressBar,
)
from fusedelta.compare import compare
from fusedelta.config import show_config
from fusedelta.diagnostics import gradient_check, gradient_flow
from fusedelta.divergence import DivergenceWarning
from fusedelta.history import History
from fusedelta.initializers import (
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    LecunNormal,
    Ones,
    RandomNormal,
    RandomUniform,
    Zeros,
)
from fusedelta.layers import Activation, Dense, Dropout, Residual
from fusedelta.losses import (
    BinaryCrossentropy,
    BinaryFocalCrossentropy,
    CategoricalCrossentropy,
    CategoricalFocalCrossentropy,
    Huber,
    Quantile,
    SparseCategoricalCrossentropy,
)
from fusedelta.monitors import EarlyStopping, ModelCheckpoint, ReduceLROnPlateau
from fusedelta.network import Sequential, load
from fusedelta.normalization import BatchNormalization, LayerNormalization
from fusedelta.optimizers import (
    SGD,
    Adadelta,
    Adagrad,
    Adam,
    Adamax,
    AdamW,
    Lion,
    NAdam,
    RMSprop,
)
from fusedelta.profiling import profile
from fusedelta.regularizers import L1, L1L2, L2, MaxNorm
from fusedelta.schedules import (
    CosineDecay,
    ExponentialDecay,
    InverseTimeDecay,
    InvScaling,
    OneCycle,
    PiecewiseConstantDecay,
    PolynomialDecay,
    StepDecay,
)

__all__ = [
    "ELU",
    "GELU",
    "L1",
    "L1L2",
    "L2",
    "SGD",
    "Activation",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "BatchNormalization",
    "BinaryCrossentropy",
    "BinaryFocalCrossentropy",
    "CSVLogger",
    "Callback",
    "CategoricalCrossentropy",
    "CategoricalFocalCrossentropy",
    "Constant",
    "CosineDecay",
    "Dense",
    "DivergenceWarning",
    "Dropout",
    "EarlyStopping",
    "ExponentialDecay",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "History",
    "Huber",
    "InvScaling",
    "InverseTimeDecay",
    "LambdaCallback",
    "LayerNormalization",
    "LeakyReLU",
    "LearningRateScheduler",
    "LecunNormal",
    "Lion",
    "MaxNorm",
    "ModelCheckpoint",
    "NAdam",
    "OneCycle",
    "Ones",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "ProgressBar",
    "Quantile",
    "RMSprop",
    "RandomNormal",
    "RandomUniform",
    "ReduceLROnPlateau",
    "Residual",
    "Sequential",
    "SparseCategoricalCrossentropy",
    "StepDecay",
    "Zeros",
    "__version__",
    "compare",
    "gradient_check",
    "gradient_flow",
    "load",
    "profile",
    "reference",
    "show_config",
    "threads",
]
