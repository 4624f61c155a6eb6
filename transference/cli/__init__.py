"""The command line: parse, build the spec, call the public function. A file of options per command, and one of what it does (`work`)."""

from transference.cli._interrupts import INTERRUPTED, held

try:
    with held():
        from transference.cli._group import main
except KeyboardInterrupt:
    raise SystemExit(INTERRUPTED.tell()) from None

__all__ = ["main"]
