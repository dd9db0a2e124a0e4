"""Dense layers, convolutions and batch normalisation of Keras, torch and TensorNet-TF."""

from collections.abc import Mapping, Sequence
from typing import Any

from ttref.arrays import namespace
from ttref.convert.form import Form, Named, bias_if, transpose
from ttref.convert.layout import CANONICAL, permute, reshape
from ttref.convert.trains import from_canonical, to_canonical
from ttref.errors import ConventionError, ShapeError
from ttref.layers.batch_norm import averages

HWIO = (2, 3, 1, 0)  # axes of torch's kernel (S, C, kh, kw) in ttref's order
OIHW = (3, 2, 0, 1)  # axes of ttref's kernel (kh, kw, C, S) in torch's order
AVERAGE = "ExponentialMovingAverage"
MEAN = f"moments/Squeeze/{AVERAGE}"
VARIANCE = f"moments/Squeeze_1/{AVERAGE}"


# Dense layers and convolutions


def _read_keras(layer: Any, stored: Named) -> dict[str, Any]:
    return dict(stored)


def _write_keras(layer: Any, params: dict[str, Any]) -> Named:
    return dict(params)


def _keras_names(layer: Any) -> list[str]:
    return ["kernel", *bias_if(layer, "bias")]


KERAS = Form(_keras_names, _read_keras, _write_keras)


def _torch_names(layer: Any) -> list[str]:
    return ["weight", *bias_if(layer, "bias")]


def _permute(array: Any, axes: Sequence[int]) -> Any:
    return namespace(array).permute_dims(array, tuple(axes))


def _read_torch(layer: Any, stored: Named) -> dict[str, Any]:
    weight = stored["weight"]
    is_matrix = len(weight.shape) == 2
    if not is_matrix and len(weight.shape) != 4:
        raise ShapeError(
            f"weight has shape {tuple(weight.shape)}, expected a matrix or (S, C, kh, kw)"
        )
    kernel = transpose(weight) if is_matrix else _permute(weight, HWIO)
    return {"kernel": kernel} | {name: stored[name] for name in bias_if(layer, "bias")}


def _write_torch(layer: Any, params: dict[str, Any]) -> Named:
    kernel = params["kernel"]
    weight = transpose(kernel) if len(kernel.shape) == 2 else _permute(kernel, OIHW)
    return {"weight": weight} | {name: params[name] for name in bias_if(layer, "bias")}


TORCH = Form(_torch_names, _read_torch, _write_torch)


# Batch normalisation: statistics of the whole weight 1, the biased variance of Keras and TensorFlow


def batch_norm_form(scale: str, offset: str, mean: str, variance: str, **settings: Any) -> Form:
    """The form of a system that has these names; `settings` are those of `Form`."""

    def names(layer: Any) -> list[str]:
        learned = {scale: layer.scale, offset: layer.offset}
        return [*(name for name, is_used in learned.items() if is_used), mean, variance]

    def read(layer: Any, stored: Named) -> dict[str, Any]:
        weight = namespace(stored[mean]).ones_like(stored[mean][:1])
        statistics = {"mean": stored[mean], "var": stored[variance], "weight": weight}
        learned = {"scale": scale, "offset": offset}
        params = {name: stored[its] for name, its in learned.items() if its in stored}
        return params | {"statistics": statistics}

    def write(layer: Any, params: dict[str, Any]) -> Named:
        known = averages(params["statistics"])
        learned = {scale: "scale", offset: "offset"}
        stored = {its: params[name] for its, name in learned.items() if name in params}
        return stored | {mean: known["mean"], variance: known["var"]}

    return Form(names, read, write, **settings)


def without_counter(stored: Mapping[str, Any]) -> dict[str, Any]:
    """Torch's names without the number of batches, which nothing is computed from."""
    return {name: value for name, value in stored.items() if name != "num_batches_tracked"}


