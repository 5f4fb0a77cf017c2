"""The studio in a real browser: Chromium from the system's packages, driven by Playwright.

`pytest -m browser` runs this alone. Toy weights draw, so faces melt, but all else is as it is.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

import av
import cv2
import numpy as np
import pytest
from PIL import Image

pytest.importorskip("playwright", reason="no Playwright: pip install playwright")
from media import loop, make_clip
from playwright.sync_api import BrowserContext, Page, Route, expect, sync_playwright

from talkhead.io.image import read_image
from talkhead.studio.state import Studio
from talkhead.video import VideoReader

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: install your system's package"),
]
EXAMPLES = Path(__file__).parents[2] / "examples"
PATIENCE = 240_000  # milliseconds; a machine may be busy with other things
FLAGS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
    "--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowserContext]:
    folder = tmp_path_factory.mktemp("browser")
    camera = write_camera(folder / "camera.mjpeg")
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            folder / "profile",
            executable_path=CHROMIUM,
            headless=True,
            args=[*FLAGS, f"--use-file-for-fake-video-capture={camera}"],
            viewport={"width": 1440, "height": 900},
            permissions=["clipboard-read", "clipboard-write"],
        )
        context.set_default_timeout(PATIENCE)
        expect.set_options(timeout=PATIENCE)
        yield context
        context.close()


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first half second of the example driver, whose faces are soon found."""
    read = VideoReader(EXAMPLES / "driving.mp4", frames=12)
    half = [cv2.resize(frame.rgb, (320, 240), interpolation=cv2.INTER_AREA) for frame in read]
    path = tmp_path_factory.mktemp("driver") / "driver.mp4"
    return make_clip(path, len(half), size=(320, 240), pictures=half)


@pytest.fixture(scope="module")
def long_driver(driver: Path) -> Path:
    """The same over and over, so that there is time to cancel it."""
    return loop(driver, driver.with_name("long.mp4"), 300)


@pytest.fixture
def page(browser: BrowserContext, running: tuple[Studio, int]) -> Iterator[Page]:
    """A fresh page; when the test ends it had no error, and only this machine was talked to."""
    page = browser.new_page()
    wrong: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.on("websocket", lambda socket: asked.append(socket.url))
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(f"http://127.0.0.1:{running[1]}/")
    expect(page.locator("#engine")).to_contain_text("cpu")
    yield page
    seen = peers(os.getpid())
    page.close()
    assert wrong == []
    urls = (url for url in asked if not url.startswith(("data:", "blob:", "about:")))
    assert {urlsplit(url).hostname for url in urls} == {"127.0.0.1"}
    assert all(ip_address(peer).is_loopback for peer in seen), seen


def write_camera(path: Path) -> Path:
    """The example driver as the film of a fake camera."""
    with av.open(str(path), "w", format="mjpeg") as output:
        stream = output.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuvj420p"
        for frame in VideoReader(EXAMPLES / "driving.mp4", frames=25):
            small = cv2.resize(frame.rgb, (320, 240), interpolation=cv2.INTER_AREA)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(small, "rgb24")))
        output.mux(stream.encode(None))
    return path


def wait_until(page: Page, expression: str) -> None:
    """Like Playwright's wait_for_function, whose `eval` the page's own policy forbids."""
    end = time.monotonic() + PATIENCE / 1000
    while not page.evaluate(expression):
        assert time.monotonic() < end, expression
        page.wait_for_timeout(50)


def choose_both(page: Page, driving: Path) -> None:
    """The example portrait and a driver, as uploads."""
    page.set_input_files("#portrait input[type=file]", EXAMPLES / "portrait.jpg")
    expect(page.locator("#portrait svg")).to_be_visible()
    page.set_input_files("#driving input[type=file]", driving)
    expect(page.locator("#driving svg")).to_be_visible()


def set_value(page: Page, name: str, value: object) -> None:
    """Type into the field of a setting, wherever it is folded away."""
    page.evaluate(
        "for (const part of document.querySelectorAll('#settings details')) part.open = true"
    )
    page.fill(f"#set-{name}", str(value))
    page.press(f"#set-{name}", "Enter")


