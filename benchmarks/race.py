"""Rivals side by side: equal losses first, then the time of a step, round after round."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from benchmarks import machine, peak
from benchmarks.rivals import TWIN
from benchmarks.workloads import Workload

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Settings:
    """How to race: number of rounds, seconds of each rival in a round, threads."""

    rounds: int = 7
    seconds: float = 0.3
    threads: int = 1


class Failed(Exception):  # noqa: N818 - a reason, not an error
    """A rival does not race; says why."""


class Process:
    """A rival in a process of its own, kept to its cores."""

    def __init__(self, rival: str, workload: Workload, settings: Settings, cores: list[int]):
        arguments = {
            "rival": rival,
            "workload": workload.name,
            "threads": settings.threads,
            "cores": cores,
        }
        self._errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.worker", json.dumps(arguments)],
            cwd=ROOT,
            env=machine.environment(settings.threads),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            text=True,
        )
        self._epoch_steps = workload.batches
        self.epochs = 1
        self.microseconds: list[float] = []
        self.losses: list[float] = []

    def start(self, checked_epochs: int) -> None:
        """Wait until it is built; the losses of the first and of the last checked epoch."""
        if reason := self._answer().get("left_out"):
            raise Failed(reason)
        self.losses = [self._ask(epochs)["loss"] for epochs in (1, checked_epochs - 1)]

    def calibrate(self, seconds: float) -> None:
        """Choose the epochs of a round."""
        while (taken := self._ask(self.epochs)["seconds"]) < seconds / 2:
            self.epochs = math.ceil(self.epochs * min(10, seconds / max(taken, 1e-9)))

    def run(self) -> None:
        """One round."""
        answer = self._ask(self.epochs)
        if not math.isfinite(answer["loss"]):
            raise Failed(f"its loss became {answer['loss']}")
        self.microseconds.append(1e6 * answer["seconds"] / (self.epochs * self._epoch_steps))

    def close(self) -> None:
        """End the process and wait for its end."""
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        self._errors.close()

    def _ask(self, epochs: int) -> dict:
        with suppress(BrokenPipeError):  # the answer tells
            print(epochs, file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> dict:
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._process.wait()
        self._errors.seek(0)
        last = self._errors.read().strip().rpartition("\n")[2]
        raise Failed(f"its process ended: {last or self._process.returncode}")


class Race:
    """All rivals on one workload."""

    def __init__(self, workload: Workload, settings: Settings, say: Callable[[str], None]):
        self._workload, self._settings, self._say = workload, settings, say
        self._cores = machine.cores(settings.threads)
        self._isa = str(machine.describe()["isa"])
        self._racing: dict[str, Process] = {}
        self._left_out: dict[str, str] = {}

    def run(self, rivals: Sequence[str]) -> dict:
        """Race; returns every figure, ready for JSON."""
        try:
            for rival in rivals:
                self._racing[rival] = Process(rival, self._workload, self._settings, self._cores)
                self._guard(rival, lambda process: process.start(self._workload.checked_epochs))
            self._check_losses()
            for rival in list(self._racing):
                self._guard(rival, lambda process: process.calibrate(self._settings.seconds))
            peaks = [self._round() for _ in range(self._settings.rounds)]
            return self._result(peaks)
        finally:
            for process in self._racing.values():
                process.close()

    def _round(self) -> float | None:
        for rival in list(self._racing):
            self._guard(rival, Process.run)
        return peak.measure(self._isa, self._workload.dtype, self._settings.threads)

    def _guard(self, rival: str, action: Callable[[Process], None]) -> None:
        try:
            action(self._racing[rival])
        except Failed as reason:
            self._leave_out(rival, str(reason))

    def _leave_out(self, rival: str, reason: str) -> None:
        self._racing.pop(rival).close()
        self._left_out[rival] = reason
        self._say(f"{self._workload.name}: without {rival}: {reason}")

    def _check_losses(self) -> None:
        """Leave out those that do not reach the losses of the twin (or else of the first)."""
        if not self._racing:
            return
        expected = self._racing.get(TWIN, next(iter(self._racing.values()))).losses
        tolerance = self._workload.tolerance
        for rival, process in list(self._racing.items()):
            pairs = zip(process.losses, expected, strict=True)
            if not all(math.isclose(a, b, rel_tol=tolerance) for a, b in pairs):
                self._leave_out(rival, f"DISAGREES: losses {process.losses}, expected {expected}")

    def _result(self, peaks: list[float | None]) -> dict:
        workload = self._workload
        return {
            "workload": workload.name,
            "about": workload.about,
            "flops": workload.flops,
            "checked_epochs": workload.checked_epochs,
            "tolerance": workload.tolerance,
            "peak_gflops": None if None in peaks else peaks,
            "left_out": self._left_out,
            "rivals": {
                rival: {"losses": process.losses, "microseconds": process.microseconds}
                for rival, process in self._racing.items()
            },
        }
