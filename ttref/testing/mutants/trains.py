"""Mutants of tensor trains, core by core and by plan."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ttref import fast, ops
from ttref.contracts import Array, Cache
from ttref.testing.cases.case import Params, Subject
from ttref.testing.mutants.affine import bias_subtracted, rolled, scale_bias
from ttref.testing.mutants.mutant import (
    Order,
    Pair,
    batch_mean,
    leafwise,
    make_mutants,
    misread,
    narrow,
    negate,
    permute_last_axis,
    reorder,
    slightly_off,
    spoil_forward,
    spoil_gradient,
    stored_as,
    zero,
)


def reversed_modes(axis: Any) -> Order:
    """The order of vectors whose modes are taken in reverse; axis 1 of a core for x, 2 for y."""

    def order(shape: Sequence[int], params: Params) -> Array:
        modes = [core.shape[axis] for core in reversed(params["cores"])]
        memory = np.arange(np.prod(shape)).reshape(shape[0], *modes)
        return memory.transpose(0, *range(len(modes), 0, -1)).reshape(shape)

    return order


def modes_of_dx_reversed(dx: Array, dy: Array, cache: Cache) -> Array:
    """The modes of dx come out in the order in which backward meets the cores."""
    return np.reshape(dx, (-1,))[reversed_modes(1)(dx.shape, {"cores": cache.cores})]


def square_transposed(cores: tuple[Array, ...]) -> tuple[Array, ...]:
    """Each core with as many input as output modes, transposed."""
    return tuple(np.swapaxes(c, 1, 2) if c.shape[1] == c.shape[2] else c for c in cores)


def equal_swapped(cores: tuple[Array, ...]) -> tuple[Array, ...]:
    """The first two cores in the wrong order, where their shapes allow it."""
    alike = len(cores) > 1 and cores[0].shape == cores[1].shape
    return (*cores[1::-1], *cores[2:]) if alike else tuple(cores)


def bond_cut(cores: tuple[Array, ...]) -> tuple[Array, ...]:
    """Cores that take one bond value less than there are; a bond of size 1 stays."""
    return tuple(c * (np.arange(c.shape[3]) < max(1, c.shape[3] - 1)) for c in cores)


def change_cores(op: Subject, change: Callable[..., Any]) -> Pair:
    """`op` on other cores; `change`, of a tuple of them, is its own adjoint."""

    def forward(params: Params, x: Array) -> tuple[Array, Cache]:
        return op.forward({**params, "cores": change(params["cores"])}, x)

    return spoil_gradient(Pair(forward, op.backward), cores=lambda cores, dy, cache: change(cores))


def last_bond_left_out(y: Array, params: Params, x: Array) -> Array:
    """Forward sums over all bond values but the last."""
    return ops.tt_linear.forward({**params, "cores": bond_cut(params["cores"])}, x)[0]


def only_core(choose: Callable[[int], int], change: Callable[..., Any]) -> Callable[..., Any]:
    """A change of the gradient of one core: of index ``choose(d)``."""

    def change_one(cores: tuple[Array, ...], dy: Array, cache: Cache) -> tuple[Array, ...]:
        found = list(cores)
        k = choose(len(cores))
        found[k] = change(cores[k])
        return tuple(found)

    return change_one


def middle_core_missing(cores: tuple[Array, ...], dy: Array, cache: Cache) -> tuple[Array, ...]:
    """No gradient but of the first and the last core."""
    return (*cores[:1], *map(zero, cores[1:-1]), *cores[1:][-1:])


def equal_slots_reversed(cores: tuple[Array, ...], dy: Array, cache: Cache) -> tuple[Array, ...]:
    """Gradients in the order of the backward sweep, where the shapes are the same in reverse."""
    shapes = [core.shape for core in cores]
    return tuple(reversed(cores)) if shapes == shapes[::-1] else cores


def first_entry_doubled(core: Array) -> Array:
    """One entry of the gradient counted twice."""
    return core + core * (np.arange(core.size) == 0).reshape(core.shape)


def first_bond_only(core: Array) -> Array:
    """A gradient for the first value of the right bond only."""
    return core * (np.arange(core.shape[3]) == 0)


def without_last_sample(op: Subject) -> Callable[..., Any]:
    """A change of the gradients of the cores: the last sample of the batch does not count."""

    def change(cores: tuple[Array, ...], dy: Array, cache: Cache) -> tuple[Array, ...]:
        counts = np.arange(len(dy))[:, None] < len(dy) - 1
        return op.backward(dy * counts, cache)[0]["cores"]

    return change


def merge_unpermuted(op: Subject) -> Pair:
    """`op` with the first two cores merged to a(ji)(kh)c for a(jk)(ih)c, and pulled back so."""

    def forward(params: Params, x: Array) -> tuple[Array, Cache]:
        pair = params["cores"][:2]
        others = params["cores"][2:]
        if len(pair) == 2:
            a, j, i, _ = pair[0].shape
            _, k, h, c = pair[1].shape
            joint = np.tensordot(pair[0], pair[1], axes=([3], [0]))  # ajib,bkhc->ajikhc
            params = {**params, "cores": (np.reshape(joint, (a, j * k, i * h, c)), *others)}
        y, cache = op.forward(params, x)
        return y, (cache, pair)

    def backward(dy: Array, cache: Cache, input_gradient: bool = True) -> tuple[Params, Array]:
        cache_of_op, pair = cache
        dparams, dx = op.backward(dy, cache_of_op)
        if len(pair) == 2:
            merged, *others = dparams["cores"]
            joint = np.reshape(merged, pair[0].shape[:3] + pair[1].shape[1:])
            left = np.tensordot(joint, pair[1], axes=([3, 4, 5], [1, 2, 3]))  # ajikhc,bkhc->ajib
            right = np.tensordot(pair[0], joint, axes=([0, 1, 2], [0, 1, 2]))
            dparams = {**dparams, "cores": (left, right, *others)}
        return dparams, dx

    return Pair(forward, backward)


tt = ops.tt_linear
fast_tt = fast.tt_linear
halves = permute_last_axis(lambda order: np.roll(order, order.shape[-1] // 2, axis=-1))

MUTANTS = [
    *make_mutants(
        "tt_linear",
        "forward",
        {
            "bond_end": ("the last bond value left out", spoil_forward(tt, last_bond_left_out)),
            "bias_subtracted": ("y = x W - b", spoil_forward(tt, bias_subtracted)),
            "y_off": ("off by 1 + 1e-6", spoil_forward(tt, lambda y, *_: slightly_off(y))),
        },
    ),
    *make_mutants(
        "tt_linear",
        "gradient",
        {
            "first_core": ("no gradient", spoil_gradient(tt, cores=only_core(lambda d: 0, zero))),
            "middle_cores": ("no gradient", spoil_gradient(tt, cores=middle_core_missing)),
            "cores_transposed": ("modes exchanged", spoil_gradient(tt, cores=misread(0, 2, 1, 3))),
            "cores_bonds": ("bonds exchanged", spoil_gradient(tt, cores=misread(3, 1, 2, 0))),
            "cores_slots": (
                "in the order of backward",
                spoil_gradient(tt, cores=equal_slots_reversed),
            ),
            "cores_mean": ("mean over the batch for the sum", spoil_gradient(tt, cores=batch_mean)),
            "cores_last_sample": (
                "last sample left out",
                spoil_gradient(tt, cores=without_last_sample(tt)),
            ),
            "cores_bond": (
                "first bond value only",
                spoil_gradient(tt, cores=leafwise(first_bond_only)),
            ),
            "cores_sign": ("-dG", spoil_gradient(tt, cores=leafwise(negate))),
            "cores_off": ("off by 1 + 1e-6", spoil_gradient(tt, cores=leafwise(slightly_off))),
            "last_core_off": (
                "off by 1 + 1e-6",
                spoil_gradient(tt, cores=only_core(lambda d: d - 1, slightly_off)),
            ),
            "one_entry": (
                "one entry of one core doubled",
                spoil_gradient(tt, cores=only_core(lambda d: d // 2, first_entry_doubled)),
            ),
            "cores_narrow": (
                "rounded to half the bits",
                spoil_gradient(tt, cores=leafwise(narrow)),
            ),
            "dx_modes": (
                "modes in the order of backward",
                spoil_gradient(tt, x=modes_of_dx_reversed),
            ),
            "dx_narrow": ("rounded to half the bits", spoil_gradient(tt, x=leafwise(narrow))),
            "bias_mean": ("mean over the batch for the sum", spoil_gradient(tt, bias=batch_mean)),
        },
    ),
    *make_mutants(
        "tt_linear",
        "consistent",
        {
            "transposed": (
                "cores stored as (a, i, j, b)",
                reorder(tt, cores=stored_as(0, 2, 1, 3)),
            ),
            "bonds": ("cores stored as (b, j, i, a)", reorder(tt, cores=stored_as(3, 1, 2, 0))),
            "bonds_last": (
                "cores stored as (j, i, a, b)",
                reorder(tt, cores=stored_as(1, 2, 0, 3)),
            ),
            "fortran_cores": ("cores stored in F order", reorder(tt, cores=stored_as(3, 2, 1, 0))),
            "fortran_x": ("the first mode of x fastest", reorder(tt, x=reversed_modes(1))),
            "fortran_y": ("the first mode of y fastest", reorder(tt, y=reversed_modes(2))),
            "core_order": (
                "the train taken from its end",
                reorder(tt, x=reversed_modes(1), y=reversed_modes(2)),
            ),
            "x_layout": ("x stored as (N, B)", reorder(tt, x=stored_as(1, 0))),
            "y_halves": ("halves of y exchanged", reorder(tt, y=halves)),
            "square_transposed": ("square cores transposed", change_cores(tt, square_transposed)),
            "equal_swapped": ("first two cores exchanged", change_cores(tt, equal_swapped)),
            "bond_cut": ("last bond value left out", change_cores(tt, bond_cut)),
            "bias_twice": ("b added twice", scale_bias(tt, 2)),
            "bias_rolled": ("b added one column off", reorder(tt, bias=rolled)),
        },
    ),
    *make_mutants(
        "fast.tt_linear",
        "gradient",
        {
            "cores_slots": (
                "in the order of the sweep",
                spoil_gradient(fast_tt, cores=equal_slots_reversed),
            ),
            "cores_off": (
                "off by 1 + 1e-6",
                spoil_gradient(fast_tt, cores=leafwise(slightly_off)),
            ),
            "last_sample": (
                "last sample left out",
                spoil_gradient(fast_tt, cores=without_last_sample(fast_tt)),
            ),
            "dx_modes": (
                "modes in the order of the sweep",
                spoil_gradient(fast_tt, x=modes_of_dx_reversed),
            ),
            "dx_narrow": ("rounded to half the bits", spoil_gradient(fast_tt, x=leafwise(narrow))),
        },
    ),
    *make_mutants(
        "fast.tt_linear",
        "consistent",
        {
            "merged_unpermuted": ("modes not brought together", merge_unpermuted(fast_tt)),
            "bonds": (
                "cores stored as (b, j, i, a)",
                reorder(fast_tt, cores=stored_as(3, 1, 2, 0)),
            ),
            "core_order": (
                "the train taken from its end",
                reorder(fast_tt, x=reversed_modes(1), y=reversed_modes(2)),
            ),
            "equal_swapped": ("first two cores exchanged", change_cores(fast_tt, equal_swapped)),
        },
    ),
]