def render_long(page: Page, driving: Path) -> None:
    """Begin a render that takes minutes, and wait until its frames are drawn."""
    choose_both(page, driving)
    set_value(page, "anchor", "first")
    page.click("#render")
    expect(page.locator(".job p")).to_contain_text("Rendering · frame")


def test_from_two_files_to_a_video_with_sound(page: Page, tmp_path: Path) -> None:
    choose_both(page, EXAMPLES / "driving.mp4")
    set_value(page, "frames", 20)
    expect(page.locator("#strip-note")).to_contain_text("6 frames in")
    expect(page.locator("#render-hint")).to_have_text(
        "The chosen part of the video, with its sound."
    )
    page.click("#render")
    expect(page.locator("#result")).to_be_visible()
    wait_until(
        page, "[...document.querySelectorAll('#result video')].every((v) => v.readyState >= 3)"
    )
    # Played, with sound, and the driver beside it.
    page.click("#result .transport button")
    wait_until(page, "document.querySelectorAll('#result video')[1].currentTime > 0.3")
    decoded = "document.querySelectorAll('#result video')[1].webkitAudioDecodedByteCount"
    assert page.evaluate(decoded) > 0
    # Scrubbed together.
    wait_until(page, "document.querySelectorAll('#result video')[1].paused")
    page.locator("#result .transport input").fill("0.4")
    times = "[...document.querySelectorAll('#result video')].map((v) => v.currentTime)"
    assert np.allclose(page.evaluate(times), 0.4, atol=0.05)
    # Downloaded.
    with page.expect_download() as download:
        page.click("#result a[download]")
    download.value.save_as(tmp_path / "result.mp4")
    with av.open(str(tmp_path / "result.mp4")) as container:
        assert "ynthetic" in container.metadata["comment"]
        assert len(container.streams.audio) == 1
        assert sum(1 for _ in container.decode(video=0)) == 20
    # The command that makes the same file.
    page.click("#result .command button")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith(
        "talkhead animate portrait.jpg driving.mp4 -o portrait-driving.mp4 --frames 20"
    )
    expect(page.locator("#history li")).to_have_count(1)


def test_a_change_of_settings_draws_the_strip_anew(page: Page, driver: Path) -> None:
    choose_both(page, driver)
    expect(page.locator("#strip-note")).to_contain_text("6 frames in")
    frame = page.locator("#strip img").nth(3)
    before = frame.get_attribute("src") or ""
    page.locator("[data-setting=layout] label", has_text="side by side").click()
    expect(page.locator("#strip.wide")).to_be_visible()
    expect(frame).not_to_have_attribute("src", before)
    # What contradicts it cannot be chosen, and the page says why.
    expect(page.locator("#set-paste_back")).to_be_disabled()
    expect(page.locator("[data-setting=paste_back] .why")).to_contain_text("choose one of both")
    page.click("#settings-reset")
    expect(page.locator("#set-paste_back")).to_be_enabled()


def test_the_crop_is_dragged(page: Page, driver: Path) -> None:
    choose_both(page, driver)
    page.locator("#portrait svg .crop").scroll_into_view_if_needed()
    box = page.locator("#portrait svg .crop").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 6, box["y"] + 6)
    page.mouse.down()
    page.mouse.move(box["x"] + 46, box["y"] + 36, steps=4)
    page.mouse.up()
    moved = page.locator("#portrait svg .crop").bounding_box()
    assert moved is not None
    assert abs(moved["x"] - box["x"] - 40) < 2
    assert abs(moved["y"] - box["y"] - 30) < 2
    text = page.locator("#set-crop_source").input_value()
    assert re.fullmatch(r"\d+,\d+,\d+", text)
    page.click("#portrait .link")
    assert page.locator("#set-crop_source").input_value() == "auto"
    back = page.locator("#portrait svg .crop").bounding_box()
    assert back == box


