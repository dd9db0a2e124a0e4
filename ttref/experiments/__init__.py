"""Experiments of the older systems on real data, with their recorded numbers beside ours."""

from typing import Any

from ttref.experiments import avletters, cifar10, digits, fibo, t3f_mnist, video

EXPERIMENTS: dict[str, Any] = {
    **{
        "t3f-mnist": t3f_mnist,
        "digits": digits,
        "fibo": fibo,
        "avletters": avletters,
        "cifar10": cifar10,
    },
    **{experiment.name: experiment for experiment in video.EXPERIMENTS},
}
