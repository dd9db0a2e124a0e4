"""`TTMatrix`: an N x M matrix held as d canonical cores, checked once, never changed."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ttref.arrays import check_numeric, check_shape, describe, is_number, namespace, to_numpy
from ttref.contracts import Array, Dtype, Modes
from ttref.errors import ConventionError, ShapeError
from ttref.tt import algebra, decompose, equality, numpy_protocol, selection
from ttref.tt.check import as_cores, as_structure
from ttref.tt.full import full


@dataclass(frozen=True, eq=False, repr=False)
class TTMatrix:
    """A matrix in the tensor-train format.

        W[(j_1..j_d), (i_1..i_d)] = G_1[:, j_1, i_1, :] ... G_d[:, j_d, i_d, :]

    Parameters
    ----------
    cores : sequence of d arrays, core k of shape ``(r_{k-1}, n_k, m_k, r_k)``
        Left rank, input mode, output mode, right rank; ``r_0 = r_d = 1``. One dtype; any array
        library, or object arrays of exact numbers. The arrays are shared, not copied.

    Raises
    ------
    ShapeError, RankError, DtypeError
        If the cores do not make a train. That entries are finite is not checked.

    Examples
    --------
    >>> import numpy as np
    >>> W = TTMatrix([np.ones((1, 2, 3, 2)), np.ones((2, 5, 1, 1))])
    >>> W
    TTMatrix((10, 3), in_modes=(2, 5), out_modes=(3, 1), ranks=(1, 2, 1), float64)
    >>> (W + W)[9, 2]
    np.float64(4.0)
    """

    cores: Sequence
    __hash__ = None  # type: ignore[assignment]  # as an array: == compares values

    def __post_init__(self) -> None:
        object.__setattr__(self, "cores", as_cores(self.cores))

    def __repr__(self) -> str:
        return (
            f"TTMatrix({self.shape}, in_modes={self.in_modes}, out_modes={self.out_modes}, "
            f"ranks={self.ranks}, {self.dtype})"
        )

    @property
    def in_modes(self) -> tuple[int, ...]:
        """Row modes ``(n_1, ..., n_d)``."""
        return tuple(c.shape[1] for c in self.cores)

    @property
    def out_modes(self) -> tuple[int, ...]:
        """Column modes ``(m_1, ..., m_d)``."""
        return tuple(c.shape[2] for c in self.cores)

    @property
    def ranks(self) -> tuple[int, ...]:
        """TT-ranks ``(1, r_1, ..., r_{d-1}, 1)``."""
        return (1, *(c.shape[3] for c in self.cores))

    @property
    def shape(self) -> tuple[int, int]:
        """``(N, M)``."""
        return math.prod(self.in_modes), math.prod(self.out_modes)

    @property
    def dtype(self) -> Dtype:
        """The dtype that all cores share."""
        return self.cores[0].dtype

    @property
    def num_params(self) -> int:
        """Numbers stored: ``sum r_{k-1} n_k m_k r_k``."""
        return sum(math.prod(c.shape) for c in self.cores)

    @property
    def compression(self) -> float:
        """Entries of the full matrix per number stored."""
        return math.prod(self.shape) / self.num_params

    @property
    def T(self) -> "TTMatrix":
        """The transpose, M x N (complex entries are not conjugated)."""
        return TTMatrix(algebra.transpose(self.cores))

    def full(self) -> Array:
        """The whole matrix, shape (N, M); a `ShapeError` if it does not fit into the memory."""
        return full(self.cores)

    def __getitem__(self, index: Any) -> Any:
        """Entries, rows or columns, as of a NumPy matrix; see the examples.

        Parameters
        ----------
        index : int, slice, list or array, or a pair of them
            ``W[i, j]``, ``W[i, :]``, ``W[:, j]``, ``W[[0, 2], :]``, ``W[2:4]``; two lists are pairs
            of indices. A tuple of d integers in the place of a row or column is its mode indices.

        Returns
        -------
        number or array
            Dense. Only the wanted rows, or the wanted columns, are computed.

        Raises
        ------
        ShapeError, IndexError
            If the index means nothing, or is outside the matrix.

        Examples
        --------
        >>> import numpy as np
        >>> from ttref import tt
        >>> W = tt.eye([2, 3])
        >>> W[4]
        array([0., 0., 0., 0., 1., 0.])
        >>> W[[0, 5], 4:]
        array([[0., 0.],
               [0., 1.]])
        >>> W[(1, 2), (1, 2)], W[[0, 1], [0, 0]]
        (np.float64(1.0), array([1., 0.]))
        """
        return selection.select(self.cores, index)

    def __eq__(self, other: object) -> bool:
        """Whether both are the same matrix of the same modes, exactly, whatever the cores."""
        if not isinstance(other, TTMatrix):
            return NotImplemented
        if (self.in_modes, self.out_modes) != (other.in_modes, other.out_modes):
            return False
        return equality.are_equal(self.cores, other.cores)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """The whole matrix, for ``np.asarray(W)``; a `ShapeError` if it exceeds the memory."""
        if copy is False:
            raise ConventionError("copy=False is given, but the dense matrix is always a new array")
        return np.asarray(to_numpy(self.full()), dtype=dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **options: Any) -> Any:
        return numpy_protocol.call_ufunc(ufunc, method, inputs, options)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        return numpy_protocol.call_function(function, args, options)

    def __add__(self, other: "TTMatrix") -> "TTMatrix":
        if not isinstance(other, TTMatrix):
            return NotImplemented
        self._check_same_modes("add", other)
        return TTMatrix(algebra.add(self.cores, other.cores))

    def __radd__(self, other: Any) -> "TTMatrix":
        """``0 + W``, with which ``sum`` begins."""
        return self if is_number(other) and np.ndim(other) == 0 and other == 0 else NotImplemented

    def __neg__(self) -> "TTMatrix":
        return self * -1

    def __sub__(self, other: "TTMatrix") -> "TTMatrix":
        return self + -other if isinstance(other, TTMatrix) else NotImplemented

    def __mul__(self, factor: Any) -> "TTMatrix":
        if getattr(factor, "shape", ()) != () or not is_number(factor):
            raise ConventionError("* scales by a number; use @ for the matrix product")
        return TTMatrix(algebra.scale(self.cores, factor))

    __rmul__ = __mul__

    def __truediv__(self, divisor: Any) -> "TTMatrix":
        if getattr(divisor, "shape", ()) != () or not is_number(divisor):
            raise ConventionError("/ divides by a number")
        if divisor == 0:
            raise ConventionError("a TTMatrix is divided by zero; expected another number")
        return TTMatrix(algebra.divide(self.cores, divisor))

    def __matmul__(self, other: Any) -> Any:
        """The product with a `TTMatrix` (ranks multiply), a dense (M, K) array or an (M,) one."""
        if isinstance(other, TTMatrix):
            if self.out_modes != other.in_modes:
                raise ShapeError(
                    f"cannot multiply: out_modes {self.out_modes} of the left factor are not "
                    f"in_modes {other.in_modes} of the right one"
                )
            return TTMatrix(algebra.product(self.cores, other.cores))
        other = check_numeric("right factor", other)
        xp = namespace(other)
        if other.ndim == 1:
            check_shape("right factor", other, (self.shape[1],))
            return algebra.apply(algebra.transpose(self.cores), other[None, :])[0, :]
        check_shape("right factor", other, (self.shape[1], None))
        transposed = algebra.apply(algebra.transpose(self.cores), xp.permute_dims(other, (1, 0)))
        return xp.permute_dims(transposed, (1, 0))

    def __rmatmul__(self, other: Array) -> Array:
        """The product of a dense (B, N) array, or an (N,) one, with this matrix."""
        other = check_numeric("left factor", other)
        if other.ndim == 1:
            check_shape("left factor", other, (self.shape[0],))
            return algebra.apply(self.cores, other[None, :])[0, :]
        check_shape("left factor", other, (None, self.shape[0]))
        return algebra.apply(self.cores, other)

    def inner(self, other: "TTMatrix") -> Any:
        """Frobenius inner product ``sum conj(self) * other``, exact on exact numbers."""
        if not isinstance(other, TTMatrix):
            raise ConventionError(f"inner takes a TTMatrix, got {describe(other)}")
        self._check_same_modes("take the inner product of", other)
        return algebra.inner(self.cores, other.cores)

    def norm(self) -> Any:
        """Frobenius norm (floating point only; ``W.inner(W)`` is its exact square)."""
        return decompose.norm(self.cores)

    def orthogonalize(self, side: str = "left") -> "TTMatrix":
        """The same matrix with all cores but the last (first, for ``"right"``) orthonormal."""
        return TTMatrix(decompose.orthogonalize(self.cores, side))

    def balance(self) -> "TTMatrix":
        """The same matrix with cores of one root mean square, as training by Adam wants them."""
        return TTMatrix(decompose.balance(self.cores))

    def round(
        self, max_rank: int | Sequence[int] | None = None, rel_error: float | None = None
    ) -> "TTMatrix":
        """An approximation of lower ranks: ``||W - W.round(...)|| <= rel_error * ||W||``.

        Bounds as in `from_dense`; without any, ranks only shrink to what the modes allow. Where
        this matrix is a sum whose terms cancel, roundoff of the size of the terms comes on top.
        """
        return TTMatrix(decompose.round_cores(self.cores, max_rank, rel_error))

    def _check_same_modes(self, verb: str, other: "TTMatrix") -> None:
        mine = self.in_modes, self.out_modes
        theirs = other.in_modes, other.out_modes
        if mine != theirs:
            raise ShapeError(f"cannot {verb} TT-matrices of modes {mine} and {theirs}")


def from_dense(
    matrix: Array,
    in_modes: Modes,
    out_modes: Modes,
    max_rank: int | Sequence[int] | None = None,
    rel_error: float | None = None,
) -> TTMatrix:
    """TT-SVD of a dense matrix.

    Parameters
    ----------
    matrix : array, shape ``(n_1 * ... * n_d, m_1 * ... * m_d)``
        Real or complex floating point.
    in_modes, out_modes : sequences of d ints
        Modes in C order, mode 1 slowest.
    max_rank : int or sequence of d - 1 ints, optional
        Bound on the TT-ranks; what is more than possible is clipped.
    rel_error : float, optional
        ``||matrix - W|| <= rel_error * ||matrix||`` in the Frobenius norm, unless `max_rank`
        allows less than that takes. Without either bound the decomposition is complete.

    Returns
    -------
    TTMatrix

    Examples
    --------
    >>> import numpy as np
    >>> from_dense(np.eye(6), [2, 3], [2, 3], rel_error=1e-12).ranks
    (1, 1, 1)
    """
    in_modes, out_modes, _ = as_structure(in_modes, out_modes, 1)
    matrix = check_numeric("matrix", matrix)
    check_shape("matrix", matrix, (math.prod(in_modes), math.prod(out_modes)))
    return TTMatrix(decompose.decompose_matrix(matrix, in_modes, out_modes, max_rank, rel_error))
