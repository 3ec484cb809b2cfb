"""What kind of work an operation does, by its name in ATen."""

DROP = frozenset({"dropout", "native_dropout", "alpha_dropout"})
CHANNEL_DROP = frozenset({"feature_dropout", "feature_alpha_dropout"})
ALPHA = frozenset({"alpha_dropout", "feature_alpha_dropout"})
RECURRENT = frozenset({"lstm", "gru", "rnn_tanh", "rnn_relu"})
ATTENTION = frozenset({"scaled_dot_product_attention"})

VIEW = frozenset({
    "view", "reshape", "_unsafe_view", "view_as", "reshape_as", "transpose", "permute", "t", "mT",
    "movedim", "moveaxis", "flatten", "unflatten", "squeeze", "unsqueeze", "contiguous", "clone",
    "expand", "select", "slice", "unbind", "split", "split_with_sizes", "chunk", "narrow", "alias",
    "detach", "to", "_to_copy", "type_as", "numpy_T", "swapaxes", "roll", "index", "unfold_copy",
    "tensor_split", "lift_fresh", "copy", "nan_to_num", "pixel_shuffle", "pixel_unshuffle",
})  # fmt: skip
ALIAS = VIEW - {
    "clone", "contiguous", "to", "_to_copy", "type_as", "copy", "index", "roll", "unfold_copy",
    "nan_to_num", "pixel_shuffle", "pixel_unshuffle", "lift_fresh",
}  # fmt: skip
"""Views that share the memory of what they show."""
ACTIVATION = frozenset({
    "relu", "relu6", "gelu", "silu", "sigmoid", "tanh", "elu", "selu", "celu", "leaky_relu",
    "hardswish", "hardtanh", "hardsigmoid", "softplus", "mish", "prelu", "rrelu", "logsigmoid",
    "log_sigmoid", "hardshrink", "softshrink", "clamp", "clamp_min", "glu", "square", "softsign",
})  # fmt: skip
SOFTMAX = frozenset({"softmax", "log_softmax", "_softmax", "_log_softmax"})
BATCH_NORM = frozenset({"batch_norm", "native_batch_norm", "_batch_norm_impl_index"})
NORM = BATCH_NORM | {
    "layer_norm", "group_norm", "instance_norm", "rms_norm", "native_layer_norm", "sync_batch_norm",
}  # fmt: skip
MAX_POOL = frozenset({
    "max_pool1d", "max_pool2d", "max_pool3d", "max_pool1d_with_indices", "max_pool2d_with_indices",
    "max_pool3d_with_indices", "adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d",
    "amax",
})  # fmt: skip
MEAN_POOL = frozenset({
    "avg_pool1d", "avg_pool2d", "avg_pool3d", "adaptive_avg_pool1d", "adaptive_avg_pool2d",
    "adaptive_avg_pool3d", "mean",
})  # fmt: skip
CONVOLUTION = frozenset({
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "convolution", "_convolution",
})  # fmt: skip
SCALE = frozenset({"mul", "div", "neg", "true_divide"})
RANDOM = frozenset({
    "bernoulli", "rand", "rand_like", "randn", "randn_like", "normal", "uniform", "exponential",
    "multinomial", "randint", "randint_like", "randperm", "poisson", "geometric", "log_normal",
})  # fmt: skip

SAVES_ITS_OUTPUT = frozenset({
    "relu", "sigmoid", "tanh", "softmax", "log_softmax", "exp", "sqrt", "rsqrt", "reciprocal",
})  # fmt: skip
"""Whose backward reads what it returned, so that writing into that is an error (tried)."""
