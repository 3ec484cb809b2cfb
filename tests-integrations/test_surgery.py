"""Sites of models that nobody here wrote: a dozen of the zoo, and the traps of each library."""

import copy

import pytest
import torch
import zoo
from census import examine
from torch import nn

import thinned
from thinned.surgery import compile_safe
from thinned.surgery._compile.twins import twin_of

DOZEN = [
    "timm/resnet18",
    "timm/efficientnet_b0",
    "timm/vit_tiny_patch16_224",
    "timm/convnext_atto",
    "timm/hiera_tiny_224",
    "torchvision/swin_t",
    "torchvision/vit_b_16",
    "transformers/bert",
    "transformers/falcon",
    "transformers/llama",
    "transformers/bart",
    "transformers/wav2vec2",
    "transformers/convnext",
    "transformers/whisper",
]


@pytest.mark.parametrize("name", DOZEN)
def test_all_dropout_follows_set_rate(name):
    count = examine(zoo.builders()[name])
    assert count.follows >= 1
    assert count.misses == []
    assert count.reported == []


def sites_of(name, **options):
    torch.manual_seed(0)
    model, given = zoo.builders(**options)[name]()
    return model, {s.path: s for s in thinned.find_sites(model, example_input=given)}


def test_a_rate_that_timm_stores_and_forgets_is_dead():
    """ConvNeXt's head has a dropout of its own; ResNet reads the attribute."""
    _, convnext = sites_of("timm/convnext_atto")
    assert (convnext[":drop_rate"].live, convnext[":drop_rate"].note) == (
        False,
        "no forward reads it",
    )
    assert convnext["head.drop"].live is True
    _, resnet = sites_of("timm/resnet18")
    assert resnet[":drop_rate"].live is True


def test_the_attention_rate_is_read_off_a_module_that_is_never_called():
    _, sites = sites_of("timm/vit_tiny_patch16_224")
    drop = sites["blocks.0.attn.attn_drop"]
    assert (drop.live, drop.read_by) == (True, ("blocks.0.attn",))


def test_drop_path_of_a_block_without_a_shortcut_is_dead():
    _, sites = sites_of("timm/efficientnet_b0")
    paths = [site for site in sites.values() if site.kind == "drop_path"]
    assert {site.cls for site in paths} == {"DropPath"}
    assert sorted({site.live for site in paths}) == [False, True]


def test_patch_dropout_drops_tokens():
    import timm

    model = timm.create_model("vit_tiny_patch16_224", img_size=64, patch_drop_rate=0.5)
    (site,) = thinned.find_sites(model, kinds="token_drop", example_input=torch.randn(2, 3, 64, 64))
    assert (site.path, site.rate, site.live) == ("patch_drop", 0.5, True)


def test_drop_block_is_found_in_both_libraries():
    import timm
    from torchvision.ops import DropBlock2d

    model = timm.create_model("resnet18", drop_block_rate=0.1)
    sites = thinned.find_sites(model, kinds="drop_block", example_input=torch.randn(2, 3, 64, 64))
    assert len(sites) >= 2
    assert {(site.cls, site.live) for site in sites} == {("DropBlock2d", True)}
    (site,) = thinned.find_sites(nn.Sequential(DropBlock2d(0.2, 3)), kinds="drop_block")
    assert (site.path, site.rate) == ("0", 0.2)


@pytest.mark.parametrize("name", ["timm/resnet18", "timm/vit_tiny_patch16_224"])
def test_rate_0_leaves_placeholders(name):
    _, sites = sites_of(name, rate=0.0)
    gaps = [site for site in sites.values() if site.kind == "placeholder"]
    assert len(gaps) >= 8
    assert {site.cls for site in gaps} <= {"Identity", "None"}


def test_a_config_that_forwards_read_is_a_site():
    model, sites = sites_of("transformers/falcon")
    site = sites["h.0:config.hidden_dropout"]
    assert site.owner is model.config
    assert site.live is True
    assert sites["h.0:hidden_dropout"].live is False


