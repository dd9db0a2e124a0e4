"""NumPy arrays of numbers of 400 bits, on which the functions of the corpus run unchanged.

NumPy's functions, and SciPy's special ones, hand these arrays to the tables below. What an array is
asked for that would round it to a float raises instead.
"""

from contextlib import contextmanager

import flint
import numpy as np
from flint import acb, acb_mat, arb, arb_mat
from scipy import special

BITS = 400


@contextmanager
def precision(bits=BITS):
    before = flint.ctx.prec
    flint.ctx.prec = bits
    try:
        yield
    finally:
        flint.ctx.prec = before


def number(x):
    """A number of 400 bits, exactly, or rounded to 400 bits."""
    if type(x) is arb:
        return x.mid()
    if type(x) is acb:
        return acb(x.real.mid(), x.imag.mid())
    if isinstance(x, complex | np.complexfloating):
        return acb(arb(float(x.real)), arb(float(x.imag)))
    if isinstance(x, bool | np.bool | int | np.integer):
        return arb(int(x))
    if isinstance(x, np.ndarray) and x.ndim == 0:
        return number(x[()] if not isinstance(x, Precise) else x.view(np.ndarray)[()])
    return arb(float(x))


numbers = np.frompyfunc(number, 1, 1)


def lift(x):
    """A precise array of the numbers of any array."""
    plain = x.view(np.ndarray) if isinstance(x, np.ndarray) else np.asarray(x)
    found = np.empty(plain.shape, object)
    found[...] = numbers(plain)
    return found.view(Precise)


def wrap(result):
    if isinstance(result, arb | acb):
        return lift(np.asarray(result, dtype=object))
    if isinstance(result, tuple | list):
        return (
            type(result)(*map(wrap, result))
            if hasattr(result, "_fields")
            else tuple(map(wrap, result))
        )
    if isinstance(result, np.ndarray):
        return lift(result) if result.dtype == object else result.view(np.ndarray)
    return result


def unwrap(x):
    if isinstance(x, Precise):
        return x.view(np.ndarray)
    if isinstance(x, bool | np.bool | int | float | complex | np.number):
        return number(x)
    if isinstance(x, np.ndarray) and x.dtype != object:
        return lift(x).view(np.ndarray)
    return x


class Precise(np.ndarray):
    def __array_ufunc__(self, ufunc, method, *inputs, out=None, dtype=None, **options):
        if method == "at":
            raise NotImplementedError("ufunc.at, see `ARRAY_FUNCTIONS` of this module")
        call = UFUNCS.get(ufunc, ufunc) if method == "__call__" else getattr(ufunc, method)
        if method in ("reduceat",):
            inputs = (unwrap(inputs[0]), *inputs[1:])
        else:
            inputs = [unwrap(x) for x in inputs]
        result = wrap(call(*inputs, **options))
        if out is not None:
            out[0][...] = result
            return out[0]
        return result

    def __array_function__(self, function, types, args, options):
        options = {k: v for k, v in options.items() if k != "dtype"}
        if function in ARRAY_FUNCTIONS:
            return wrap(ARRAY_FUNCTIONS[function](*args, **options))
        return wrap(super().__array_function__(function, types, args, options))

    def __getitem__(self, key):
        return wrap(self.view(np.ndarray)[key])

    def __setitem__(self, key, value):
        plain = unwrap(value)
        if isinstance(plain, np.ndarray) and plain.ndim == 0:
            plain = plain[()]
        self.view(np.ndarray)[key] = plain

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __float__(self):
        raise TypeError("a precise number would be rounded to a float")

    def __int__(self):
        return int(self.view(np.ndarray)[()].unique_fmpz())

    def astype(self, dtype, *args, **options):
        """Integers for an integer type; the same numbers for a type of floats."""
        if np.dtype(dtype).kind in "iu":
            return np.frompyfunc(lambda v: int(v.floor().unique_fmpz()), 1, 1)(
                self.view(np.ndarray)
            ).astype(dtype)
        return self.copy()

    @property
    def real(self):
        return wrap(np.frompyfunc(lambda v: v.real, 1, 1)(self.view(np.ndarray)))

    @property
    def imag(self):
        return wrap(np.frompyfunc(lambda v: v.imag, 1, 1)(self.view(np.ndarray)))

    def argsort(self, *args, **options):
        return self.view(np.ndarray).argsort(*args, **options)

    def argmax(self, *args, **options):
        return self.view(np.ndarray).argmax(*args, **options)

    def argmin(self, *args, **options):
        return self.view(np.ndarray).argmin(*args, **options)


