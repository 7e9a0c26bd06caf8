"""What the tests of ensembles have in common: data, a way to make one, comparisons."""

import numpy as np

import fusedelta as fd

rng = np.random.default_rng(11)
X, T = rng.standard_normal((60, 3)), rng.standard_normal((60, 2))
LABELS = rng.integers(0, 4, 60)
LAYERS = [fd.Dense(20, "tanh"), fd.Dense(2)]


def build(cls=fd.Ensemble, n=5, layers=LAYERS, loss="mean_squared_error", **settings):
    settings = {"seed": 3, "n_threads": 3, "optimizer": fd.SGD(0.1, 0.9), **settings}
    return cls(layers, n, loss, **settings)


def lone(nets, i, n_inputs=3):
    """A network as member i was when it was made."""
    member = nets[i]
    return type(member)(
        member.layers, member.loss, member.optimizer, (n_inputs,), member.dtype, member.seed
    )


def assert_alike(net, other):
    np.testing.assert_array_equal(net.params, other.params)
    np.testing.assert_equal(net.get_weights(), other.get_weights())
    np.testing.assert_equal(net.optimizer_state, other.optimizer_state)
    assert net.shuffle_state == other.shuffle_state
    assert net.dropout_state == other.dropout_state


def assert_untouched(nets, made):
    for member, other in zip(nets, made, strict=True):
        assert_alike(member, other)
