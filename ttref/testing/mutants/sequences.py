"""Mutants of the scan over time."""

from collections.abc import Callable
from typing import Any

import numpy as np

from ttref import functions as F
from ttref import scan as scan_over_time
from ttref import tree
from ttref.contracts import Array, Cache, Tree
from ttref.testing.cases.case import Params
from ttref.testing.mutants.mutant import Pair, make_mutants, zero


def change_option(name: str, change: Callable[..., Any]) -> Pair:
    """The scan with another value of an option, where one is given; forward and backward."""

    def forward(
        cell: Any, params: Params, x: Array, **options: Any
    ) -> tuple[tuple[Array, Tree], Cache]:
        if options.get(name) is not None:
            options[name] = change(options[name], options)
        return scan_over_time.forward(cell, params, x, **options)

    return Pair(forward, scan_over_time.backward)


def change_cell(change: Callable[..., Any]) -> Pair:
    """The scan of ``change(cell)``."""

    def forward(
        cell: Any, params: Params, x: Array, **options: Any
    ) -> tuple[tuple[Array, Tree], Cache]:
        return scan_over_time.forward(change(cell), params, x, **options)

    return Pair(forward, scan_over_time.backward)


def change_scan_cache(change: Callable[..., Any]) -> Pair:
    """The scan whose backward reads ``change(cache)``."""

    def backward(
        cotangents: tuple[Any, Any], cache: Cache, input_gradient: bool = True
    ) -> tuple[Params, Array, Tree]:
        return scan_over_time.backward(cotangents, change(cache), input_gradient)

    return Pair(scan_over_time.forward, backward)


def change_scan_gradients(change: Callable[..., Any]) -> Pair:
    """The scan whose gradients are ``change(cotangents, cache, dparams, dx, dstate)``."""

    def backward(
        cotangents: tuple[Any, Any], cache: Cache, input_gradient: bool = True
    ) -> tuple[Params, Array, Tree]:
        found = scan_over_time.backward(cotangents, cache, input_gradient)
        return change(cotangents, cache, *found)

    return Pair(scan_over_time.forward, backward)


def last_step_only(
    cotangents: tuple[Any, Any], cache: Cache, dparams: Params, dx: Array, dstate: Tree
) -> tuple[Params, Array, Tree]:
    """The cotangents of the parameters of the last step, for their sum over time."""
    dys, dlast = cotangents
    last = cache._replace(steps=cache.steps[-1:])
    return scan_over_time.backward((dys[:, -1:], dlast), last)[0], dx, dstate


def mean_over_time(
    cotangents: tuple[Any, Any], cache: Cache, dparams: Params, dx: Array, dstate: Tree
) -> tuple[Params, Array, Tree]:
    """The cotangents of the parameters divided by T."""
    return tree.map(lambda g: F.divide(g, len(cache.steps)), dparams), dx, dstate


def first_state_missing(
    cotangents: tuple[Any, Any], cache: Cache, dparams: Params, dx: Array, dstate: Tree
) -> tuple[Params, Array, Tree]:
    """No gradient of the first state."""
    return dparams, dx, tree.map(zero, dstate)


def first_state_cut(
    cotangents: tuple[Any, Any], cache: Cache, dparams: Params, dx: Array, dstate: Tree
) -> tuple[Params, Array, Tree]:
    """The first state gets no gradient, as if a window began at the first step."""
    return dparams, dx, tree.map(zero, dstate) if cache.truncate else dstate


def last_state_ignored(
    cotangents: tuple[Any, Any], cache: Cache, input_gradient: bool = True
) -> tuple[Params, Array, Tree]:
    """The cotangent of the last state not used."""
    return scan_over_time.backward((cotangents[0], None), cache, input_gradient)


def repeats_ignored(
    cotangents: tuple[Any, Any], cache: Cache, input_gradient: bool = True
) -> tuple[Params, Array, Tree]:
    """The cotangents of outputs that padding repeats dropped."""
    dys, dstate = cotangents
    if dys is not None and any(step.valid is not None for step in cache.steps):
        valid = np.stack([step.valid for step in cache.steps], axis=1)
        dys = np.where(valid, dys, zero(dys))
    return scan_over_time.backward((dys, dstate), cache, input_gradient)


