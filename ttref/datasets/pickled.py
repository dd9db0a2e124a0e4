"""Pickles of plain values and of arrays of bytes, read without Python's unpickler.

A pickle is a program for a small machine with a stack. The official one can be made to call any
function, to fill the memory, to run for ever and to crash. This one knows the instructions that
lists, dicts, texts, integers and arrays of unsigned bytes need. It takes at most one step for each
byte of the file, and a step makes no more than one value, or copies bytes of the file.
"""

import pickle
from collections.abc import Callable
from typing import Any

import numpy as np

from ttref.contracts import Array

MARK = object()
RECONSTRUCT = ("numpy.core.multiarray", "_reconstruct")
NDARRAY = ("numpy", "ndarray")
DTYPE = ("numpy", "dtype")
NAMES = (RECONSTRUCT, NDARRAY, DTYPE)
SHOWN = 80  # characters of a name in a message


class UnknownNameError(Exception):
    """A pickle asks for something that is not read; it was not called."""


class WrongArrayError(Exception):
    """A pickle holds an array of another kind."""


def read_pickle(content: bytes) -> Any:
    """The value in a pickle of protocol 0 to 5, with arrays as `PickledArray`.

    Raises
    ------
    UnknownNameError
        If it names anything but arrays of bytes; it is not called.
    WrongArrayError
        If it holds an array of another dtype or order.
    ValueError
        If it is damaged, or has instructions that such values do not need.
    """
    return _Machine(content).run()


class PickledArray:
    """An array of unsigned bytes in a pickle; it has `values` once its state is read."""

    values: Array

    def set_state(self, state: Any) -> None:
        """Take ``(version, shape, dtype, is_fortran, bytes)``."""
        _, shape, dtype, is_fortran, content = state
        if not isinstance(dtype, _Bytes) or is_fortran:
            raise WrongArrayError("holds an array of another kind than bytes in C order")
        are_sizes = all(type(size) is int and size >= 0 for size in shape)
        if not isinstance(content, bytes) or not are_sizes:
            raise ValueError("an array has no bytes or no shape")
        self.values = np.frombuffer(content, np.uint8).reshape(shape)


class _Bytes:
    """The dtype of unsigned bytes."""

    def set_state(self, state: Any) -> None:
        """Nothing of it matters for bytes."""


