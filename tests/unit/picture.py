"""Make docs/report.png anew, how the page of an audit begins: `make picture`."""

import base64
import tempfile
from pathlib import Path

import page_cases
from browser import Browser

#: Where the picture ends.
END = "document.querySelector('section table').getBoundingClientRect().bottom"


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        browser = Browser(folder / "browser")
        (folder / "page.html").write_text(page_cases.page())
        browser.size(1100)
        browser.media()
        browser.open(folder / "page.html")
        clip = {"x": 0, "y": 0, "width": 1100, "height": browser.run(END) + 24, "scale": 1}
        shot = browser.ask("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)
        browser.close()
    docs = Path(__file__).parents[2] / "docs"
    (docs / "report.png").write_bytes(base64.b64decode(shot["data"]))


if __name__ == "__main__":
    main()
