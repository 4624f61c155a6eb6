"""The tests that need a CUDA device."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.gpu.stages import Asked, Row

ROOT = Path(__file__).parents[2]
FILE = "tests/test_cuda.py"


def tests(asked: Asked) -> Iterator[Row]:
    """Run them as a user would.

    Yields:
        How many passed, and the name of each that failed.
    """
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        # Another torch than the newest may warn of other things; here that is no failure.
        words = ["-m", "pytest", FILE, "-W", "default", "-p", "no:cacheprovider", f"--junitxml={report}"]
        left = max(1.0, asked.until - time.monotonic())
        try:
            ended = subprocess.run(
                [sys.executable, *words], cwd=ROOT, capture_output=True, text=True, timeout=left, check=False
            )
        except subprocess.TimeoutExpired:
            yield {"status": f"skipped: not finished within {left:.0f} s"}
            return
        if not report.exists():
            yield {"status": f"failed: pytest ended with {ended.returncode}: {(ended.stdout + ended.stderr)[-300:]}"}
            return
        [suite] = ElementTree.parse(report).getroot().iter("testsuite")
    n, failed, errors, skipped = (int(suite.get(name, 0)) for name in ("tests", "failures", "errors", "skipped"))
    bad = [case for case in suite.iter("testcase") if {"failure", "error"} & {part.tag for part in case}]
    names = [str(case.get("name")) for case in bad]
    status = f"wrong: {', '.join(names)}" if names or ended.returncode else "ok"
    yield {"passed": n - failed - errors - skipped, "failed": failed + errors, "skipped": skipped, "status": status}
