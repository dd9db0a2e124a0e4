"""The checks of gradients that other packages have, called on functions of NumPy arrays.

Each is called as its documentation shows: with its default tolerances, in reverse mode, of first
order. A package is imported only when its check is made.
"""

import platform
import warnings
from collections.abc import Callable, Iterable
from functools import partial
from importlib.metadata import packages_distributions, version
from typing import Any, TypeAlias

import numpy as np

TENSORFLOW_ERROR = 1e-3  # its function returns Jacobians, and no verdict on them

Forward: TypeAlias = Callable[..., np.ndarray]
"""``forward(*inputs)``: y."""

Backward: TypeAlias = Callable[..., list[np.ndarray]]
"""``backward(dy, *inputs)``: the gradients of the inputs."""

IsRight: TypeAlias = Callable[[Forward, Backward, list[np.ndarray]], bool]
"""Asks a peer whether a function and its backward agree at some inputs."""


def torch_gradcheck(fast: bool) -> IsRight:
    """Check by ``torch.autograd.gradcheck``, on NumPy arrays."""
    import torch

    def is_right(forward: Forward, backward: Backward, inputs: list[np.ndarray]) -> bool:
        class Function(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *xs: Any) -> Any:
                ctx.save_for_backward(*xs)
                return torch.from_numpy(forward(*(x.detach().numpy() for x in xs)))

            @staticmethod
            def backward(ctx: Any, dy: Any) -> Any:
                xs = (x.detach().numpy() for x in ctx.saved_tensors)
                return tuple(map(torch.from_numpy, backward(dy.numpy(), *xs)))

        xs = [torch.tensor(x, requires_grad=True) for x in inputs]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that float32 is too coarse for it
            return torch.autograd.gradcheck(
                Function.apply, xs, fast_mode=fast, raise_exception=False
            )

    return is_right


def jax_check_grads() -> IsRight:
    """Check by ``jax.test_util.check_grads``."""
    import jax
    from jax.test_util import check_grads

    jax.config.update("jax_enable_x64", True)
    # Two callbacks serve all problems, because each new one would be compiled again.
    current: dict[str, Callable[..., Any]] = {}

    def run(name: str, *arguments: Any) -> Any:
        return current[name](*map(np.asarray, arguments))

    forwards = partial(run, "forward")
    backwards = partial(run, "backward")

    def is_right(forward: Forward, backward: Backward, inputs: list[np.ndarray]) -> bool:
        current.update(forward=forward, backward=backward)
        arrays = (forward(*inputs), *inputs)
        like_y, *like = (jax.ShapeDtypeStruct(a.shape, a.dtype) for a in arrays)

        @jax.custom_vjp
        def function(*xs: Any) -> Any:
            return jax.pure_callback(forwards, like_y, *xs)

        def pull_back(xs: Any, dy: Any) -> Any:
            return tuple(jax.pure_callback(backwards, like, dy, *xs))

        function.defvjp(lambda *xs: (function(*xs), xs), pull_back)
        try:
            check_grads(function, tuple(inputs), order=1, modes=["rev"])
        except AssertionError:
            return False
        return True

    return is_right


def hips_check_grads() -> IsRight:
    """Check by ``autograd.test_util.check_grads``."""
    from autograd.extend import defvjp, primitive
    from autograd.test_util import check_grads

    def is_right(forward: Forward, backward: Backward, inputs: list[np.ndarray]) -> bool:
        def pull_back(k: int) -> Any:
            return lambda y, *xs: lambda dy: backward(dy, *xs)[k]

        function = primitive(forward)
        every = tuple(range(len(inputs)))
        defvjp(function, *map(pull_back, every))
        try:
            check_grads(function, every, modes=["rev"], order=1)(*inputs)
        except AssertionError:
            return False
        return True

    return is_right


def tensorflow_compute_gradient() -> IsRight:
    """Check whether the Jacobians of ``tf.test.compute_gradient`` agree to `TENSORFLOW_ERROR`."""
    import tensorflow as tf

    def is_right(forward: Forward, backward: Backward, inputs: list[np.ndarray]) -> bool:
        @tf.custom_gradient
        def function(*xs: Any) -> Any:
            def pull_back(dy: Any) -> Any:
                return tf.numpy_function(backward, (dy, *xs), [x.dtype for x in xs])

            return tf.numpy_function(forward, xs, xs[0].dtype), pull_back

        pairs = zip(*tf.test.compute_gradient(function, inputs), strict=True)
        return all(np.max(np.abs(a - b)) <= TENSORFLOW_ERROR for a, b in pairs)

    return is_right


PEERS: dict[str, tuple[str, Callable[[], IsRight]]] = {  # name: (package, what makes the check)
    "torch slow": ("torch", partial(torch_gradcheck, fast=False)),
    "torch fast": ("torch", partial(torch_gradcheck, fast=True)),
    "jax": ("jax", jax_check_grads),
    "HIPS autograd": ("autograd", hips_check_grads),
    "TensorFlow": ("tensorflow", tensorflow_compute_gradient),
}


def versions_of(names: Iterable[str]) -> dict[str, str]:
    """The versions of Python, NumPy and python-flint, and of the packages of some peers."""
    modules = dict.fromkeys(["numpy", "flint", *(PEERS[name][0] for name in names)])
    packages = [packages_distributions()[module][0] for module in modules]
    return {"Python": platform.python_version()} | {p: version(p) for p in packages}