def test_one_of_two_faces_is_clicked(page: Page, tmp_path: Path) -> None:
    photo = read_image(EXAMPLES / "portrait.jpg")[:260, 100:360]
    small = np.asarray(Image.fromarray(photo).resize((200, 200)))
    both = np.full((260, 520, 3), 120, np.uint8)
    both[:, :260], both[30:230, 290:490] = photo, small
    Image.fromarray(both).save(tmp_path / "two.png")
    page.set_input_files("#portrait input[type=file]", tmp_path / "two.png")
    expect(page.locator("#portrait svg .face")).to_have_count(2)
    expect(page.locator("#portrait svg .face.taken")).to_have_count(1)
    page.locator("#portrait svg .face").nth(1).click()
    assert page.locator("#set-face").input_value() == "2"
    expect(page.locator("#portrait svg .face").nth(1)).to_have_class("face taken")
    crop = page.locator("#portrait svg .crop").get_attribute("x")
    assert float(crop or 0) > 230


def test_cancel_keeps_what_is_drawn(page: Page, long_driver: Path) -> None:
    render_long(page, long_driver)
    page.click(".job button")
    expect(page.locator("#result h2")).to_contain_text("cancelled: the first")
    wait_until(page, "document.querySelectorAll('#result video')[1].duration < 100")
    expect(page.locator("#history li")).to_contain_text("cancelled")


def test_an_error_is_shown_and_what_was_there_stays(
    page: Page, driver: Path, tmp_path: Path
) -> None:
    choose_both(page, driver)
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 broken")
    page.set_input_files("#portrait input[type=file]", tmp_path / "broken.jpg")
    expect(page.locator("#portrait .error")).to_contain_text("broken.jpg")
    expect(page.locator("#portrait h2 small")).to_contain_text("portrait.jpg")
    page.fill("#set-anchor", "99999")
    page.press("#set-anchor", "Enter")
    expect(page.locator("#strip-error")).to_contain_text("the anchor is frame 99999")


def test_a_phone_goes_the_whole_way(page: Page, tmp_path: Path) -> None:
    page.set_viewport_size({"width": 360, "height": 740})
    page.reload()
    # A name and a warning that are longer than the page is wide.
    photo = tmp_path / f"{'a_long_name' * 8}.png"
    Image.open(EXAMPLES / "portrait.jpg").save(photo, icc_profile=b"no profile")
    page.set_input_files("#portrait input[type=file]", photo)
    expect(page.locator("#portrait .warnings")).to_contain_text("its colour profile cannot be used")
    page.click("#driving button:has-text('driving.mp4')")
    expect(page.locator("#strip-note")).to_contain_text("6 frames in")
    set_value(page, "frames", 3)
    set_value(page, "size", 301)
    expect(page.locator("#strip-warnings")).to_contain_text("the size 301 is odd")
    page.click("#render")
    expect(page.locator("#result .warnings")).to_contain_text("the size 301 is odd")
    expect(page.locator("#history li")).to_have_count(1)
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_an_upload_shows_how_far_it_is_and_gives_way_to_a_newer_choice(
    page: Page, tmp_path: Path
) -> None:
    waiting: list[Route] = []
    page.route("**/media/portrait*", lambda route: waiting.append(route))  # a slow network
    large = tmp_path / "large.jpg"
    large.write_bytes((EXAMPLES / "portrait.jpg").read_bytes() + bytes(8 << 20))
    page.set_input_files("#portrait input[type=file]", large)
    expect(page.locator("#portrait .hint[role=status]")).to_contain_text(
        re.compile(r"Uploading large.jpg: \d+ %|Looking for faces")
    )
    page.click("#portrait button:has-text('portrait.jpg')")
    expect(page.locator("#portrait h2 small")).to_contain_text("portrait.jpg")
    assert len(waiting) == 1
    expect(page.locator("#portrait .error")).to_be_hidden()
    expect(page.locator("#portrait progress")).to_be_hidden()


def test_the_camera_drives_the_portrait(page: Page) -> None:
    page.click("#portrait button:has-text('portrait.jpg')")
    expect(page.locator("#portrait svg")).to_be_visible()
    page.click("#tab-live")
    page.click("#live-start")
    expect(page.locator("#live-figures")).to_contain_text(
        re.compile(r"pictures per second · latency \d+ ms, of which \d+ ms drawing")
    )
    colours = """(() => {
        const canvas = document.querySelector("#live-result");
        const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
        return new Set(data).size;
    })()"""
    assert page.evaluate(colours) > 8
    page.click("#live-anew")
    page.click("#live-start")
    expect(page.locator("#live-state")).to_have_text("Stopped.")


