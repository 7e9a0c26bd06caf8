"""Imported first: a wrong environment variable is a line for the command, else an exception."""

from __future__ import annotations

import os.path  # and not pathlib, which takes longer to import than all the rest
import sys


def is_command() -> bool:
    """Whether this process is the command, ``fusedelta`` or ``python -m fusedelta``."""
    if sys.argv[:1] == ["-m"]:  # Python is still looking for the module to run
        return not {"fusedelta", "-mfusedelta"}.isdisjoint(sys.orig_argv)
    return bool(sys.argv) and os.path.splitext(os.path.basename(sys.argv[0]))[0] == "fusedelta"


try:
    from fusedelta import _cpu, _threads  # noqa: F401
except ValueError as error:
    if not is_command():
        raise
    print(f"fusedelta: error: {error}", file=sys.stderr)
    raise SystemExit(2) from None
