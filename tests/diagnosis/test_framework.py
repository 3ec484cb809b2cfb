"""How rules run, what a finding holds, and what is said where a rule cannot look."""

import dataclasses
import json

import pytest
import rich.console
import torch
from torch import nn

import thinned
from helpers.diagnosing import found, mlp
from thinned.diagnosis import RULES, SEVERITIES, Finding, Hit, all_rules, rule, table

X = torch.randn(64, 16)
BAD = mlp(nn.Dropout(0.5), nn.BatchNorm1d(64), nn.Dropout(0.8))


@pytest.fixture
def _registry():
    """Take rules that a test adds away again."""
    before = dict(RULES)
    yield
    RULES.clear()
    RULES.update(before)


def test_findings_come_worst_first_and_are_complete():
    findings = thinned.diagnose(BAD, X)
    severities = [SEVERITIES.index(finding.severity) for finding in findings]
    assert len(findings) >= 2
    assert severities == sorted(severities)
    for finding in findings:
        assert finding.message
        assert finding.fix
        assert finding.evidence
        assert finding.reference


def test_a_good_model_has_no_findings():
    assert thinned.diagnose(mlp(nn.Dropout(0.3)), X) == []


def test_findings_are_plain_data():
    [first, *_] = thinned.diagnose(BAD, X)
    assert Finding(**json.loads(json.dumps(dataclasses.asdict(first)))).rule == first.rule


def test_a_finding_prints_what_where_why_and_what_to_do():
    text = str(found(BAD, X)["dropout-before-batch-norm"][0])
    assert text.startswith("warning: dropout-before-batch-norm at 2\n")
    assert "seen: " in text
    assert "fix: " in text


def test_the_table_shows_every_finding():
    findings = thinned.diagnose(BAD, X)
    console = rich.console.Console(width=120, record=True, file=open_null())
    console.print(table(findings))
    text = console.export_text()
    assert f"{len(findings)} findings" in text
    assert all(finding.rule in text for finding in findings)


def open_null():
    import io

    return io.StringIO()


def test_blocks_that_are_alike_make_one_finding():
    model = nn.Sequential(*(nn.Sequential(nn.Linear(16, 16), nn.Dropout(0.8)) for _ in range(5)))
    model.append(nn.Linear(16, 2))
    [finding] = found(model, X)["rate-too-high"]
    assert finding.path == "*.*"
    assert finding.evidence[-1] == "so in 5 places: 0.1, 1.1, 2.1, 3.1, ..."


def test_without_an_input_a_note_says_what_could_not_be_checked():
    [finding] = thinned.diagnose(mlp(nn.Dropout(0.3)))
    assert (finding.rule, finding.severity) == ("not-checked", "note")
    assert "channel-dropout-axis" in finding.evidence[0]
    assert "dropout-before-batch-norm" in finding.evidence[1]


def test_an_empty_batch_makes_no_site_dead():
    only = thinned.diagnose(mlp(nn.Dropout(0.3)), X[:0])
    assert [finding.rule for finding in only] == ["not-checked"]
    assert "Expected `example_input` to hold a sample at least" in only[0].message


def test_an_input_that_does_not_fit_is_said_and_the_structure_is_still_read():
    rules = found(BAD, torch.randn(2, 3))
    assert "mat1 and mat2 shapes" in rules["not-checked"][0].message
    assert "dropout-before-batch-norm" in rules


@pytest.mark.parametrize("example", [X, (X,), {"input": X}], ids=["tensor", "tuple", "mapping"])
def test_inputs_are_given_as_to_lightning(example):
    assert "not-checked" not in found(mlp(nn.Dropout(0.3)), example)


def test_rules_can_be_left_out():
    assert "dropout-before-batch-norm" not in found(BAD, X, ignore=["dropout-before-batch-norm"])


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match="Did you mean 'double-dropout'"):
        thinned.diagnose(BAD, X, ignore=["double-dropouts"])
    with pytest.raises(TypeError, match=r"torch\.nn\.Module"):
        thinned.diagnose({"a": 1})
    with pytest.raises(TypeError, match="data_size"):
        thinned.diagnose(BAD, X, data_size=3)
    with pytest.raises(ValueError, match="severity"):
        rule("x", severity="bad", reference="")
    with pytest.raises(ValueError, match="needs"):
        rule("x", severity="note", reference="", needs=["patience"])
    with pytest.raises(ValueError, match="docstring"):
        rule("x", severity="note", reference="")(lambda context: iter(()))


@pytest.mark.usefixtures("_registry")
def test_a_new_rule_is_one_function():
    @rule("wide", severity="advice", reference="house style", needs=["dataset_size"])
    def wide(context):
        """Layers wider than the data set."""
        for path, module in context.modules.items():
            if getattr(module, "out_features", 0) > context.dataset_size:
                yield Hit(path=path, message="wide", fix="narrower")

    assert "wide" not in found(mlp(nn.Dropout(0.3)), X)
    [finding] = found(mlp(nn.Dropout(0.3)), X, dataset_size=50)["wide"]
    assert (finding.path, finding.severity, finding.reference) == ("0", "advice", "house style")


@pytest.mark.usefixtures("_registry")
def test_a_rule_that_fails_takes_no_other_away():
    @rule("broken", severity="error", reference="")
    def broken(context):
        """Fails."""
        raise ZeroDivisionError("oh")
        yield

    findings = {finding.rule: finding for finding in thinned.diagnose(BAD, X)}
    assert findings["broken"].severity == "note"
    assert "ZeroDivisionError: oh" in findings["broken"].message
    assert "dropout-before-batch-norm" in findings


def test_every_rule_has_a_reference_and_a_test_that_names_it(request):
    tests = "".join(path.read_text() for path in request.path.parent.glob("test_*.py"))
    rules = all_rules()
    assert len(rules) >= 20
    for one in rules.values():
        assert one.reference, one.id
        assert f'"{one.id}"' in tests, f"no test names {one.id}"
