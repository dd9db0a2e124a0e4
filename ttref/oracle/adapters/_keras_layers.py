"""From layers of Keras on TensorFlow to the functions of declared layers, gradients by a tape."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np

from ttref.oracle.domain import Unsupported

Params: TypeAlias = dict[str, Any]
Functions: TypeAlias = tuple[Callable[..., Any], Callable[..., Any]]


def of_weights(make: Callable[[Params], Any], names: Sequence[str]) -> Functions:
    """The functions ``forward(params, x)`` and ``gradients(params, x, dy)`` of a layer.

    Parameters
    ----------
    make : callable
        ``make(params) -> layer``, in the dtype of the parameters.
    names : sequence of str
        The parameters in the order of the layer's trainable variables.
    """

    def build(params: Params, x: np.ndarray) -> Any:
        layer = make(params)
        layer.build(x.shape)
        layer.set_weights([params[name] for name in names])
        return layer

    def forward(params: Params, x: np.ndarray) -> np.ndarray:
        return np.asarray(build(params, x)(x))

    def gradients(params: Params, x: np.ndarray, dy: np.ndarray) -> Params:
        import tensorflow as tf

        layer = build(params, x)
        x_there = tf.constant(x)
        with tf.GradientTape() as tape:
            tape.watch(x_there)
            y = layer(x_there)
        sources = [v.value for v in layer.trainable_variables]
        *found, dx = tape.gradient(y, [*sources, x_there], output_gradients=tf.constant(dy))
        return {**dict(zip(names, map(np.asarray, found), strict=True)), "x": np.asarray(dx)}

    return forward, gradients


def of_recurrent(kind: str, **options: Any) -> Functions:
    """The functions of ``keras.layers.SimpleRNN``, ``GRU`` or ``LSTM``."""
    count = 2 if kind == "LSTM" else 1

    def build(params: Params, x: np.ndarray, state: Any) -> tuple[Any, list]:
        import keras

        if x.shape[1] == 0:
            raise Unsupported("no steps")
        width = params["recurrent"].shape[0]
        layer = getattr(keras.layers, kind)(
            width, return_sequences=True, return_state=True, dtype=str(x.dtype), **options
        )
        layer.build(x.shape)
        layer.set_weights([params["kernel"], params["recurrent"], _join(params)])
        zeros = [np.zeros((len(x), width), x.dtype)] * count
        return layer, list(state or zeros)

    def forward(params: Params, x: np.ndarray, state: Any, mask: Any) -> tuple[np.ndarray, list]:
        layer, starts = build(params, x, state)
        y, *last = layer(x, initial_state=_as_state(starts), mask=mask)
        return np.asarray(y), [np.asarray(v) for v in last]

    def gradients(
        params: Params,
        x: np.ndarray,
        state: Any,
        mask: Any,
        dy: np.ndarray,
        dstate: Sequence[np.ndarray],
    ) -> Params:
        import tensorflow as tf

        layer, starts = build(params, x, state)
        x_there, *there = map(tf.constant, [x, *starts])
        with tf.GradientTape() as tape:
            tape.watch([x_there, *there])
            results = layer(x_there, initial_state=_as_state(there), mask=mask)
        sources = [*(v.value for v in layer.trainable_variables), x_there, *there]
        cotangents = [tf.constant(d) for d in (dy, *dstate)]
        found = tape.gradient(results, sources, output_gradients=cotangents)
        arrays = [np.asarray(g) for g in found]
        named = {"kernel": arrays[0], "recurrent": arrays[1], "x": arrays[3]}
        named |= _split(params, arrays[2])
        return named | ({"state": arrays[4:]} if state is not None else {})

    return forward, gradients


def _as_state(states: list) -> Any:
    """One state alone, or a list of them."""
    return states if len(states) > 1 else states[0]


def _join(params: Params) -> np.ndarray:
    """The bias, or the rows of two of them."""
    if "recurrent_bias" in params:
        return np.stack([params["bias"], params["recurrent_bias"]])
    return np.asarray(params["bias"])


def _split(params: Params, dbias: np.ndarray) -> Params:
    """The gradient of the bias, or of the rows of two of them, by their names."""
    if "recurrent_bias" in params:
        return {"bias": dbias[0], "recurrent_bias": dbias[1]}
    return {"bias": dbias}
