"""Shapes and kinds worth trying, for the tests of the kernels and for their benchmarks."""

import os
from itertools import product

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
# One of each way that an activation is computed: in registers, in a pass of its own, with slopes
TYPICAL = ["relu", "tanh", "gelu"]
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

# Rows of other kinds than dense, in every place; 4 outputs
MIXED = {
    "activation": [
        fd.Activation("tanh"),
        fd.Dense(20),
        fd.Activation("sigmoid"),
        fd.Activation("gelu"),
        fd.Activation(fd.ELU(0.5)),
        fd.Dense(4),
        fd.Activation("softmax"),
    ],
    "dropout": [
        fd.Dropout(0.1),
        fd.Dense(20, "tanh"),
        fd.Dropout(0.5),
        fd.Dense(17, "sigmoid"),
        fd.Dropout(0.25),
        fd.Dense(4, "softmax"),
    ],
    "dropout and activation": [
        fd.Dense(40),
        fd.Dropout(0.3),
        fd.Activation("tanh"),
        fd.Dropout(0.3),
        fd.Dense(4),
        fd.Dropout(0.1),
        fd.Activation("softmax"),
    ],
    "layer normalization": [
        fd.LayerNormalization(),
        fd.Dense(20),
        fd.LayerNormalization(epsilon=0.01, center=False),
        fd.Activation("tanh"),
        fd.LayerNormalization(scale=False),
        fd.Dense(17, "gelu"),
        fd.LayerNormalization(center=False, scale=False),
        fd.Dense(4, "softmax"),
    ],
    "batch normalization": [
        fd.BatchNormalization(momentum=0.9),
        fd.Dense(20),
        fd.BatchNormalization(epsilon=0.01, center=False),
        fd.Activation("tanh"),
        fd.BatchNormalization(scale=False),
        fd.Dense(17, "gelu"),
        fd.BatchNormalization(momentum=0.0, center=False, scale=False),
        fd.Dense(4),
        fd.BatchNormalization(),
        fd.Activation("softmax"),
    ],
    "residual": [
        fd.Residual([fd.Dense(11, "tanh")]),
        fd.Residual(
            [
                fd.Activation("tanh"),
                fd.Residual([fd.Dense(20, "gelu"), fd.Dropout(0.3), fd.Dense(11)]),
                fd.Activation("sigmoid"),
                fd.Residual([fd.LayerNormalization()]),
            ]
        ),
        fd.Activation("tanh"),
        fd.Dense(4, "softmax"),
    ],
    "residual and batch normalization": [
        fd.Dense(12, "tanh"),
        fd.Residual([fd.Dense(30), fd.BatchNormalization(), fd.Activation("tanh"), fd.Dense(12)]),
        fd.Residual([fd.BatchNormalization(), fd.Dense(12, "elu")]),
        fd.Dense(4, "softmax"),
    ],
}


def crossed(first, second, some_first, some_second):
    """Pairs of all with some and of some with all, where those of all with all are too many."""
    return list(dict.fromkeys([*product(first, some_second), *product(some_first, second)]))


# (m, k, n): every tile height and width, their tails, few samples, strides on both sides of packing
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
    (6, 1030, 70),
    (3, 5, 60),
    (8, 37, 130),
    (50, 1100, 130),
    (5, 90, 540),
    (49, 530, 520),
    (270, 70, 600),
]
TALL_SHAPES = [
    (1, 1000, 1),
    (2, 17, 1),
    (17, 30, 1),
    (300, 33, 2),
    (37, 21, 3),
    (20, 64, 4),
    (600, 17, 4),
    (130, 300, 1),
    (65, 200, 2),
]
ONLINE_SHAPES = [(1, k, n) for _, k, n in DENSE_SHAPES]
NARROW_SHAPES = [
    (2, 1, 1),
    (4, 2, 2),
    (16, 16, 16),
    (17, 5, 3),
    (100, 2, 16),
    (100, 3, 5),
    (130, 4, 1),
    (400, 16, 8),
    (401, 7, 11),
]
