"""``python -m transference.cli``, for where the console script is not on the path."""

from transference.cli import main

main()
