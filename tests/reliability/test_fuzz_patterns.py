"""Any text as a pattern, anything as an argument: sites, or an error that says why."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import thinned
from helpers import tiny
from helpers.fuzzing import fuzzed, junk, told
from thinned.surgery._models.patterns import as_patterns, group_name, matches

signs = st.sampled_from([*"*?[]!.:-^\\()|+$ \n", "net", "2", "module", "_orig_mod", "[z-a]"])
texts = st.lists(signs | st.text(max_size=3), max_size=12).map("".join)


def tried(function):
    """Return what came of it, or None where the error is one of ours."""
    try:
        return function()
    except thinned.NoEffectError:
        return None
    except (TypeError, ValueError) as error:
        if not told(error):
            raise
        return None


@fuzzed(500)
@given(texts, texts)
def test_any_pattern_on_any_path(pattern, path):
    assert matches(pattern, path) in (True, False)
    assert matches(path, path) or any(sign in path for sign in "*?[]") or not path
    assert group_name(pattern)
    assert group_name(pattern, [group_name(pattern)]) != group_name(pattern)


@fuzzed(150)
@given(junk | texts, junk | texts, junk)
def test_anything_as_include_exclude_and_rate(include, exclude, rate):
    model = nn.Sequential(nn.LSTM(4, 4, 2, dropout=0.1), tiny.mlp())
    sites = tried(lambda: thinned.find_sites(model, include, exclude))
    changed = tried(lambda: thinned.set_rate(model, rate, include, exclude))
    if changed:
        assert sites
        assert {site.rate for site in sites if site.rate == rate}
    tried(lambda: thinned.find_sites(model, kinds=include))
    tried(lambda: as_patterns(include))
    tried(lambda: thinned.scale_rates(model, rate, include, exclude))
    assert all(0.0 <= site.rate <= 1.0 for site in thinned.find_sites(model))


@fuzzed(100)
@given(
    st.dictionaries(texts | st.sampled_from(["Dropout", "Linear"]), texts | junk, max_size=2)
    | junk,
    st.sampled_from(["*", "2"]) | texts,
    junk,
)
@pytest.mark.filterwarnings("ignore")
def test_anything_as_a_swap_or_an_insert(mapping, include, rate):
    model = tiny.mlp()
    before = list(model)
    for change in (
        lambda: thinned.swap(model, mapping, include, rate=rate),
        lambda: thinned.insert(model, mapping, rate, include),
        lambda: thinned.insert(model, "dropout", 0.1, include, after=mapping),
    ):
        edit = tried(change)
        if edit is not None:
            edit.undo()
        assert all(a is b for a, b in zip(model, before, strict=True))
        assert all(not module._forward_hooks for module in model.modules())
