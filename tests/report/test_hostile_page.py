"""Whatever text a record or a log brings, no page runs it: tried in a browser."""

import csv

import pytest

from helpers import records
from thinned.report import RecordWriter, compare, write_compare_page, write_page

pytestmark = pytest.mark.browser

ATTACKS = {
    "script": "</script><script>window.caught=1</script>",
    "json": '"}]}</script><script>window.caught=1</script><script>[{"',
    "comment": "<!--<script>window.caught=1//-->",
    "attribute": '" autofocus onfocus=\'window.caught=1\' onmouseover="window.caught=1" x="',
    "image": "<img src=x onerror=window.caught=1><svg onload=window.caught=1>",
    "frame": '<iframe srcdoc="<script>parent.caught=1</script>"></iframe>',
    "template": "{{ 7 * 7 }}{% for x in y %}",
    "link": '<a href="javascript:window.caught=1">a</a>',
    "plotly": "%{customdata}<br><b>b</b><a href='javascript:window.caught=1'>a</a>",
    "separators": "\u2028window.caught=1\u2029\u202e\0\x1b[2J",
}


@pytest.fixture(autouse=True)
def _no_complaints(complaints):
    complaints.clear()
    yield
    assert complaints == []


def hostile_run(folder, text, seed=1):
    """Write a run with a text in every field that holds one."""
    losses, more = records.overfitted()
    metric = f"val_loss{text}"
    renamed = {key.replace("val_loss", metric): column for key, column in more.items()}
    records.write_run(
        folder,
        losses,
        metric=metric,
        more={**renamed, text: losses, "overfit/onset": [3.0] * len(losses)},
        error=text,
        end="failed",
        name=text,
        group=text,
        sites=(text, f"b{text}"),
        started=text,
        seed=seed,
        config={text: {text: [text]}, "schedule": {"rate": 0.1, "_target_": text}},
        overrides=[f"a={text}", f"seed={seed}"],
        environment={text: text},
    )
    writer = RecordWriter(folder)
    site = {"path": text, "kind": text, "class": text, "rate": 0.5, "live": None, "group": text}
    writer.write("sites", sites=[site])
    writer.write("edit", text=text, count=1)
    writer.write("finding", rule=text, severity=text, path=text, message=text, fix=text)
    told = {"word": text, "confidence": 0.9, "evidence": [text], "action": text, "remedy": text}
    writer.write("verdict", **told)
    return folder


def is_harmless(page, text):
    """Say whether nothing of a text ran or became an element, also when all is opened."""
    page.evaluate("document.querySelectorAll('details').forEach(each => each.open = true)")
    for place in page.locator("td, h1, figure").all()[:12]:
        place.hover(force=True)
    page.wait_for_timeout(100)
    assert page.evaluate("window.caught") is None
    wanted = page.locator("script:not([type])").count(), page.locator("script").count()
    assert wanted == (2, 4)  # the page's own and plotly's; figures and plotly packed
    assert (
        page.locator("iframe, img, [onerror], [onload], [onfocus], a[href^=javascript]").count()
        == 0
    )
    assert page.locator("svg script, svg a").count() == 0
    assert text[:12].strip() in page.locator("body").inner_text()
    assert page.locator(".plot[data-drawn=yes]").count() == page.locator(".plot").count() > 0


@pytest.mark.parametrize(
    "kinds",
    [["script", "json"], ["comment"], ["attribute", "image", "frame"], [*ATTACKS][6:]],
    ids=" ".join,
)
def test_the_page_of_a_run(opened, tmp_path, kinds):
    text = "".join(ATTACKS[kind] for kind in kinds)
    page = opened(write_page(hostile_run(tmp_path / "run", text)))
    is_harmless(page, text)
    page.close()


def test_the_page_of_a_comparison(opened, tmp_path):
    text = "".join(ATTACKS.values())
    for i, arm in enumerate(["0.1", text]):
        for seed in (1, 2, 3):
            records.write_run(
                tmp_path / f"{i}-{seed}",
                (1.0, 0.5 + 0.1 * i + 0.01 * seed, 0.9),
                metric=text,
                name=text,
                error=text,
                seed=seed,
                overrides=[f"{text.replace('=', '')}={arm}", f"seed={seed}"],
            )
    page = opened(write_compare_page(compare(tmp_path)))
    is_harmless(page, "</script>")
    page.close()


def test_the_page_of_somebody_elses_log(opened, tmp_path):
    text = "".join(ATTACKS.values()).replace("\0", "")
    folder = tmp_path / "run"
    folder.mkdir()
    with (folder / "metrics.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["epoch", "step", f"val_loss{text}"])
        table.writerows([[epoch, epoch, 1.0 / (epoch + 1)] for epoch in range(5)])
    (folder / "hparams.yaml").write_text("name: '</script><script>window.caught=1</script>'\n")
    page = opened(write_page(folder))
    is_harmless(page, "val_loss</sc")
    page.close()
