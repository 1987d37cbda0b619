"""The console in a real browser, over a made-up fleet: what an operator sees and does."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

import pytest
from playwright.sync_api import Browser, Page, expect

from hes.api import create_app
from hes.readings import Decision
from tests.e2e.browser import DESKTOP, PHONE, Scheme, Watched, chromium, watched
from tests.unit.hes.api.fakes import FakeFleet, meter_id
from tests.unit.hes.api.served import Api, served

METER = f"/meters/{meter_id(0)}"
PAGES = {
    "meters": "/meters",
    "meter": METER,
    "register": f"{METER}?as=register&period=7d",
    "never read": f"/meters/{meter_id(1)}",
    "pushed long ago": f"/meters/{meter_id(2)}",
    "quarantine": "/quarantine",
    "nothing found": "/meters?q=nothing",
    "no such meter": f"/meters/{meter_id(999)}",
    "nowhere": "/nowhere",
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """One browser for all tests of this file."""
    with chromium() as started:
        yield started


@pytest.fixture
def fleet() -> FakeFleet:
    """450 meters, so that the list takes more than one page."""
    return FakeFleet(now=datetime.now(UTC), size=450)


@pytest.fixture
def api(fleet: FakeFleet) -> Iterator[Api]:
    """The real API over the made-up fleet."""
    with served(create_app(fleet.services())) as running:
        yield running


@pytest.fixture
def console(browser: Browser, api: Api) -> Iterator[Watched]:
    """A page on a desktop in the light theme."""
    with watched(browser, api.url) as seen:
        yield seen


def rows(page: Page) -> list[list[str]]:
    """The texts of the first table's rows."""
    table = page.get_by_role("table").first
    return [
        [cell.strip() for cell in row.get_by_role("cell").all_inner_texts()]
        for row in table.get_by_role("row").all()[1:]
    ]


def test_the_meters_table_shows_the_fleet(console: Watched) -> None:
    page = console.open("/")
    expect(page).to_have_url(re.compile("/meters$"))
    expect(page.get_by_role("link", name="SIM00000001", exact=True)).to_be_visible()
    shown = {row[0]: row for row in rows(page)}
    assert shown["SIM00000001"][1:3] == ["sim-solar", "127.16.0.1:4159"]
    assert shown["SIM00000001"][3].startswith("OK")
    assert "No connection" in shown["SIM00000002"][3]
    assert "connect_refused" in shown["SIM00000002"][3]
    assert shown["SIM00000002"][4] == "none yet"
    assert shown["SIM00000003"][2] == "pushes only"
    assert "Security" in shown["SIM00000004"][3]
    assert shown["SIM00000005"][5] == "In service"
    expect(page).to_have_title("Meters · HES")


def test_the_header_tells_the_fleet_in_numbers_and_as_of_when(console: Watched) -> None:
    page = console.open("/meters")
    header = page.get_by_role("region", name="The fleet in numbers")
    expect(header).to_contain_text("450 meters · 446 sessions/min · 1,382,400 readings")
    expect(header).to_contain_text(re.compile(r"live, as of \d\d:\d\d:\d\d"))
    first = header.inner_text()
    page.wait_for_function(
        "(first) => document.querySelector('.fleet').innerText !== first", arg=first
    )


def test_search_asks_the_server_and_stays_in_the_address(console: Watched) -> None:
    page = console.open("/meters")
    field = page.get_by_role("searchbox", name="Search meters")
    field.fill("SIM000004")
    expect(page.get_by_text("51 meters found")).to_be_visible()
    assert {row[0][:9] for row in rows(page)} == {"SIM000004"}
    expect(page).to_have_url(re.compile(r"/meters\?q=SIM000004"))
    page.reload()
    expect(field).to_have_value("SIM000004")
    expect(page.get_by_text("51 meters found")).to_be_visible()
    field.fill("17")
    expect(page).to_have_url(re.compile(r"q=.?.?.?17"))
    page.get_by_role("button", name="Clear the search").click()
    expect(page.get_by_role("status").filter(has_text="450 meters")).to_be_visible()
    field.fill("<b>nothing</b>")
    expect(page.get_by_role("heading", name="No meter matches “<b>nothing</b>”")).to_be_visible()


def test_the_list_goes_on_by_scrolling_and_by_keyboard(console: Watched) -> None:
    page = console.open("/meters")
    expect(page.get_by_text("200 of 450 loaded")).to_be_visible()
    assert len(rows(page)) < 60  # only what is in sight is drawn
    page.get_by_role("button", name="Load more").click()
    expect(page.get_by_text("400 of 450 loaded")).to_be_visible()
    scroller = page.get_by_role("region", name="Meters", exact=True)
    scroller.evaluate("(element) => element.scrollTo(0, element.scrollHeight)")
    expect(page.get_by_text("450 of 450 loaded")).to_be_visible()
    scroller.evaluate("(element) => element.scrollTo(0, element.scrollHeight)")
    expect(page.get_by_role("link", name="SIM00000450")).to_be_visible()
    last = page.get_by_role("row").filter(has=page.get_by_role("link", name="SIM00000450"))
    expect(last).to_have_attribute("aria-rowindex", "451")


