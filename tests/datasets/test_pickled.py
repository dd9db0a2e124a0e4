"""Pickles without the unpickler: values of every protocol, and files that break Python's own."""

import pickle
import struct
import time

import pytest

from ttref.datasets.pickled import UnknownNameError, WrongArrayError, read_pickle

VALUES = [
    *(
        None,
        True,
        [],
        {},
        (),
        [1, 255, 65535, -1, 2**31 - 1],
        ["text", "Ärger"],
        {"a": [1, (2, 3)]},
    ),
    {b"data": [0] * 3000, "b": (1, 2, 3, 4), 3: {}},
]


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_plain_values_are_read_as_python_reads_them(value, protocol):
    assert read_pickle(pickle.dumps(value, protocol)) == value


def test_a_value_that_is_there_twice_is_one():
    inner = [1]
    first, second = read_pickle(pickle.dumps([inner, inner], 2))
    assert first is second


ATTACKS = {
    "memo of 2^32 entries": b"Nr\xff\xff\xff\xff.",
    "a size of 2^31": b"T\xff\xff\xff\x7f.",
    "lists in lists": b"]" * 10**5 + b"a" * (10**5 - 1) + b".",
    "tuples in tuples": b")" + b"\x85" * 10**5 + b".",
    "tuples doubled": b")" + b"q\x00h\x00\x86" * 1000 + b".",
    "a key that takes for ever": b"}" + b")" + b"q\x00h\x00\x86" * 60 + b"Ns.",
    "marks": b"(" * 10**5 + b"t" * 10**5 + b".",
    "an integer of a million digits": b"I" + b"9" * 10**5 + b"\n.",
    "cut": b"]",
    "nothing": b"",
    "no operand": b"a.",
    "no mark": b"t.",
    "a list that holds itself": b"]q\x00h\x00a.",
    "a state for a list": b"]Nb.",
    "a name of nested tuples": b")" + b"\x85" * 10**4 + b"N\x93.",
    "a dtype of nested tuples": b"cnumpy\ndtype\n)" + b"\x85" * 10**4 + b"\x85R.",
    "an extension": b"\x82\x01.",
    "a persistent id": b"NQ.",
    "an object": b"cnumpy\nndarray\n)\x81.",
    "a text that is called": b"U\x05numpyU\x07ndarray\x86)R.",
    "an array of nothing": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\ntRNb.",
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_pickle_that_breaks_others_is_read_or_refused_at_once(name):
    start = time.process_time()
    try:
        read_pickle(ATTACKS[name])
    except (ValueError, UnknownNameError):
        pass
    assert time.process_time() - start < 20  # some of these take hours, or the interpreter, else


def test_names_are_shown_and_not_called():
    with pytest.raises(UnknownNameError, match=r"^os\.system$"):
        read_pickle(b"cos\nsystem\n(U\x04truetR.")
    with pytest.raises(UnknownNameError) as caught:
        read_pickle(b"c" + b"x" * 10**5 + b"\ny\n.")
    assert len(str(caught.value)) < 100


def test_an_array_that_states_another_shape_or_dtype_is_refused():
    def array(shape, content, code=b"u1"):
        sizes = b"".join(b"J" + struct.pack("<i", size) for size in shape)
        return (
            b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
            b"(K\x01(" + sizes + b"tcnumpy\ndtype\n(U\x02" + code + b"tR(Ntb\x89"
            b"U" + bytes([len(content)]) + content + b"tb."
        )

    assert read_pickle(array((2, 3), b"abcdef")).values.tolist() == [[97, 98, 99], [100, 101, 102]]
    for shape in ((2, 4), (2**31 - 1,) * 3, (-5, 2), (0,)):
        with pytest.raises(ValueError):  # NumPy's words, which the loader puts into a sentence
            read_pickle(array(shape, b"abcdef"))
    with pytest.raises(WrongArrayError, match="dtype b'O8'"):
        read_pickle(array((1,), b"a", b"O8"))
