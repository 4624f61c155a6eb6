"""Timings, each beside what a careful user would write without this package, in the same process and in turn."""
