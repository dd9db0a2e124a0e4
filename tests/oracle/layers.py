"""A layer in NumPy that is right, and ways to get it wrong."""

import numpy as np

from ttref import ops
from ttref.oracle import Adapter
from ttref.testing.cases.affine import make_tt_linear_of


def forward(params, x):
    return ops.tt_linear.forward(params, x)[0]


def gradients(params, x, dy):
    dparams, dx = ops.tt_linear.backward(dy, ops.tt_linear.forward(params, x)[1])
    return {**dparams, "x": dx}


RIGHT = Adapter(forward, gradients)


def keep(v, modes):
    return v


def stored(cores_there, x_there=keep, y_there=keep, **options):
    """The right layer of somebody who stores what it gets and gives in another way.

    `cores_there` maps canonical cores to the stored ones, and must be its own inverse; so must the
    others, which take a batch of vectors and the modes.
    """

    def to_canonical(params, x):
        params = {**params, "cores": cores_there(params["cores"])}
        n, m = ([core.shape[axis] for core in params["cores"]] for axis in (1, 2))
        return params, x_there(x, n[::-1]), n, m

    def forward_there(params, x):
        params, x, _, m = to_canonical(params, x)
        return y_there(forward(params, x), m)

    def gradients_there(params, x, dy):
        params, x, n, m = to_canonical(params, x)
        found = gradients(params, x, y_there(dy, m[::-1]))
        return {**found, "cores": cores_there(found["cores"]), "x": x_there(found["x"], n)}

    return Adapter(forward_there, gradients_there, **options)


def changed(tensor, change):
    """The right layer with `change(value, params, batch size)` of one result."""

    def changed_forward(params, x):
        y = forward(params, x)
        return change(y, params, len(x)) if tensor == "y" else y

    def changed_gradients(params, x, dy):
        found = gradients(params, x, dy)
        value = found.get(tensor)
        if isinstance(value, tuple):
            return {**found, tensor: tuple(change(v, params, len(x)) for v in value)}
        return found if value is None else {**found, tensor: change(value, params, len(x))}

    return Adapter(changed_forward, changed_gradients)


def with_axes(axes):
    return lambda cores: tuple(core.transpose(axes) for core in cores)


def fortran(v, modes):
    """Rows whose first mode is the fastest, of rows whose last one is."""
    axes = (0, *range(len(modes), 0, -1))
    return v.reshape(len(v), *modes).transpose(axes).reshape(v.shape)


def problem(n, m, r, B=2, bias=True, seed=0):
    """A case of these modes and ranks."""
    return make_tt_linear_of(
        lambda low, high: int(bias), np.random.default_rng(seed), n, m, r, B, ops.tt_linear
    )
