"""Models of transformers: their name, and what makes them small."""

from typing import Any

import torch
from zoo_inputs import BATCH, Built, ids, image

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "d_model": 32,
    "dim": 32,
    "n_embd": 32,
    "embed_dim": 32,
    "embedding_size": 32,
    "emb_dim": 32,
    "num_hidden_layers": 2,
    "n_layer": 2,
    "n_layers": 2,
    "num_layers": 2,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "num_decoder_layers": 2,
    "num_encoder_layers": 2,
    "num_attention_heads": 2,
    "n_head": 2,
    "n_heads": 2,
    "num_heads": 2,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "d_head": 16,
    "d_kv": 16,
    "intermediate_size": 37,
    "d_ff": 37,
    "hidden_dim": 37,
    "encoder_ffn_dim": 37,
    "decoder_ffn_dim": 37,
    "ffn_dim": 37,
    "n_inner": 37,
    "d_inner": 37,
    "vocab_size": 60,
    "max_position_embeddings": 64,
    "n_positions": 64,
    "image_size": 64,
    "patch_size": 16,
    "word_embed_proj_dim": 32,
    "encoder_layerdrop": 0.1,
    "decoder_layerdrop": 0.1,
    "layerdrop": 0.1,
    "num_kv_heads": 2,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "num_labels": 3,
}

WAVE: dict[str, Any] = {
    "conv_dim": (16, 16),
    "conv_kernel": (10, 4),
    "conv_stride": (5, 4),
    "num_feat_extract_layers": 2,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "apply_spec_augment": False,
    "mask_time_prob": 0.0,
}

TRANSFORMERS: dict[str, dict[str, Any]] = {
    "bert": {},
    "roberta": {},
    "distilbert": {},
    "albert": {},
    "electra": {},
    "deberta-v2": {},
    "deberta": {},
    "camembert": {},
    "mpnet": {},
    "xlm": {},
    "xlnet": {"max_position_embeddings": ...},
    "longformer": {"attention_window": 4, "length": 16},
    "big_bird": {"attention_type": "original_full"},
    "funnel": {
        "block_sizes": [1, 1],
        "block_repeats": [1, 1],
        "architectures": ["FunnelModel"],
        "num_decoder_layers": 1,
        "num_hidden_layers": ...,
    },
    "squeezebert": {"intermediate_size": 32},
    "convbert": {},
    "fnet": {},
    "nystromformer": {"length": 64},
    "mobilebert": {},
    "modernbert": {},
    "roformer": {},
    "rembert": {},
    "ibert": {},
    "megatron-bert": {},
    "yoso": {"length": 64},
    "gpt2": {},
    "gpt_neo": {"attention_types": [[["global", "local"], 1]]},
    "gptj": {"rotary_dim": 8},
    "gpt_neox": {},
    "opt": {},
    "bloom": {},
    "llama": {},
    "mistral": {},
    "qwen2": {},
    "gemma": {},
    "phi": {},
    "falcon": {"alibi": False, "head_dim": ...},
    "persimmon": {},
    "openai-gpt": {},
    "ctrl": {"dff": 37},
    "codegen": {"rotary_dim": 8, "n_head": 4, "num_attention_heads": 4},
    "mamba": {},
    "biogpt": {},
    "xglm": {},
    "t5": {},
    "mt5": {},
    "bart": {},
    "mbart": {},
    "pegasus": {},
    "blenderbot": {},
    "m2m_100": {},
    "prophetnet": {"num_hidden_layers": ...},
    "led": {"attention_window": 4, "length": 16},
    "marian": {"decoder_start_token_id": 1},
    "bigbird_pegasus": {"attention_type": "original_full"},
    "vit": {},
    "deit": {},
    "beit": {},
    "dinov2": {},
    "data2vec-vision": {},
    "vit_mae": {},
    "swin": {
        "embed_dim": 16,
        "depths": [1, 1],
        "num_heads": [2, 2],
        "window_size": 2,
        "patch_size": 4,
    },
    "swinv2": {
        "embed_dim": 16,
        "depths": [1, 1],
        "num_heads": [2, 2],
        "window_size": 2,
        "patch_size": 4,
    },
    "convnext": {"hidden_sizes": [8, 8, 8, 8]},
    "convnextv2": {"hidden_sizes": [8, 8, 8, 8]},
    "segformer": {"hidden_sizes": [8, 16, 16, 16], "num_attention_heads": [1, 1, 2, 2]},
    "poolformer": {"hidden_sizes": [8, 8, 8, 8]},
    "efficientnet": {"width_coefficient": 0.2, "hidden_dim": 256},
    "mobilevit": {"hidden_sizes": [16, 16, 16]},
    "cvt": {},
    "pvt_v2": {},
    "focalnet": {"embed_dim": 16},
    "wav2vec2": WAVE,
    "hubert": WAVE,
    "wavlm": WAVE,
    "unispeech": WAVE,
    "data2vec-audio": WAVE,
    "sew": {**WAVE, "squeeze_factor": 1},
    "whisper": {
        "num_mel_bins": 16,
        "max_source_positions": 20,
        "max_target_positions": 24,
        "features": (16, 40),
    },
    "speech_to_text": {"input_feat_per_channel": 16, "conv_channels": 32, "features": (40, 16)},
    "vits": {},
    "patchtst": {"series": {"past_values": (32, 1)}, "path_dropout": 0.1, "ff_dropout": 0.1},
    "time_series_transformer": {
        "prediction_length": 4,
        "context_length": 8,
        "lags_sequence": [1],
        "num_time_features": 1,
        "series": {
            "past_values": (9,),
            "past_time_features": (9, 1),
            "past_observed_mask": (9,),
            "future_values": (4,),
            "future_time_features": (4, 1),
        },
    },
    "reformer": {
        "attn_layers": ["local", "lsh"],
        "axial_pos_shape": [4, 4],
        "axial_pos_embds_dim": [16, 16],
        "length": 16,
        "is_decoder": False,
    },
    "granite": {},
    "olmo": {},
    "stablelm": {},
    "starcoder2": {},
    "gpt_bigcode": {},
    "ernie": {},
    "luke": {"entity_vocab_size": 10},
    "splinter": {},
    "layoutlm": {},
    "mpt": {"expansion_ratio": 2},
    "phi3": {},
    "cohere": {},
    "timesformer": {"drop_path_rate": ..., "num_frames": 2, "frames": 2},
    "videomae": {"num_frames": 2, "frames": 2},
    "vivit": {"num_frames": 2, "tubelet_size": [2, 16, 16], "frames": 2},
    "audio-spectrogram-transformer": {"max_length": 32, "num_mel_bins": 32, "wave": (32, 32)},
    "speecht5": {
        **WAVE,
        "head": "SpeechT5ForTextToSpeech",
        "num_mel_bins": 8,
        "reduction_factor": 1,
        "series": {"speaker_embeddings": (512,), "decoder_input_values": (6, 8)},
    },
}