def take_padding(cache: Cache) -> Cache:
    """Backward takes every step, padding or not."""
    return cache._replace(steps=[step._replace(valid=None) for step in cache.steps])


def pull_back_padding(cache: Cache) -> Cache:
    """Backward takes every output of padding for a repeated one."""
    return cache._replace(at_padding="repeat")


def shorter_windows(cache: Cache) -> Cache:
    """Windows with one step less."""
    return cache._replace(truncate=cache.truncate and cache.truncate - 1)


def always_cut(cache: Cache) -> Cache:
    """No cotangent goes from step to step."""
    return cache._replace(truncate=1)


def in_order_of_processing(cache: Cache) -> Cache:
    """The gradient of x of a scan backwards, not turned."""
    return cache._replace(go_backwards=False)


class Forgetful:
    """At padding the output is 0 and, unless it keeps the state, the state too.

    It runs the scan one step at a time.
    """

    def __init__(self, keeps_state: bool) -> None:
        self.keeps_state = keeps_state

    def forward(
        self,
        cell: Any,
        params: Params,
        x: Array,
        *,
        mask: Array | None = None,
        go_backwards: bool = False,
        truncate: int | None = None,
        **options: Any,
    ) -> tuple[tuple[Array, Tree], Cache]:
        """Run the cell."""
        times = list(range(x.shape[1]))[:: -1 if go_backwards else 1]
        state = options.pop("state")
        ys = []
        caches = []
        for t in times:
            step = slice(t, t + 1)
            valid = None if mask is None else mask[:, step]
            out, cache = scan_over_time.forward(
                cell, params, x[:, step], mask=valid, state=state, **options
            )
            y, state = out
            state = self._forget(state, valid)
            ys.append(y)
            caches.append((cache, valid))
        return (np.concat(ys, axis=1), state), (caches, go_backwards)

    def backward(
        self, cotangents: tuple[Any, Any], cache: Cache, input_gradient: bool = True
    ) -> tuple[Params, Array, Tree]:
        """Pull back."""
        dys, dstate = cotangents
        caches, go_backwards = cache
        dparams: Any = None
        dxs: list[Array] = []
        for s in reversed(range(len(caches))):
            cache_of_step, valid = caches[s]
            dstate = self._forget(dstate, valid)
            found, dx, dstate = scan_over_time.backward((dys[:, s : s + 1], dstate), cache_of_step)
            dparams = found if dparams is None else tree.add(dparams, found)
            dxs.append(dx)
        return dparams, np.concat(dxs if go_backwards else dxs[::-1], axis=1), dstate

    def _forget(self, state: Tree, valid: Array | None) -> Tree:
        if self.keeps_state or valid is None:
            return state
        return tuple(np.where(valid, part, zero(part)) for part in state)


class OutputsInTime:
    """A scan backwards whose outputs come in the order of time."""

    @staticmethod
    def forward(
        cell: Any, params: Params, x: Array, **options: Any
    ) -> tuple[tuple[Array, Tree], Cache]:
        """Run the cell."""
        out, cache = scan_over_time.forward(cell, params, x, **options)
        ys, state = out
        return (_turn(ys, cache), state), cache

    @staticmethod
    def backward(
        cotangents: tuple[Any, Any], cache: Cache, input_gradient: bool = True
    ) -> tuple[Params, Array, Tree]:
        """Pull back."""
        dys, dstate = cotangents
        return scan_over_time.backward((_turn(dys, cache), dstate), cache, input_gradient)


def _turn(ys: Array, cache: Cache) -> Array:
    return np.flip(ys, axis=1) if cache.go_backwards else ys


class FirstStateIgnored:
    """Every scan starts at zero."""

    @staticmethod
    def forward(
        cell: Any, params: Params, x: Array, *, state: Tree | None = None, **options: Any
    ) -> tuple[tuple[Array, Tree], Cache]:
        """Run the cell."""
        return scan_over_time.forward(cell, params, x, **options)

    @staticmethod
    def backward(
        cotangents: tuple[Any, Any], cache: Cache, input_gradient: bool = True
    ) -> tuple[Params, Array, Tree]:
        """Pull back."""
        dparams, dx, dstate = scan_over_time.backward(cotangents, cache, input_gradient)
        return dparams, dx, tree.map(zero, dstate)


