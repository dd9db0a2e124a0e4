"""What recurrent layers of other systems compute, written from their own equations.

Each takes the stored weights, x (B, T, N), and the functions act and s of the gates, and returns
the outputs of all steps (B, T, u). Numbers may be fractions.
"""

from fractions import Fraction

import numpy as np

from tests.convert.originals import t3nsor_transposed, tt_rnn


def hard_sigmoid(z):
    return np.minimum(np.maximum(z / 5 + Fraction(1, 2), 0), 1)


def identity(z):
    return z


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def _over_time(step, x, states):
    outputs = []
    for t in range(x.shape[1]):
        states = step(x[:, t], *states)
        outputs.append(states[0])
    return np.stack(outputs, axis=1)


def _zeros(x, u):
    return x[:, 0, :1] * np.zeros((1, u), int)


def _second(stored, name, rows):
    return stored.get(name, np.zeros(rows, int))


# torch: the equations of its documentation (RNN, GRU, LSTM)


def torch_rnn(stored, x, act, s):
    W_ih, W_hh = stored["weight_ih_l0"], stored["weight_hh_l0"]
    b_ih, b_hh = (_second(stored, name, len(W_ih)) for name in ("bias_ih_l0", "bias_hh_l0"))

    def step(x, h):
        return (act(x @ W_ih.T + b_ih + h @ W_hh.T + b_hh),)

    return _over_time(step, x, (_zeros(x, W_hh.shape[1]),))


def torch_gru(stored, x, act, s):
    u = stored["weight_hh_l0"].shape[1]
    W_ir, W_iz, W_in = np.split(stored["weight_ih_l0"], 3)
    W_hr, W_hz, W_hn = np.split(stored["weight_hh_l0"], 3)
    b_ir, b_iz, b_in = np.split(_second(stored, "bias_ih_l0", 3 * u), 3)
    b_hr, b_hz, b_hn = np.split(_second(stored, "bias_hh_l0", 3 * u), 3)

    def step(x, h):
        r = s(x @ W_ir.T + b_ir + h @ W_hr.T + b_hr)
        z = s(x @ W_iz.T + b_iz + h @ W_hz.T + b_hz)
        n = act(x @ W_in.T + b_in + r * (h @ W_hn.T + b_hn))
        return ((1 - z) * n + z * h,)

    return _over_time(step, x, (_zeros(x, u),))


def torch_lstm(stored, x, act, s):
    u = stored["weight_hh_l0"].shape[1]
    W_ii, W_if, W_ig, W_io = np.split(stored["weight_ih_l0"], 4)
    W_hi, W_hf, W_hg, W_ho = np.split(stored["weight_hh_l0"], 4)
    b_ii, b_if, b_ig, b_io = np.split(_second(stored, "bias_ih_l0", 4 * u), 4)
    b_hi, b_hf, b_hg, b_ho = np.split(_second(stored, "bias_hh_l0", 4 * u), 4)

    def step(x, h, c):
        i = s(x @ W_ii.T + b_ii + h @ W_hi.T + b_hi)
        f = s(x @ W_if.T + b_if + h @ W_hf.T + b_hf)
        g = act(x @ W_ig.T + b_ig + h @ W_hg.T + b_hg)
        o = s(x @ W_io.T + b_io + h @ W_ho.T + b_ho)
        c = f * c + i * g
        return o * act(c), c

    return _over_time(step, x, (_zeros(x, u), _zeros(x, u)))


# Keras: SimpleRNNCell, GRUCell (both forms) and LSTMCell


def keras_rnn(stored, x, act, s):
    u = len(stored["recurrent_kernel"])

    def step(x, h):
        return (
            act(x @ stored["kernel"] + _second(stored, "bias", u) + h @ stored["recurrent_kernel"]),
        )

    return _over_time(step, x, (_zeros(x, u),))


