"""What an object is, as text that is the same in another process.

A run that is resumed must have the model and the optimiser of the run that it continues. An object
is told by its *parts*, a dict from names such as ``"optimizer.lr.rates.0"`` to texts:

* plain values and arrays by their values, sequences and dicts by what they hold;
* classes and functions by their module and qualified name; a function also by its code, its default
  values and the variables that it encloses, a partial by its function and arguments;
* an instance by its class and the dict that its method ``config()`` returns or, without one, by its
  attributes. Plain attributes of its class count, the code of its methods does not.

What has no such text, a generator or a lock for example, is told by its class only, and is named
in `Identity.unknown`. The global variables that a function reads are not looked at.
"""

import enum
import functools
import sys
import types
import zlib
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import fields, is_dataclass
from datetime import date, timedelta
from numbers import Integral, Number
from pathlib import PurePath
from typing import Any, NamedTuple

import numpy as np
from array_api_compat import is_array_api_obj

from ttref.arrays import to_numpy

MOST_PARTS = 100_000  # of an object; one with more is not told by its parts
LONG = 80  # characters of a sequence of plain values, which stands as a checksum beyond
FUNCTIONS = (types.BuiltinFunctionType, types.MethodDescriptorType, np.ufunc)


class Identity(NamedTuple):
    """What an object is."""

    parts: dict[str, str]  # by their names
    unknown: dict[str, str]  # names of the parts that cannot be compared, and what they are


def identify(value: object, name: str) -> Identity:
    """Tell what `value` is; the names of all parts begin with `name`.

    Examples
    --------
    >>> from ttref.optim import Adam
    >>> identify(Adam(0.1), "optimizer").parts["optimizer.lr"]
    '0.1'
    >>> identify([1, 2], "modes").parts
    {'modes': '(1, 2)'}
    """
    found = Identity({}, {})
    _visit(value, name, found, {})
    return found


def attributes(value: object) -> dict[str, Any]:
    """Attributes of an instance by name: its own, and plain ones of classes outside of ttref.

    Values that `functools.cached_property` keeps are left out.
    """
    classes = type(value).__mro__
    names = [f.name for f in fields(value)] if is_dataclass(value) else []
    names += [name for cls in classes for name in _slots(cls)]
    names += list(getattr(value, "__dict__", {}))
    for cls in classes:
        if not _is_own(cls):
            names += [name for name, held in vars(cls).items() if _is_plain_attribute(name, held)]
    cached = {
        name
        for cls in classes
        for name, held in vars(cls).items()
        if isinstance(held, functools.cached_property)
    }
    unique = dict.fromkeys(name for name in names if name not in cached)
    return {name: getattr(value, name) for name in unique if hasattr(value, name)}


def _slots(cls: type) -> list[str]:
    slots = vars(cls).get("__slots__", ())
    names = [slots] if isinstance(slots, str) else slots
    return [name for name in names if name not in ("__dict__", "__weakref__")]


def _is_own(cls: type) -> bool:
    """Whether a class is of ttref, of Python or of typing: its attributes are no settings."""
    return cls.__module__.partition(".")[0] == "ttref" or _is_of_python(cls)


def _is_of_python(cls: type) -> bool:
    return cls.__module__.partition(".")[0] in sys.stdlib_module_names


def _is_plain_attribute(name: str, held: object) -> bool:
    is_special = name.startswith("__") or name.startswith("_abc_")
    return not is_special and (_plain(held) is not None or is_array_api_obj(held))


def _visit(value: object, name: str, found: Identity, above: dict[int, str]) -> None:
    """Add the parts of `value`; `above` has the names of the objects that hold it."""
    text = _plain(value) or _array(value)
    if text is not None:
        found.parts[name] = text
    elif id(value) in above:
        found.parts[name] = f"the same as {above[id(value)]}"
    elif len(found.parts) > MOST_PARTS:
        found.unknown[name] = found.parts[name] = _class_name(type(value))
    else:
        inside = above | {id(value): name}
        for key, part in _open(value, name, found):
            _visit(part, f"{name}.{key}", found, inside)


def _open(value: Any, name: str, found: Identity) -> Iterator[tuple[str, Any]]:
    """Say what `value` is, and yield its parts with their keys."""
    wrapped = getattr(value, "__wrapped__", None)
    if isinstance(value, Mapping):
        found.parts[name] = f"dict of {len(value)}"
        yield from ((str(key), value[key]) for key in value)
    elif isinstance(value, tuple | list):
        found.parts[name] = f"sequence of {len(value)}"
        yield from ((str(k), part) for k, part in enumerate(value))
    elif isinstance(value, types.FunctionType):
        found.parts[name] = _qualified_name(value)
        found.parts[f"{name}.code"] = code_version(value.__code__, value.__doc__)
        yield from _held_by_function(value)
    elif isinstance(value, types.MethodType):
        found.parts[name] = f"method {value.__name__}"
        yield "self", value.__self__
        yield "function", value.__func__
    elif isinstance(value, functools.partial):
        found.parts[name] = "functools.partial"
        yield from (("function", value.func), ("args", value.args), ("keywords", value.keywords))
    elif callable(wrapped):  # by lru_cache, jit and others
        found.parts[name] = _class_name(type(value))
        yield "function", wrapped
    else:
        found.parts[name] = _class_name(type(value))
        yield from _held_by_instance(value, name, found)


