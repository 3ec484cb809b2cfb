"""The operations of torch that say something about a place, by name, in-place ones included."""

SAME = frozenset(  # the values stay, in their order
    {
        "view",
        "_unsafe_view",
        "reshape",
        "clone",
        "_to_copy",
        "alias",
        "detach",
        "unsqueeze",
        "squeeze",
        "lift_fresh",
    }
)
REORDERS = SAME | {"permute", "transpose", "t"}  # the values stay, perhaps in another order
MOVES = REORDERS | {  # values move or are summed up, and nothing is learned
    "max_pool2d_with_indices",
    "max_pool3d_with_indices",
    "avg_pool2d",
    "avg_pool3d",
    "_adaptive_avg_pool2d",
    "_adaptive_avg_pool3d",
    "adaptive_max_pool2d",
    "mean",
    "amax",
    "select",
    "slice",
    "expand",
}
BATCH_NORMS = frozenset(
    {
        "native_batch_norm",
        "cudnn_batch_norm",
        "miopen_batch_norm",
        "_native_batch_norm_legit_no_training",
        "_batch_norm_no_update",
    }
)
NORMALIZES = BATCH_NORMS | {"native_layer_norm", "native_group_norm", "_fused_rms_norm"}
ACTIVATES = frozenset(
    {
        "relu",
        "gelu",
        "silu",
        "elu",
        "selu",
        "celu",
        "leaky_relu",
        "hardtanh",
        "hardswish",
        "mish",
        "softplus",
        "tanh",
        "_prelu_kernel",
    }
)
BOUNDS = frozenset({"clamp", "clamp_min", "clamp_max"})
GATES = frozenset({"sigmoid", "hardsigmoid"})
WEIGHS = frozenset(  # a layer with weights at work
    {
        "addmm",
        "mm",
        "bmm",
        "baddbmm",
        "convolution",
        "_convolution",
        "linear",
        "matmul",
        "lstm",
        "gru",
        "rnn_tanh",
        "rnn_relu",
        "mkldnn_rnn_layer",
        "_cudnn_rnn",
        "_thnn_fused_lstm_cell",
        "_thnn_fused_gru_cell",
    }
)
ADDS_TO_FIRST = frozenset({"sub", "addcmul", "add_scaled"})  # a shortcut can only be the first
