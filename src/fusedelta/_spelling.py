"""Attributes that are set by a misspelt name: an error, where Python would say nothing."""

from __future__ import annotations

from typing import Any, ClassVar

__all__ = ["Spelled"]

#: How much a name must be like one that there is (as `difflib` counts) to be taken for it.
ALIKE = 0.8


class Spelled:
    """Base of classes whose public attributes, which they declare, are set by users."""

    _declared: ClassVar[frozenset[str]] = frozenset()

    def __init_subclass__(cls) -> None:
        cls._declared |= frozenset(getattr(cls, "__annotations__", ()))

    def __setattr__(self, name: str, value: Any) -> None:
        is_known = name.startswith("_") or name in self._declared or hasattr(type(self), name)
        if not (is_known or name in vars(self)) and (meant := _nearest(self, name)):
            raise AttributeError(
                f"{type(self).__name__} has no attribute {name!r}: did you mean {meant!r}?"
            )
        object.__setattr__(self, name, value)


def _nearest(instance: Spelled, name: str) -> str | None:
    """The public attribute that one of that name was meant for, if it is much like it."""
    from difflib import get_close_matches  # here, because it takes long to import

    known = {*dir(instance), *type(instance)._declared}
    spellings = {each.replace("_", ""): each for each in known if not each.startswith("_")}
    found = get_close_matches(name.replace("_", "").lower(), spellings, 1, ALIKE)
    return spellings[found[0]] if found else None
