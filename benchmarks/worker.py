"""A process with one rival: ``python -m benchmarks.worker '{"rival": ..., "workload": ...}'``.

It answers each line of its input, a number of epochs, with a line of JSON: seconds and loss. The
first answer, before any question, is empty, or says why the rival does not race.
"""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from dataclasses import replace


def main(settings: dict) -> None:
    """Build the rival, then run it as asked until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints is no answer

    def answer(**values: object) -> None:
        print(json.dumps(values), file=answers, flush=True)

    from benchmarks import machine, rivals, workloads  # after the variables and the pinning

    machine.pin(settings["cores"])
    workload = replace(workloads.named(settings["workload"]), threads=settings["threads"])
    try:
        rival = rivals.build(settings["rival"], workload)
    except ImportError as error:
        answer(left_out=f"not installed ({error.name or error})")
        return
    except rivals.Unsuited as reason:
        answer(left_out=f"does not fit: {reason}")
        return
    answer()
    gc.disable()
    for line in sys.stdin:
        epochs = int(line)
        start = time.perf_counter()
        rival.run(epochs)
        seconds = time.perf_counter() - start
        answer(seconds=seconds, loss=rival.loss())


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