def _held_by_function(function: types.FunctionType) -> Iterator[tuple[str, Any]]:
    """Yield default values and enclosed variables of a function."""
    for k, default in enumerate(function.__defaults__ or ()):
        yield f"default {k}", default
    yield from (function.__kwdefaults__ or {}).items()
    cells = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
    for variable, cell in cells:
        try:
            yield variable, cell.cell_contents
        except ValueError:  # it has no value yet
            yield variable, None


def _held_by_instance(value: Any, name: str, found: Identity) -> Iterator[tuple[str, Any]]:
    """Yield what ``config()`` returns, or the attributes."""
    config = getattr(value, "config", None)
    if callable(config):
        yield from dict(config()).items()
        return
    cls = type(value)
    has_attributes = any("__dict__" in vars(c) or "__slots__" in vars(c) for c in cls.__mro__)
    is_known = isinstance(value, types.SimpleNamespace) or not _is_of_python(cls)
    if has_attributes and is_known:
        yield from attributes(value).items()
    else:
        found.unknown[name] = found.parts[name]


def _plain(value: Any) -> str | None:
    """The text of a plain value, or of a sequence or set of such; else None."""
    if value is None or value is Ellipsis or isinstance(value, bool | np.bool_):
        return str(value)
    if isinstance(value, enum.Enum):
        return f"{_class_name(type(value))}.{value.name}"
    if isinstance(value, str | bytes | range | slice | date | timedelta | np.dtype):
        return _shortened(repr(value))
    if isinstance(value, PurePath):
        return repr(str(value))
    if isinstance(value, Number):
        return _number(value)
    if isinstance(value, type | types.ModuleType):
        return _class_name(value) if isinstance(value, type) else value.__name__
    if isinstance(value, FUNCTIONS):
        return _qualified_name(value)
    if isinstance(value, tuple | list | Set):
        texts = [_plain(part) for part in value]
        if None not in texts:
            known = sorted(map(str, texts)) if isinstance(value, Set) else map(str, texts)
            return _shortened(f"({', '.join(known)})", len(texts))
    return None


def _number(value: Any) -> str:
    """The text of a number; those of NumPy are as those of Python."""
    if isinstance(value, Integral):
        return repr(int(value))
    if isinstance(value, np.inexact):
        return repr(value.item())
    return repr(value)


def _shortened(text: str, count: int | None = None) -> str:
    if len(text) <= LONG:
        return text
    size = f"{len(text)} characters" if count is None else f"sequence of {count}"
    return f"{size}, CRC-32 {zlib.crc32(text.encode(errors='backslashreplace')):08x}"


def _array(value: Any) -> str | None:
    """Dtype, shape and checksum of an array; else None."""
    if not is_array_api_obj(value):
        return None
    try:
        array = np.ascontiguousarray(to_numpy(value))
    except (TypeError, RuntimeError):  # a dtype that NumPy does not have
        return None
    content = repr(array.tolist()).encode() if array.dtype.hasobject else array.data
    return f"{array.dtype} {array.shape} CRC-32 {zlib.crc32(content):08x}"


def _class_name(cls: type) -> str:
    """Module and qualified name; of ttref's own classes without the module, which may move."""
    module = cls.__module__
    return f"{'ttref' if module.startswith('ttref.') else module}.{cls.__qualname__}"


def _qualified_name(function: Callable[..., Any]) -> str:
    module = getattr(function, "__module__", None)
    if isinstance(function, np.ufunc):
        module = "numpy"
    name = getattr(function, "__qualname__", getattr(function, "__name__", "?"))
    return f"{module}.{name}" if module else str(name)


def code_version(code: types.CodeType, doc: str | None = None) -> str:
    """Python's version, and a checksum of compiled code without its documentation string.

    Comments, names of local variables and the place in the file do not count. Code of another
    version of Python cannot be compared.
    """
    version = f"{sys.implementation.name} {sys.version_info[0]}.{sys.version_info[1]}"
    return f"{version}, CRC-32 {zlib.crc32(_code_text(code, doc).encode()):08x}"


def _code_text(code: types.CodeType, doc: str | None = None) -> str:
    constants = list(code.co_consts)
    if doc is not None and constants and constants[0] == doc:
        constants[0] = None
    return repr((code.co_code, code.co_names, [_constant_text(c) for c in constants]))


def _constant_text(constant: Any) -> str:
    if isinstance(constant, types.CodeType):
        return _code_text(constant)
    if isinstance(constant, frozenset):  # whose order is not the same in another process
        return repr(sorted(map(_constant_text, constant)))
    if isinstance(constant, tuple):
        return repr([_constant_text(part) for part in constant])
    return f"{type(constant).__name__} {constant!r}"
