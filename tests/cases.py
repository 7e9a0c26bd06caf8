"""Shapes and kinds worth trying, for the tests of the kernels and for their benchmarks."""

import os

import fusedelta as fd
from fusedelta import _cpu

# The instruction sets to test: all that this machine runs, or the one that is forced
ISAS = [os.environ["FUSEDELTA_ISA"]] if "FUSEDELTA_ISA" in os.environ else _cpu.available_isas()
# Those that fuse a product and a sum into one rounding: they promise each other's bits
FUSED_ISAS = [isa for isa in _cpu.available_isas() if isa != "base"]

EARLY = ["linear", "relu", "leaky_relu", "sigmoid", "tanh"]
SLOPED = ["softplus", "silu", "mish", "gelu", "gelu_tanh"]
LATE = ["elu", "selu", "hard_sigmoid", "hard_tanh", "exponential", *SLOPED]
ELEMENTWISE = [*EARLY, *LATE]
ACTIVATIONS = [*ELEMENTWISE, "softmax"]

# Every rule of an update, and those whose parameters change what is computed
OPTIMIZERS = [
    fd.SGD(0.05),
    fd.SGD(0.05, 0.9),
    fd.SGD(0.05, 0.9, nesterov=True),
    fd.SGD(0.05, weight_decay=0.1),
    fd.Adam(0.01),
    fd.Adam(0.01, amsgrad=True),
    fd.AdamW(0.01),
    fd.NAdam(0.01),
    fd.Adamax(0.01),
    fd.RMSprop(0.01),
    fd.RMSprop(0.01, momentum=0.5, centered=True),
    fd.Adagrad(0.05),
    fd.Adadelta(1.0),
    fd.Lion(0.01),
]

# (m, k, n): every tile height and width, their tails, and strides on both sides of the packing
DENSE_SHAPES = [
    (2, 1, 1),
    (3, 5, 4),
    (4, 2, 16),
    (7, 13, 17),
    (12, 64, 64),
    (13, 100, 31),
    (23, 33, 129),
    (32, 784, 128),
    (31, 17, 1030),
    (6, 1030, 40),
]
ONLINE_SHAPES = [(1, k, n) for _, k, n in DENSE_SHAPES]
NARROW_SHAPES = [
    (2, 1, 1),
    (4, 2, 2),
    (16, 16, 16),
    (17, 5, 3),
    (100, 3, 5),
    (400, 16, 8),
    (401, 7, 11),
]
