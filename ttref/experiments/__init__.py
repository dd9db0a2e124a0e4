"""Experiments of the older systems on real data, with their recorded numbers beside ours."""

from typing import Any

from ttref.experiments import avletters, cifar10, digits, fibo, t3f_mnist, video
from ttref.experiments.spec import Spec

SPECS: tuple[Spec[Any], ...] = (
    *(t3f_mnist.SPEC, digits.SPEC, fibo.SPEC, avletters.SPEC, cifar10.SPEC),
    *video.SPECS,
)
EXPERIMENTS: dict[str, Spec[Any]] = {spec.name: spec for spec in SPECS}
"""The experiments by their names."""