class _Machine:
    """Goes through the instructions of a pickle.

    Parameters
    ----------
    content : bytes
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.position = 0
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def run(self) -> Any:
        """The value that the pickle ends with."""
        while True:
            code = self._take(1)
            if code == pickle.STOP:
                return self._pop()
            operation = OPERATIONS.get(code)
            if operation is None:
                raise ValueError(f"instruction {code!r}")
            operation(self)

    # The file

    def _take(self, size: int) -> bytes:
        found = self.content[self.position : self.position + size]
        if len(found) != size:
            raise ValueError("it is cut off")
        self.position += size
        return found

    def _integer(self, size: int, signed: bool = False) -> int:
        return int.from_bytes(self._take(size), "little", signed=signed)

    def _line(self) -> str:
        end = self.content.find(b"\n", self.position)
        if end < 0:
            raise ValueError("it is cut off in a line")
        line = self._take(end + 1 - self.position)
        return line[:-1].decode("ascii", "replace")

    # The stack

    def _pop(self) -> Any:
        if not self.stack or self.stack[-1] is MARK:
            raise ValueError("an instruction has no operand")
        return self.stack.pop()

    def _top(self, kind: type) -> Any:
        if not self.stack or not isinstance(self.stack[-1], kind):
            raise ValueError(f"an instruction needs a {kind.__name__}")
        return self.stack[-1]

    def _pop_to_mark(self) -> list[Any]:
        for start in range(len(self.stack) - 1, -1, -1):
            if self.stack[start] is MARK:
                found = self.stack[start + 1 :]
                del self.stack[start:]
                return found
        raise ValueError("an instruction has no mark")

    # What is put there

    def push_integer(self, size: int, signed: bool = False) -> None:
        self.stack.append(self._integer(size, signed))

    def push_bytes(self, size_of_size: int) -> None:
        self.stack.append(self._take(self._integer(size_of_size)))

    def push_text(self, size_of_size: int) -> None:
        self.stack.append(self._take(self._integer(size_of_size)).decode("utf-8", "replace"))

    def push_tuple(self, count: int) -> None:
        self.stack.append(tuple(reversed([self._pop() for _ in range(count)])))

    def get(self, key: int) -> None:
        if key not in self.memo:
            raise ValueError("it refers to a value that it does not have")
        self.stack.append(self.memo[key])

    def put(self, key: int) -> None:
        self.memo[key] = self._top(object)

    def push_name(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise ValueError("it asks for a name that is no text")
        known = (module, name)
        if known not in NAMES:
            raise UnknownNameError(f"{module}.{name}"[:SHOWN])
        self.stack.append(known)

    # What is done with it

    def append(self, values: list[Any]) -> None:
        self._top(list).extend(values)

    def set_items(self, pairs: list[Any]) -> None:
        keys = pairs[::2]
        if len(pairs) % 2 or not all(isinstance(key, bytes | str | int) for key in keys):
            raise ValueError("a dict has a key of another kind, or none")
        self._top(dict).update(zip(keys, pairs[1::2], strict=True))

    def push_dict(self, pairs: list[Any]) -> None:
        self.stack.append({})
        self.set_items(pairs)

    def call(self) -> None:
        arguments = self._pop()
        name = self._pop()
        if name == RECONSTRUCT and arguments and arguments[0] == NDARRAY:
            self.stack.append(PickledArray())
        elif name == DTYPE and arguments:
            code = arguments[0]
            if not isinstance(code, bytes | str):
                raise ValueError("an array has no dtype")
            if code not in (b"u1", "u1"):
                raise WrongArrayError(f"holds an array of dtype {code!r:.20}, expected bytes")
            self.stack.append(_Bytes())
        else:
            raise ValueError("it calls what cannot be called")

    def build(self) -> None:
        state = self._pop()
        made = self._top(object)
        if not isinstance(made, PickledArray | _Bytes) or not isinstance(state, tuple):
            raise ValueError("it sets the state of what has none")
        made.set_state(state)

    def skip(self, size: int) -> None:
        self._take(size)


# What each instruction does, by its byte.
OPERATIONS: dict[bytes, Callable[[_Machine], None]] = {
    pickle.PROTO: lambda s: s.skip(1),
    pickle.FRAME: lambda s: s.skip(8),
    pickle.MARK: lambda s: s.stack.append(MARK),
    pickle.NONE: lambda s: s.stack.append(None),
    pickle.NEWTRUE: lambda s: s.stack.append(True),
    pickle.NEWFALSE: lambda s: s.stack.append(False),
    pickle.BININT: lambda s: s.push_integer(4, signed=True),
    pickle.BININT1: lambda s: s.push_integer(1),
    pickle.BININT2: lambda s: s.push_integer(2),
    pickle.SHORT_BINSTRING: lambda s: s.push_bytes(1),
    pickle.BINSTRING: lambda s: s.push_bytes(4),
    pickle.SHORT_BINBYTES: lambda s: s.push_bytes(1),
    pickle.BINBYTES: lambda s: s.push_bytes(4),
    pickle.SHORT_BINUNICODE: lambda s: s.push_text(1),
    pickle.BINUNICODE: lambda s: s.push_text(4),
    pickle.EMPTY_TUPLE: lambda s: s.stack.append(()),
    pickle.TUPLE1: lambda s: s.push_tuple(1),
    pickle.TUPLE2: lambda s: s.push_tuple(2),
    pickle.TUPLE3: lambda s: s.push_tuple(3),
    pickle.TUPLE: lambda s: s.stack.append(tuple(s._pop_to_mark())),
    pickle.EMPTY_LIST: lambda s: s.stack.append([]),
    pickle.EMPTY_DICT: lambda s: s.stack.append({}),
    pickle.LIST: lambda s: s.stack.append(s._pop_to_mark()),
    pickle.DICT: lambda s: s.push_dict(s._pop_to_mark()),
    pickle.INT: lambda s: s.stack.append(int(s._line())),
    pickle.UNICODE: lambda s: s.stack.append(s._line()),
    pickle.GET: lambda s: s.get(int(s._line())),
    pickle.PUT: lambda s: s.put(int(s._line())),
    pickle.APPEND: lambda s: s.append([s._pop()]),
    pickle.APPENDS: lambda s: s.append(s._pop_to_mark()),
    pickle.SETITEM: lambda s: s.set_items(list(reversed([s._pop(), s._pop()]))),
    pickle.SETITEMS: lambda s: s.set_items(s._pop_to_mark()),
    pickle.BINGET: lambda s: s.get(s._integer(1)),
    pickle.LONG_BINGET: lambda s: s.get(s._integer(4)),
    pickle.BINPUT: lambda s: s.put(s._integer(1)),
    pickle.LONG_BINPUT: lambda s: s.put(s._integer(4)),
    pickle.MEMOIZE: lambda s: s.put(len(s.memo)),
    pickle.GLOBAL: lambda s: s.push_name(s._line(), s._line()),
    pickle.INST: lambda s: s.push_name(s._line(), s._line()),
    pickle.STACK_GLOBAL: lambda s: s.push_name(*reversed([s._pop(), s._pop()])),
    pickle.REDUCE: lambda s: s.call(),
    pickle.BUILD: lambda s: s.build(),
}
