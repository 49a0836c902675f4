"""The page in a browser: what the scripts do with it, and that nothing leaves it. Needs Debian's chromium and playwright."""

import contextlib
import re
import shutil
import socket

import pytest

from study.analysis import cost_axes, wording
from study.report import page, tables
from tests.support import fakes, made_up_pages

CHROMIUM = shutil.which("chromium")
sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = [pytest.mark.browser, pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")]
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--disable-sync", "--autoplay-policy=no-user-gesture-required", "--mute-audio"]


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def made():
    """A study in which every cost is measured."""
    runs, _, _ = fakes.confirmed(80, seed=5)
    for run in runs:
        run |= {"realtime_factor": run["macs_per_s"] / 1e9, "peak_memory_bytes": 4 * run["parameters"] + 10_000_000}
    return made_up_pages.page_of(runs)


@pytest.fixture(scope="module")
def address(made, tmp_path_factory):
    return saved(made, tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def tabs(browser):
    """One tab for each kind of screen. A new one has a process of its own, which takes longer to start than most tests do."""
    with contextlib.ExitStack() as stack:
        known = {}

        def tab(fresh=False, **options):
            options = {"viewport": {"width": 1400, "height": 900}, "reduced_motion": "reduce", **options}
            if fresh or str(options) not in known:
                context = browser.new_context(**options)
                stack.callback(context.close)
                made = context.new_page()
                if fresh:
                    return made
                known[str(options)] = made
            return known[str(options)]

        yield tab


@pytest.fixture
def opened(tabs):
    """Opens a file; at the end of the test nothing was asked for, printed to the console, or failed.

    `fresh`: in a tab that no other test has, for what is stored or set for good.
    """
    with contextlib.ExitStack() as stack:
        asked, seen, heard = [], [], []

        def hear(tab, event, hearer):
            tab.on(event, hearer)
            stack.callback(tab.remove_listener, event, hearer)

        def open_(address, **options):
            tab = tabs(**options)
            if tab not in heard:
                tab.goto("about:blank")     # else an address that differs behind the # alone is no other page
                hear(tab, "request", lambda request: seen.append(request.url) if request.url not in asked else None)
                hear(tab, "console", lambda message: seen.append(message.text))
                hear(tab, "pageerror", lambda error: seen.append(str(error)))
                heard.append(tab)
            asked.append(address.partition("#")[0])
            tab.emulate_media(media="screen")
            tab.goto(address)
            return tab

        yield open_
        assert [one for one in seen if not one.startswith("data:")] == []


def saved(made, folder):
    (folder / "index.html").write_text(page.render(made), encoding="utf-8")
    return f"file://{folder}/index.html"


def column(tab, name):
    """A column of the table as it is shown, without intervals."""
    heads = tab.locator("#rows th button").evaluate_all("all => all.map(one => one.dataset.column)")
    return tab.locator(f"#rows tbody td:nth-child({heads.index(name) + 1})").evaluate_all(
        "all => all.map(one => one.firstChild?.data ?? '')")


def values(made, name):
    return [row[name] for row in made.rows if row[name] is not None]


def trials(tab):
    return [int(text) for text in column(tab, "trial")]


def by_cost(made, axis="parameters"):
    return sorted((row for row in made.rows if row["state"] == "complete"),
                  key=lambda row: (row[axis], -row["si_snri_db"], row["trial"]))


def centre(element):
    element.scroll_into_view_if_needed()
    box = element.bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def point(tab):
    """What the tooltip says, by name."""
    facts = tab.locator("#tip dl > *").all_inner_texts()
    return dict(zip(facts[::2], facts[1::2], strict=True))


def marked(tab, trial):
    """Hold that the row of a trial comes to be the one that is marked, in view and with the focus."""
    row = tab.locator("tr.marked")
    sync_api.expect(row).to_have_attribute("data-trial", str(trial))
    sync_api.expect(row).to_be_in_viewport()
    sync_api.expect(row).to_be_focused()


def test_the_script_says_every_value_as_the_table_without_script_does(opened, browser, made, address):
    tab = opened(address)
    with_script = {}
    while True:
        for row in tab.locator("#rows tbody tr").all():
            with_script[row.get_attribute("data-trial")] = row.locator("td").all_inner_texts()
        if tab.locator("#next").is_disabled():
            break
        tab.click("#next")
    plain = opened(address, java_script_enabled=False)
    assert plain.locator("#rows, #chart, #search").evaluate_all("all => all.every(one => !one.checkVisibility())")
    assert plain.locator("figure.drawn").first.is_visible()
    rows = plain.locator(".static tbody tr")
    assert rows.count() == len(made.rows) == len(with_script)
    for row in rows.all():
        assert row.locator("td").all_inner_texts() == with_script[row.get_attribute("id").removeprefix("trial-")]


def test_a_click_sorts_numbers_a_second_one_turns_them_round_and_what_is_missing_stays_last(opened, made, address):
    tab = opened(address)
    head = tab.locator('th:has([data-column="si_snri_db"])')
    assert head.get_attribute("aria-sort") is None
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    told = sorted(values(made, "si_snri_db"))
    assert column(tab, "si_snri_db")[:50] == [*map(wording.decibels, told), *[""] * 50][:50]
    tab.keyboard.press("Enter")                                     # the button still has the focus
    assert head.get_attribute("aria-sort") == "descending"
    assert column(tab, "si_snri_db")[:50] == [*map(wording.decibels, told[::-1]), *[""] * 50][:50]
    assert tab.locator("[aria-sort]").count() == 1


def test_words_are_sorted_as_people_do(opened, tmp_path):
    runs = [fakes.row(0), *(fakes.row(i, H=h) for i, h in enumerate((1024, 32, 96), start=1))]
    tab = opened(saved(made_up_pages.page_of(runs), tmp_path))
    tab.click('[data-column="name"]')
    assert column(tab, "name") == ["H32", "H96", "H1024", "reference"]
    tab.click('[data-column="name"]')
    assert column(tab, "name") == ["reference", "H1024", "H96", "H32"]


def test_filters_hold_together_and_say_how_much_is_left(opened, made, address):
    tab = opened(address)
    tab.fill("#words", "sc16 X2")
    wanted = {row["trial"] for row in made.rows if "Sc16" in row["letters"] and "X2" in row["letters"]}
    assert set(trials(tab)) == wanted
    assert tab.inner_text("#count") == f"{len(wanted)} of {len(made.rows)} variants"
    tab.fill("#words", "not finite")                                # a reason
    assert set(trials(tab)) == {run["trial"] for run in made.runs if "not finite" in run["reason"]}
    tab.fill("#words", "")
    tab.select_option("#state", "stopped")
    assert set(column(tab, "state")) == {"stopped"}
    assert len(trials(tab)) == sum(row["state"] == "stopped" for row in made.rows)
    tab.check("#only")
    assert trials(tab) == []
    assert "None of 80 variants matches" in tab.inner_text("#count")
    tab.select_option("#state", "")
    assert set(trials(tab)) == {row["trial"] for row in made.rows if row["on_front"]}


def test_single_runs_have_a_view_of_their_own(opened, made, address):
    tab = opened(address)
    tab.check("#views [value=runs]")
    tab.fill("#words", "reference")
    seeds = [run["seed"] for run in made.runs if run["trial"] == 0]
    assert column(tab, "seed") == [str(seed) for seed in seeds]
    assert column(tab, "parameters") == [f"{made.rows[0]['parameters']:,}"] * len(seeds)
    assert column(tab, "si_snri_db") == [wording.decibels(run["si_snri_db"]) for run in made.runs if run["trial"] == 0]


def test_pages_are_turned_by_keyboard_too_and_the_focus_is_never_lost(opened, made, address):
    tab = opened(address)
    assert trials(tab) == list(range(50))
    assert tab.locator("#previous").is_disabled()
    tab.focus("#next")
    tab.keyboard.press("Enter")
    assert trials(tab) == list(range(50, 80))
    assert "page 2 of 2" in tab.inner_text("#pager")
    assert tab.evaluate("document.activeElement.id") == "previous"
    tab.keyboard.press("Enter")
    assert trials(tab) == list(range(50))


def test_pointing_says_what_the_row_says_and_a_click_goes_there_whatever_hides_it(opened, made, address):
    tab = opened(address)
    tab.fill("#words", "no such variant")
    kept = [row for row in by_cost(made) if row["on_front"] and row["trial"]]
    last = kept[-1]
    tab.mouse.move(*centre(tab.locator("#chart circle.pareto").last))
    assert tab.inner_text("#tip b") == last["name"]
    assert last["letters"] in tab.inner_text("#tip")
    told = point(tab)
    tab.mouse.down()
    tab.mouse.up()
    marked(tab, last["trial"])
    cells = dict(zip(tab.locator("#rows th button").evaluate_all("all => all.map(one => one.dataset.column)"),
                     tab.locator("tr.marked td").all_inner_texts(), strict=True))
    assert told["SI-SNRi"].replace(" dB", "") == cells["si_snri_db"]
    assert told["loss"].replace(" dB", "") == cells["loss_db"]
    assert told["memory"].removesuffix(" bytes") == cells["peak_memory_bytes"]
    for name, key in (("trial", "trial"), ("parameters", "parameters"), ("MACs", "macs_per_s"), ("seeds", "seeds"),
                      ("real-time factor", "realtime_factor"), ("probability of the front", "chance")):
        assert told[name] == cells[key]
    assert tab.input_value("#words") == ""


def test_every_link_to_a_trial_leads_to_its_row_again_and_again_and_from_outside(opened, made, address):
    tab = opened(f"{address}#trial-70")
    marked(tab, 70)                                                 # on the second page
    link = tab.locator(".picks a").first
    trial = int(link.get_attribute("href").removeprefix("#trial-"))
    for _ in range(2):
        tab.check("#views [value=runs]")
        link.click()
        marked(tab, trial)
    tab.go_back()                                                   # to where the reader was, so only the mark moves
    sync_api.expect(tab.locator("tr.marked")).to_have_attribute("data-trial", "70")


def test_arrows_walk_by_cost_along_all_or_along_the_front_and_it_is_said(opened, made, address):
    tab = opened(address)
    tab.focus("#chart")
    order = by_cost(made)
    for key, wanted in (("ArrowRight", order[0]), ("ArrowRight", order[1]), ("ArrowLeft", order[0]), ("ArrowLeft", order[0]),
                        ("End", order[-1]), ("Home", order[0])):
        tab.keyboard.press(key)
        assert point(tab)["trial"] == str(wanted["trial"])
    assert tab.inner_text("#said").startswith(f"1 of {len(order)}: {order[0]['name']}, trial {order[0]['trial']}, SI-SNRi ")
    tab.keyboard.press("Escape")
    assert tab.locator("#tip").is_hidden()
    best = [row for row in order if row["on_front"] or row["trial"] == 0]
    walked = []
    for _ in range(len(best) + 1):
        tab.keyboard.press("ArrowUp")
        walked.append(int(point(tab)["trial"]))
    assert walked == [row["trial"] for row in best] + [best[-1]["trial"]]
    tab.keyboard.press("ArrowDown")
    assert point(tab)["trial"] == str(best[-2]["trial"])
    tab.keyboard.press("Enter")
    marked(tab, best[-2]["trial"])


def test_only_measured_costs_can_be_chosen_and_each_has_its_own_order(opened, made, address, tmp_path):
    tab = opened(address)
    titles = tab.locator("#axes label").all_inner_texts()
    assert titles == ["Parameters", "MACs", "Real-time factor", "Memory"]
    tab.check("#axes [value=macs_per_s]")
    tab.focus("#chart")
    tab.keyboard.press("Home")
    assert point(tab)["trial"] == str(by_cost(made, "macs_per_s")[0]["trial"])
    tab.check("#axes [value=realtime_factor]")
    assert "real-time factor" in tab.locator("#chart .title").first.text_content()
    assert opened(saved(made_up_pages.page(), tmp_path)).locator("#axes label").all_inner_texts() == ["Parameters", "MACs"]


def test_a_finger_shows_a_point_first_and_goes_to_its_row_at_the_second_tap(opened, made, address):
    tab = opened(address, has_touch=True, viewport={"width": 400, "height": 800})
    star = centre(tab.locator("#chart path.reference"))
    tab.touchscreen.tap(*star)
    assert point(tab)["trial"] == "0"
    assert tab.locator("tr.marked").count() == 0
    tab.touchscreen.tap(*star)
    marked(tab, 0)


@pytest.mark.parametrize(("typed", "limit"), [("100k", 1e5), ("0.05M", 5e4), ("80,000", 8e4), ("6e4", 6e4), (" 70 K ", 7e4)])
def test_the_best_within_a_limit_is_named(opened, made, address, typed, limit):
    tab = opened(address)
    tab.fill("[name=parameters]", typed)
    best = max((row for row in by_cost(made) if row["parameters"] <= limit), key=lambda row: row["si_snri_db"])
    said = tab.inner_text("#best")
    assert f"trial {best['trial']} ({best['name']}), SI-SNRi {wording.decibels(best['si_snri_db'])} dB [" in said
    assert f"loss {wording.decibels(best['loss_db'])} dB [" in said
    assert f"{wording.engineering(best['parameters'])} parameters" in said
    assert tab.locator("#chart .limit").count() == 1
    tab.click("#best a")
    marked(tab, best["trial"])


def test_limits_hold_together_exactly_and_what_nothing_fits_is_said(opened, made, address):
    tab = opened(address)
    some = by_cost(made)[5]
    tab.fill("[name=parameters]", str(some["parameters"]))
    tab.fill("[name=macs_per_s]", str(some["macs_per_s"]))
    fit = [row for row in by_cost(made) if row["parameters"] <= some["parameters"] and row["macs_per_s"] <= some["macs_per_s"]]
    assert some in fit
    assert f"trial {max(fit, key=lambda row: row['si_snri_db'])['trial']} (" in tab.inner_text("#best")
    tab.fill("[name=realtime_factor]", "0.0001")
    assert "No variant has at most" in tab.inner_text("#best")
    least = min(row["realtime_factor"] for row in by_cost(made))
    assert f"{wording.engineering(least)} real-time factor" in tab.inner_text("#best")


@pytest.fixture(scope="module")
def on_phone(tmp_path_factory):
    """A study that a phone has measured, but for every fourth variant, which is predicted."""
    runs, _, _ = fakes.study(20, seed=5)
    for run in runs:
        run |= {"realtime_factor@phone": run["macs_per_s"] / 1e9, "memory@phone": 50_000_000 + 40 * run["parameters"],
                "bytes@phone": 4 * run["parameters"], "predicted": "phone" if run["trial"] % 4 == 3 else ""}
    rows = made_up_pages.variants(runs)
    made = made_up_pages.page_of(runs, device_columns=tables.device_columns(rows), axes=cost_axes.for_page(
        [*cost_axes.KNOWN, *cost_axes.of_devices(rows)]))
    return made, saved(made, tmp_path_factory.mktemp("phone"))


@pytest.mark.parametrize("kind", ["measured", "predicted"])
def test_limits_on_a_device_name_the_best_and_say_what_is_predicted(opened, on_phone, kind):
    made, address = on_phone
    tab = opened(address)
    assert tab.locator("#limits input").evaluate_all("all => all.map(one => one.name)") == [
        "parameters", "macs_per_s", "realtime_factor@phone", "memory@phone", "bytes@phone"]
    known = sorted((row for row in made.rows if row["si_snri_db"] is not None), key=lambda row: -row["si_snri_db"])
    best = next(row for row in known if (row["predicted"] == "phone") == (kind == "predicted"))
    axes = {"realtime_factor@phone": "real-time factor on phone", "memory@phone": "bytes of memory on phone"}
    for axis in axes:
        tab.fill(f"[name='{axis}']", repr(best[axis]))
    fits = next(row for row in known if all(row[axis] <= best[axis] for axis in axes))
    said = tab.inner_text("#best")
    assert f"trial {fits['trial']} (" in said
    for axis, words in axes.items():
        assert f"at most {best[axis]!r} {words}" in said or f"and {best[axis]!r} {words}" in said
        marked_so = " (predicted)" if fits["predicted"] else ""
        assert f"{wording.engineering(fits[axis])} {words}{marked_so}" in said
    tab.fill("[name='memory@phone']", "1k")
    least = min(row["memory@phone"] for row in known)
    assert "No variant has at most" in tab.inner_text("#best")
    assert f"{wording.engineering(least)} bytes of memory on phone" in tab.inner_text("#best")


@pytest.mark.parametrize("typed", ["many", "-5", "0", "1,5M", "1.2.3", "<b>"])
def test_what_is_no_limit_is_said_to_be_none(opened, address, typed):
    tab = opened(address)
    tab.fill("[name=macs_per_s]", typed)
    assert f"“{typed}” is no amount of MACs per second" in tab.inner_text("#best")
    assert tab.get_attribute("[name=macs_per_s]", "aria-invalid") == "true"
    tab.fill("[name=macs_per_s]", "")
    assert tab.get_attribute("[name=macs_per_s]", "aria-invalid") == "false"
    assert "Give one or more limits" in tab.inner_text("#best")


def test_sounds_play_one_at_a_time(opened, address):
    tab = opened(address)
    heard = """one => new Promise((done) => {
        one.loop = true
        one.addEventListener("timeupdate", () => { if (one.currentTime > 0.05) done(one.duration) })
        one.play() })"""
    first, second = tab.locator("audio").nth(0), tab.locator("audio").nth(1)
    assert first.evaluate(heard) == pytest.approx(1.0)
    assert second.evaluate(heard) == pytest.approx(1.0)
    assert [one.evaluate("one => one.paused") for one in (first, second)] == [True, False]


GROUND = "getComputedStyle(document.body).backgroundColor"


@pytest.mark.parametrize(("scheme", "ground"), [("light", "rgb(255, 255, 255)"), ("dark", "rgb(22, 25, 28)")])
def test_colours_follow_the_system_and_paper_is_white(opened, address, scheme, ground):
    tab = opened(address, color_scheme=scheme)
    assert tab.evaluate(GROUND) == ground
    tab.emulate_media(media="print")
    assert tab.evaluate(GROUND) == "rgb(255, 255, 255)"


@pytest.mark.parametrize("script", [True, False])
def test_eight_columns_of_a_wide_table_are_shown_and_all_on_demand_by_keyboard_without_scripts_too(opened, address, script):
    tab = opened(address, java_script_enabled=script)
    for place in ("#front-table-caption", "#rows" if script else "#static-caption"):
        wide = tab.locator(f".wide:has({place})")
        heads, every = wide.locator("th"), wide.locator(".every input")
        count = sum(heads.nth(i).is_visible() for i in range(heads.count()))
        assert (count, wide.locator("tbody tr").first.locator("td:visible").count()) == (page.FIRST, page.FIRST)
        assert wide.evaluate("one => { const box = one.querySelector('.scroll'); return box.scrollWidth <= box.clientWidth }")
        every.focus()
        tab.keyboard.press("Space")
        assert all(heads.nth(i).is_visible() for i in range(heads.count()))
        assert heads.count() > page.FIRST
        every.uncheck()


def test_the_script_writes_k_m_and_g_as_python_does(opened, address):
    source = (page.HERE / "page.js").read_text()
    numbers = [0, 0.000123, 0.5, 999.4, 999.5, 1000, 999_499, 999_500, 999_999, 1e6, 1_234_567, 9.995e8, 1e9, 1.5e12,
               *(m * 10**e for m in (1, 1.005, 2.5, 9.994, 9.996) for e in range(-3, 13))]
    functions = source[source.index("const minus"):source.index("const COUNTS")]
    told = opened(address).evaluate(f"numbers => {{ {functions}; return numbers.map(engineering) }}", numbers)
    assert told == [wording.engineering(number) for number in numbers]


def test_on_paper_there_are_the_figures_and_the_static_table_and_nothing_to_press(opened, made, address):
    tab = opened(address)
    assert tab.locator("#printed figure").is_hidden()
    tab.emulate_media(media="print")
    tab.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert tab.locator("#printed figure").is_visible()
    assert tab.locator("details:not([open])").count() == 0          # for browsers that do not know ::details-content
    assert tab.locator(".static tr").last.is_visible()
    pressed = tab.locator("button, input, select, audio, #chart, #rows")
    assert pressed.evaluate_all("all => all.filter((one) => one.checkVisibility()).length") == 0
    tab.evaluate("dispatchEvent(new Event('afterprint'))")
    tab.emulate_media(media="screen")
    assert tab.locator("#printed figure").is_hidden()
    assert len(tab.pdf()) > 10_000


def test_evil_names_stay_text(opened, tmp_path):
    evil = made_up_pages.EVIL
    runs = [fakes.row(0), fakes.failed(1, X=4, kind="data", reason=evil), fakes.row(2, X=5, parameters=1000)]
    made = made_up_pages.page_of(runs, study=evil, notes=[evil])
    made = made._replace(rows=[{**row, "name": f"{evil} {row['trial']}"} for row in made.rows])
    tab = opened(saved(made, tmp_path))
    assert tab.locator("script").count() == 2
    assert column(tab, "name") == [f"{evil} {trial}" for trial in range(3)]
    assert column(tab, "reason")[1] == f"data: {evil}"
    tab.focus("#chart")
    tab.keyboard.press("Home")
    assert tab.locator("#tip b").text_content() == f"{evil} 2"
    tab.fill("[name=parameters]", "2k")
    assert evil in tab.locator("#best").text_content()


def test_the_policy_stops_whatever_would_run_or_ask(browser, address):
    with contextlib.closing(browser.new_context()) as context, socket.create_server(("127.0.0.1", 0)) as server:
        tab = context.new_page()
        tab.goto(address)
        tab.evaluate("""url => {
            document.body.append(Object.assign(document.createElement("script"), { textContent: "window.ran = true" }))
            document.body.append(Object.assign(document.createElement("img"), { src: url }))
            return fetch(url).catch(() => 0)
        }""", f"http://127.0.0.1:{server.getsockname()[1]}/")
        assert tab.evaluate("window.ran") is None
        server.settimeout(0.3)
        with pytest.raises(TimeoutError):
            server.accept()


def test_ten_thousand_runs_are_found_sorted_and_walked_through_with_few_elements(opened, tmp_path):
    made = made_up_pages.page_of(made_up_pages.many(10_000))
    tab = opened(saved(made, tmp_path))
    assert "10,000 variants" in tab.inner_text("#count")
    tab.click('[data-column="si_snri_db"]')
    tab.click('[data-column="si_snri_db"]')
    best = sorted(values(made, "si_snri_db"), reverse=True)
    assert column(tab, "si_snri_db") == [wording.decibels(score) for score in best[:50]]
    tab.click("#last")
    assert set(column(tab, "state")) == {"failed"}
    tab.fill("#words", "H64 X4 N96")
    wanted = [row for row in made.rows if {"H64", "X4", "N96"} <= set(row["letters"].split())]
    assert f"{len(wanted)} of 10,000 variants" in tab.inner_text("#count")
    assert tab.locator("#rows tr").count() <= 51
    assert tab.locator("#chart svg *").count() < 400
    tab.focus("#chart")
    tab.keyboard.press("End")
    assert point(tab)["trial"] == str(by_cost(made)[-1]["trial"])
    tab.keyboard.press("Enter")
    marked(tab, by_cost(made)[-1]["trial"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_narrow_screen_never_scrolls_sideways_and_text_is_told_from_its_ground(opened, address, scheme):
    tab = opened(address, viewport={"width": 400, "height": 800}, color_scheme=scheme)
    tab.fill("[name=parameters]", "wrong")
    tab.focus("#chart")
    tab.keyboard.press("Home")
    assert tab.evaluate("document.documentElement.scrollWidth") == 400
    poor = tab.evaluate(CONTRASTS)
    assert len(poor["all"]) > 100
    assert poor["below"] == []


# WCAG 2.2, 1.4.3: the ratio of luminances of every text and what is painted behind it.
CONTRASTS = """() => {
  const rgb = (text) => text.match(/[\\d.]+/g).map(Number)
  const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0)
  const ground = (one) => {
    for (; one; one = one.parentElement) {
      const color = rgb(getComputedStyle(one).backgroundColor)
      if (color.length === 3 || color[3] === 1) return color
    }
  }
  const all = [], below = []
  for (const one of document.querySelectorAll("body *:not(script, svg.x, option)")) {
    const own = [...one.childNodes].some((node) => node.nodeType === 3 && node.data.trim())
    if (!own || !one.checkVisibility() || one.disabled) continue
    const ink = one instanceof SVGElement ? getComputedStyle(one).fill : getComputedStyle(one).color
    const [a, b] = [light(rgb(ink)), light(ground(one))].sort((x, y) => y - x), ratio = (a + 0.05) / (b + 0.05)
    all.push(ratio)
    if (ratio < 4.5) below.push([one.tagName, one.className?.baseVal ?? one.className, one.textContent.slice(0, 30), ratio])
  }
  return { all, below }
}"""


def test_everything_that_can_be_used_has_a_name_and_a_visible_focus(opened, address):
    tab = opened(address)
    nameless = tab.locator("input, select, button, audio, a, [tabindex='0']").evaluate_all("""all => all.filter((one) => {
      const by = one.getAttribute("aria-labelledby")
      return !(one.getAttribute("aria-label") || one.labels?.length && one.labels[0].innerText.trim()
        || by && document.getElementById(by).textContent.trim() || one.textContent.trim())
    }).map((one) => one.outerHTML)""")
    assert nameless == []
    reached = set()
    for _ in range(60):
        tab.keyboard.press("Tab")
        focused = tab.evaluate("""() => {
          const one = document.activeElement, seen = one.closest(".choice label") ?? one
          return [one.id || one.name || one.dataset.column || one.tagName, getComputedStyle(seen).outlineStyle]
        }""")
        reached.add(focused[0])
        assert focused[1] == "solid" or focused[0] == "AUDIO", focused   # whose own buttons show it
    assert {"chart", "parameters", "axis", "words", "state", "only", "view", "si_snri_db"} <= reached


def test_who_wants_no_motion_gets_none(opened, address):
    behaviour = "getComputedStyle(document.documentElement).scrollBehavior"
    assert opened(address).evaluate(behaviour) == "auto"
    assert opened(address, reduced_motion="no-preference").evaluate(behaviour) == "smooth"


def test_a_study_without_any_score_or_with_one_variant_is_shown_all_the_same(opened, tmp_path):
    alone = opened(saved(made_up_pages.page_of([fakes.row(0)]), tmp_path))
    assert trials(alone) == [0]
    assert re.search(r"\d", alone.locator("#chart .axis text").first.text_content())
    none = opened(saved(made_up_pages.page_of([fakes.failed(0)]), tmp_path))
    assert none.locator("#chart").is_hidden()
    assert trials(none) == [0]
