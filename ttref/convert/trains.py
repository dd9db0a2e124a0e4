"""Tensor trains from and to the layouts of other systems."""

from typing import Any

from ttref.checks import check_choice
from ttref.contracts import Array, Cores, Modes, Ranks
from ttref.convert.layout import Given
from ttref.convert.systems import SYSTEMS
from ttref.errors import ConventionError, ShapeError
from ttref.tt.check import Structure, as_cores


def to_canonical(
    system: str,
    stored: Any,
    in_modes: Modes | None = None,
    out_modes: Modes | None = None,
    ranks: Ranks | None = None,
) -> tuple[Array, ...]:
    """Turn a TT-matrix of another system into canonical cores.

    Parameters
    ----------
    system : str
        A name in `SYSTEMS`, which says how each stores a train.
    stored : sequence of arrays, array, or dict
        As the system stores it.
    in_modes, out_modes : sequences of d ints, optional
        In the order of the system. Needed where cores are merged into matrices or a vector;
        elsewhere what is stored is compared with them.
    ranks : int or sequence of d + 1 ints, optional
        In the order of the system (2d + 1 of a train over all 2d modes). Needed where all cores are
        one vector.

    Returns
    -------
    tuple of arrays
        Core k of shape ``(r_{k-1}, n_k, m_k, r_k)``: its matrix W is the N x M matrix that the
        system applies to rows, ``y = x W``. The arrays may be views of those stored. In MATLAB the
        first mode is the fastest, so the canonical train has its cores in reversed order.

    Raises
    ------
    ConventionError
        If there is no such system, or modes or ranks are missing.
    ShapeError, RankError, DtypeError
        If what is stored is no train, or not one of these modes and ranks.

    Examples
    --------
    >>> import numpy as np
    >>> kernel = np.arange(2 * 3 * 4 + 5 * 4 * 2)  # of TT_RNN: a vector, the last core first
    >>> cores = to_canonical("tt_rnn", kernel, in_modes=[2, 5], out_modes=[3, 2], ranks=4)
    >>> [core.shape for core in cores]
    [(1, 2, 3, 4), (4, 5, 2, 1)]
    >>> bool((from_canonical("tt_rnn", cores) == kernel).all())
    True
    """
    check_choice("system", system, SYSTEMS)
    layout = SYSTEMS[system]
    given = layout.as_given(in_modes, out_modes, ranks)
    cores = as_cores(layout.read(stored, given))
    _check_structure(layout.structure(cores), given)
    return cores


def _check_structure(found: Structure, given: Given) -> None:
    """Raise unless what is stored has the modes and ranks that the caller gave."""
    for name, value in given._asdict().items():
        if value is not None and value != getattr(found, name):
            raise ShapeError(f"stored is a train of {name} {getattr(found, name)}, not {value}")


def from_canonical(system: str, cores: Cores) -> Any:
    """Turn canonical cores into what another system stores.

    Parameters
    ----------
    system : str
        A name in `SYSTEMS`, which says how each stores a train.
    cores : sequence of arrays, or TTMatrix
        Core k of shape ``(r_{k-1}, n_k, m_k, r_k)``.

    Returns
    -------
    list of arrays, array, or dict
        As the system stores it. The arrays may be views of the cores, and need not be contiguous.
        Modes and ranks are stored by MATLAB only; who reads the others has to know them.

    Raises
    ------
    ConventionError
        If there is no such system, or it cannot hold a train of these modes.
    ShapeError, RankError, DtypeError
        If `cores` are no train.

    Examples
    --------
    >>> from ttref import tt
    >>> W = tt.random([2, 5], [3, 2], 4, rng=0)
    >>> [core.shape for core in from_canonical("tltorch", W)]  # output mode before input mode
    [(1, 3, 2, 4), (4, 2, 5, 1)]
    >>> [core.shape for core in from_canonical("tensornet-tf", W)]  # matrices
    [(12, 2), (2, 20)]
    """
    check_choice("system", system, SYSTEMS)
    layout = SYSTEMS[system]
    arrays = as_cores(getattr(cores, "cores", cores))
    reason = layout.refuse(layout.structure(arrays))
    if reason:
        raise ConventionError(f"{system} cannot hold {reason}")
    return layout.write(arrays)
