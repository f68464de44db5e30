"""The base class of all records: equality that includes arrays, and a versioned JSON form that reads back equal."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_origin

import numpy as np

if TYPE_CHECKING:
    from cattrs import Converter
    from typing_extensions import Self

SCHEMA_VERSION = 1
"""Written into every JSON record; it goes up by one when a field changes its name or its meaning."""

_WRITTEN = "give the file that `index --json` wrote"
_JSON_KINDS: dict[type, str] = {type(None): "null", bool: "true or false", str: "a text", list: "a list"}


@functools.cache
def _converter() -> Converter:
    from cattrs import Converter
    from cattrs.gen import make_dict_unstructure_fn

    def is_array(kind: Any) -> bool:
        return np.ndarray in (kind, get_origin(kind))

    converter = Converter(forbid_extra_keys=True)
    converter.register_unstructure_hook_func(is_array, lambda array: array.tolist())
    converter.register_structure_hook_func(is_array, lambda values, _: np.asarray(values, dtype=float))
    converter.register_structure_hook(float | str, lambda value, _: value)
    converter.register_structure_hook(float, lambda value, _: math.nan if value is None else float(value))
    converter.register_unstructure_hook(float, lambda value: None if math.isnan(value) else float(value))
    converter.register_unstructure_hook_factory(
        dataclasses.is_dataclass, lambda cls: make_dict_unstructure_fn(cls, converter)
    )
    return converter


@dataclass(frozen=True, eq=False)
class Record:
    """A frozen dataclass that compares its arrays by value and can be written as JSON and read back."""

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and all(
            _same(getattr(self, f.name), getattr(other, f.name)) for f in dataclasses.fields(self)
        )

    __hash__ = None  # type: ignore[assignment]  # records hold arrays, which have no hash

    def to_dict(self) -> dict[str, Any]:
        """The record as plain JSON types, with ``record`` and ``schema_version``."""
        fields: dict[str, Any] = _converter().unstructure(self)
        return {"record": type(self).__name__, "schema_version": SCHEMA_VERSION} | fields

    def to_json(self, *, indent: int | None = None) -> str:
        """The record as JSON text, NaN as null.

        Raises
        ------
        SettingsError : the record holds an infinite number, which JSON cannot express.
        """
        from alphadiffract_plugin.errors import SettingsError

        try:
            return json.dumps(self.to_dict(), indent=indent, allow_nan=False)
        except ValueError as error:
            raise SettingsError(
                f"this {type(self).__name__} cannot be written as JSON: {error}",
                fix="use NaN for a number that is not known",
            ) from error

    @classmethod
    def from_dict(cls, document: object) -> Self:
        """The record that :meth:`to_dict` made this dictionary of.

        Raises
        ------
        SettingsError : the document is another record, of another schema version, or has unknown or missing fields.
        """
        from alphadiffract_plugin.errors import SettingsError

        if not isinstance(document, dict):
            raise SettingsError(
                f"this JSON holds {_JSON_KINDS.get(type(document), 'a number')} in place of a record",
                fix=_WRITTEN,
            )
        body = dict(document)
        kind, version = body.pop("record", None), body.pop("schema_version", None)
        if kind != cls.__name__ or version != SCHEMA_VERSION:
            raise SettingsError(
                f"this JSON holds a {kind} of schema version {version}; "
                f"a {cls.__name__} of version {SCHEMA_VERSION} was expected",
                fix="write it again with this version of alphadiffract-plugin",
            )
        try:
            return _converter().structure(body, cls)
        except Exception as error:  # cattrs raises exception groups of many kinds
            from cattrs import transform_error
            from cattrs.v import format_exception

            def reason(fault: BaseException, kind: type | None) -> str:
                return fault.what if isinstance(fault, SettingsError) else format_exception(fault, kind)

            raise SettingsError(
                f"this JSON cannot be read as a {cls.__name__}: "
                f"{'; '.join(transform_error(error, format_exception=reason))}",
                fix="write it again with this version of alphadiffract-plugin",
            ) from error

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The record that :meth:`to_json` wrote as this text; raises as :meth:`from_dict`."""
        from alphadiffract_plugin.errors import SettingsError

        try:
            document = json.loads(text)
        except json.JSONDecodeError as error:
            raise SettingsError(f"this text is not JSON: {error}", fix=_WRITTEN) from error
        return cls.from_dict(document)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
        return a is not None and b is not None and np.array_equal(a, b, equal_nan=True)
    if isinstance(a, (tuple, list)):
        return type(a) is type(b) and len(a) == len(b) and all(map(_same, a, b))
    return a == b or (isinstance(a, float) and isinstance(b, float) and math.isnan(a) and math.isnan(b))


def freeze(record: Record, *names: str) -> None:
    """Turn these fields into read-only arrays of floats, where they are not None."""
    for name in names:
        value = getattr(record, name)
        if value is not None:
            array = np.array(value, dtype=float)
            array.setflags(write=False)
            object.__setattr__(record, name, array)
