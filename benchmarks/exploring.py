"""What a page for exploring costs: making it, opening it in a browser, pointing at a cell.

python -m benchmarks.exploring [--size 3000] [--browser chromium]
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

import transference as tr
from benchmarks.storing import write_made
from benchmarks.timing import machine

_POINT = """() => {
  const marks = document.getElementById('marks'), box = marks.getBoundingClientRect(), taken = [];
  for (let k = 0; k < 200; k++) {
    const at = {clientX: box.left + 60 + Math.random() * (box.width - 70), clientY: box.top + 60 + Math.random() * (box.height - 70)};
    const begun = performance.now();
    marks.dispatchEvent(new PointerEvent('pointermove', {...at, pointerType: 'mouse', bubbles: true}));
    document.getElementById('told').offsetHeight;  // which lays the page out again
    taken.push(performance.now() - begun);
  }
  taken.sort((a, b) => a - b);
  return {median: taken[100], high: taken[190], most: taken[199]};
}"""
"""Point at cells at random, and return in milliseconds how long it took until each was told."""


def main() -> None:
    """Write a table, its page, and open that."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=3000, help="sources, and targets")
    parser.add_argument("--browser", default=shutil.which("chromium"), help="a Chromium")
    asked = parser.parse_args()
    print(json.dumps(machine(torch.device("cpu"))))
    with tempfile.TemporaryDirectory() as folder:
        out, page = Path(folder) / "run", Path(folder) / "matrix.html"
        write_made(out, asked.size, asked.size)
        begun = time.perf_counter()
        tr.Explorer(tr.open_run(out)).save(page)
        took = time.perf_counter() - begun
        print(
            f"{asked.size} × {asked.size} pairs: {page.stat().st_size / 1e6:.2f} MB, made in {took:.1f} s", flush=True
        )
        found = _opened(page, asked.browser)
    point = found["point"]
    print(
        f"{found['version']}: opened and drawn in {found['ready']} ms, drawn again in {found['drawn']} ms, a cell told in "
        f"{point['median']:.1f} ms (median), {point['high']:.1f} (95 %), {point['most']:.1f} (at most)"
    )


def _opened(page: Path, browser: str | None) -> dict[str, Any]:
    """Return how long a browser took."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=browser)
        tab = opened.new_page(viewport={"width": 1280, "height": 900})
        tab.goto(page.as_uri())
        tab.wait_for_selector("html[data-ready]", state="attached")
        ready = tab.get_attribute("html", "data-ready")
        point = tab.evaluate(_POINT)
        tab.locator("#faint").evaluate("one => one.click()")
        tab.wait_for_timeout(1000)
        found = {"ready": ready, "drawn": tab.get_attribute("html", "data-drawn"), "point": point}
        version = opened.version
        opened.close()
    return {**found, "version": f"Chromium {version}"}


if __name__ == "__main__":
    main()