def _elementwise(call, arguments=1, results=1):
    made = np.frompyfunc(lambda *values: call(*map(number, values)), arguments, results)
    return lambda *inputs, **options: made(*inputs)


def _sign(x):
    return arb((x > 0) - (x < 0))


def _rint(x):
    low = x.floor().mid()
    rest = x - low
    if rest != 0.5:
        return low + (rest > 0.5)
    return 2 * (x / 2 + arb(0.25)).floor()


def _ndtr(x):
    return (-x / arb(2).sqrt()).erfc() / 2


def _power(x, y):
    return x**y


UFUNCS = {
    **{
        getattr(np, name): _elementwise(getattr(arb, name))
        for name in ("exp", "log", "log1p", "expm1", "sqrt", "floor", "ceil")
    },
    **{
        getattr(np, name): _elementwise(lambda x, name=name: getattr(x, name)())
        for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "exp", "log", "sqrt")
    },
    **{
        getattr(np, "arc" + name): _elementwise(getattr(arb, "a" + name))
        for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh")
    },
    np.log2: _elementwise(lambda x: x.log() / arb(2).log()),
    np.log10: _elementwise(lambda x: x.log() / arb(10).log()),
    np.exp2: _elementwise(lambda x: arb(2) ** x),
    np.cbrt: _elementwise(lambda x: _sign(x) * abs(x).root(3)),
    np.absolute: _elementwise(abs),
    np.fabs: _elementwise(abs),
    np.sign: _elementwise(_sign),
    np.rint: _elementwise(_rint),
    np.trunc: _elementwise(lambda x: _sign(x) * abs(x).floor()),
    np.remainder: _elementwise(lambda x, y: x - y * (x / y).floor(), 2),
    np.hypot: _elementwise(lambda x, y: (x * x + y * y).sqrt(), 2),
    np.arctan2: _elementwise(lambda y, x: arb.atan2(y, x), 2),
    np.logaddexp: _elementwise(lambda x, y: x.max(y) + (-abs(x - y)).exp().log1p(), 2),
    np.power: _elementwise(_power, 2),
    np.reciprocal: _elementwise(lambda x: 1 / x),
    np.conjugate: _elementwise(lambda x: x.conjugate() if type(x) is acb else x),
    np.isfinite: lambda x: np.frompyfunc(lambda v: v.is_finite(), 1, 1)(x).astype(bool),
    special.expit: _elementwise(lambda x: 1 / (1 + (-x).exp())),
    special.logit: _elementwise(lambda x: (x / (1 - x)).log()),
    special.ndtr: _elementwise(_ndtr),
    special.log_ndtr: _elementwise(lambda x: _ndtr(x).log()),
    special.erf: _elementwise(arb.erf),
    special.erfc: _elementwise(arb.erfc),
    special.gammaln: _elementwise(arb.lgamma),
    special.digamma: _elementwise(arb.digamma),
    special.erfinv: _elementwise(arb.erfinv),
    special.ndtri: _elementwise(lambda p: -arb(2).sqrt() * (2 * p).erfcinv()),
    special.j0: _elementwise(lambda x: x.bessel_j(0)),
    special.j1: _elementwise(lambda x: x.bessel_j(1)),
    special.i0: _elementwise(lambda x: x.bessel_i(0)),
    special.i1: _elementwise(lambda x: x.bessel_i(1)),
    special.exp1: _elementwise(lambda x: x.expint(1)),
    special.dawsn: _elementwise(lambda x: arb.pi().sqrt() / 2 * (-x * x).exp() * x.erfi()),
    special._ufuncs._lambertw: _elementwise(lambda x, k, tolerance: x.lambertw(), 3),
    special._ufuncs._zeta: _elementwise(arb.zeta, 2),
    special.gammainc: _elementwise(lambda a, x: x.gamma_lower(a, regularized=1), 2),
    special.entr: _elementwise(lambda p: -p * p.log()),
    special.spence: _elementwise(lambda x: (1 - x).polylog(2)),
}


