"""The errors that a user can meet. Each says what was asked, what was found, and what to do.

The command line prints the message after ``error:`` and leaves with ``exit_code``; nothing else in the package knows exit codes.
"""

from __future__ import annotations


class TransferenceError(Exception):
    """Something the user can mend; the base of all the others."""

    exit_code = 1


class UsageError(TransferenceError):
    """The question itself cannot be asked: an unknown name, a value out of range, options that exclude each other."""

    exit_code = 2


class SpecMismatchError(UsageError):
    """The run folder holds a measurement of another spec; mixing the two would make a table that means nothing."""


class DataError(TransferenceError):
    """A dataset, split or image is missing, damaged, or too small for the episodes asked."""


class PairingError(DataError):
    """Data that were given to be prepared do not fit one another: rows, labels, groups or splits, or values that are no numbers."""

    exit_code = 2


class CheckpointError(TransferenceError):
    """A checkpoint cannot be read, or does not belong to the learner."""


class LearnerError(TransferenceError):
    """A learner cannot be found or built, or is not the pure function that the measurement needs."""


class InputsError(LearnerError):
    """A learner fails on a task whose inputs have other names than those that it knows, or names where it knows none."""

    exit_code = 2


class StoreError(TransferenceError):
    """A run folder is incomplete or damaged."""


class ClusterError(TransferenceError):
    """A cluster cannot be reached or started, was lost, or its workers are not such as the run needs."""


def first_line(error: BaseException) -> str:
    """Return the first line of what an error of a library says; what follows is often advice that is not ours."""
    return str(error).strip().partition("\n")[0] or type(error).__name__


def in_one_line(text: object) -> str:
    """Return a text as `printable` does, its line breaks escaped too: for a name in a table or a figure."""
    return printable(text).replace("\n", "\\n")


def printable(text: object) -> str:
    """Return a text without what a file's name in it could tell a terminal to do, or could not be encoded."""
    return "".join(
        letter if letter.isprintable() or letter == "\n" else letter.encode("unicode_escape").decode()
        for letter in str(text)
    )