def test_a_row_leads_to_its_meter_and_back(console: Watched) -> None:
    page = console.open("/meters?q=SIM0000000")
    page.get_by_role("cell", name="127.16.0.5:4159").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("SIM00000005")
    page.go_back()
    expect(page.get_by_role("searchbox")).to_have_value("SIM0000000")


def test_a_serial_in_the_address_leads_to_its_meter(console: Watched) -> None:
    page = console.open("/meters/SIM00000005?period=7d")
    expect(page.get_by_role("heading", level=1)).to_contain_text("SIM00000005")
    expect(page).to_have_url(re.compile(rf"/meters/{meter_id(4)}\?period=7d$"))


def test_the_meter_page_says_who_it_is_and_how_it_fared(console: Watched) -> None:
    page = console.open(METER)
    expect(page).to_have_title("SIM00000001 · HES")
    facts = page.locator("dl.facts")
    for text in (
        "sim-solar",
        "127.16.0.1:4159",
        "53494d0000000001",
        "HLS-GMAC",
        "authenticated and encrypted",
        "Europe/Berlin",
    ):
        expect(facts).to_contain_text(text)
    sessions = page.get_by_role("region", name="Last sessions")
    expect(sessions.get_by_role("row")).to_have_count(21)
    failed = sessions.get_by_role("row").nth(7)
    for text in ("No connection", "read_timeout", "reading"):
        expect(failed).to_contain_text(text)
    expect(page.get_by_text("18 of the last 20 succeeded")).to_be_visible()
    channels = page.get_by_role("region", name="Channels")
    expect(channels.get_by_role("row")).to_have_count(6)
    expect(channels).to_contain_text("Active energy import")


def _differences(fleet: FakeFleet, channel_id: int) -> list[Decimal | None]:
    """Consumption per quarter as the table must show it, latest first, gaps as None."""
    shown: list[Decimal | None] = []
    readings = [row.reading for row in fleet.rows(channel_id)]
    for before, reading in pairwise(readings):
        quarters = (reading.captured_at - before.captured_at) // timedelta(minutes=15)
        if quarters > 1:
            shown += [None] * quarters
        elif isinstance(reading.value, Decimal) and isinstance(before.value, Decimal):
            shown.append(reading.value - before.value)
        else:
            shown.append(None)
    return shown[::-1]


def test_the_table_of_values_is_exact(console: Watched, fleet: FakeFleet) -> None:
    page = console.open(METER)
    expect(page.get_by_role("heading", name="Values")).to_be_visible()
    shown = rows(page)
    assert len(shown) == 24
    expected = _differences(fleet, 3)[:24]
    for row, value in zip(shown, expected, strict=True):
        assert value is not None
        assert Decimal(row[1]) == value
    register = fleet.rows(3)[-1].reading.value
    assert shown[0][2].replace(",", "") == str(register)
    assert shown[12][3] == "revised"
    assert {row[3] for row in shown[20:]} == {"clock doubtful"}
    page.get_by_role("button", name="Page 2 of").click()
    second = rows(page)
    assert second[6][1:] == ["–", "–", "missing"]  # the null that the meter sent
    assert {row[3] for row in second[17:22]} == {"not received"}
    for row, value in zip(second, _differences(fleet, 3)[24:48], strict=True):
        assert row[1] == "–" if value is None else Decimal(row[1]) == value


def test_the_plot_is_drawn_named_and_read_by_keyboard(console: Watched) -> None:
    page = console.open(METER)
    figure = page.get_by_role("figure")
    expect(figure).to_have_attribute(
        "aria-label", re.compile(r"Active energy import, .*Europe/Berlin.* of 9\d intervals")
    )
    colours = figure.locator("canvas").evaluate(
        "(canvas) => { const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width,"
        " canvas.height); const seen = new Set(); for (let i = 0; i < data.length; i += 4)"
        " if (data[i + 3] > 100) seen.add(data.slice(i, i + 3).map((part) => part >> 4).join());"
        " return seen.size; }"
    )
    assert colours > 8
    for key in ("missing", "flagged"):
        expect(page.locator(".legend")).to_contain_text(key)
    figure.focus()
    page.keyboard.press("End")
    latest = rows(page)[0]
    live = page.locator(".plot [aria-live]")
    expect(live).to_contain_text(latest[0])
    expect(live).to_contain_text(latest[1])
    expect(page.locator(".plot-tip")).to_contain_text(f"{latest[1]} Wh")
    page.keyboard.press("ArrowLeft")
    expect(live).to_contain_text(rows(page)[1][1])
    page.keyboard.press("Escape")
    expect(page.locator(".plot-tip")).to_have_count(0)


