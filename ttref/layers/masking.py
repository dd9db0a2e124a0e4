"""Which steps of padded sequences are padding."""

import math

from array_api_compat import device

from ttref.arrays import check_numeric, check_shape, namespace
from ttref.checks import check_choice, check_count
from ttref.contracts import Array
from ttref.errors import DataError


def sequence_mask(lengths: Array | list[int], steps: int, padding: str = "pre") -> Array:
    """Mask of sequences of different lengths, padded to `steps` each.

    Parameters
    ----------
    lengths : array or list of int, shape ``(B,)``
    steps : int
        T.
    padding : str
        ``"pre"``: padding comes first (TT_RNN, Keras's pad_sequences); ``"post"``: last.

    Returns
    -------
    array of bool, shape ``(B, T)``
        False where a step is padding: the `mask` of recurrent layers.

    Raises
    ------
    DataError
        If a length is negative or beyond `steps`.

    Examples
    --------
    >>> sequence_mask([1, 3], 3)
    array([[False, False,  True],
           [ True,  True,  True]])
    """
    check_choice("padding", padding, ("pre", "post"))
    check_count("steps", steps)
    lengths = check_numeric("lengths", lengths)
    check_shape("lengths", lengths, (None,))
    xp = namespace(lengths)
    if not xp.isdtype(lengths.dtype, "integral") or xp.any((lengths < 0) | (lengths > steps)):
        raise DataError(f"lengths are {lengths}, expected integers from 0 to steps = {steps}")
    times = xp.arange(steps, device=device(lengths))
    lengths = xp.reshape(xp.astype(lengths, times.dtype), (-1, 1))
    return times < lengths if padding == "post" else times >= steps - lengths


def find_mask(x: Array, value: float) -> Array:
    """Mask of sequences whose padding is filled with `value`, which may be NaN.

    Parameters
    ----------
    x : array, shape ``(B, T, ...)``
    value : float
        A step is padding where all its numbers are `value`.

    Returns
    -------
    array of bool, shape ``(B, T)``
        False where a step is padding.
    """
    differs = x == x if math.isnan(value) else x != value  # a NaN is no number, itself included
    return namespace(x).any(differs, axis=tuple(range(2, x.ndim)))


def clear_padding(x: Array, mask: Array) -> Array:
    """Put zeros in the place of padding: x has shape (B, T, ...), its mask (B, T)."""
    xp = namespace(x)
    return xp.where(xp.reshape(mask, (*mask.shape, *[1] * (x.ndim - 2))), x, xp.zeros_like(x))
