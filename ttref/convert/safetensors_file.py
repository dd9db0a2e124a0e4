"""Files of safetensors: a header in JSON, and the numbers of all arrays one after the other.

The first 8 bytes are the length of the header, little endian. The header has for each array its
dtype, its shape and where its bytes begin and end behind the header; ``__metadata__`` is text. The
bytes are in C order and cover the file without gaps. (https://huggingface.co/docs/safetensors)
"""

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from ttref.errors import DataError, visible

LENGTH = 8  # bytes
LONGEST_HEADER = 2**25  # bytes; Python's objects of it take several times as many
DTYPES = {
    **{"BOOL": "?", "U8": "u1", "I8": "i1", "U16": "<u2", "I16": "<i2", "U32": "<u4"},
    **{"I32": "<i4", "U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8"},
    **{"C64": "<c8"},
}
NAMES = {np.dtype(dtype): name for name, dtype in DTYPES.items()}
METADATA = "__metadata__"
SHOWN = 200  # characters of what is wrong


def read_safetensors(path: Path) -> dict[str, np.ndarray]:
    """Read the arrays of a file.

    Raises
    ------
    DataError
        If it is damaged, or has numbers that NumPy does not have, such as bfloat16.
    """
    content = path.read_bytes()
    try:
        header, start = _read_header(content)
        found = {}
        position = start
        in_order = sorted(header.items(), key=_first_byte)
        for name, about in in_order:
            array, position = _read_array(name, about, content, start, position)
            found[name] = array
        if position != len(content):
            raise ValueError(f"it has {len(content) - position} bytes that belong to no array")
        return {name: found[name] for name in header}
    except (ArithmeticError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is not a file of safetensors that can be read: {visible(error, SHOWN)}"
        ) from None
    except RecursionError:
        raise DataError(f"{path} is not a file of safetensors: its header is nested") from None


def _first_byte(item: tuple[str, Any]) -> int:
    return int(item[1]["data_offsets"][0])


def _read_header(content: bytes) -> tuple[dict[str, Any], int]:
    """The header without the metadata, and where the numbers begin."""
    length = int.from_bytes(content[:LENGTH], "little")
    start = LENGTH + length
    if len(content) < start or length > LONGEST_HEADER:
        raise ValueError(f"it states a header of {length} bytes, and has {len(content)}")
    header = json.loads(content[LENGTH:start].decode())
    if not isinstance(header, dict):
        raise ValueError("its header is no dict")
    header.pop(METADATA, None)
    return header, start


def _read_array(
    name: str, about: Any, content: bytes, start: int, position: int
) -> tuple[np.ndarray, int]:
    """An array, and where it ends; it has to begin at `position`."""
    if about["dtype"] not in DTYPES:
        raise ValueError(f"{name} has dtype {about['dtype']}, which NumPy does not have")
    dtype = np.dtype(DTYPES[about["dtype"]])
    shape = [int(size) for size in about["shape"]]
    begin, end = about["data_offsets"]
    if start + begin != position or min(shape, default=0) < 0:
        raise ValueError(f"{name} has shape {shape} and begins at {begin}, not behind the last one")
    if end - begin != math.prod(shape) * dtype.itemsize or start + end > len(content):
        raise ValueError(f"{name} has {end - begin} bytes, which is not its shape {shape}")
    values = np.frombuffer(content, dtype, math.prod(shape), start + begin)
    return values.reshape(shape).copy(), start + end


def write_safetensors(file: BinaryIO, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays, each in C order, to an open file.

    Raises
    ------
    DataError
        If an array has a dtype that safetensors does not have.
    """
    header: dict[str, Any] = {}
    parts = []
    position = 0
    for name, array in arrays.items():
        dtype = array.dtype.newbyteorder("<")
        if dtype not in NAMES or name == METADATA:
            raise DataError(f"{name} of dtype {array.dtype} cannot be written to safetensors")
        part = np.ascontiguousarray(array, dtype).tobytes()
        end = position + len(part)
        offsets = [position, end]
        header[name] = {"dtype": NAMES[dtype], "shape": list(array.shape), "data_offsets": offsets}
        parts.append(part)
        position = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % LENGTH)  # the numbers begin at a multiple of 8
    file.write(len(text).to_bytes(LENGTH, "little") + text)
    for part in parts:
        file.write(part)
