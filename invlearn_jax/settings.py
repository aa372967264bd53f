"""Settings that know what they allow: ranges stand with a dataclass's fields, one function checks a whole configuration."""

import dataclasses
import functools
import math
from typing import Any, NamedTuple, get_args, get_origin, get_type_hints

_RANGE = "range"
_WORDS = {int: "a whole number", float: "a finite number", bool: "True or False", str: "text"}
_MANY = {int: "whole numbers", float: "finite numbers", bool: "truth values", str: "texts"}


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
    kinds = _kinds(type(config))
    for field in dataclasses.fields(config):
        name, kind, value = field.name, kinds[field.name], getattr(config, field.name)
        if dataclasses.is_dataclass(kind):
            if not isinstance(value, kind):
                raise ValueError(f"{prefix}{name} is {value!r}; give a {kind.__name__}.")
            check_settings(value, f"{prefix}{name}.")
            continue
        limits = field.metadata.get(_RANGE, Range())
        if not _allowed(field, kind, limits, value):
            raise ValueError(f"{prefix}{name} is {value!r}; give {_describe(field, kind, limits)}.")
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
        return number and math.isfinite(value) and limits.holds(value)
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