def keras_gru(stored, x, act, s):
    U = stored["recurrent_kernel"]
    u = len(U)
    bias = _second(stored, "bias", 3 * u)
    after = bias.ndim == 2
    input_bias, recurrent_bias = bias if after else (bias, np.zeros(3 * u, int))

    def step(x, h):
        x_z, x_r, x_h = np.split(x @ stored["kernel"] + input_bias, 3, axis=1)
        if after:
            h_z, h_r, h_h = np.split(h @ U + recurrent_bias, 3, axis=1)
        else:
            h_z, h_r = np.split(h @ U[:, : 2 * u], 2, axis=1)
        z = s(x_z + h_z)
        r = s(x_r + h_r)
        hh = act(x_h + (r * h_h if after else (r * h) @ U[:, 2 * u :]))
        return (z * h + (1 - z) * hh,)

    return _over_time(step, x, (_zeros(x, u),))


def keras_lstm(stored, x, act, s):
    u = len(stored["recurrent_kernel"])
    return _lstm_i_f_c_o(stored, x, lambda x: x @ stored["kernel"], u, act, s)


def _lstm_i_f_c_o(stored, x, input_map, u, act, s):
    def step(x, h, c):
        z = input_map(x) + h @ stored["recurrent_kernel"] + _second(stored, "bias", 4 * u)
        z0, z1, z2, z3 = (z[:, k * u : (k + 1) * u] for k in range(4))
        i = s(z0)
        f = s(z1)
        c = f * c + i * act(z2)
        o = s(z3)
        return o * act(c), c

    return _over_time(step, x, (_zeros(x, u), _zeros(x, u)))


# TT_RNN: TT_RNN.step, TT_GRU.step, TT_LSTM.step; `modes` are input modes, output modes, ranks


def tt_rnn_rnn(stored, x, act, s, modes):
    W = tt_rnn(stored["kernel"], *modes)
    return keras_rnn(stored | {"kernel": W}, x, act, s)


def tt_rnn_gru(stored, x, act, s, modes):
    n, m, r = modes
    W = tt_rnn(stored["kernel"], n, (3 * m[0], *m[1:]), r)
    U = stored["recurrent_kernel"]
    u = len(U)

    def step(x, h):
        matrix_x = x @ W + _second(stored, "bias", 3 * u)
        matrix_inner = h @ U[:, : 2 * u]
        z = s(matrix_x[:, :u] + matrix_inner[:, :u])
        r_ = s(matrix_x[:, u : 2 * u] + matrix_inner[:, u : 2 * u])
        hh = act(matrix_x[:, 2 * u :] + (r_ * h) @ U[:, 2 * u :])
        return (z * h + (1 - z) * hh,)

    return _over_time(step, x, (_zeros(x, u),))


def tt_rnn_lstm(stored, x, act, s, modes):
    n, m, r = modes
    W = tt_rnn(stored["kernel"], n, (4 * m[0], *m[1:]), r)
    return _lstm_i_f_c_o(stored, x, lambda x: x @ W, len(stored["recurrent_kernel"]), act, s)


# tednet: _TNLSTMCell.forward with a TTLinear


def tednet_lstm(stored, x, act, s, modes):
    n, _, _ = modes
    nodes = [stored[f"cell.weight_ih.node{k}"] for k in range(len(n))]
    W_hh = stored["cell.weight_hh"]
    u = W_hh.shape[1]

    def weight_ih(x):
        res = np.tensordot(x.reshape(-1, *n), nodes[0], axes=([1], [0]))
        for node in nodes[1:]:
            res = np.tensordot(res, node, axes=([1, -1], [0, 2]))
        return res.reshape(len(x), -1) + stored["cell.weight_ih.bias"]

    def step(x, hx, cx):
        gates = weight_ih(x) + hx @ W_hh.T + stored["cell.bias_hh"]
        ingate, forgetgate, cellgate, outgate = np.split(gates, 4, axis=1)
        cy = s(forgetgate) * cx + s(ingate) * act(cellgate)
        return s(outgate) * act(cy), cy

    return _over_time(step, x, (_zeros(x, u), _zeros(x, u)))


# tensorized-rnn: GRUCell.forward and LSTMCell.forward with TTLinear or TTLinearSet for both maps