def test_what_is_shown_is_chosen_and_kept_in_the_address(console: Watched) -> None:
    page = console.open(METER)
    page.get_by_text("Register", exact=True).first.click()
    expect(page).to_have_url(re.compile("as=register"))
    expect(page.get_by_role("columnheader", name="Time")).to_be_visible()
    page.get_by_text("7 days", exact=True).click()
    expect(page).to_have_url(re.compile("period=7d"))
    expect(page.get_by_text(re.compile(r"1–24 of 67\d"))).to_be_visible()
    page.get_by_label("Channel", exact=True).select_option(
        label="Voltage, L1 · 1.0.32.7.0.255 · 15 min"
    )
    expect(page).to_have_url(re.compile("channel=5"))
    expect(page.get_by_role("figure")).to_have_attribute("aria-label", re.compile("Voltage, L1"))
    before = rows(page)[0][0]
    page.get_by_label("Times in", exact=True).select_option("utc")
    expect(page).to_have_url(re.compile("zone=utc"))
    after = rows(page)[0][0]
    shift = _clock(before) - _clock(after)
    assert shift % timedelta(days=1) in (timedelta(hours=1), timedelta(hours=2))
    page.reload()
    expect(page.get_by_label("Channel", exact=True)).to_have_value("5")
    expect(page.get_by_label("Times in", exact=True)).to_have_value("utc")


def _clock(text: str) -> timedelta:
    hours, minutes = map(int, text.rpartition(" ")[2].split(":"))
    return timedelta(hours=hours, minutes=minutes)


def test_a_custom_period_is_in_the_meter_s_time(console: Watched, fleet: FakeFleet) -> None:
    page = console.open(METER)
    page.get_by_text("Custom", exact=True).click()
    day = (fleet.now - timedelta(days=3)).date()
    page.get_by_label("From").fill(f"{day}T00:00")
    page.get_by_label("To", exact=True).fill(f"{day}T06:00")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_text("1–24 of 24")).to_be_visible()
    shown = rows(page)
    assert shown[-1][0].endswith(", 00:00–00:15")
    assert shown[0][0].endswith(", 05:45–06:00")
    page.get_by_label("To", exact=True).fill(f"{day - timedelta(days=1)}T06:00")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.get_by_text("The start must lie before the end.")).to_be_visible()


def test_a_channel_of_the_list_is_shown_by_a_click(console: Watched) -> None:
    page = console.open(METER)
    page.get_by_role("button", name="Show Active energy export").click()
    expect(page.get_by_role("figure")).to_have_attribute("aria-label", re.compile("export"))
    page.get_by_role("button", name="Show Status word").click()
    expect(page.get_by_text("no numbers to plot")).to_be_visible()
    expect(page.get_by_role("columnheader", name="Value")).to_be_visible()


def test_a_meter_that_was_never_read_says_so(console: Watched) -> None:
    page = console.open(f"/meters/{meter_id(1)}")
    expect(page.get_by_text("nothing was read from this meter so far")).to_be_visible()
    expect(page.get_by_text("after 3 failed attempts")).to_be_visible()


def test_old_readings_are_found_from_an_empty_period(console: Watched) -> None:
    page = console.open(f"/meters/{meter_id(2)}")
    expect(page.get_by_text("pushes from 192.0.2.17")).to_be_visible()
    expect(page.get_by_role("heading", name="No readings in this period")).to_be_visible()
    page.get_by_role("button", name="Show that day").click()
    expect(page.get_by_role("figure")).to_be_visible()
    expect(page.get_by_role("figure")).to_have_attribute("aria-label", re.compile("2 Nov 2024"))


def test_the_quarantine_tells_what_why_and_whose(console: Watched) -> None:
    page = console.open("/quarantine")
    expect(page.get_by_text("50 loaded")).to_be_visible()
    first, second = rows(page)[:2]
    assert first[1:3] == ["In the future", "SIM00000071"]
    assert second[1:4] == ["Before commissioning", "unknown", "4b464d1020000045"]
    assert second[6].startswith("7ea0840201131085")
    page.get_by_role("button", name="Load more").click()
    expect(page.get_by_text("70 loaded")).to_be_visible()
    page.get_by_role("link", name="SIM00000071").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("SIM00000071")


