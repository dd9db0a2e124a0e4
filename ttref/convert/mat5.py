"""Files of MATLAB of versions 5 to 7: elements one after the other, an array each.

An element is a tag, its type and its number of bytes, and its content, filled up to a multiple of 8
bytes; up to 4 bytes fit into the tag. An array is an element of elements: flags with its class,
sizes, name, numbers in Fortran order (in any type that holds them), and an imaginary part. A struct
has the names of its fields, and an array for each. An element may be compressed by zlib.
(MathWorks, "MAT-File Format", level 5.)

Nothing that is read is larger than the file, or for a compressed element than what zlib can have
made of its bytes, whatever the file states.
"""

import math
import struct
import zlib
from typing import NamedTuple, TypeAlias

import numpy as np

from ttref.contracts import Array
from ttref.memory import check_memory

HEADER = 128  # bytes, of which the last two are the order of bytes
ORDERS = {b"IM": "<", b"MI": ">"}
TAG = 8  # bytes
MATRIX = 14
COMPRESSED = 15
NUMBERS = {
    1: "i1",
    2: "u1",
    3: "i2",
    4: "u2",
    5: "i4",
    6: "u4",
    7: "f4",
    9: "f8",
    12: "i8",
    13: "u8",
}
CLASSES = {
    6: "f8",
    7: "f4",
    8: "i1",
    9: "u1",
    10: "i2",
    11: "u2",
    12: "i4",
    13: "u4",
    14: "i8",
    15: "u8",
}
STRUCT = 2
OBJECT = 3  # a struct with the name of its class
IS_COMPLEX = 0x800
IS_LOGICAL = 0x200
MOST_AXES = 32
MOST_DEPTH = 8  # of structs in structs
MOST_INFLATED = 1032  # how many times larger than its bytes what zlib has compressed can be

Found: TypeAlias = dict[str, Array]


class Element(NamedTuple):
    """The type and the content of an element."""

    kind: int
    content: memoryview


