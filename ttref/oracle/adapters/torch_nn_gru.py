"""torch: ``nn.GRU``."""

from ttref.oracle.adapters._torch_layers import OPTIONS, of_recurrent

name = "torch.nn.GRU"
layer = "gru"
options = {**OPTIONS, "gates": "rzn", "reset": "after", "recurrent_activation": "sigmoid"}
forward, gradients = of_recurrent("GRU")
