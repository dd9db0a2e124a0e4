"""What every layer does."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Layer:
    """Hyper-parameters and nothing else: parameters, caches and random numbers come and go."""

    def _set(self, **fields):
        """Set the fields of a frozen layer, for its ``__init__`` only."""
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def init(self, rng, dtype="float32", xp=None):
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
        """
        return {}

    def prepared(self, params, batch):
        """What `forward` computes the same with, faster, for many batches of so many samples.

        Not for training: what was prepared does not follow when parameters change.
        """
        return params

    def forward(self, params, x, train=False, rng=None):
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
        ShapeError
            If `x` or a parameter does not fit the layer.
        """
        raise NotImplementedError

    def outputs(self, params, x):
        """``(name, params, y)`` of the layers that this one is made of, outside training."""
        yield str(self), params, self.forward(params, x)[0]

    def backward(self, dy, cache, input_gradient=True):
        """Pull the cotangent `dy` of y back to ``(dparams, dx)``, trees like ``(params, x)``.

        Without `input_gradient`, dx need not be computed: a layer may return None in its place.
        """
        raise NotImplementedError

    def update_state(self, params, cache):
        """`params` after a training step: what is not learned, but followed, brought up to date.

        `cache` is that of the step's forward. Returns `params` itself where there is no such state.
        """
        return params

    def out_shape(self, in_shape):
        """Shape of one sample's output, without the batch, for a sample of `in_shape`.

        A size of None, a number of steps for one, may be any; None for all of it is unknown.
        """
        return tuple(in_shape)

    @property
    def in_shape(self):
        """Shape of one sample's input, or None where the layer takes any."""
        return None

    @property
    def num_params(self):
        """Numbers in all parameters."""
        return 0

    @property
    def dense_params(self):
        """Numbers that the same layer would have with dense matrices in place of TT-matrices."""
        return self.num_params
