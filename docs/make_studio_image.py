"""Take the picture of the studio: python docs/make_studio_image.py.

Needs the extras `studio` and `dev`, and Chromium from the system's packages.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

OUTPUT = Path(__file__).parent / "studio.png"
EXAMPLES = ("#portrait", "portrait.jpg"), ("#driving", "driving.mp4")
MINUTES = 10 * 60_000  # milliseconds


def main() -> None:
    command = [sys.executable, "-m", "talkhead", "studio", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as studio:
        assert studio.stdout is not None
        line = next(line for line in studio.stdout if "http://" in line)
        address = next(word for word in line.split() if word.startswith("http://"))
        try:
            take(address)
        finally:
            studio.terminate()


def take(address: str) -> None:
    """The page after a render of the examples, at a moment when the driver speaks."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1440, "height": 1180})
        page.set_default_timeout(MINUTES)
        expect.set_options(timeout=MINUTES)
        page.goto(address)
        for part, example in EXAMPLES:
            page.locator(part).get_by_role("button", name=example, exact=True).click()
            expect(page.locator(f"{part} svg")).to_be_visible()
        page.click("#render")
        expect(page.locator("#result video").last).to_be_visible()
        expect(page.locator("#strip-note")).to_contain_text("frames in")
        page.locator("#result input[type=range]").fill("0.96")
        page.wait_for_timeout(2000)
        page.screenshot(path=OUTPUT)
        browser.close()


if __name__ == "__main__":
    main()
