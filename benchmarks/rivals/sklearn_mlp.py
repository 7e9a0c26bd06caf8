"""scikit-learn's MLPClassifier and MLPRegressor, where they have the network."""

from __future__ import annotations

import warnings

from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier, MLPRegressor

from benchmarks.rivals import Predictor, Rival, Unsuited
from benchmarks.workloads import BCE, HALF_SSE, LABELS, MSE, Workload

HIDDEN = {"sigmoid": "logistic", "tanh": "tanh", "relu": "relu", "linear": "identity"}
OUTPUTS = {BCE: "sigmoid", LABELS: "softmax", MSE: "linear"}


def check(workload: Workload) -> None:
    """Refuse what the two classes do not have."""
    *hidden, output = workload.activations
    if workload.optimizer != "sgd":
        raise Unsuited("a warm start forgets the moments of Adam")
    if workload.loss == HALF_SSE or output != OUTPUTS[workload.loss]:
        raise Unsuited("no such loss with that output activation")
    if len(set(hidden)) > 1 or not HIDDEN.keys() >= set(hidden):
        raise Unsuited("hidden layers with these activations do not exist")


class MLP:
    """Trains through ``fit`` with a warm start: ``max_iter`` epochs from where it ended."""

    def __init__(self, workload: Workload) -> None:
        check(workload)
        self.X, self.y, weights = workload.data()
        is_regression = workload.loss == MSE
        # scikit-learn's regression loss is sum (a - y)^2 / 2 m, ours sum (a - y)^2 / (m n).
        scale = 2 / workload.sizes[-1] if is_regression else 1
        if self.y.ndim == 2 and self.y.shape[1] == 1:
            self.y = self.y[:, 0]
        self.model = (MLPRegressor if is_regression else MLPClassifier)(
            hidden_layer_sizes=workload.sizes[1:-1],
            activation=HIDDEN[workload.activations[0]],
            solver="sgd",
            learning_rate_init=workload.rate * scale,
            alpha=0.0,
            momentum=0.0,
            nesterovs_momentum=False,
            batch_size=workload.batch,
            shuffle=False,
            warm_start=True,
            max_iter=1,
            tol=0.0,
            n_iter_no_change=10**9,
        )
        self.loss_scale = 2 if is_regression else 1
        warnings.simplefilter("ignore", ConvergenceWarning)  # max_iter is meant
        self.model.fit(self.X, self.y)  # makes the arrays
        self.model.coefs_, self.model.intercepts_ = weights[::2], weights[1::2]

    def run(self, epochs: int) -> None:
        self.model.max_iter = epochs
        self.model.fit(self.X, self.y)

    def loss(self) -> float:
        return float(self.model.loss_curve_[-1]) * self.loss_scale


def build(workload: Workload) -> Rival:
    """Train or predict."""
    mlp = MLP(workload)
    if not workload.predicts:
        return mlp
    return Predictor(mlp.model.predict, list(workload.batched().X))