def test_layer_drop_is_live_by_torch_and_by_numpy():
    _, sites = sites_of("transformers/wav2vec2")
    assert sites["encoder:config.layerdrop"].live is True
    from transformers import VitsConfig
    from transformers.models.vits.modeling_vits import VitsEncoder

    config = VitsConfig(hidden_size=16, num_hidden_layers=4, num_attention_heads=2, ffn_dim=16)
    encoder = VitsEncoder(config)
    given = {
        "hidden_states": torch.randn(2, 6, 16),
        "padding_mask": torch.ones(2, 6, 1),
        "attention_mask": None,
    }
    sites = {s.path: s for s in thinned.find_sites(encoder, example_input=given)}
    assert (sites[":layerdrop"].kind, sites[":layerdrop"].live) == ("layer_drop", True)


def test_kinds_are_apart():
    model, sites = sites_of("timm/vit_tiny_patch16_224")
    kinds = {site.kind for site in sites.values()}
    assert {"dropout", "drop_path"} <= kinds
    paths = [site for site in sites.values() if site.kind == "drop_path"]
    before = [site.rate for site in paths]
    thinned.set_rate(model, 0.42)
    assert [site.rate for site in paths] == before
    assert sites["blocks.3.mlp.drop1"].rate == 0.42


def test_rates_keep_their_ratios():
    model, sites = sites_of("timm/convnext_atto")
    paths = [site for site in sites.values() if site.kind == "drop_path"]
    before = [site.rate for site in paths]
    assert len(set(before)) >= 5
    assert thinned.surgery.scale_rates(model, 2.0, kinds="drop_path") == len(paths) - before.count(
        0.0
    )
    assert [site.rate for site in paths] == pytest.approx([2 * rate for rate in before])


def drop_paths():
    from timm.layers import DropPath
    from torchvision.ops import StochasticDepth
    from transformers.models.beit.modeling_beit import BeitDropPath
    from transformers.models.convnext.modeling_convnext import ConvNextDropPath
    from ultralytics.models.sam.modules.blocks import DropPath as SamDropPath

    return [
        (DropPath(0.2), "row", True),
        (DropPath(0.2, scale_by_keep=False), "row", False),
        (StochasticDepth(0.2, "row"), "row", True),
        (StochasticDepth(0.2, "batch"), "batch", True),
        (BeitDropPath(0.2), "row", True),
        (ConvNextDropPath(0.2), "row", True),
        (SamDropPath(0.2), "row", True),
    ]


@pytest.mark.parametrize("index", range(7))
def test_every_librarys_drop_path_has_a_twin(index):
    module, mode, scale = drop_paths()[index]
    twin = twin_of(module)
    assert (twin.p, twin.mode, twin.scale_by_keep) == (0.2, mode, scale)


def test_torchvisions_drop_block_has_a_twin_with_the_same_share():
    from torchvision.ops import DropBlock2d

    torch.manual_seed(0)
    module = DropBlock2d(0.3, 5)
    twin = twin_of(module)
    ones = torch.ones(16, 16, 20, 20)
    shares = [(layer(ones) == 0).float().mean().item() for layer in (module, twin)]
    assert shares[0] == pytest.approx(shares[1], abs=0.02)
    assert shares[0] > 0.1


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("timm/convnext_atto", ["drop_path"]),
        ("transformers/convnext", ["drop_path"]),
        ("transformers/distilbert", ["dropout"]),
    ],
)
def test_moving_rates_cost_no_recompilation(name, kinds):
    torch._dynamo.reset()
    graphs = []

    def count(graph, inputs):
        graphs.append(graph)
        return graph

    model, given = zoo.builders()[name]()
    keys = list(model.state_dict())
    plain = copy.deepcopy(model)
    edit = compile_safe(model)
    assert len(edit) >= 1
    compiled = torch.compile(model, backend=count)
    sites = thinned.find_sites(compiled, kinds=kinds)
    free = [site for site in sites if site.levels is None]
    assert len(free) >= 3
    for rate in (0.1, 0.2):  # a first step, and a second: what torch compiles twice by itself
        thinned.set_rate(free, rate)
        compiled(**given) if isinstance(given, dict) else compiled(given)
    before = len(graphs)
    assert before >= 1
    for step in range(12):
        assert thinned.set_rate(free, 0.05 * step) == len(free)
        compiled(**given) if isinstance(given, dict) else compiled(given)
    assert len(graphs) == before
    edit.undo()
    assert list(model.state_dict()) == keys
    assert [type(m) for m in model.modules()] == [type(m) for m in plain.modules()]
    torch._dynamo.reset()
