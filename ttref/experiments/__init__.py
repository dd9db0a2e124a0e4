"""Experiments of the older systems on real data, with their recorded numbers beside ours."""

from ttref.experiments import digits, t3f_mnist

EXPERIMENTS = {"t3f-mnist": t3f_mnist, "digits": digits}
