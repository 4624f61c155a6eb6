"""What many tests share: a small learner, small tasks, and the folder of real images and released checkpoints where there is one."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import hypothesis
import pytest
import torch

import transference as tr
from tests.strangers import PixelPrototypes

# A user's default is no matter of ours. Many tests make their subjects with it, and ask for float32; those that .github/workflows
# names hold under another default too.
torch.set_default_dtype(getattr(torch, os.environ.get("TRANSFERENCE_TEST_DTYPE") or "float32"))

torch.set_num_threads(1)  # episodes this small gain nothing from a second core, and lose much when it is busy

# The same examples in every run, on machines of any speed; a test may say for itself how many.
hypothesis.settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("repeatable")

# a suite in the background inherits an ignored one, and hands it on
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder that TRANSFERENCE_SHARED names (default: ``shared`` beside the checkout), with ``data`` and ``fixtures``."""
    default = Path(__file__).resolve().parents[2] / "shared"
    folder = Path(os.environ.get("TRANSFERENCE_SHARED", default))
    if not folder.is_dir():
        pytest.skip(
            f"{folder} does not exist; point TRANSFERENCE_SHARED at the folder with real images and released checkpoints"
        )
    return folder


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "msedge")


@pytest.fixture(scope="session")
def chromium():
    """The path of a Chromium: the one that TRANSFERENCE_BROWSER names, else one on the path."""
    pytest.importorskip("playwright.sync_api", reason="playwright is not installed; pip install playwright")
    found = os.environ.get("TRANSFERENCE_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if not found:
        pytest.skip(
            f"no browser ({', '.join(BROWSERS)}) is on the path; install one, or name it in TRANSFERENCE_BROWSER"
        )
    return found


@pytest.fixture(scope="module")
def browser(chromium):
    """A Chromium without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=chromium)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def strokes() -> tr.ImageDataset:
    return tr.open_dataset("strokes:val")


@pytest.fixture(scope="session")
def shapes() -> tr.ImageDataset:
    return tr.open_dataset("shapes:val")


@pytest.fixture
def sources(strokes: tr.ImageDataset) -> tr.FewShot:
    return tr.FewShot(strokes, ways=3, shots=1, queries=2, seed=0)


@pytest.fixture
def targets(shapes: tr.ImageDataset) -> tr.FewShot:
    return tr.FewShot(shapes, ways=3, shots=1, queries=2, seed=1)


@pytest.fixture
def learner() -> PixelPrototypes:
    return PixelPrototypes()


@pytest.fixture
def checkpoint(learner: PixelPrototypes) -> tr.Checkpoint:
    return tr.Checkpoint(learner.init_params(0), step=10)


def random_episode(
    ways: int = 3,
    shots: int = 2,
    queries: int = 4,
    side: int = 28,
    channels: int = 3,
    seed: int = 0,
    dtype: torch.dtype = torch.float32,
) -> tr.Episode:
    """Images of noise, rows grouped by class, labels not sorted."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randperm(ways, generator=generator)
    images = lambda n: torch.rand(n, channels, side, side, generator=generator, dtype=torch.float32).to(dtype)
    return tr.Episode(
        images(ways * shots), labels.repeat_interleave(shots), images(ways * queries), labels.repeat_interleave(queries)
    )


def paired_episode(
    shapes,
    support=None,
    query=None,
    *,
    ways: int = 3,
    shots: int = 2,
    queries: int = 4,
    seed: int = 0,
    dtype=torch.float32,
) -> tr.Episode:
    """Noise for each modality named, all of them by default, in support and queries; rows grouped by class, labels not sorted."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randperm(ways, generator=generator)
    drawn = lambda n: {
        m: torch.randn(n, *shape, generator=generator, dtype=torch.float32).to(dtype) for m, shape in shapes.items()
    }
    some = lambda inputs, names: {name: inputs[name] for name in names or shapes}
    inputs = some(drawn(ways * shots), support), some(drawn(ways * queries), query or support)
    return tr.Episode(
        inputs[0],
        labels.repeat_interleave(shots),
        inputs[1],
        labels.repeat_interleave(queries),
        "+".join(support or shapes),
    )
