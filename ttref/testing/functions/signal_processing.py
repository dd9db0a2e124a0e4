"""Transforms, convolutions, correlations, filters and windows."""

import numpy as np

from ttref.contracts import Array
from ttref.testing.functions.function import (
    Gradients,
    Parts,
    define,
    negate,
    normal,
    scale,
    zero,
    zero_entry,
)

KIND = "signal processing"


@define(KIND)
def power_spectrum() -> Parts:
    """``|fft(x)|^2``."""

    def f(x: Array) -> Array:
        z = np.fft.fft(x)
        return np.real(z) ** 2 + np.imag(z) ** 2

    def vjp(dy: Array, x: Array) -> Gradients:
        return (2 * x.size * np.real(np.fft.ifft(dy * np.fft.fft(x))),)

    def not_scaled(dy: Array, x: Array) -> Gradients:
        """The inverse transform is not multiplied by the length."""
        return (2 * np.real(np.fft.ifft(dy * np.fft.fft(x))),)

    def forth_again(dy: Array, x: Array) -> Gradients:
        """The transform is applied again in place of its inverse."""
        return (2 * np.real(np.fft.fft(dy * np.fft.fft(x))),)

    return Parts(f, normal((8,)), vjp, (not_scaled, forth_again, scale(vjp, 1.0001)))


@define(KIND)
def log_magnitude_spectrum() -> Parts:
    """``log(|rfft(x)|^2 + 1)`` of each row."""

    def f(x: Array) -> Array:
        z = np.fft.rfft(x)
        return np.log(np.real(z) ** 2 + np.imag(z) ** 2 + 1)

    def vjp(dy: Array, x: Array) -> Gradients:
        z = np.fft.rfft(x)
        dz = 2 * dy * z / (np.real(z) ** 2 + np.imag(z) ** 2 + 1)
        padded = np.concatenate([dz, np.zeros((len(x), x.shape[1] - dz.shape[1]))], axis=1)
        return (x.shape[1] * np.real(np.fft.ifft(padded)),)

    def hermitian_assumed(dy: Array, x: Array) -> Gradients:
        """The inverse transform of real signals counts the inner frequencies twice."""
        z = np.fft.rfft(x)
        dz = 2 * dy * z / (np.real(z) ** 2 + np.imag(z) ** 2 + 1)
        return (x.shape[1] * np.fft.irfft(dz, n=x.shape[1]),)

    def without_logarithm(dy: Array, x: Array) -> Gradients:
        """The derivative of the logarithm is missing."""
        z = np.fft.rfft(x)
        return vjp(dy * (np.real(z) ** 2 + np.imag(z) ** 2 + 1), x)

    return Parts(f, normal((2, 7)), vjp, (hermitian_assumed, without_logarithm, negate(vjp)))


@define(KIND)
def spectral_filter() -> Parts:
    """``real(ifft(h fft(x)))`` for a gain h of each frequency."""

    def f(x: Array, h: Array) -> Array:
        return np.real(np.fft.ifft(h * np.fft.fft(x)))

    def vjp(dy: Array, x: Array, h: Array) -> Gradients:
        dx = np.real(np.fft.fft(h * np.fft.ifft(dy)))
        return dx, np.real(np.fft.fft(x) * np.conj(np.fft.fft(dy))) / x.size

    def not_conjugated(dy: Array, x: Array, h: Array) -> Gradients:
        """The conjugate is forgotten in the gradient of the gain."""
        return vjp(dy, x, h)[0], np.real(np.fft.fft(x) * np.fft.fft(dy)) / x.size

    def frequencies_reversed(dy: Array, x: Array, h: Array) -> Gradients:
        """The gradient of x is filtered with the gains in reverse order."""
        return f(dy, h[::-1]), vjp(dy, x, h)[1]

    wrong = (not_conjugated, frequencies_reversed, scale(vjp, 1.0002, arg=1))
    return Parts(f, normal((6,), (6,)), vjp, wrong)