class ForgetBiasIgnored:
    """The bias of an LSTM's second gate is not added."""

    @staticmethod
    def forward(
        cell: Any, params: Params, x: Array, **options: Any
    ) -> tuple[tuple[Array, Tree], Cache]:
        """Run the cell."""
        if cell.gates == 4 and "bias" in params:
            params = params | {"bias": _without_second(params["bias"])}
        return scan_over_time.forward(cell, params, x, **options)

    @staticmethod
    def backward(
        cotangents: tuple[Any, Any], cache: Cache, input_gradient: bool = True
    ) -> tuple[Params, Array, Tree]:
        """Pull back."""
        dparams, dx, dstate = scan_over_time.backward(cotangents, cache, input_gradient)
        if cache.cell.gates == 4 and "bias" in dparams:
            dparams = dparams | {"bias": _without_second(dparams["bias"])}
        return dparams, dx, dstate


def forget_bias_missing(
    cotangents: tuple[Any, Any], cache: Cache, dparams: Params, dx: Array, dstate: Tree
) -> tuple[Params, Array, Tree]:
    """No gradient of the bias of an LSTM's second gate."""
    if cache.cell.gates == 4 and "bias" in dparams:
        dparams = dparams | {"bias": _without_second(dparams["bias"])}
    return dparams, dx, dstate


def _without_second(bias: Array) -> Array:
    blocks = np.split(bias, 4)
    return np.concat([blocks[0], zero(blocks[1]), *blocks[2:]])


MUTANTS = [
    *make_mutants(
        "scan",
        "gradient",
        {
            "last_step_only": ("no sum over time", change_scan_gradients(last_step_only)),
            "mean_over_time": ("mean over time for the sum", change_scan_gradients(mean_over_time)),
            "always_cut": ("the recurrent path dropped", change_scan_cache(always_cut)),
            "window_less": ("windows of k - 1 steps for k", change_scan_cache(shorter_windows)),
            "first_state_cut": (
                "a cut before the first step",
                change_scan_gradients(first_state_cut),
            ),
            "first_state_missing": ("dstate = 0", change_scan_gradients(first_state_missing)),
            "last_state_ignored": (
                "the cotangent of the last state not used",
                Pair(scan_over_time.forward, last_state_ignored),
            ),
            "repeats_ignored": (
                "dy of repeated outputs not used",
                Pair(scan_over_time.forward, repeats_ignored),
            ),
            "zeros_pulled_back": (
                "dy of padding's zeros used as that of repeated outputs",
                change_scan_cache(pull_back_padding),
            ),
            "padding_taken": ("no mask in backward", change_scan_cache(take_padding)),
            "input_mask_forgotten": (
                "no input mask in backward",
                change_scan_cache(lambda c: c._replace(input_mask=None)),
            ),
            "dx_order": (
                "dx of a scan backwards not turned",
                change_scan_cache(in_order_of_processing),
            ),
            "forget_bias": ("db_f = 0", change_scan_gradients(forget_bias_missing)),
        },
    ),
    *make_mutants(
        "scan",
        "consistent",
        {
            "padding_taken_for_steps": ("no mask", change_option("mask", lambda mask, o: None)),
            "padding_zeroes": ("padding resets the state", Forgetful(keeps_state=False)),
            "padding_outputs_zero": ("0 for the repeated output", Forgetful(keeps_state=True)),
            "padding_outputs_repeat": (
                "the output before for 0",
                change_option("at_padding", lambda value, o: "repeat"),
            ),
            "mask_unturned": (
                "the mask not read backwards",
                change_option("mask", lambda m, o: m[:, ::-1] if o["go_backwards"] else m),
            ),
            "outputs_in_time": ("outputs of a scan backwards turned", OutputsInTime),
            "first_state_ignored": ("starts at zero", FirstStateIgnored),
            "input_mask_ignored": (
                "no input mask",
                change_option("input_mask", lambda mask, o: None),
            ),
            "forget_bias_ignored": ("b_f not added", ForgetBiasIgnored),
        },
    ),
]
