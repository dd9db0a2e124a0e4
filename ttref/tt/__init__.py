"""Matrices in the tensor-train format: algebra, decomposition, initialisation."""

from ttref.tt.check import core_shapes, max_ranks
from ttref.tt.decompose import tt_svd
from ttref.tt.init import (
    eye,
    glorot,
    glorot_uniform,
    he,
    lecun,
    normal,
    ones,
    orthogonal,
    random,
    xavier,
    zeros,
)
from ttref.tt.matrix import TTMatrix, from_dense

__all__ = [
    "TTMatrix",
    "core_shapes",
    "eye",
    "from_dense",
    "glorot",
    "glorot_uniform",
    "he",
    "lecun",
    "max_ranks",
    "normal",
    "ones",
    "orthogonal",
    "random",
    "tt_svd",
    "xavier",
    "zeros",
]