def without_scopes(stored: Mapping[str, Any]) -> dict[str, Any]:
    """TensorFlow's names without the scopes before, and without what corrects the averages."""
    known = (MEAN, VARIANCE, "weights", "biases")
    found = {}
    for name, value in stored.items():
        if AVERAGE in name and not name.endswith(AVERAGE):
            continue
        own = next((end for end in known if name == end or name.endswith(f"/{end}")), name)
        found[own] = value
    return found


# TensorNet-TF: the fully connected layer and the convolutions


def _tt_names(layer: Any) -> list[str]:
    cores = [f"mat_core_{k + 1}" for k in range(len(layer.in_modes))]
    return [*cores, *bias_if(layer, "biases")]


def _read_tt(layer: Any, stored: Named) -> dict[str, Any]:
    d = len(layer.in_modes)
    cores = to_canonical("tensornet-tf", list(stored.values())[:d], *layer.structure)
    return {"cores": cores} | ({"bias": stored["biases"]} if layer.bias else {})


def _write_tt(layer: Any, params: dict[str, Any]) -> Named:
    values = [*from_canonical("tensornet-tf", params["cores"])]
    values += [params["bias"]] if layer.bias else []
    return dict(zip(_tt_names(layer), values, strict=True))


TENSORNET_TT = Form(_tt_names, _read_tt, _write_tt)


def _conv_names(layer: Any) -> list[str]:
    filters = [] if layer.form == "direct" else ["filters"]
    cores = [f"core_{k + 1}" for k in range(len(layer.weight_shapes["cores"]))]
    return [*filters, *cores, *bias_if(layer, "biases")]


def _read_conv(layer: Any, stored: Named) -> dict[str, Any]:
    params: dict[str, Any] = {}
    if layer.form != "direct":
        filters = stored["filters"]
        r_0 = layer.structure.ranks[0]
        expected = (*layer.windows.kernel, 1, r_0)
        if tuple(filters.shape) != expected:
            raise ShapeError(f"filters have shape {tuple(filters.shape)}, expected {expected}")
        if layer.has_filters:
            params["filters"] = filters[:, :, 0, :]
        elif not bool(filters[0, 0, 0, 0] == 1):
            raise ConventionError("the filter is no parameter of this layer, expected the number 1")
    shapes = layer.weight_shapes["cores"]
    cores = [_read_core(layer, stored[f"core_{k + 1}"], shape) for k, shape in enumerate(shapes)]
    params["cores"] = tuple(cores)
    return params | ({"bias": stored["biases"]} if layer.bias else {})


def _order(layer: Any) -> str:
    """The letters of a stored core: (r-, p r+) of the direct form, else (m r+) x (r- n)."""
    return "ajib" if layer.form == "direct" else "ibaj"


def _read_core(layer: Any, matrix: Any, shape: Sequence[int]) -> Any:
    sizes = dict(zip(CANONICAL, shape, strict=True))
    order = _order(layer)
    rows = sizes["a"] if layer.form == "direct" else sizes["i"] * sizes["b"]
    expected = (rows, sizes["a"] * sizes["j"] * sizes["i"] * sizes["b"] // rows)
    if tuple(matrix.shape) != expected:
        raise ShapeError(f"a core has shape {tuple(matrix.shape)}, expected {expected}")
    return permute(reshape(matrix, [sizes[letter] for letter in order]), order, CANONICAL)


def _write_conv(layer: Any, params: dict[str, Any]) -> Named:
    stored = {}
    first = params["cores"][0]
    if layer.has_filters:
        stored["filters"] = params["filters"][:, :, None, :]
    elif layer.form != "direct":
        one = namespace(first).ones_like(first[:1, :1, :1, :1])
        stored["filters"] = reshape(one, (1, 1, 1, 1))
    for k, core in enumerate(params["cores"]):
        rows = core.shape[0] if layer.form == "direct" else core.shape[2] * core.shape[3]
        moved = permute(core, CANONICAL, _order(layer))
        stored[f"core_{k + 1}"] = reshape(moved, (rows, -1))
    return stored | ({"biases": params["bias"]} if layer.bias else {})


TENSORNET_CONV = Form(_conv_names, _read_conv, _write_conv)
