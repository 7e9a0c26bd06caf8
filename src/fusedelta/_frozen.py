"""Frozen dataclasses that cost little to import: they share what `dataclass` compiles for each."""

from dataclasses import FrozenInstanceError, dataclass, fields
from typing import Any, TypeVar, dataclass_transform

__all__ = ["frozen"]

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def frozen(cls: type[T]) -> type[T]:
    """``dataclass(frozen=True)``, each field set once; a ``__repr__`` or ``__eq__`` is kept."""
    made: Any = dataclass(eq=False, repr=False)(cls)
    made.__setattr__, made.__delattr__ = _setattr, _delattr
    if made.__repr__ is object.__repr__:
        made.__repr__ = _repr
    if made.__eq__ is object.__eq__:
        made.__eq__, made.__hash__ = _eq, _hash
    return made


def _setattr(self: Any, name: str, value: Any) -> None:
    if name in self.__dict__ or name not in type(self).__dataclass_fields__:
        way = "net.learning_rate = ..." if name in ("learning_rate", "lr") else "make another"
        raise FrozenInstanceError(
            f"cannot assign to field {name!r}: {type(self).__name__} stays as it was made; {way}"
        )
    object.__setattr__(self, name, value)


def _delattr(self: Any, name: str) -> None:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _repr(self: Any) -> str:
    shown = (f"{field.name}={getattr(self, field.name)!r}" for field in fields(self) if field.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _values(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, field.name) for field in fields(self) if field.compare)


def _eq(self: Any, other: object) -> bool:
    return _values(self) == _values(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self))
