import pytest

from helpers import records
from thinned.report import RecordWriter, compare, write_compare_page, write_page

pytestmark = pytest.mark.browser

HOSTILE = (
    '<script>document.title="caught"</script><img src=x onerror=document.title="caught">'
    '<a href="https://example.org">a</a><b>b</b>'
)


@pytest.fixture(scope="module")
def run_page(tmp_path_factory):
    losses, more = records.overfitted()
    more = {**more, "overfit/onset": [3.0] * len(losses)}
    folder = records.write_run(
        tmp_path_factory.mktemp("run") / "a",
        losses,
        more=more,
        name=HOSTILE,
        group=HOSTILE,
        sites=("net.2", HOSTILE),
        seed=1,
        config={
            HOSTILE: HOSTILE,
            "schedule": {"_target_": "thinned.schedules.Constant", "rate": 0.1},
        },
        overrides=["seed=1"],
    )
    bins, curve = [[3, 0.4, 0.3], [9, 0.9, 0.8]], [[0.5, 0.1], [1.0, 0.3]]
    scores = {"ece": 0.1, "nll": 0.5, "brier": 0.2, "aurc": 0.1, "bins": bins, "curve": curve}
    finding = {"rule": "rate-too-low", "severity": "advice", "path": HOSTILE, "message": HOSTILE}
    RecordWriter(folder).write("finding", **finding, fix="thinned.set_rate(model, 0.3)")
    row = {"stage": HOSTILE, "samples": 20, "rows": 12, "plain": scores, "sampled": scores}
    RecordWriter(folder).write("calibration", **row)
    return write_page(folder)


@pytest.fixture(scope="module")
def sweep_page(tmp_path_factory):
    root = tmp_path_factory.mktemp("sweep")
    arms = {
        "0.0": {1: 0.60, 2: 0.70, 3: 0.64},
        "0.5": {1: 0.50, 2: 0.60, 3: 0.55},
        "0.3": {1: 0.52, 2: 0.59, 3: 0.55},
        HOSTILE: {1: 0.7, 2: 0.8, 3: 0.75},
    }
    for i, (rate, losses) in enumerate(arms.items()):
        for seed, loss in losses.items():
            folder = root / f"{i}-{seed}"
            overrides = [f"schedule.rate={rate}", f"seed={seed}"]
            records.write_run(
                folder, (1.0, loss, loss + 0.1), seed=seed, overrides=overrides, name=rate
            )
    return write_compare_page(compare(root))


@pytest.fixture(scope="module")
def run_view(opened, run_page):
    return opened(run_page)


@pytest.fixture(scope="module")
def sweep_view(opened, sweep_page):
    return opened(sweep_page)


@pytest.fixture(autouse=True)
def _no_complaints(complaints):
    """No page may log an error or ask the network for anything."""
    complaints.clear()
    yield
    assert complaints == []


def until(page, expression):
    """Wait until an expression holds (the page's policy forbids the browser's own waiting)."""
    for _ in range(200):
        if page.evaluate(expression):
            return
        page.wait_for_timeout(50)
    pytest.fail(f"never: {expression}")


def standing(page):
    """The figures that are to be drawn, and those that have been."""
    assert page.evaluate("document.documentElement.dataset.ready") == "yes"
    done = page.locator(".plot[data-drawn=yes]:has(svg.main-svg)")
    return page.locator(".plot").count(), done.count()


def test_all_figures_of_a_run_are_drawn(run_view):
    assert standing(run_view) == (7, 7)
    assert run_view.locator("#reliability .scatterlayer .trace").count() == 3
    assert run_view.locator("#risk .scatterlayer .trace").count() == 2
    assert run_view.locator("#learning .scatterlayer .trace").count() == 3
    assert run_view.locator("#heat .heatmaplayer image, #heat .heatmaplayer path").count() > 0


def test_all_figures_of_a_comparison_are_drawn(sweep_view):
    assert standing(sweep_view) == (6, 6)  # means, differences, four panels of curves
    assert sweep_view.locator("#differences .errorbar").count() == 3


def test_hostile_names_stay_text(run_view, sweep_view):
    for page in (run_view, sweep_view):
        assert page.title() != "caught"
        assert page.locator("img").count() == 0
        assert page.get_by_text("<script>document.title").count() > 0
        assert page.locator("svg script, svg a, svg tspan[style*=bold]").count() == 0


def test_the_theme_follows_the_system_and_the_button(run_view):
    ground = "getComputedStyle(document.body).backgroundColor"
    line = "document.querySelector('#gap .scatterlayer .js-line').style.stroke"
    light = run_view.evaluate(ground), run_view.evaluate(line)
    run_view.emulate_media(color_scheme="dark")
    until(run_view, f"{line} !== '{light[1]}'")
    assert run_view.evaluate(ground) != light[0]
    run_view.get_by_role("button", name="Light theme").click()
    until(run_view, f"{line} === '{light[1]}'")
    assert run_view.evaluate(ground) == light[0]
    run_view.emulate_media(color_scheme="light")


def test_tables_sort_by_keyboard(sweep_view):
    table = sweep_view.locator("table").last
    column = "rows => rows.map(row => Number(row.cells[5].dataset.value))"
    table.get_by_role("button", name="val_loss (best)").focus()
    sweep_view.keyboard.press("Enter")
    rising = table.locator("tbody tr").evaluate_all(column)
    sweep_view.keyboard.press("Enter")
    falling = table.locator("tbody tr").evaluate_all(column)
    assert len(rising) == 12
    assert rising == sorted(rising)
    assert falling == sorted(rising, reverse=True)
    assert table.locator("th[aria-sort=descending]").count() == 1
    assert "falling" in sweep_view.locator("#said").inner_text()


