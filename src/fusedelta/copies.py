"""What a network consists of, for copies, pickles and forks."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fusedelta.assembly import Assembly

__all__ = ["forked", "give_states", "restore", "state_of"]

#: What is made anew for each network.
OWN = ("_engine", "_guard", "_prepare", "_fitting", "_building")


def state_of(net: Assembly) -> dict[str, Any]:
    """All that makes a network what it is, at a moment when nothing trains it.

    Raises
    ------
    RuntimeError
        If another thread is training it.
    """
    with net._taken():
        state = {name: value for name, value in vars(net).items() if name not in OWN}
        if net._rows:
            state["_params"], state["_state"] = net._params.copy(), net._state.copy()
        state["optimizer_state"] = net.optimizer_state
        state["dropout_state"] = net.dropout_state
    return state


def restore(net: Assembly, state: dict[str, Any]) -> None:
    """Make a network without anything into what `state_of` returned."""
    states = {name: state.pop(name) for name in ("optimizer_state", "dropout_state")}
    vars(net).update(state)
    net._detach()
    if state["_rows"]:
        net._attach(state["_rows"], state["_params"], state["_state"])
        net.optimizer_state = states["optimizer_state"]
    net.dropout_state = states["dropout_state"]


def give_states(net: Assembly, copy: Assembly) -> None:
    """Let a network of the same layers and optimiser go on as `net` would.

    Raises
    ------
    RuntimeError
        If another thread is training `net`.
    """
    with net._taken():
        copy.set_weights(net.weights)
        copy.optimizer_state = net.optimizer_state
        copy.shuffle_state = net.shuffle_state
        copy.dropout_state = net.dropout_state


def forked(nets: Iterable[Assembly]) -> None:
    """In the child of a fork: what other threads had taken, nobody would give back."""
    for net in nets:
        net._fitting, net._building = threading.Lock(), threading.Lock()
        net._engine.forked()
