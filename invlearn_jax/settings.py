"""Settings that know what they allow: ranges stand with a dataclass's fields, one function checks a whole configuration."""

import copy
import dataclasses
import difflib
import functools
import sys
from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple, Protocol, TypeVar, get_args, get_origin, get_type_hints, runtime_checkable

from invlearn_jax.names import unknown_name

_RANGE = "range"
_WORDS = {int: "a whole number", float: "a finite number", bool: "True or False", str: "text"}
_MANY = {int: "whole numbers", float: "finite numbers", bool: "truth values", str: "texts"}


@runtime_checkable
class _Dataclass(Protocol):
    """Any dataclass."""

    __dataclass_fields__: ClassVar[dict[str, Any]]


_Settings = TypeVar("_Settings", bound=_Dataclass)


class Range(NamedTuple):
    """What a field allows; see ``bounded``."""

    low: int | float | None = None
    above: int | float | None = None
    high: int | float | None = None
    below: int | float | None = None
    multiple_of: str | None = None
    empty: bool = False

    def holds(self, value: int | float) -> bool:
        """Whether a number lies between the bounds."""
        return bool(
            (self.low is None or value >= self.low)
            and (self.above is None or value > self.above)
            and (self.high is None or value <= self.high)
            and (self.below is None or value < self.below)
        )

    def describe(self) -> str:
        """The bounds in words."""
        bounds = (
            ("at least", self.low),
            ("more than", self.above),
            ("at most", self.high),
            ("less than", self.below),
        )
        return " and ".join(f"{word} {bound}" for word, bound in bounds if bound is not None)


def bounded(
    default: Any,
    low: int | float | None = None,
    above: int | float | None = None,
    high: int | float | None = None,
    below: int | float | None = None,
    multiple_of: str | None = None,
    empty: bool = False,
) -> Any:
    """A field of a settings dataclass with its range, which ``check_settings`` reads.

    Args:
        default: the field's default; a number or a tuple of numbers, each of which must keep the bounds.
        low: smallest allowed value.
        above: what values must exceed.
        high: greatest allowed value.
        below: what values must stay under.
        multiple_of: another field of the same dataclass, of which the value must be a multiple.
        empty: whether a tuple may be empty though the default is not.

    Returns:
        The field.
    """
    return dataclasses.field(default=default, metadata={_RANGE: Range(low, above, high, below, multiple_of, empty)})


def check_settings(config: Any, prefix: str = "") -> None:
    """Refuses values without a meaning in a dataclass and the dataclasses in it.

    Besides what its range forbids, a field must be of its annotated type (int for a float is one, bool for an int is none), a
    float finite, and a tuple not empty where its default is not.

    Args:
        config: a dataclass whose fields are numbers, truth values, texts, tuples of these, or such dataclasses.
        prefix: of the names in errors.

    Raises:
        ValueError: for the first such value; names the field, what was given and what is allowed.
    """
    own: type = type(config)
    kinds = _kinds(own)
    for field in dataclasses.fields(config):
        name, kind, value = field.name, kinds[field.name], getattr(config, field.name)
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            if not isinstance(value, kind):
                raise ValueError(f"{prefix}{name} is {value!r}; give a {kind.__name__}.")
            check_settings(value, f"{prefix}{name}.")
            continue
        limits = field.metadata.get(_RANGE, Range())
        if not _allowed(field, kind, limits, value):
            raise ValueError(f"{prefix}{name} is {value!r:.80}; give {_describe(field, kind, limits)}.")
        if limits.multiple_of is not None and value % (unit := getattr(config, limits.multiple_of)):
            raise ValueError(
                f"{prefix}{name} is {value}; give a multiple of {prefix}{limits.multiple_of}, which is {unit}."
            )


def _allowed(field: dataclasses.Field, kind: Any, limits: Range, value: Any) -> bool:
    if get_origin(kind) is not tuple:
        return _fits(kind, limits, value)
    if not isinstance(value, tuple | list):
        return False
    return all(_fits(get_args(kind)[0], limits, x) for x in value) and bool(value or _may_be_empty(field, limits))


def _may_be_empty(field: dataclasses.Field, limits: Range) -> bool:
    return limits.empty or field.default == ()


def _fits(kind: type, limits: Range, value: Any) -> bool:
    if kind is float:
        number = isinstance(value, int | float) and not isinstance(value, bool)
        # Whole numbers may be larger than any float, which ``math.isfinite`` does not take.
        return number and abs(value) <= sys.float_info.max and limits.holds(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and limits.holds(value)
    return isinstance(value, kind)


def _describe(field: dataclasses.Field, kind: Any, limits: Range) -> str:
    bounds = limits.describe()
    if get_origin(kind) is not tuple:
        return f"{_WORDS[kind]}, {bounds}" if bounds else _WORDS[kind]
    some = "" if _may_be_empty(field, limits) else "one or more "
    return f"{some}{_MANY[get_args(kind)[0]]}" + (f", each {bounds}" if bounds else "")


@functools.cache
def _kinds(config: type) -> dict[str, Any]:
    """The annotated types of a dataclass's fields."""
    return get_type_hints(config)


def field_names(settings: Any, prefix: str = "") -> list[str]:
    """The dotted names of a dataclass's leaf fields."""
    names = []
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            names += field_names(value, f"{prefix}{field.name}.")
        else:
            names.append(prefix + field.name)
    return names


def with_settings(settings: _Settings, changes: Mapping[str, Any]) -> _Settings:
    """A copy with some fields changed, by their dotted names: ``{"model.steps": 100}``.

    Raises:
        ValueError: for an unknown field; the nearest known ones are listed.
    """
    changed, known = copy.deepcopy(settings), field_names(settings)
    for name, value in changes.items():
        if name not in known:
            near = difflib.get_close_matches(name, known, n=3, cutoff=0.3) or known
            raise ValueError(f"Unknown setting {name!r}. Nearest known: {', '.join(near)}.")
        *path, last = name.split(".")
        setattr(functools.reduce(getattr, path, changed), last, tuple(value) if isinstance(value, list) else value)
    return changed


def filled(settings: _Settings, fields: Mapping[str, Any]) -> _Settings:
    """Settings with fields read from JSON, which knows neither tuples nor dataclasses.

    Raises:
        TypeError: for an unknown field, or a nested part that is no object.
    """
    values, known = {}, [field.name for field in dataclasses.fields(settings)]
    for name, value in fields.items():
        if name not in known:
            raise TypeError(str(unknown_name(f"field of {type(settings).__name__}", name, known)))
        like = getattr(settings, name)
        if isinstance(like, _Dataclass):
            if not isinstance(value, Mapping):
                raise TypeError(f"{name} is {value!r:.80}, no object")
            value = filled(like, value)
        values[name] = tuple(value) if isinstance(value, list) else value
    return dataclasses.replace(settings, **values)