def test_everything_is_reached_by_the_keyboard(run_view):
    run_view.evaluate("document.activeElement.blur()")
    reached = []
    for _ in range(40):
        run_view.keyboard.press("Tab")
        reached.append(run_view.evaluate("document.activeElement.outerHTML.slice(0, 60)"))
    told = " ".join(reached)
    for what in ('class="skip"', 'class="theme"', 'class="copy"', "<summary", 'class="scroll"'):
        assert what in told


def test_what_to_do_is_copied(run_view):
    command = run_view.locator(".command code").inner_text()
    assert command.startswith("thinned train seed=1 schedule.rate=")
    run_view.evaluate("""() => {
        navigator.clipboard.writeText = () => Promise.reject(new Error("not from disk"));
        document.execCommand = () => { window.copied = document.activeElement.value; return true };
    }""")
    run_view.get_by_role("button", name="Copy").click()
    run_view.get_by_role("button", name="Copied").wait_for()
    assert run_view.evaluate("window.copied") == command


@pytest.mark.parametrize("width", [360, 820])
def test_nothing_is_wider_than_a_small_screen(run_view, sweep_view, screenshots, width):
    for name, page in {"run": run_view, "compare": sweep_view}.items():
        page.set_viewport_size({"width": width, "height": 780})
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        drawing = "Math.max(...[...document.querySelectorAll('.main-svg')].map(s => s.clientWidth))"
        until(page, f"{drawing} <= {width}")  # plotly redraws a moment after the window's change
        page.screenshot(path=screenshots / f"{name}-{width}.png", full_page=True)
        page.set_viewport_size({"width": 1280, "height": 900})


def test_a_finding_is_read_without_moving_its_table_on_a_phone(run_view):
    fix = run_view.locator(".stacked td", has_text="thinned.set_rate(model, 0.3)")
    right = "each => each.getBoundingClientRect().right"
    run_view.set_viewport_size({"width": 390, "height": 780})
    assert fix.evaluate(right) <= 390
    label = "each => getComputedStyle(each, '::before').content"
    assert fix.evaluate(label).startswith('"fix')
    run_view.set_viewport_size({"width": 1280, "height": 900})
    assert fix.evaluate(label) == "none"


def test_names_below_the_axis_are_whole_on_a_phone(opened, tmp_path, screenshots):
    names = ["none", *(f"schedule-of-the-kind-{i}" for i in range(5))]
    arms = {name: {1: 0.5 + 0.1 * i, 2: 0.6 + 0.1 * i} for i, name in enumerate(names)}
    page = opened(write_compare_page(compare(records.write_sweep(tmp_path, arms))))
    page.set_viewport_size({"width": 390, "height": 780})
    until(page, "document.querySelector('#means .main-svg').clientWidth <= 390")
    page.wait_for_timeout(300)  # plotly turns the names after that
    boxes = """() => {
        const box = (each) => each.getBoundingClientRect();
        const inside = box(document.querySelector("#means"));
        const title = box(document.querySelector("#means .g-xtitle"));
        return [...document.querySelectorAll("#means .xtick text")].map(box).map((each) =>
            each.left >= inside.left && each.right <= inside.right && each.bottom <= title.top &&
            title.bottom <= inside.bottom);
    }"""
    assert page.evaluate(boxes) == [True] * 6
    page.screenshot(path=screenshots / "compare-names-390.png", full_page=True)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_screenshots_are_kept(run_view, sweep_view, screenshots, scheme):
    for name, page in {"run": run_view, "compare": sweep_view}.items():
        page.evaluate("localStorage.clear()")
        page.emulate_media(color_scheme=scheme)
        until(page, f"document.documentElement.dataset.theme === '{scheme}'")
        page.screenshot(path=screenshots / f"{name}-{scheme}.png", full_page=True)
        assert (screenshots / f"{name}-{scheme}.png").stat().st_size > 20_000
        page.emulate_media(color_scheme="light")


def test_it_prints_on_light_paper(run_view, tmp_path):
    run_view.evaluate("document.documentElement.dataset.theme = 'dark'")
    run_view.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert run_view.evaluate("document.documentElement.dataset.theme") == "light"
    run_view.emulate_media(media="print")
    assert run_view.locator("button.theme").is_hidden()
    run_view.set_viewport_size({"width": 688, "height": 900})  # A4 without its margins
    room = "e => e.clientWidth - e.querySelector('.main-svg').clientWidth"
    for figure in ("#learning", "#gap", "#heat"):
        assert 0 <= run_view.locator(figure).evaluate(room) < 20
    run_view.set_viewport_size({"width": 1280, "height": 900})
    assert run_view.pdf(path=tmp_path / "page.pdf", format="A4").startswith(b"%PDF")
    run_view.emulate_media(media="screen")
    assert run_view.evaluate("document.documentElement.dataset.theme") == "dark"


def test_tables_fit_the_paper(sweep_view):
    sweep_view.set_viewport_size({"width": 700, "height": 900})
    sweep_view.emulate_media(media="print")
    over = sweep_view.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    sweep_view.emulate_media(media="screen")
    sweep_view.set_viewport_size({"width": 1280, "height": 900})
    assert over <= 0


def test_without_figures_the_numbers_remain(opened, run_page, tmp_path):
    broken = tmp_path / "old.html"
    text = run_page.read_text("utf-8")
    packed = text.split('id="plotly">')[1].split("</script>")[0]
    broken.write_text(text.replace(packed, "AAAA"), "utf-8")
    page = opened(broken)
    assert page.evaluate("document.documentElement.dataset.ready") == "no"
    assert page.get_by_text("could not be drawn").count() == 7
    assert page.locator("h1").is_visible()
