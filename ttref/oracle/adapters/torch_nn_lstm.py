"""torch: ``nn.LSTM``."""

from ttref.oracle.adapters._torch_layers import OPTIONS, of_recurrent

name = "torch.nn.LSTM"
layer = "lstm"
options = {**OPTIONS, "gates": "ifgo", "recurrent_activation": "sigmoid"}
forward, gradients = of_recurrent("LSTM")
