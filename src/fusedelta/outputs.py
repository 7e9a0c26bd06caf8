"""Files that a command is going to write: whether it can is found out before it works for long."""

from __future__ import annotations

import os
from errno import EACCES, EISDIR, ENOENT
from pathlib import Path
from tempfile import TemporaryFile

__all__ = ["check_apart", "check_directory", "check_writable"]


def check_writable(path: str | os.PathLike[str]) -> None:
    """Find out whether a file can be written, without touching one that is there.

    Raises
    ------
    OSError
        If it is a directory, or if it or its directory is not there or must not be written.
    """
    if os.path.isdir(path):
        raise IsADirectoryError(EISDIR, "expected a file to write, it is a directory", str(path))
    if not os.path.exists(path):
        check_directory(path)
    elif not os.access(path, os.W_OK):
        raise PermissionError(EACCES, "the file must not be written", str(path))


def check_directory(path: str | os.PathLike[str]) -> None:
    """Find out whether a file can be made in the directory of this one.

    Raises
    ------
    OSError
        If there is no such directory, or nothing can be written there.
    """
    directory = Path(path).absolute().parent
    if not directory.is_dir():
        raise FileNotFoundError(ENOENT, "no such directory", str(Path(path).parent))
    try:
        TemporaryFile(dir=directory).close()
    except OSError as error:
        reason = f"no file can be written there: {error.strerror}"
        raise type(error)(error.errno, reason, str(directory)) from None


def check_apart(**paths: str | os.PathLike[str] | None) -> None:
    """Make sure that no two of these are the same file; what is None or a device is left out.

    Raises
    ------
    ValueError
        Naming the two.
    """
    names: dict[object, str] = {}
    for name, path in paths.items():
        if path is None or (os.path.exists(path) and not os.path.isfile(path)):
            continue
        other = names.setdefault(_identity(path), name)
        if other != name:
            raise ValueError(
                f"{name}: expected a file of its own, got '{path}', which is that of {other}"
            )


def _identity(path: str | os.PathLike[str]) -> object:
    """Return what two names of the same file have in common."""
    if not os.path.exists(path):
        return os.path.realpath(path)
    status = os.stat(path)
    return status.st_dev, status.st_ino
