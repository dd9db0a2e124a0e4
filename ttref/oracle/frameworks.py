"""From a layer of torch, Keras or JAX to the two functions of an adapter.

The functions get NumPy arrays in the storage that the adapter declares (`layout`), put them into
the parameters of the layer, and take the gradients from the framework's own differentiation. A
framework is imported when a layer of it is used.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from ttref import tree
from ttref.arithmetic.formats import numpy_dtype
from ttref.contracts import Array
from ttref.errors import ConventionError, MissingExtraError, visible
from ttref.testing.cases.case import Params

Make: TypeAlias = Callable[[Sequence[Array], Array | None], Any]
"""``make(cores, bias) -> layer``: a layer for parameters of these shapes, bias None without one."""

NUMBER = "{k}"
MOST_SHOWN = 300  # characters of a list of names


class Functions(NamedTuple):
    """The two functions of an adapter: ``forward, gradients = of_torch(...)``."""

    forward: Callable[[Params, Array], Array]
    gradients: Callable[[Params, Array, Array], Params]


def of_torch(make: Make, cores: str = "cores.{k}", bias: str = "bias") -> Functions:
    """Make the functions of a torch module.

    Parameters
    ----------
    make : callable
        ``make(cores, bias) -> module``, of the arrays that it will be given.
    cores : str
        The name of a core among ``module.named_parameters()``; ``{k}`` is its number, from 0. A
        name without it is one parameter for all cores, as for a layout of one vector.
    bias : str
        The name of the bias.

    Returns
    -------
    Functions

    Examples
    --------
    ``forward, gradients = of_torch(make, cores="weight.factors.{k}")`` in the file of an adapter.
    """

    def build(params: Params) -> tuple[Any, dict[str, Any]]:
        torch = _import("torch")
        module = make(params["cores"], params.get("bias"))
        found = dict(module.named_parameters())
        held = _hold(params, cores, bias, found)
        with torch.no_grad():
            for name, value in tree.flatten(params).items():
                _check_fits(name, tuple(held[name].shape), value)
                held[name].copy_(to_tensor(value))
        return module, held

    def forward(params: Params, x: Array) -> Array:
        module, _ = build(params)
        return to_array(module(to_tensor(x)))

    def gradients(params: Params, x: Array, dy: Array) -> Params:
        module, held = build(params)
        x_held = to_tensor(x).requires_grad_()
        module(x_held).backward(to_tensor(dy))
        leaves = iter(held.values())
        found = tree.map(lambda _: _gradient_of(next(leaves)), params)
        return {**found, "x": _gradient_of(x_held)}

    return Functions(forward, gradients)


def of_keras(make: Make, cores: str = "cores_{k}", bias: str = "bias") -> Functions:
    """Make the functions of a Keras layer on TensorFlow.

    Parameters
    ----------
    make : callable
        ``make(cores, bias) -> layer``, of the arrays that it will be given. The layer is called on
        x before its variables are set, so it may build them then.
    cores, bias : str
        The names of the trainable variables, as of `of_torch`: of a path as ``layer/core_0`` the
        last part.

    Returns
    -------
    Functions
    """

    def build(params: Params, x: Array) -> tuple[Any, dict[str, Any]]:
        tensorflow = _import("tensorflow")
        layer = make(params["cores"], params.get("bias"))
        layer(tensorflow.constant(x))
        found = {v.name.split("/")[-1].partition(":")[0]: v for v in layer.trainable_variables}
        held = _hold(params, cores, bias, found)
        for name, value in tree.flatten(params).items():
            _check_fits(name, tuple(held[name].shape), value)
            held[name].assign(value)
        return layer, held

    def forward(params: Params, x: Array) -> Array:
        layer, _ = build(params, x)
        return np.asarray(layer(_import("tensorflow").constant(x)))

    def gradients(params: Params, x: Array, dy: Array) -> Params:
        tensorflow = _import("tensorflow")
        layer, held = build(params, x)
        x_there = tensorflow.constant(x)
        with tensorflow.GradientTape() as tape:
            tape.watch(x_there)
            y = layer(x_there)
        leaves = list(held.values())
        sources = [getattr(variable, "value", variable) for variable in leaves]
        seed = tensorflow.constant(dy)
        *found, dx = tape.gradient(y, [*sources, x_there], output_gradients=seed)
        arrays = iter([None if g is None else np.asarray(g) for g in found])
        return {**tree.map(lambda _: next(arrays), params), "x": np.asarray(dx)}

    return Functions(forward, gradients)


def of_jax(function: Callable[[Params, Any], Any]) -> Functions:
    """Make the functions of a JAX function ``function(params, x) -> y``.

    Parameters
    ----------
    function : callable
        Of params ``{"cores": (...), "bias": ...}``, or without bias, and x, as JAX arrays. JAX is
        told to have floats of 64 bits.

    Returns
    -------
    Functions
    """

    def forward(params: Params, x: Array) -> Array:
        _use_doubles()
        return np.asarray(function(params, x))

    def gradients(params: Params, x: Array, dy: Array) -> Params:
        jax = _use_doubles()
        _, pull_back = jax.vjp(function, params, x)
        dparams, dx = pull_back(jax.numpy.asarray(dy))
        return {**tree.map(np.asarray, dparams), "x": np.asarray(dx)}

    return Functions(forward, gradients)


def _use_doubles() -> Any:
    """JAX, with floats of 64 bits."""
    jax = _import("jax")
    jax.config.update("jax_enable_x64", True)
    return jax


def _import(name: str) -> Any:
    """A framework; raise `MissingExtraError` if it is not installed."""
    import importlib

    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        raise MissingExtraError(
            f"a layer of {name} needs {name}, which is not installed here: pip install {name}"
        ) from None


def _hold(params: Params, cores: str, bias: str, found: dict[str, Any]) -> dict[str, Any]:
    """The framework's parameters, by the names of the leaves of `params`."""
    wanted = {f"cores.{k}": cores.replace(NUMBER, str(k)) for k, _ in enumerate(params["cores"])}
    if "bias" in params:
        wanted["bias"] = bias
    for name in wanted.values():
        if name not in found:
            raise ConventionError(
                f"the layer has no parameter {name}; it has {visible(sorted(found), MOST_SHOWN)}"
            )
    return {leaf: found[wanted[leaf]] for leaf in tree.flatten(params)}


def _check_fits(name: str, shape: tuple[int, ...], value: Array) -> None:
    if shape != value.shape:
        raise ConventionError(
            f"the layer's {name} has shape {shape}, the adapter's layout gives {value.shape}"
        )


def to_tensor(value: Array) -> Any:
    """Make a torch tensor of an array; bfloat16, which NumPy has not, goes through its bits."""
    torch = _import("torch")
    if value.dtype.name == "bfloat16":
        return torch.from_numpy(value.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(value)


def to_array(value: Any) -> Array:
    """Make a NumPy array of a torch tensor on any device."""
    torch = _import("torch")
    value = value.detach().cpu().contiguous()
    if value.dtype == torch.bfloat16:
        return value.view(torch.int16).numpy().view(numpy_dtype("bfloat16"))
    return value.numpy()


def _gradient_of(tensor: Any) -> Array | None:
    """The gradient of a leaf tensor; None if the layer has none for it."""
    return None if tensor.grad is None else to_array(tensor.grad)
