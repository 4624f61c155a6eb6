"""The trainings: ``transference train`` for each subject of config.toml.

python -m analyses.omniglot.trainings --data-root data [--subject protonet-5way]
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from analyses.omniglot.data import NAME, mixed
from analyses.subjects import config_of, parser, places

CONFIG = config_of(Path(__file__).parent)


def words(subject: str, data: Path, out: Path) -> list[str]:
    """Return the command line of one training, after ``transference``."""
    asked: dict[str, Any] = CONFIG["training"] | CONFIG["subjects"][subject]
    config = asked.pop("config", {})
    del asked["published"]
    made = ["train", "--modes", NAME, "--rotate", NAME, "--data-root", str(data), "--out", str(out)]
    for name, value in asked.items():
        made += [f"--{name.replace('_', '-')}", str(value)]
    if config:
        out.mkdir(parents=True, exist_ok=True)
        file = out.with_suffix(".toml")
        file.write_text("".join(f"{name} = {value}\n" for name, value in config.items()))
        made += ["--config", str(file)]
    return made


def train(subject: str, data: Path, runs: Path) -> Path:
    """Train one subject, if it is not trained yet, and return its folder."""
    folder = runs / subject
    subprocess.run([sys.executable, "-m", "transference.cli", *words(subject, data, folder)], check=True)
    return folder


def main() -> None:
    """Train what is asked for; a training that is finished already takes a moment."""
    made = parser(__doc__)
    made.add_argument("--subject", action="append", choices=list(CONFIG["subjects"]))
    asked = made.parse_args()
    runs = places(asked).runs / "omniglot"
    data = mixed(asked.data_root, runs / "data", **CONFIG["split"])
    for subject in asked.subject or CONFIG["subjects"]:
        train(subject, data, runs)


if __name__ == "__main__":
    main()
