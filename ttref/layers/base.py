"""What every layer does, and what follows from the shapes of its parameters."""

from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, ClassVar, NoReturn

import numpy as np

from ttref import border, tree
from ttref.contracts import Array, Cache, Dtype, Namespace, Seed, Shape, Tree
from ttref.errors import ConventionError, ShapeError
from ttref.identity import attributes
from ttref.memory import check_memory
from ttref.rng import check_real_dtype, generator, to_device


@dataclass(frozen=True)
class Layer:
    """Hyper-parameters and nothing else: parameters, caches and random numbers are arguments.

    A layer is a frozen dataclass. Its fields are its options, checked when it is made, so
    ``eval(repr(layer)) == layer``, and ``dataclasses.replace(layer, name=value)`` is the layer with
    another option. A subclass says with `parameter_shapes` which parameters it has, and with
    `initial_value` what each starts from; checks, counts and `init` follow from that.
    """

    statistics: ClassVar[tuple[str, ...]] = ()  # names of parameters that no gradient trains
    takes_mask: ClassVar[bool] = False  # whether `forward` takes ``mask=``

    def __init_subclass__(cls) -> None:
        """Let the passes of each layer explain arguments that they cannot take."""
        for name, guard in (("forward", border.layer), ("backward", border.backward)):
            if name in vars(cls):
                setattr(cls, name, guard(vars(cls)[name]))

    def config(self) -> dict[str, Any]:
        """What tells this layer from others of its class, by name: its fields and attributes.

        `fit` compares it where a run is resumed. A subclass may return something else.
        """
        return attributes(self)

    def parameter_shapes(self) -> dict[str, Any]:
        """Shapes of the parameters by name, in the order in which `init` draws them.

        Returns
        -------
        dict
            A shape is a tuple of int. Where a parameter is a tuple or a dict of arrays, a tuple or
            a dict of shapes. Empty for a layer without parameters.
        """
        return {}

    def initial_value(self, name: str, rng: np.random.Generator) -> Tree:
        """Draw the first value of the parameter `name` from `rng`, in float64 on the CPU."""
        raise NotImplementedError

    def initial_values(self, rng: np.random.Generator) -> dict[str, Tree]:
        """Draw the first values of all parameters, one after the other."""
        return {name: self.initial_value(name, rng) for name in self.parameter_shapes()}

    def init(self, rng: Seed, dtype: Dtype = "float32", xp: Namespace | None = None) -> Tree:
        """Draw initial parameters.

        Parameters
        ----------
        rng : int or numpy.random.Generator
            Drawn from on the CPU in float64, so a seed gives the same numbers on every device.
        dtype : str or dtype
        xp : array namespace, optional
            Where the parameters go; NumPy by default.

        Returns
        -------
        tree of arrays; an empty dict for a layer without parameters

        Raises
        ------
        DtypeError
            If `dtype` is not a floating-point one.
        ShapeError
            If the parameters do not fit into the memory of this machine.
        """
        if not self._shapes:
            return {}
        check_real_dtype(dtype)
        check_memory(f"init of {self}", sum(map(count, self._shapes.values())))
        values = self.initial_values(generator(rng))
        return tree.map(lambda value: to_device(value, dtype, xp), values)

    def prepare(self, params: Tree, batch: int) -> Tree:
        """Prepare parameters for many calls of `forward` on batches of one size, outside training.

        Parameters
        ----------
        params : tree of arrays
        batch : int
            Samples in a batch.

        Returns
        -------
        tree
            With it `forward` computes the same, faster. It does not follow when `params` change.
        """
        return params

    def forward(
        self, params: Tree, x: Array, train: bool = False, rng: np.random.Generator | None = None
    ) -> tuple[Array, Cache]:
        """Apply the layer.

        Parameters
        ----------
        params : tree of arrays
            As `init` makes it.
        x : array
            Batch first.
        train : bool
            Whether dropout drops.
        rng : numpy.random.Generator, optional
            Needed by dropout in training.

        Returns
        -------
        y : array
        cache : what `backward` reads

        Raises
        ------
        ConventionError
            If `params` are not the parameters of the layer, or `rng` is needed and missing.
        ShapeError
            If `x` or a parameter does not fit the layer.
        """
        raise NotImplementedError

    def backward(
        self, dy: Array, cache: Cache, input_gradient: bool = True
    ) -> tuple[Tree, Array | None]:
        """Pull the cotangent `dy` of y back to the parameters and to x.

        Parameters
        ----------
        dy : array
            Of the shape of y.
        cache : object
            That of `forward`.
        input_gradient : bool
            Without it, dx need not be computed: a layer may return None in its place.

        Returns
        -------
        dparams, dx
            Trees like ``(params, x)``.
        """
        raise NotImplementedError

    @property
    def keeps_time(self) -> bool:
        """Whether y has the steps of x, (B, T, ...), and no step of y is made of padding.

        A mask of padding travels through such a layer (`out_mask`). A layer that neither keeps the
        steps nor takes a mask is refused where there is one. It is False unless a subclass says so.
        """
        return False

    @property
    def mixes_samples(self) -> bool:
        """Whether a sample of y depends on the other samples of the batch."""
        return False

    @property
    def padding_value(self) -> float | None:
        """The number that fills the steps of x that are padding; None if nothing says so."""
        return None

    @property
    def hides_padding(self) -> bool:
        """Whether steps of y can be padding that cannot be told from x: a layer inside found it."""
        return False

    def out_mask(self, mask: Array) -> Array | None:
        """Which steps of y are padding (False), given which steps of x are; None without steps.

        Parameters
        ----------
        mask : array of bool, shape ``(B, T)``
        """
        return mask if self.keeps_time else None

    def update_state(self, params: Tree, cache: Cache) -> Tree:
        """`params` with their non-trainable state (running statistics) updated.

        Parameters
        ----------
        params : tree of arrays
            After a step of training.
        cache : object
            That of the step's `forward`.

        Returns
        -------
        tree of arrays
            `params` itself where there is no such state.
        """
        return params

    def learns(self, params: Tree) -> bool:
        """Whether any of `params` has a gradient that is not zero by definition."""
        return bool(params)

    def out_shape(self, in_shape: Shape) -> Shape | None:
        """Shape of one sample's output, without the batch, for a sample of `in_shape`.

        A size of None, a number of steps for one, may be any. A shape of None is unknown.
        """
        return tuple(in_shape)

    @property
    def in_shape(self) -> Shape | None:
        """Shape of one sample's input, or None where the layer takes any."""
        return None

    @property
    def num_params(self) -> int:
        """Numbers in all trainable parameters."""
        shapes = self._shapes.items()
        return sum(count(shape) for name, shape in shapes if name not in self.statistics)

    @property
    def dense_params(self) -> int:
        """Numbers that the same layer would have with dense matrices in place of TT-matrices."""
        return self.num_params

    def check_params(self, params: Tree) -> None:
        """Raise unless `params` are the parameters of this layer, of its shapes.

        Raises
        ------
        ConventionError
            If a name is missing, or is none of this layer's.
        ShapeError
            If a shape is another.
        """
        try:
            fits = len(params) == len(self._shapes)
            for name, shape in self._shapes.items():
                fits = fits and shape_of(params[name]) == shape
        except (LookupError, TypeError):
            fits = False
        if not fits:
            self._refuse(params)

    def _refuse(self, params: Tree) -> NoReturn:
        """Say how `params` are not the parameters of this layer."""
        shapes = self._shapes
        if not isinstance(params, dict) or params.keys() != shapes.keys():
            names = sorted(params) if isinstance(params, dict) else f"a {type(params).__name__}"
            raise ConventionError(f"parameters are {names}, expected {sorted(shapes)}")
        name = next(name for name, shape in shapes.items() if shape_of(params[name]) != shape)
        found = shape_of(params[name])
        is_one = isinstance(found, str) or all(isinstance(size, int) for size in found)
        verb = "has shape" if is_one else "have shapes"
        raise ShapeError(f"{name} {verb} {found}, expected {shapes[name]}")

    @cached_property
    def _shapes(self) -> dict[str, Any]:
        return self.parameter_shapes()

    def _set(self, **fields: Any) -> None:
        """Set fields to their checked values, for ``__post_init__`` only: the layer is frozen."""
        for name, value in fields.items():
            object.__setattr__(self, name, value)


def shape_of(parameter: Tree) -> Any:
    """The shape of an array; the tuple or dict of the shapes of a tuple or a dict."""
    shape = getattr(parameter, "shape", None)
    if shape is not None:
        return shape
    if isinstance(parameter, (tuple, list)):
        try:
            return tuple([part.shape for part in parameter])
        except AttributeError:
            return tuple([shape_of(part) for part in parameter])
    if isinstance(parameter, dict):
        return {name: shape_of(part) for name, part in parameter.items()}
    return type(parameter).__name__


def count(shape: Any) -> int:
    """Numbers in the arrays of a shape, or of a tuple or dict of shapes."""
    if isinstance(shape, dict):
        return sum(map(count, shape.values()))
    is_leaf = all(isinstance(size, int) for size in shape)
    return prod(shape) if is_leaf else sum(map(count, shape))
