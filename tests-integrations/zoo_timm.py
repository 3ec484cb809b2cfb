"""Models of timm: their name, and what makes them small."""

from typing import Any

from zoo_inputs import Built, image

TIMM: dict[str, dict[str, Any]] = {
    "resnet18": {},
    "resnet50": {},
    "resnetv2_50": {},
    "efficientnet_b0": {},
    "mobilenetv3_small_100": {},
    "densenet121": {},
    "convnext_atto": {},
    "convnextv2_atto": {},
    "regnety_002": {},
    "regnetx_002": {},
    "vgg11": {},
    "inception_v3": {"size": 128},
    "inception_v4": {"size": 128},
    "xception41": {},
    "res2net50_26w_4s": {},
    "senet154": {"size": 64},
    "dla34": {},
    "hrnet_w18_small": {},
    "ghostnet_100": {},
    "nf_resnet26": {},
    "repvgg_a0": {},
    "rexnet_100": {},
    "tresnet_m": {},
    "cspresnet50": {},
    "hardcorenas_a": {},
    "selecsls42": {},
    "vit_tiny_patch16_224": {"img_size": 64},
    "deit3_small_patch16_224": {"img_size": 64},
    "beit_base_patch16_224": {"img_size": 64, "depth": 2},
    "eva02_tiny_patch14_224": {"img_size": 56},
    "swin_tiny_patch4_window7_224": {"img_size": 64, "window_size": 2},
    "swinv2_tiny_window8_256": {"img_size": 64, "window_size": 2},
    "cait_xxs24_224": {"img_size": 64, "depth": 2},
    "xcit_nano_12_p16_224": {"img_size": 64},
    "mixer_s16_224": {"img_size": 64},
    "gmixer_12_224": {"img_size": 64},
    "resmlp_12_224": {"img_size": 64},
    "pit_ti_224": {"img_size": 64},
    "coat_tiny": {"img_size": 64},
    "convit_tiny": {"img_size": 64},
    "crossvit_9_240": {},
    "davit_tiny": {},
    "edgenext_xx_small": {},
    "efficientformer_l1": {"size": 224},
    "efficientvit_b0": {},
    "fastvit_t8": {},
    "focalnet_tiny_srf": {},
    "hiera_tiny_224": {"img_size": 64},
    "levit_128s": {"size": 224},
    "maxvit_rmlp_pico_rw_256": {"img_size": 64},
    "mobilevit_xxs": {},
    "mvitv2_tiny": {"img_size": 64},
    "nest_tiny": {"img_size": 64},
    "poolformer_s12": {},
    "pvt_v2_b0": {},
    "sequencer2d_s": {"img_size": 64},
    "tiny_vit_5m_224": {"size": 224},
    "twins_pcpvt_small": {"size": 224},
    "visformer_tiny": {"img_size": 64},
    "volo_d1_224": {"img_size": 64},
    "nextvit_small": {},
    "efficientvit_m0": {"size": 224},
    "naflexvit_base_patch16_gap": {"depth": 2},
}


def build_timm(name: str, rate: float = 0.1) -> Built:
    """Build a model with this rate in as many of the options as it takes."""
    import timm

    options = dict(TIMM.get(name, {}))
    size = options.pop("size", options.get("img_size", 64))
    for rates in (
        {"drop_rate": rate, "drop_path_rate": rate, "attn_drop_rate": rate, "proj_drop_rate": rate},
        {"drop_rate": rate, "drop_path_rate": rate},
        {"drop_rate": rate},
    ):
        try:
            model = timm.create_model(name, pretrained=False, num_classes=10, **options, **rates)
            break
        except TypeError:
            continue
    else:
        model = timm.create_model(name, pretrained=False, num_classes=10, **options)
    return model, image(size)