@define(KIND)
def full_convolution() -> Parts:
    """The convolution of two signals."""

    def f(a: Array, b: Array) -> Array:
        return np.convolve(a, b)

    def vjp(dy: Array, a: Array, b: Array) -> Gradients:
        da = np.stack([np.sum(dy[k : k + b.size] * b) for k in range(a.size)])
        db = np.stack([np.sum(dy[k : k + a.size] * a) for k in range(b.size)])
        return da, db

    def not_flipped(dy: Array, a: Array, b: Array) -> Gradients:
        """The kernel is flipped in the gradient of a."""
        return vjp(dy, a, b[::-1])[0], vjp(dy, a, b)[1]

    def late(dy: Array, a: Array, b: Array) -> Gradients:
        """The gradient of b is late by one."""
        return vjp(dy, a, b)[0], np.roll(vjp(dy, a, b)[1], 1)

    return Parts(f, normal((7,), (4,)), vjp, (not_flipped, late, zero_entry(vjp, 6)))


@define(KIND)
def convolution_layer() -> Parts:
    """A valid correlation of 2 channels with 3 kernels of width 3, for each sample."""

    def windows(x: Array) -> Array:
        return np.stack([x[:, :, k : k + 5] for k in range(3)], axis=-1)

    def f(x: Array, w: Array) -> Array:
        return np.einsum("bctk,ock->bot", windows(x), w)

    def vjp(dy: Array, x: Array, w: Array) -> Gradients:
        dx = np.zeros_like(x)
        for k in range(3):
            dx[:, :, k : k + 5] += np.einsum("bot,oc->bct", dy, w[:, :, k])
        return dx, np.einsum("bot,bctk->ock", dy, windows(x))

    def first_sample(dy: Array, x: Array, w: Array) -> Gradients:
        """The gradient of the kernels lacks the sum over the batch."""
        return vjp(dy, x, w)[0], vjp(dy[:1], x[:1], w)[1]

    def kernel_flipped(dy: Array, x: Array, w: Array) -> Gradients:
        """The kernels are flipped in the gradient of x."""
        return vjp(dy, x, w[:, :, ::-1])[0], vjp(dy, x, w)[1]

    wrong = (first_sample, kernel_flipped, scale(vjp, 1.0001, arg=1))
    return Parts(f, normal((2, 2, 7), (3, 2, 3)), vjp, wrong)


@define(KIND)
def image_convolution() -> Parts:
    """A 2 x 2 kernel over an image, at a stride of 2 down and 1 across."""

    def patches(x: Array) -> Array:
        rows = [x[i : i + 3 : 2, j : j + 4] for i in range(2) for j in range(2)]
        return np.stack(rows, axis=-1)

    def f(x: Array, w: Array) -> Array:
        return patches(x) @ w.reshape(4)

    def vjp(dy: Array, x: Array, w: Array) -> Gradients:
        dx = np.zeros_like(x)
        for i in range(2):
            for j in range(2):
                dx[i : i + 3 : 2, j : j + 4] += dy * w[i, j]
        dw = np.sum(dy[..., np.newaxis] * patches(x), axis=(0, 1)).reshape(2, 2)
        return dx, dw

    def strides_exchanged(dy: Array, x: Array, w: Array) -> Gradients:
        """The kernel is transposed in the gradient of x."""
        return vjp(dy, x, w.T)[0], vjp(dy, x, w)[1]

    def overlaps_overwritten(dy: Array, x: Array, w: Array) -> Gradients:
        """Overlapping patches overwrite each other."""
        dx = np.zeros_like(x)
        for i in range(2):
            for j in range(2):
                dx[i : i + 3 : 2, j : j + 4] = dy * w[i, j]
        return dx, vjp(dy, x, w)[1]

    wrong = (strides_exchanged, overlaps_overwritten, zero_entry(vjp, 3, arg=1))
    return Parts(f, normal((4, 5), (2, 2)), vjp, wrong)


