"""TimeDistributed layer: another layer applied to every step of a sequence."""

from dataclasses import dataclass

from ttref.arrays import check_shape, namespace
from ttref.errors import ConventionError, ShapeError
from ttref.layers.base import Layer


@dataclass(frozen=True)
class TimeDistributed(Layer):
    """Steps are samples of `layer`: (B, T, ...) to (B, T, ...), with the layer's own parameters.

    Parameters
    ----------
    layer : Layer

    Examples
    --------
    >>> from ttref.layers import Dense
    >>> TimeDistributed(Dense(64, 10)).out_shape((30, 64))
    (30, 10)
    """

    layer: Layer

    def __post_init__(self):
        if not isinstance(self.layer, Layer):
            raise ConventionError(f"layer is {self.layer!r}, expected a ttref Layer")

    def __str__(self):
        return f"TimeDistributed({self.layer})"

    def init(self, rng, dtype="float32", xp=None):
        return self.layer.init(rng, dtype, xp)

    def prepare(self, params, batch):
        return self.layer.prepare(params, batch)

    def forward(self, params, x, train=False, rng=None):
        if len(getattr(x, "shape", ())) < 2:
            check_shape("x", x, (None, None, None))
        xp, (B, T, *rest) = namespace(x), x.shape
        y, cache = self.layer.forward(params, xp.reshape(x, (B * T, *rest)), train, rng)
        return xp.reshape(y, (B, T, *y.shape[1:])), (cache, x.shape)

    def backward(self, dy, cache, input_gradient=True):
        cache, x_shape = cache
        check_shape("dy", dy, (*x_shape[:2], *dy.shape[2:]))
        dy = namespace(dy).reshape(dy, (x_shape[0] * x_shape[1], *dy.shape[2:]))
        dparams, dx = self.layer.backward(dy, cache, input_gradient)
        return dparams, dx if dx is None else namespace(dx).reshape(dx, x_shape)

    def learns(self, params):
        return self.layer.learns(params)

    def update_state(self, params, cache):
        return self.layer.update_state(params, cache[0])

    @property
    def in_shape(self):
        return self.layer.in_shape and (None, *self.layer.in_shape)

    def out_shape(self, in_shape):
        if len(in_shape) < 2:
            raise ShapeError(f"{self} takes samples of shape (T, ...), got {tuple(in_shape)}")
        return in_shape[0], *self.layer.out_shape(tuple(in_shape[1:]))

    @property
    def num_params(self):
        return self.layer.num_params

    @property
    def dense_params(self):
        return self.layer.dense_params