def test_photo_and_driver_come_from_the_camera(page: Page) -> None:
    page.click("#portrait button:has-text('Camera')")
    page.click("#camera button.primary")
    expect(page.locator("#portrait h2 small")).to_contain_text("camera.png")
    page.click("#driving button:has-text('Camera')")
    page.click("#camera button:has-text('Record')")
    page.wait_for_timeout(500)
    page.click("#camera button:has-text('Stop and use')")
    expect(page.locator("#driving h2 small")).to_contain_text("camera.webm")
    expect(page.locator("#strip-note")).to_contain_text("frames in")


def test_inspect_shows_its_figures(page: Page, driver: Path) -> None:
    choose_both(page, driver)
    set_value(page, "frames", 4)
    page.click("#tab-inspect")
    page.fill("#inspect-frame", "2")
    page.click("#inspect-draw")
    expect(page.locator("#inspect-state")).to_contain_text("Driving frame 2: keypoints")
    wait_until(page, "document.querySelector('#inspect-sheet img').naturalWidth > 256")
    page.fill("#inspect-frame", "50")
    page.click("#inspect-draw")
    expect(page.locator("#inspect-error")).to_contain_text("no driving frame 50")


def test_a_second_tab_waits_its_turn(
    page: Page,
    browser: BrowserContext,
    running: tuple[Studio, int],
    driver: Path,
    long_driver: Path,
) -> None:
    other = browser.new_page()
    other.on("dialog", lambda dialog: dialog.accept())
    other.goto(page.url)
    choose_both(other, driver)
    set_value(other, "frames", 2)
    render_long(page, long_driver)
    other.click("#render")
    expect(other.locator(".job p")).to_contain_text("1 before this one")
    # The first page is closed in the middle of its render: the second has its turn.
    folders = {session.folder for session in running[0].sessions._open.values()}
    page.goto("about:blank")
    expect(other.locator("#result h2")).to_contain_text("2 frames")
    assert sum(folder.exists() for folder in folders) == len(folders) - 1
    other.close()


@pytest.mark.parametrize(("width", "height"), [(1440, 900), (900, 900), (360, 740)])
def test_nothing_sticks_out(page: Page, width: int, height: int) -> None:
    page.set_viewport_size({"width": width, "height": height})
    page.reload()
    fold = page.locator("#settings > details")
    expect(fold).to_have_js_property("open", width > 760)
    page.evaluate(
        "for (const part of document.querySelectorAll('#settings details')) part.open = true"
    )
    for colours in ("light", "dark"):
        page.emulate_media(color_scheme=colours)
        for tab in ("inspect", "live", "animate"):
            page.click(f"#tab-{tab}")
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), tab
        lightness = page.evaluate(
            "getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number)"
        )
        assert (np.mean(lightness) < 128) == (colours == "dark")


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_the_sockets_of_the_studio_are_seen(page: Page) -> None:
    assert peers(os.getpid()) == {"127.0.0.1"}  # what every page is looked at for


def peers(pid: int) -> set[str]:
    """Addresses that a process's sockets are bound or connected to; none but on Linux."""
    if sys.platform != "linux":
        return set()
    links = (Path(f"/proc/{pid}/fd").iterdir(), Path(f"/proc/{pid}/net"))
    mine = {os.readlink(link)[8:-1] for link in links[0] if is_socket(link)}
    found = set()
    for kind in ("tcp", "tcp6", "udp", "udp6"):
        for row in (links[1] / kind).read_text().splitlines()[1:]:
            words = row.split()
            listening = words[3] == "0A" and kind.startswith("tcp")
            if words[9] in mine:
                found.add(to_address(words[1 if listening else 2]))
    return found


def is_socket(link: Path) -> bool:
    try:
        return os.readlink(link).startswith("socket:")
    except FileNotFoundError:  # closed meanwhile
        return False


def to_address(text: str) -> str:
    """`0100007F:1F90` -> 127.0.0.1."""
    data = bytes.fromhex(text.partition(":")[0])
    words = [data[i : i + 4][::-1] for i in range(0, len(data), 4)]
    return str(ip_address(b"".join(words)))