@define(KIND)
def autocorrelation() -> Parts:
    """``sum(x_t x_{t+k})`` for the lags k of 0 to 4."""

    def f(x: Array) -> Array:
        return np.stack([np.sum(x[: x.size - k] * x[k:]) for k in range(5)])

    def vjp(dy: Array, x: Array) -> Gradients:
        dx = np.zeros_like(x)
        for k in range(5):
            dx[: x.size - k] += dy[k] * x[k:]
            dx[k:] += dy[k] * x[: x.size - k]
        return (dx,)

    def one_factor(dy: Array, x: Array) -> Gradients:
        """Only the earlier factor is differentiated."""
        dx = np.zeros_like(x)
        for k in range(5):
            dx[: x.size - k] += dy[k] * x[k:]
        return (dx,)

    def lag_zero_once(dy: Array, x: Array) -> Gradients:
        """The factor 2 is missing at lag 0."""
        return (vjp(dy, x)[0] - dy[0] * x,)

    return Parts(f, normal((10,)), vjp, (one_factor, lag_zero_once, scale(vjp, 1.0001)))


@define(KIND)
def exponential_smoothing() -> Parts:
    """``s_t = a x_t + (1 - a) s_{t-1}``, of the signal and the weight a."""

    def f(x: Array, a: Array) -> Array:
        smooth = [x[0]]
        for value in x[1:]:
            smooth.append(a * value + (1 - a) * smooth[-1])
        return np.stack(smooth)

    def vjp(dy: Array, x: Array, a: Array) -> Gradients:
        s = f(x, a)
        dx = np.zeros_like(x)
        ds = 0 * dy[0]
        da = 0 * dy[0]
        for t in range(x.size - 1, 0, -1):
            ds = ds + dy[t]
            dx[t] = a * ds
            da = da + ds * (x[t] - s[t - 1])
            ds = (1 - a) * ds
        dx[0] = ds + dy[0]
        return dx, da

    def truncated(dy: Array, x: Array, a: Array) -> Gradients:
        """The gradient does not pass through earlier steps."""
        dx = a * dy
        dx[0] = dy[0]
        return dx, vjp(dy, x, a)[1]

    def first_step(dy: Array, x: Array, a: Array) -> Gradients:
        """The first step has the weight a as the others do."""
        dx, da = vjp(dy, x, a)
        dx[0] = a * dx[0]
        return dx, da

    def draw(rng: np.random.Generator) -> tuple[Array, float]:
        return rng.standard_normal(9), 0.3

    wrong = (truncated, first_step, scale(vjp, 1.0001, arg=1))
    return Parts(f, draw, vjp, wrong)


@define(KIND)
def moving_average() -> Parts:
    """The mean of 3 neighbours, of fewer at the ends."""

    def weights(n: int) -> Array:
        near = np.abs(np.arange(n)[:, np.newaxis] - np.arange(n)) <= 1
        return near / np.sum(near, axis=1, keepdims=True)

    def f(x: Array) -> Array:
        return weights(x.size) @ x

    def vjp(dy: Array, x: Array) -> Gradients:
        return (weights(x.size).T @ dy,)

    def not_transposed(dy: Array, x: Array) -> Gradients:
        """The smoothing itself, which is right but for the ends."""
        return (weights(x.size) @ dy,)

    return Parts(f, normal((9,)), vjp, (not_transposed, zero(vjp), scale(vjp, 1.0001)))


@define(KIND)
def cumulative_sum() -> Parts:
    """``exp(cumsum(x))``."""

    def f(x: Array) -> Array:
        return np.exp(np.cumsum(x))

    def vjp(dy: Array, x: Array) -> Gradients:
        inner = dy * np.exp(np.cumsum(x))
        return (np.cumsum(inner[::-1])[::-1] + 0,)

    def forth(dy: Array, x: Array) -> Gradients:
        """The sum of the gradient runs forth in place of back."""
        return (np.cumsum(dy * np.exp(np.cumsum(x))),)

    def exclusive(dy: Array, x: Array) -> Gradients:
        """The entry itself is left out of the sum."""
        inner = dy * np.exp(np.cumsum(x))
        return (vjp(dy, x)[0] - inner,)

    return Parts(f, normal((8,), scale=0.5), vjp, (forth, exclusive, zero_entry(vjp, 7)))