class Elements:
    """The elements in some bytes, one after the other."""

    def __init__(self, content: memoryview, order: str) -> None:
        self.content = content
        self.order = order
        self.position = 0

    def __bool__(self) -> bool:
        """Whether there is another one."""
        return self.position < len(self.content)

    def next(self) -> Element:
        """Read the next element."""
        start = self.position + TAG
        if start > len(self.content):
            raise ValueError("it is cut off in the tag of an element")
        kind, size = struct.unpack_from(f"{self.order}II", self.content, self.position)
        if kind >> 16:  # the content is in the tag
            size = kind >> 16
            if size > TAG // 2:
                raise ValueError(f"an element of {size} bytes is in its tag")
            self.position = start
            return Element(kind & 0xFFFF, self.content[start - TAG // 2 :][:size])
        if start + size > len(self.content):
            rest = len(self.content) - start
            raise ValueError(f"an element states {size} bytes, of which there are {rest}")
        filled = size if kind == COMPRESSED else -(-size // TAG) * TAG
        self.position = start + filled
        return Element(kind, self.content[start : start + size])

    def numbers(self) -> Array:
        """Read the next element as a vector of numbers."""
        kind, content = self.next()
        if kind not in NUMBERS:
            raise ValueError(f"an element has type {kind}, expected numbers")
        return _vector(content, np.dtype(self.order + NUMBERS[kind]))

    def text(self) -> str:
        """Read the next element as a text of bytes."""
        return bytes(self.next().content).decode("latin-1")


def _vector(content: memoryview, dtype: np.dtype) -> Array:
    if len(content) % dtype.itemsize:
        raise ValueError(f"an element has {len(content)} bytes, no multiple of {dtype.itemsize}")
    return np.frombuffer(content, dtype)


def read_mat5(content: bytes) -> Found:
    """Read the numeric arrays in a file, and those in structs by names with dots.

    Raises
    ------
    ValueError
        Says what is wrong with the file.
    """
    order = ORDERS.get(content[HEADER - 2 : HEADER])
    if order is None:
        raise ValueError("it has no header of MATLAB's version 5")
    found: Found = {}
    elements = Elements(memoryview(content)[HEADER:], order)
    while elements:
        kind, inner = elements.next()
        if kind == COMPRESSED:
            kind, inner = Elements(_inflate(inner, order), order).next()
        if kind == MATRIX and len(inner):
            _read_array(Elements(inner, order), "", found, MOST_DEPTH)
    return found


def _inflate(content: memoryview, order: str) -> memoryview:
    """The element that is compressed."""
    try:
        unpacker = zlib.decompressobj()
        tag = unpacker.decompress(content, TAG)
        if len(tag) < TAG:
            raise ValueError("a compressed element is cut off")
        _, size = struct.unpack(f"{order}II", tag)
        if size > MOST_INFLATED * len(content):
            raise ValueError(f"a compressed element of {len(content)} bytes states {size}")
        check_memory("a compressed element", size, itemsize=1)
        rest = unpacker.decompress(unpacker.unconsumed_tail, size) if size else b""
        return memoryview(tag + rest)
    except zlib.error as error:
        raise ValueError(f"a compressed element is damaged ({error})") from None


def _read_array(elements: Elements, name: str, found: Found, depth: int) -> None:
    """Add an array, or those in a struct, to `found`; `name` is that of a field, else its own."""
    # What it is.
    flags = elements.numbers()
    sizes = [int(size) for size in elements.numbers()]
    own_name = elements.text()
    name = name or own_name
    if len(flags) < 1 or not 2 <= len(sizes) <= MOST_AXES or min(sizes) < 0:
        raise ValueError(f"the array {name[:60]} states sizes {sizes[:MOST_AXES]}")
    kind = int(flags[0]) & 0xFF

    # Its numbers, or its fields. Texts, cells, others and what has no name are left out.
    if kind in CLASSES and name:
        if name in found:
            raise ValueError(f"it has two arrays {name[:60]}")
        found[name] = _read_numbers(elements, int(flags[0]), kind, sizes)
    elif kind in (STRUCT, OBJECT) and name and math.prod(sizes) == 1 and depth:
        if kind == OBJECT:
            elements.text()
        _read_fields(elements, name, found, depth)


def _read_numbers(elements: Elements, flags: int, kind: int, sizes: list[int]) -> Array:
    """The numbers of an array, in the dtype of its class."""
    dtype = np.dtype(CLASSES[kind])
    parts = [elements.numbers() for _ in range(2 if flags & IS_COMPLEX else 1)]
    for part in parts:
        if len(part) != math.prod(sizes):
            raise ValueError(f"an array of sizes {sizes} has {len(part)} numbers")
        if not np.can_cast(part.dtype, dtype, "same_kind"):
            raise ValueError(f"an array of {dtype} has numbers of {part.dtype}")
    values = parts[0].astype(dtype)
    if len(parts) == 2:
        values = _complex(values, parts[1].astype(dtype))
    if flags & IS_LOGICAL:
        values = values.astype(bool)
    return values.reshape(sizes, order="F")


def _complex(real: Array, imaginary: Array) -> Array:
    """Complex numbers of these parts, which may be infinite."""
    values = np.empty(len(real), np.result_type(real.dtype, np.complex64))
    values.real = real
    values.imag = imaginary
    return values


def _read_fields(elements: Elements, name: str, found: Found, depth: int) -> None:
    """Add the arrays of the fields of a struct of one element."""
    lengths = elements.numbers()
    names = elements.text()
    length = int(lengths[0]) if len(lengths) == 1 else 0
    if length < 1 or len(names) % length:
        raise ValueError(f"the struct {name[:60]} has names of fields of {len(names)} bytes")
    for start in range(0, len(names), length):
        field = names[start : start + length].partition("\0")[0]
        kind, inner = elements.next()
        if kind == MATRIX and len(inner):
            _read_array(Elements(inner, elements.order), f"{name}.{field}", found, depth - 1)
