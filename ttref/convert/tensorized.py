"""TTGRU and TTLSTM of tensorized-rnn: both maps are trains of t3nsor, transposed.

By default one train has all gates, in its output modes; ttref has such a layer where the first of
them is a multiple of g. In the naive form each gate has a train, and in a GRU a bias; an LSTM has
none then. The gates of a GRU are r, z, n, those of an LSTM i, f, c, o.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from ttref.arrays import namespace
from ttref.contracts import Array, Tree
from ttref.convert.form import Form, Named
from ttref.convert.gates import inverse, order_of, reorder
from ttref.convert.trains import from_canonical, to_canonical
from ttref.errors import ConventionError
from ttref.layers.recurrent_base import WithGRUCell

TRAIN = "t3nsor-transposed"
MAPS = ("input_weights", "hidden_weights")


def _check(layer: Any) -> None:
    """Raise `ConventionError` unless the layer has the trains and biases of the system."""
    if layer.recurrent_structure is None:
        raise ConventionError(
            f"tensorized-rnn's recurrent matrix is a train, but {layer} has a full one; make it "
            "with recurrent_ranks"
        )
    if layer.per_gate and layer.bias and not isinstance(layer, WithGRUCell):
        raise ConventionError(
            "tensorized-rnn's LSTM has no biases where each gate has a train; make the layer with "
            "bias=False"
        )


def _core_names(layer: Any, name: str) -> list[list[str]]:
    """The names of the cores of each train of a map."""
    structure = layer.structure if name == MAPS[0] else layer.recurrent_structure
    cores = range(len(structure.in_modes))
    if not layer.per_gate:
        return [[f"{name}.parameters.{k}" for k in cores]]
    gates = range(layer.cell.gates)
    return [[f"{name}.gate{q}.parameters.{k}" for k in cores] for q in gates]


def _bias_names(layer: Any, name: str) -> list[str]:
    """The names of the biases of a map: one, or one for each gate."""
    if not layer.bias:
        return []
    gates = range(layer.cell.gates)
    return [f"{name}.gate{q}.bias" for q in gates] if layer.per_gate else [f"{name}.bias"]


def _names(layer: Any) -> list[str]:
    _check(layer)
    trains = [train for name in MAPS for train in _core_names(layer, name)]
    biases = [bias for name in MAPS for bias in _bias_names(layer, name)]
    return [*(name for train in trains for name in train), *biases]


def _tidy(stored: Mapping[str, Any]) -> dict[str, Any]:
    """The names without the cell, and each gate once, of which the state dict has two names."""
    own = {re.sub(r"^cell\d+\.", "", name): value for name, value in stored.items()}
    return {name: value for name, value in own.items() if ".gates." not in name}


def _order_trains(layer: Any, trains: Sequence[Any], order: Sequence[int]) -> tuple[Any, ...]:
    """Order the gates: the trains, or the blocks in the first core of the one of all gates."""
    if layer.per_gate:
        return tuple(trains[q] for q in order)
    first, *rest = trains[0]
    return ((reorder(first, order, axis=2), *rest),)


def _read_map(layer: Any, stored: Named, name: str) -> Tree:
    trains = []
    for names in _core_names(layer, name):
        trains.append(to_canonical(TRAIN, [stored[core] for core in names]))
    ordered = _order_trains(layer, trains, inverse(order_of("torch", layer)))
    return ordered if layer.per_gate else ordered[0]


def _read_bias(layer: Any, stored: Named, name: str) -> Array:
    parts = [stored[bias] for bias in _bias_names(layer, name)]
    return reorder(namespace(*parts).concat(parts), inverse(order_of("torch", layer)))


def _read(layer: Any, stored: Named) -> dict[str, Any]:
    params: dict[str, Any] = {}
    for key, name in zip(("cores", "recurrent"), MAPS, strict=True):
        params[key] = _read_map(layer, stored, name)
    if not layer.bias:
        return params
    bias = _read_bias(layer, stored, MAPS[0])
    second = _read_bias(layer, stored, MAPS[1])
    if layer.cell.takes_recurrent_bias:
        return params | {"bias": bias, "recurrent_bias": second}
    return params | {"bias": bias + second}


def _write_map(layer: Any, trains: Tree, name: str) -> Named:
    trains = trains if layer.per_gate else (trains,)
    gates = _order_trains(layer, trains, order_of("torch", layer))
    stored: Named = {}
    for names, cores in zip(_core_names(layer, name), gates, strict=True):
        stored.update(zip(names, from_canonical(TRAIN, cores), strict=True))
    return stored


def _write(layer: Any, params: dict[str, Any]) -> Named:
    _check(layer)
    stored: Named = {}
    for key, name in zip(("cores", "recurrent"), MAPS, strict=True):
        stored |= _write_map(layer, params[key], name)
    if layer.bias:
        zeros = namespace(params["bias"]).zeros_like(params["bias"])
        biases = params["bias"], params.get("recurrent_bias", zeros)
        for name, bias in zip(MAPS, biases, strict=True):
            names = _bias_names(layer, name)
            size = bias.shape[0] // len(names)
            swapped = reorder(bias, order_of("torch", layer))
            for q, own in enumerate(names):
                stored[own] = swapped[q * size : (q + 1) * size]
    return {f"cell0.{name}": value for name, value in stored.items()}


def tensorized_form(options: Mapping[str, tuple]) -> Form:
    """The form of one of the layers, which has these values of options only."""
    return Form(_names, _read, _write, options, _tidy)
