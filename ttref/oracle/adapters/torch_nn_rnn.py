"""torch: ``nn.RNN``."""

from ttref.oracle.adapters._torch_layers import OPTIONS, of_recurrent

name = "torch.nn.RNN"
layer = "rnn"
options = OPTIONS
forward, gradients = of_recurrent("RNN")
