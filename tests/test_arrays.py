"""Devices and the checks at the public border."""

import sys
from fractions import Fraction
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace

import array_api_compat
import numpy as np
import pytest

from ttref import arrays
from ttref.errors import ConventionError, DeviceError, DtypeError, ShapeError


def fake_cupy(monkeypatch, available):
    """A module cupy with nothing but what is asked of it."""
    cupy = ModuleType("cupy")
    cupy.__spec__ = ModuleSpec("cupy", None)
    cupy.cuda = SimpleNamespace(is_available=lambda: available)
    cupy.ndarray = type("ndarray", (), {"get": lambda self: np.asarray([1, 2])})
    monkeypatch.setitem(sys.modules, "cupy", cupy)
    return cupy


# Devices


def test_there_is_no_gpu_without_cupy(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    assert arrays.gpu_available() is False


@pytest.mark.parametrize("available", [0, 1])
def test_with_cupy_there_is_a_gpu_if_cupy_sees_one(monkeypatch, available):
    fake_cupy(monkeypatch, available)
    assert arrays.gpu_available() is bool(available)


@pytest.mark.parametrize("device", ["cpu", "auto"])
def test_without_a_gpu_cpu_and_auto_are_numpy(monkeypatch, device):
    monkeypatch.setattr(arrays, "gpu_available", lambda: False)
    assert arrays.device_namespace(device) is arrays.numpy_namespace


@pytest.mark.parametrize("device", ["gpu", "auto"])
def test_with_a_gpu_gpu_and_auto_are_its_namespace(monkeypatch, device):
    wrapped = ModuleType("array_api_compat.cupy")
    monkeypatch.setitem(sys.modules, "array_api_compat.cupy", wrapped)
    monkeypatch.setattr(array_api_compat, "cupy", wrapped, raising=False)
    monkeypatch.setattr(arrays, "gpu_available", lambda: True)
    assert arrays.device_namespace(device) is wrapped


def test_the_cpu_is_taken_without_a_look_for_a_gpu(monkeypatch):
    monkeypatch.setattr(arrays, "gpu_available", lambda: pytest.fail("looked for a GPU"))
    assert arrays.device_namespace("cpu") is arrays.numpy_namespace


def test_the_gpu_without_cupy_is_refused_with_the_packages_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", None)
    expected = (
        r"^device 'gpu' was asked for, but CuPy is not installed "
        r"\(pip install 'ttref\[cuda13\]' or 'ttref\[cuda12\]'\); use device 'cpu' or 'auto'$"
    )
    with pytest.raises(DeviceError, match=expected):
        arrays.device_namespace("gpu")


def test_the_gpu_with_cupy_but_no_device_is_refused(monkeypatch):
    fake_cupy(monkeypatch, available=False)
    expected = "^device 'gpu' was asked for, but CuPy finds no CUDA device; use device 'cpu' or 'a"
    with pytest.raises(DeviceError, match=expected):
        arrays.device_namespace("gpu")


def test_another_device_is_refused():
    with pytest.raises(
        ConventionError, match=r"^device is 'tpu', expected one of 'cpu', 'gpu', 'auto'$"
    ):
        arrays.device_namespace("tpu")


@pytest.mark.gpu
@pytest.mark.parametrize("device", ["gpu", "auto"])
def test_with_a_gpu_gpu_and_auto_are_cupy(device):
    if not arrays.gpu_available():
        pytest.skip("no GPU: CuPy and a CUDA device are needed")
    xp = arrays.device_namespace(device)
    assert "cupy" in xp.__name__
    assert arrays.to_numpy(xp.asarray([1, 2])).tolist() == [1, 2]


# Arrays


def test_a_numpy_array_becomes_numpy_without_a_copy():
    x = np.arange(3)
    assert arrays.to_numpy(x) is x


def test_an_array_of_another_library_on_the_cpu_becomes_numpy(backend):
    x = backend.array([[1, 2], [3, 4]])
    y = arrays.to_numpy(x)
    assert isinstance(y, np.ndarray)
    assert y.dtype == ("object" if backend.exact else backend.kind)
    assert y.tolist() == [[1, 2], [3, 4]]


def test_an_array_on_the_gpu_is_fetched_by_its_own_method(monkeypatch):
    cupy = fake_cupy(monkeypatch, available=True)
    assert arrays.to_numpy(cupy.ndarray()).tolist() == [1, 2]


def test_which_arrays_hold_objects_and_which_floats(backend):
    x = backend.array([1])
    assert arrays.holds_objects(x) is backend.exact
    assert arrays.is_floating(x) is not backend.exact


@pytest.mark.parametrize(
    ("dtype", "floating"), [("complex64", True), ("int64", False), ("bool", False), ("u1", False)]
)
def test_complex_numbers_are_floating_and_integers_are_not(dtype, floating):
    assert arrays.is_floating(np.zeros(1, dtype)) is floating


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (np.zeros((2, 3), "float32"), "float32 array of shape (2, 3)"),
        (np.zeros((), object), "object array of shape ()"),
        ([1, 2], "list [1, 2]"),
        (None, "NoneType None"),
        ("x" * 99, "str '" + "x" * 59),
    ],
)
def test_an_array_is_described_by_dtype_and_shape_and_anything_else_by_its_repr(x, words):
    assert arrays.describe(x) == words


