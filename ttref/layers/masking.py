"""Which steps of padded sequences are padding."""

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
    times = xp.arange(steps)
    lengths = xp.reshape(lengths, (-1, 1))
    return times < lengths if padding == "post" else times >= steps - lengths
