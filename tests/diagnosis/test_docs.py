"""The page of the documentation holds the rules as they are."""

from pathlib import Path

from thinned.diagnosis import all_rules, as_markdown

PAGE = Path(__file__).parents[2] / "docs" / "diagnosis.md"


def test_the_table_of_rules_is_up_to_date():
    table = as_markdown(all_rules().values())
    assert table.count("\n") == len(all_rules()) + 2
    assert table in PAGE.read_text(), "run: python scripts/rules-table"
