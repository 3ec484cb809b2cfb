"""The pages of `scripts/evidence` say what the numbers say, and are made of them alone."""

import re

import pytest

from helpers.evidence import SECTIONS


def test_a_page_keeps_what_stands_around_its_numbers(evidence, tmp_path):
    main = evidence("_main")
    text = "# Mine\n\nbefore\n\n<!-- results: begin -->\nstale\n<!-- results: end -->\n\nafter\n"
    (tmp_path / "selu.md").write_text(text)
    main.main("", ["selu", "--quick", "--out", str(tmp_path)])
    page = (tmp_path / "selu.md").read_text()
    assert page.startswith("# Mine\n\nbefore\n\n<!-- results: begin -->\n| claim |")
    assert page.endswith("<!-- results: end -->\n\nafter\n")
    assert "stale" not in page
    drawn = (tmp_path / "selu.svg").read_bytes()
    main.main("", ["selu", "--report", "--out", str(tmp_path)])
    assert (tmp_path / "selu.md").read_text() == page
    assert (tmp_path / "selu.svg").read_bytes() == drawn


def test_every_committed_number_is_of_ten_seeds_and_agrees_with_its_page(evidence):
    main, results = evidence("_main"), evidence("_results")
    files = sorted((main.DOCS / "data").glob("*.json"))
    assert {file.stem for file in files} == set(SECTIONS)
    index = main.DOCS.with_suffix(".md").read_text()
    assert all(f"(evidence/{name}.md)" in index for name in SECTIONS)
    for file in files:
        found = results.Results.read(file)
        section = evidence(file.stem)
        assert found.finished
        assert set(found.arms) == set(section.SECTION.arms(evidence("_size").Size()))
        assert {len(rows) for rows in found.arms.values()} == {found.seeds}
        assert found.seeds >= 10
        assert file.stat().st_size < 300_000
        page = (main.DOCS / f"{file.stem}.md").read_text()
        assert main.block(section, file.stem, found) in page, file.stem
        pictures = {f"({main.picture(file.stem, c)})" for c in section.SECTION.shown(found)}
        assert pictures
        assert all(each in page for each in pictures)


def test_every_figure_in_prose_is_the_one_in_the_data(evidence):
    """Figures are quoted by name and filled in; what is typed by hand has none in percent."""
    main, quote = evidence("_main"), evidence("_quote")
    pages = main.quoting()
    quoted = 0
    for page in pages:
        text = page.read_text()
        assert quote.filled(text, main.figures) == text, page.name
        quoted += text.count("<!--= ")
        assert not re.search(r"^ *<!--=", text, re.MULTILINE), page.name
    assert quoted > 150
    for name in ("evidence.md", "choosing-a-rate.md"):
        text = (main.DOCS.parent / name).read_text()
        for paragraph in re.split(r"\n\n|\n- ", quote.unmarked(text)):
            links = set(re.findall(r"\(evidence/(\w+)\.md\)", paragraph))
            if links and links <= set(SECTIONS):
                assert not re.search(r"\d ?%|\d points|\d times", paragraph), paragraph
    for name in SECTIONS:
        text = quote.unmarked((main.DOCS / f"{name}.md").read_text())
        follows = text.partition("## What follows")[2].partition("## What it does not show")[0]
        assert follows, name
        assert not re.search(r"\d ?%|\d points| ± |p [=<] 0|\d times", follows), name


def test_a_quote_of_what_is_not_there_is_an_error(evidence):
    filled = evidence("_quote").filled
    text = "It fell by <!--= rates | a: loss -->stale<!--/--> here."
    fresh = filled(text, lambda section: {"a: loss": f"3% ({section})"})
    assert fresh == "It fell by <!--= rates | a: loss -->3% (rates)<!--/--> here."
    with pytest.raises(KeyError, match="Expected a figure of rates, got 'a: loss'"):
        filled(text, lambda _section: {"a: error": "1"})


def test_a_claim_counts_the_tasks_that_it_holds_on_after_holm(evidence):
    claim = evidence("_claim")

    def rows(*losses):
        return {seed: {"test_loss": loss} for seed, loss in enumerate(losses)}

    bases = dict.fromkeys(("one", "two", "three"), rows(1.0, 2.0, 3.0, 4.0))
    arms = {
        "one": rows(0.5, 1.51, 2.49, 3.5),
        "two": rows(1.5, 2.51, 3.49, 4.5),
        "three": rows(1.1, 1.9, 3.1, 3.9),
    }
    told = claim.tally_of(claim.Claim("it", "It lowers the loss", "it"), arms, bases)
    assert (told.tasks(1), told.tasks(-1), told.tasks(0)) == (["one"], ["two"], ["three"])
    assert told.cells() == ["It lowers the loss", "1 of 3: one -20%", "1: three +0%", "1: two +20%"]
    assert (told.count(), told.span(), told.count(0)) == ("1 of 3", "20%", "1 of 3")
    alone = claim.tally_of(told.claim, {"one": arms["one"]}, {"one": bases["one"]})
    assert told.found["one"].p == pytest.approx(3 * alone.found["one"].p)
    contrary = claim.Claim("it", "It raises the loss", "it", lower=False)
    assert claim.tally_of(contrary, arms, bases).tasks(1) == ["two"]


def test_where_a_number_is_predicted_no_share_of_errors_is_told(evidence, tmp_path):
    evidence("_main").main("", ["places", "--quick", "--out", str(tmp_path)])
    section = evidence("places").SECTION
    found = evidence("_results").Results.read(tmp_path / "data" / "places.json")
    number = evidence("_tasks").TASKS["diabetes"]
    assert number.predicts_number
    view = section.views[0]
    assert [m.key for m in section.measured("diabetes", view)] == ["test_loss"]
    assert [m.key for m in section.measured("digits", view)] == ["test_loss", "test_error"]
    assert "digits: none: error" in section.figures(found)


def test_a_table_pairs_seeds_and_corrects_for_the_number_of_arms(evidence):
    told = evidence("_table")
    base = {seed: {"test_loss": value} for seed, value in enumerate((1.0, 2.0, 3.0, 4.0))}
    better = {seed: {"test_loss": value} for seed, value in enumerate((0.9, 1.91, 2.89, 3.9))}
    same = {seed: {"test_loss": value} for seed, value in enumerate((1.1, 1.9, 3.1, 3.9))}
    arms = {"none": base, "better": better, "same": same}
    found = told.differences(arms, "none", told.LOSS)
    one = told.differences({"none": base, "better": better}, "none", told.LOSS)
    assert found["better"].mean == pytest.approx(-0.1)
    assert found["better"].p == pytest.approx(2 * one["better"].p)
    lines = told.table(arms, "none", [told.LOSS]).splitlines()
    assert lines[2] == "| none | 2.500 ± 0.645 |  |"
    assert lines[3].startswith("| better | 2.400 ± 0.644 | **-0.100 ± 0.004**")
    words = told.sentence(arms, "none", told.LOSS, "Loss")
    assert words.endswith("lower: *better*; higher: none of them; not told apart: *same*.")