def _tensorized_map(stored, name, gates):
    """What TTLinear computes, or TTLinearSet: the outputs of the gates side by side."""

    def linear(prefix, x):
        cores = []
        while f"{prefix}.parameters.{len(cores)}" in stored:
            cores.append(stored[f"{prefix}.parameters.{len(cores)}"])
        n = [core.shape[2] for core in cores]
        m = [core.shape[1] for core in cores]
        r = [core.shape[0] for core in cores]
        return x @ t3nsor_transposed(cores, n, m, r) + stored.get(f"{prefix}.bias", 0)

    prefix = f"cell0.{name}"
    if f"{prefix}.parameters.0" in stored:
        return lambda x: linear(prefix, x)
    return lambda x: np.concatenate([linear(f"{prefix}.gate{q}", x) for q in range(gates)], axis=1)


def tensorized_gru(stored, x, act, s, u):
    input_weights = _tensorized_map(stored, "input_weights", 3)
    hidden_weights = _tensorized_map(stored, "hidden_weights", 3)

    def step(x, hx):
        input_part = input_weights(x)
        hidden_part = hidden_weights(hx)
        reset_gate = s(input_part[:, :u] + hidden_part[:, :u])
        update_gate = s(input_part[:, u : 2 * u] + hidden_part[:, u : 2 * u])
        new_gate = act(input_part[:, 2 * u :] + reset_gate * hidden_part[:, 2 * u :])
        return ((1 - update_gate) * new_gate + update_gate * hx,)

    return _over_time(step, x, (_zeros(x, u),))


def tensorized_lstm(stored, x, act, s, u):
    input_weights = _tensorized_map(stored, "input_weights", 4)
    hidden_weights = _tensorized_map(stored, "hidden_weights", 4)

    def step(x, hx, cx):
        gates_out = input_weights(x) + hidden_weights(hx)
        ingate = s(gates_out[:, :u])
        forgetgate = s(gates_out[:, u : 2 * u])
        cellgate = act(gates_out[:, 2 * u : 3 * u])
        outgate = s(gates_out[:, 3 * u :])
        cy = forgetgate * cx + ingate * cellgate
        return outgate * act(cy), cy

    return _over_time(step, x, (_zeros(x, u), _zeros(x, u)))


# ONNX: the equations of the operators RNN, GRU and LSTM, without clip and peepholes


def _onnx_parts(stored, g):
    u = stored["R"].shape[2]
    B = stored["B"][0] if "B" in stored else np.zeros(2 * g * u, int)
    return np.split(stored["W"][0], g), np.split(stored["R"][0], g), np.split(B, 2 * g), u


def onnx_rnn(stored, x, act, s):
    (Wi,), (Ri,), (Wbi, Rbi), u = _onnx_parts(stored, 1)

    def step(X, H):
        return (act(X @ Wi.T + H @ Ri.T + Wbi + Rbi),)

    return _over_time(step, x, (_zeros(x, u),))


def onnx_gru(linear_before_reset):
    def forward(stored, x, act, s):
        W, R, B, u = _onnx_parts(stored, 3)
        Wz, Wr, Wh = W
        Rz, Rr, Rh = R
        Wbz, Wbr, Wbh, Rbz, Rbr, Rbh = B

        def step(X, H):
            zt = s(X @ Wz.T + H @ Rz.T + Wbz + Rbz)
            rt = s(X @ Wr.T + H @ Rr.T + Wbr + Rbr)
            if linear_before_reset:
                ht = act(X @ Wh.T + rt * (H @ Rh.T + Rbh) + Wbh)
            else:
                ht = act(X @ Wh.T + (rt * H) @ Rh.T + Rbh + Wbh)
            return ((1 - zt) * ht + zt * H,)

        return _over_time(step, x, (_zeros(x, u),))

    return forward


def onnx_lstm(stored, x, act, s):
    W, R, B, u = _onnx_parts(stored, 4)
    Wi, Wo, Wf, Wc = W
    Ri, Ro, Rf, Rc = R
    Wbi, Wbo, Wbf, Wbc, Rbi, Rbo, Rbf, Rbc = B

    def step(X, H, C):
        it = s(X @ Wi.T + H @ Ri.T + Wbi + Rbi)
        ft = s(X @ Wf.T + H @ Rf.T + Wbf + Rbf)
        ct = act(X @ Wc.T + H @ Rc.T + Wbc + Rbc)
        Ct = ft * C + it * ct
        ot = s(X @ Wo.T + H @ Ro.T + Wbo + Rbo)
        return ot * act(Ct), Ct

    return _over_time(step, x, (_zeros(x, u), _zeros(x, u)))
