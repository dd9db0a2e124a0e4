"""t3f: ``matmul`` of a dense matrix and a TT-matrix. Its environment has no ttref.

ttref oracle kit FILE writes the file by which it answers (docs/oracle.md).
"""

from typing import Any

import numpy as np

name = "t3f matmul"
layout = "t3f"


def compute(params: dict[str, Any], x: np.ndarray) -> tuple[Any, list, Any]:
    """The tensors of TensorFlow: y, what it is computed of, and the tape."""
    import t3f
    import tensorflow as tf

    cores = [tf.constant(core) for core in params["cores"]]
    bias = [tf.constant(params["bias"])] if "bias" in params else []
    sources = [*cores, tf.constant(x), *bias]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        matrix = t3f.TensorTrain(sources[: len(cores)])
        y = t3f.matmul(sources[len(cores)], matrix)
        if bias:
            y = y + sources[-1]
    return y, sources, tape


def forward(params: dict[str, Any], x: np.ndarray) -> np.ndarray:
    """Compute y."""
    return np.asarray(compute(params, x)[0])


def gradients(params: dict[str, Any], x: np.ndarray, dy: np.ndarray) -> dict[str, Any]:
    """Compute the gradients of <dy, y>."""
    import tensorflow as tf

    y, sources, tape = compute(params, x)
    found = [np.asarray(g) for g in tape.gradient(y, sources, output_gradients=tf.constant(dy))]
    d = len(params["cores"])
    named = {"cores": found[:d], "x": found[d]}
    return dict(named, bias=found[-1]) if "bias" in params else named
