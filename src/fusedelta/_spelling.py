"""Misspelt names: what they were meant for. Attributes set by one are an error, not nothing."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, ClassVar

__all__ = ["Spelled", "nearest"]

#: How much a name must be like one that there is (as `difflib` counts) to be taken for it.
ALIKE = 0.8


class Spelled:
    """Base of classes whose public attributes, which they declare, are set by users."""

    _declared: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls) -> None:
        cls._declared |= frozenset(getattr(cls, "__annotations__", ()))

    def __setattr__(self, name: str, value: Any) -> None:
        is_known = name.startswith("_") or name in self._declared or hasattr(type(self), name)
        if not (is_known or name in vars(self)) and (meant := nearest(name, self._public())):
            raise AttributeError(
                f"{type(self).__name__} has no attribute {name!r}: did you mean {meant!r}?"
            )
        object.__setattr__(self, name, value)

    def _public(self) -> list[str]:
        known = {*dir(self), *type(self)._declared}
        return [name for name in known if not name.startswith("_")]


def nearest(name: str, known: Iterable[str], alike: float = ALIKE) -> str | None:
    """The one of the known names that `name` was meant for, if it is so much like it."""
    from difflib import get_close_matches  # here, because it takes long to import

    spellings = {each.replace("_", "").lower(): each for each in known}
    found = get_close_matches(name.replace("_", "").lower(), spellings, 1, alike)
    return spellings[found[0]] if found else None
