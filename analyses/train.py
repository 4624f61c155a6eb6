"""Train every learner of subjects.toml with every seed.

python -m analyses.train --data-root data [--learner protonet] [--seed 0]
"""

from __future__ import annotations

import subprocess
import sys

from analyses.subjects import SUBJECTS, parser, places, train_words


def main() -> None:
    """Run ``transference train`` for each; one that is finished already takes a moment."""
    made = parser(__doc__)
    made.add_argument("--learner", action="append", choices=list(SUBJECTS["learners"]))
    made.add_argument("--seed", action="append", type=int)
    asked = made.parse_args()
    for seed in asked.seed or SUBJECTS["seeds"]:
        for learner in asked.learner or SUBJECTS["learners"]:
            subprocess.run(
                [sys.executable, "-m", "transference.cli", "train", *train_words(learner, seed, places(asked))],
                check=True,
            )


if __name__ == "__main__":
    main()
