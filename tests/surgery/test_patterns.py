import pytest

from thinned.surgery import as_patterns, group_name, matches, split_name


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("*", "a.b.0"),
        ("head", "head"),
        ("head", "head.0"),
        ("head", "model.head.0"),
        ("head", "head:dropout"),
        ("head.*", "head.0"),
        ("head.*", "head:dropout"),
        ("dropout", "model.lstm:dropout"),
        ("lstm.dropout", "lstm:dropout"),
        ("lstm:dropout", "lstm:dropout"),
        ("encoder.*.drop", "model.encoder.layers.0.ffn.drop"),
        ("layers.?.drop", "layers.3.drop"),
        ("layers.[01]", "layers.1.drop"),
        ("module.head", "head"),
        ("head", "module.head"),
        ("model.head", "_orig_mod.model.head"),
        ("module", "module.0"),
        ("*.a.*.b", "x.a.a.b.b"),
        ("*drop", "layers.0.attn_drop"),
    ],
)
def test_a_pattern_names_a_path(pattern, path):
    assert matches(pattern, path)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("head", "overhead.0"),
        ("head", "header"),
        ("head.*", "head"),
        ("layers.?", "layers.10"),
        ("layers.[01]", "layers.2"),
        ("encoder.drop", "encoder.layers.drop"),
        ("Head", "head"),
        ("a+b", "aab"),
    ],
)
def test_a_pattern_does_not_name_a_path(pattern, path):
    assert not matches(pattern, path)


def test_wrappers_are_taken_out_of_patterns():
    assert matches("module._orig_mod.a.module.b:p", "a.b:p")
    assert not matches("a.modules.b", "a.b")
    assert not matches("module.a", "a", skip={"_orig_mod"})


def test_one_pattern_or_many():
    assert as_patterns("a.*") == ("a.*",)
    assert as_patterns(["a", "b"]) == ("a", "b")


def test_patterns_are_nonempty_strings():
    with pytest.raises(TypeError, match="`include` to be a glob or a list of globs"):
        as_patterns([1])
    with pytest.raises(ValueError, match="`exclude` to hold no empty pattern"):
        as_patterns(["a", " "], "exclude")
    with pytest.raises(ValueError, match=r"`include` to hold a pattern, got \[\]. All is"):
        as_patterns([])
    assert as_patterns([], "exclude") == ()


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("*", "all"),
        ("backbone.*", "backbone"),
        ("*.drop", "drop"),
        ("*.layers.*.drop", "layers.drop"),
        ("layers.[01].*", "layers.01"),
        ("lstm:dropout", "lstm.dropout"),
        ("deep=layer4.*", "deep"),
    ],
)
def test_a_groups_name_has_no_glob_in_it(pattern, name):
    assert group_name(pattern) == name


def test_a_groups_name_is_made_unique():
    assert group_name("a.*", ["a"]) == "a_2"
    assert group_name("a.*", ["a", "a_2"]) == "a_3"


def test_a_key_may_name_its_group():
    assert split_name("early = a.*") == ("early", "a.*")
    assert split_name("a.*") == (None, "a.*")


@pytest.mark.parametrize(
    "wrapper", ["module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"]
)
def test_what_wrappers_put_in_may_stand_in_a_pattern(wrapper):
    assert matches(f"{wrapper}.a.{wrapper}.b", "a.b")