def _einsum(subscripts, *operands):
    return np.einsum(subscripts, *[unwrap(x) for x in operands], optimize=False)


def _norm(x, axis=None, keepdims=False):
    return np.sqrt(np.sum(x * x, axis=axis, keepdims=keepdims))


def _matrix(a):
    return arb_mat([[number(v) for v in row] for row in a.view(np.ndarray)])


def _array(matrix):
    return np.array(matrix.tolist(), dtype=object)


def _solve(a, b):
    columns = lift(b).view(np.ndarray).reshape(len(b), -1)
    x = _array(_matrix(lift(a)).solve(arb_mat([list(row) for row in columns])))
    return x.reshape(np.shape(b))


def _inv(a):
    return _array(_matrix(a).inv())


def _det(a):
    return _matrix(a).det()


def _slogdet(a):
    found = _det(a)
    return _sign(found), abs(found).log()


def _cholesky(a):
    n = len(a)
    a = a.view(np.ndarray)
    factor = np.full((n, n), arb(0), object)
    for i in range(n):
        for j in range(i + 1):
            rest = a[i, j] - sum((factor[i, k] * factor[j, k] for k in range(j)), arb(0))
            factor[i, j] = rest.sqrt().mid() if i == j else (rest / factor[j, j]).mid()
    return factor


def _eigh(a):
    """Eigenvalues in ascending order and unit eigenvectors, whose signs are arbitrary."""
    n = len(a)
    values, right = acb_mat(_matrix(a)).eig(right=True)
    order = sorted(range(n), key=lambda k: float(values[k].real))
    vectors = np.array([[right[i, k].real for k in order] for i in range(n)], dtype=object)
    lengths = [sum(v * v for v in vectors[:, k]).sqrt() for k in range(n)]
    return np.array([values[k].real for k in order], dtype=object), vectors / lengths


def _svd(a, compute_uv):
    assert not compute_uv
    return np.sqrt(lift(_eigh(a.T @ a)[0]))[::-1]


def _dft(x, sign, frequencies=None):
    """``sum(x_j exp(sign 2 pi i j k / n))`` along the last axis."""
    n = x.shape[-1]
    roots = [acb(0, sign * 2 * k * arb.pi() / n).exp() for k in range(n)]
    powers = np.outer(np.arange(n), np.arange(frequencies or n)) % n
    return wrap(x.view(np.ndarray) @ np.array(roots, dtype=object)[powers])


def _irfft(z, n):
    rest = np.conj(z[..., 1 : n - z.shape[-1] + 1])[..., ::-1]
    return (_dft(np.concatenate([z, rest], axis=-1), 1) / n).real


ARRAY_FUNCTIONS = {
    np.linalg.norm: _norm,
    np.linalg.solve: _solve,
    np.linalg.inv: _inv,
    np.linalg.det: _det,
    np.linalg.slogdet: _slogdet,
    np.linalg.cholesky: _cholesky,
    np.linalg.eigh: _eigh,
    np.linalg.eigvalsh: lambda a: _eigh(a)[0],
    np.linalg.svd: _svd,
    np.fft.fft: lambda x: _dft(x, -1),
    np.fft.ifft: lambda x: _dft(x, 1) / x.shape[-1],
    np.fft.rfft: lambda x: _dft(x, -1, x.shape[-1] // 2 + 1),
    np.fft.irfft: _irfft,
    np.real: lambda x: x.real,
    np.imag: lambda x: x.imag,
    np.einsum: _einsum,
    np.empty_like: lambda x, **options: lift(np.zeros(x.shape)),
}