def build_transformers(name: str, rate: float = 0.1) -> Built:
    """Build a model with this rate wherever its configuration has 0."""
    import transformers
    from transformers import AutoConfig, AutoModel

    options = dict(TRANSFORMERS[name])
    length, features = options.pop("length", 12), options.pop("features", (16, 16))
    series, head = options.pop("series", {}), options.pop("head", None)
    frames = options.pop("frames", 0)
    wave = options.pop("wave", (800,))
    kind = type(AutoConfig.for_model(name))
    default = kind(**{k: v for k, v in options.items() if k == "prediction_length"})
    small = {k: v for k, v in SMALL.items() if type(getattr(default, k, None)) is type(v)}
    rates = {
        k: rate for k, v in vars(default).items() if "drop" in k and v == 0.0 and v is not False
    }
    settings = {**small, **rates, **options}
    config = kind(**{k: v for k, v in settings.items() if v is not ...})
    model = getattr(transformers, head)(config) if head else AutoModel.from_config(config)
    more = {key: torch.rand(BATCH, *shape) for key, shape in series.items()}
    if "past_values" in more:
        return model, more
    given = {
        "input_ids": lambda: ids(length),
        "pixel_values": lambda: image(
            int(max(torch.tensor(getattr(config, "image_size", 64)).view(-1)))
        ),
        "input_values": lambda: torch.randn(BATCH, *wave),
        "input_features": lambda: torch.randn(BATCH, *features),
    }
    if frames:
        return model, torch.randn(BATCH, frames, 3, config.image_size, config.image_size)
    inputs = {model.main_input_name: given[model.main_input_name](), **more}
    if getattr(config, "is_encoder_decoder", False) and "decoder_input_values" not in more:
        inputs["decoder_input_ids"] = ids(4)
    return model, inputs