@define(KIND)
def cosine_transform() -> Parts:
    """The discrete cosine transform of type 2, squared."""

    def basis(n: int) -> Array:
        return np.cos(np.pi / n * np.outer(np.arange(n), np.arange(n) + 0.5))

    def f(x: Array) -> Array:
        return (basis(x.size) @ x) ** 2

    def vjp(dy: Array, x: Array) -> Gradients:
        c = basis(x.size)
        return (c.T @ (2 * dy * (c @ x)),)

    def type_two_again(dy: Array, x: Array) -> Gradients:
        """The transform is applied again in place of its transpose."""
        c = basis(x.size)
        return (c @ (2 * dy * (c @ x)),)

    return Parts(f, normal((7,)), vjp, (type_two_again, negate(vjp), scale(vjp, 1.0001)))


@define(KIND)
def haar_wavelet() -> Parts:
    """Means and differences of pairs, twice; the coefficients squared."""

    def transform(x: Array) -> Array:
        half = np.concatenate([x[::2] + x[1::2], x[::2] - x[1::2]]) / np.sqrt(2)
        low = half[:4]
        quarter = np.concatenate([low[::2] + low[1::2], low[::2] - low[1::2]]) / np.sqrt(2)
        return np.concatenate([quarter, half[4:]])

    def invert(c: Array) -> Array:
        low = np.stack([c[:2] + c[2:4], c[:2] - c[2:4]], axis=1).reshape(4) / np.sqrt(2)
        return np.stack([low + c[4:], low - c[4:]], axis=1).reshape(8) / np.sqrt(2)

    def f(x: Array) -> Array:
        return transform(x) ** 2

    def vjp(dy: Array, x: Array) -> Gradients:
        return (invert(2 * dy * transform(x)),)

    def forth_again(dy: Array, x: Array) -> Gradients:
        """The transform is applied again in place of its inverse."""
        return (transform(2 * dy * transform(x)),)

    def one_level(dy: Array, x: Array) -> Gradients:
        """The second level is not inverted."""
        c = 2 * dy * transform(x)
        return (np.stack([c[:4] + c[4:], c[:4] - c[4:]], axis=1).reshape(8) / np.sqrt(2),)

    return Parts(f, normal((8,)), vjp, (forth_again, one_level, scale(vjp, 1.0001)))


@define(KIND)
def windowed_energy() -> Parts:
    """The energy of overlapping Hann windows."""
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(6) / 6)

    def f(x: Array) -> Array:
        return np.stack([np.sum((window * x[k : k + 6]) ** 2) for k in (0, 3, 6)])

    def vjp(dy: Array, x: Array) -> Gradients:
        dx = np.zeros_like(x)
        for place, k in enumerate((0, 3, 6)):
            dx[k : k + 6] += 2 * dy[place] * window**2 * x[k : k + 6]
        return (dx,)

    def window_once(dy: Array, x: Array) -> Gradients:
        """The window is not squared."""
        dx = np.zeros_like(x)
        for place, k in enumerate((0, 3, 6)):
            dx[k : k + 6] += 2 * dy[place] * window * x[k : k + 6]
        return (dx,)

    def overwritten(dy: Array, x: Array) -> Gradients:
        """Overlapping windows overwrite each other."""
        dx = np.zeros_like(x)
        for place, k in enumerate((0, 3, 6)):
            dx[k : k + 6] = 2 * dy[place] * window**2 * x[k : k + 6]
        return (dx,)

    return Parts(f, normal((12,)), vjp, (window_once, overwritten, scale(vjp, 1.0001)))
