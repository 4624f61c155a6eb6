"""``python -m transference``: the command, for where the console script is not on the path."""

from transference.cli import main

main()