def test_arrays_of_every_library_are_described_by_dtype_and_shape(float_backend):
    words = arrays.describe(float_backend.array([[1, 2]]))
    assert words.endswith(f"{float_backend.kind} array of shape (1, 2)")


# Checks


def test_a_choice_among_the_choices_passes_and_another_names_them_all():
    arrays.check_choice("colour", "red", ("red", "blue"))
    with pytest.raises(ConventionError, match=r"^colour is 'pink', expected one of 'red', 'blue'$"):
        arrays.check_choice("colour", "pink", ("red", "blue"))


@pytest.mark.parametrize("expected", [(2, 3), (2, None), (None, None), [2, 3]])
def test_a_shape_that_fits_passes(backend, expected):
    arrays.check_shape("x", backend.array([[0] * 3] * 2), expected)


@pytest.mark.parametrize(
    ("x", "expected", "message"),
    [
        (np.zeros((2, 3)), (3, 2), r"^x has shape \(2, 3\), expected \(3, 2\)$"),
        (np.zeros((2, 3)), (None, 4), r"^x has shape \(2, 3\), expected \(any, 4\)$"),
        (np.zeros(2), (2, None), r"^x has shape \(2,\), expected \(2, any\)$"),
        (np.zeros((2, 1)), (2,), r"^x has shape \(2, 1\), expected \(2,\)$"),
        (np.zeros(()), (None,), r"^x has shape \(\), expected \(any,\)$"),
        ([1, 2], (2,), r"^x is a list \[1, 2\], expected an array of shape \(2,\)$"),
        (None, (None,), r"^x is a NoneType None, expected an array of shape \(any,\)$"),
    ],
)
def test_a_shape_that_does_not_fit_is_named_beside_the_expected_one(x, expected, message):
    with pytest.raises(ShapeError, match=message):
        arrays.check_shape("x", x, expected)


def test_an_array_of_numbers_passes_as_it_is(backend):
    x = backend.array([[1, 2], [3, 4]])
    assert arrays.check_numeric("x", x) is x


@pytest.mark.parametrize("dtype", ["int8", "uint64", "float16", "complex128", "bool"])
def test_every_kind_of_number_passes(dtype):
    x = np.zeros((0, 2), dtype)
    assert arrays.check_numeric("x", x) is x


@pytest.mark.parametrize(
    ("x", "dtype"), [([[1, 2], [3, 4]], "int64"), ((0.5, 1), "float64"), (3, "int64")]
)
def test_lists_and_numbers_become_arrays(x, dtype):
    y = arrays.check_numeric("x", x)
    assert y.dtype == dtype
    assert y.tolist() == np.asarray(x).tolist()


def test_objects_that_multiply_like_numbers_pass():
    class Number:
        __rmul__ = None

    arrays.check_numeric("x", np.asarray([1, 0.5, Fraction(1, 3), 2**200, True, Number()], object))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (["a", "b"], "^x has dtype <U1, expected numbers$"),
        (np.asarray([b"a"]), r"^x has dtype \|S1, expected numbers$"),
        (np.zeros(1, "datetime64[s]"), r"^x has dtype datetime64\[s\], expected numbers$"),
        (None, r"^x holds None at \(\), expected numbers only$"),
        ([[1, 2], [3, None]], r"^x holds None at \(1, 1\), expected numbers only$"),
        (np.asarray([1, "2"], object), r"^x holds '2' at \(1,\), expected numbers only$"),
        (np.asarray([b"2"], object), r"^x holds b'2' at \(0,\), expected numbers only$"),
        ({"a": 1}, r"^x holds \{'a': 1\} at \(\), expected numbers only$"),
        ([[1, 2], [3]], "^x is not a rectangular array of numbers: .*inhomogeneous"),
    ],
)
def test_what_is_not_numbers_is_refused_with_its_place(x, message):
    with pytest.raises(DtypeError, match=message):
        arrays.check_numeric("x", x)


def test_a_nested_list_within_an_object_array_is_refused():
    x = np.empty(1, object)
    x[0] = [1, 2]
    with pytest.raises(DtypeError, match=r"^x holds \[1, 2\] at \(0,\), expected numbers only$"):
        arrays.check_numeric("x", x)
