"""The systems whose trains are converted: one layout each."""

from ttref.convert.axes import four_axes
from ttref.convert.ends import open_ends
from ttref.convert.fortran import matlab_vector
from ttref.convert.halves import all_modes
from ttref.convert.layout import Layout
from ttref.convert.matrices import merged_axes
from ttref.convert.vectors import one_vector
from ttref.tt.check import Structure


def _refuse_one_core(structure: Structure) -> str:
    return "a train of one core" if len(structure.in_modes) < 2 else ""


def _refuse_unequal(structure: Structure) -> str:
    """The reason why tn_keras cannot hold a train: it has one size for all cores."""
    if len(structure.in_modes) < 3:
        return "a train of fewer than three cores"
    sizes = structure.in_modes, structure.out_modes, structure.ranks[1:-1]
    return "modes or ranks that differ between cores" if any(len(set(s)) > 1 for s in sizes) else ""


def _refuse_all_but_2_to_4(structure: Structure) -> str:
    return (
        "" if 2 <= len(structure.in_modes) <= 4 else "a train of fewer than 2 or more than 4 cores"
    )


_ALL_MODES = "a list of 2d cores (left rank, mode, right rank), the input modes first; x W + b"

SYSTEMS: dict[str, Layout] = {
    "canonical": four_axes(
        "ajib", "ttref: a list of cores (left rank, input mode, output mode, right rank); x W + b"
    ),
    "t3f": four_axes(
        "ajib", "a list of cores (left rank, input mode, output mode, right rank); x W + b"
    ),
    "t3nsor": four_axes(
        "ajib",
        "the cores of a TT-matrix or a TTEmbedding: (left rank, input mode, output mode, right "
        "rank); rows of W",
    ),
    "t3nsor-transposed": four_axes(
        "aijb",
        "the cores of TTLinear's weight_t, the transposed matrix: (left rank, output mode, input "
        "mode, right rank); x W + b",
    ),
    "torchtt": four_axes(
        "aijb", "a list of cores (left rank, output mode, input mode, right rank); x W + b"
    ),
    "tltorch": four_axes(
        "aijb",
        "the factors of a blocktt FactorizedLinear: (left rank, output mode, input mode, right "
        "rank); x W + b",
    ),
    "scikit_tt": four_axes(
        "aijb",
        "the cores of an operator on columns: (left rank, row mode, column mode, right rank); W x "
        "with output modes as rows",
    ),
    "tednet": open_ends(
        "jiab",
        "TTLinear's nodes (input mode, output mode, left rank, right rank), the first without a "
        "left and the last without a right rank; x W + b",
        _refuse_one_core,
    ),
    "tn_keras": open_ends(
        "jabi",
        "DenseMPO's nodes (input mode, left rank, right rank, output mode), the ends without one "
        "rank; x W + b",
        _refuse_unequal,
    ),
    "tensornet-tf": merged_axes(
        "ib,aj",
        "the matrices mat_core_k of the layer tt: output mode and right rank are the rows, left "
        "rank and input mode the columns; x W + b",
    ),
    "torch-mpo": merged_axes(
        "ai,bj",
        "TTLinear's matrices: left rank and output mode are the rows, right rank and input mode "
        "the columns; x W + b",
    ),
    "fbtt": merged_axes(
        "j,aib",
        "the tables of one TTEmbeddingBag: (1, input mode, left rank and output mode and right "
        "rank); rows of W",
        _refuse_all_but_2_to_4,
        tables=True,
    ),
    "tensornet-tf-svd": one_vector(
        "ajib",
        is_reversed=False,
        words="the vector of matrix_svd: cores (left rank, left mode, right mode, right rank), with"
        " left modes as inputs; the layer tt reads another layout",
    ),
    "tt_rnn": one_vector(
        "jbai",
        is_reversed=True,
        words="the kernel of TT_Layer, and of TT_RNN, TT_GRU and TT_LSTM with the gates in the "
        "first output mode: one vector, the last core first, (input mode, right rank, left rank, "
        "output mode); x W + b",
    ),
    "tensornet-theano": one_vector(
        "jbai",
        is_reversed=True,
        words="TTLayer's cores_arr: one vector, the last core first, (input mode, right rank, left "
        "rank, output mode); x W + b",
    ),
    "tensornet-matlab": matlab_vector(
        "TT-Toolbox's tt_matrix: a dict of the vector core, the output modes n, the input modes m, "
        "the ranks r and the offsets ps, mode 1 the fastest; W X + b on columns X"
    ),
    "comera": all_modes(_ALL_MODES),
    "loretta": all_modes(_ALL_MODES),
}
"""The layout of each system by its name."""