def test_an_entry_of_the_quarantine_is_replayed_for_a_reason(
    console: Watched, fleet: FakeFleet
) -> None:
    page = console.open("/quarantine")
    first = page.get_by_role("row").nth(1)
    expect(first).to_contain_text("Open")
    first.get_by_role("button", name="Replay").click()
    dialog = page.get_by_role("dialog")
    submit = dialog.get_by_role("button", name="Replay")
    expect(submit).to_be_disabled()
    dialog.get_by_label("Why").fill(" the clock is right now ")
    submit.click()
    expect(dialog).to_be_hidden()
    expect(first).to_contain_text("To be replayed")
    assert fleet.replays == {70: Decision("api", "the clock is right now")}
    page.get_by_role("button", name="Load more").click()
    last = page.get_by_role("row").last
    expect(last).to_contain_text("Dropped")
    expect(last.get_by_role("button", name="Replay")).to_be_hidden()


def test_a_database_that_is_away_is_told_and_what_was_loaded_stays(
    console: Watched, fleet: FakeFleet
) -> None:
    console.expected_statuses.add(503)
    page = console.open("/meters")
    expect(page.get_by_role("link", name="SIM00000001", exact=True)).to_be_visible()
    fleet.down = True
    expect(
        page.get_by_text(re.compile("The database cannot be reached.*Not updated"))
    ).to_be_visible(timeout=15_000)
    expect(page.get_by_text("Connection lost")).to_be_visible(timeout=15_000)
    expect(page.get_by_role("link", name="SIM00000001", exact=True)).to_be_visible()
    page.goto(console.url + METER)
    problem = page.get_by_role("alert")
    expect(problem).to_contain_text("The database cannot be reached")
    expect(problem.locator("code")).to_have_text(re.compile("[0-9a-f]{32}"))
    fleet.down = False
    expect(page.get_by_role("heading", level=1)).to_contain_text("SIM00000001")


def test_addresses_that_lead_nowhere_lead_on(console: Watched) -> None:
    console.expected_statuses.add(404)
    page = console.page
    page.goto(f"{console.url}/meters/{meter_id(999)}")
    expect(page.get_by_role("alert")).to_contain_text("No such meter")
    page.goto(f"{console.url}/nowhere")
    page.get_by_role("link", name="Go to meters").click()
    expect(page.get_by_role("heading", name="Meters")).to_be_visible()


def test_keys_alone_lead_through_the_console(console: Watched) -> None:
    page = console.open("/meters")
    expect(page.get_by_role("link", name="SIM00000001", exact=True)).to_be_visible()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("SIM0000001?")
    expect(page.get_by_role("dialog")).to_have_count(0)  # a key that is typed is no shortcut
    page.keyboard.press("Escape")
    expect(page.get_by_role("searchbox")).to_have_value("")
    expect(page.get_by_role("link", name="SIM00000001", exact=True)).to_be_visible()
    page.get_by_role("region", name="Meters", exact=True).focus()
    page.keyboard.press("j")
    page.keyboard.press("j")
    expect(page.get_by_role("link", name="SIM00000002", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_contain_text("SIM00000002")
    page.keyboard.press("g")
    page.keyboard.press("q")
    expect(page.get_by_role("heading", name="Quarantine")).to_be_visible()
    page.keyboard.press("?")
    page.get_by_role("switch", name="Single-key shortcuts").click()
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("g")
    page.keyboard.press("m")
    expect(page.get_by_role("heading", name="Quarantine")).to_be_visible()


def test_the_theme_is_chosen_and_kept(console: Watched) -> None:
    page = console.open("/meters")
    page.get_by_role("button", name="Use the dark theme").click()
    expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", "dark")
    page.reload()
    expect(page.get_by_role("button", name="Use the light theme")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("data-mantine-color-scheme", "dark")


@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_nothing_sticks_out(
    browser: Browser, api: Api, scheme: Scheme, size: tuple[int, int]
) -> None:
    found: dict[str, list[str]] = {}
    with watched(browser, api.url, scheme=scheme, size=size) as seen:
        seen.expected_statuses.add(404)
        for name, path in PAGES.items():
            page = seen.page
            page.goto(seen.url + path)
            page.wait_for_selector("h1")
            expect(page.locator(".mantine-Skeleton-root")).to_have_count(0)
            found[name] = seen.axe()
            width = page.evaluate("document.documentElement.scrollWidth")
            if width > size[0]:
                found[name].append(f"is {width} px wide on {size[0]}")
    assert found == {name: [] for name in PAGES}


def test_a_phone_finds_its_way(browser: Browser, api: Api) -> None:
    with watched(browser, api.url, size=PHONE) as seen:
        page = seen.open("/meters")
        page.get_by_role("button", name="Open navigation").click()
        page.get_by_role("link", name="Quarantine").click()
        expect(page.get_by_role("heading", name="Quarantine")).to_be_visible()
        page.get_by_role("button", name="Open navigation").click()
        page.get_by_role("link", name="Meters", exact=True).click()
        page.get_by_role("link", name="SIM00000001", exact=True).click()
        expect(page.get_by_role("figure")).to_be_visible()
