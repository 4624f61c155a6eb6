"""What comes from outside, taken in with care: downloads, archives, python pickles. Everything here is hostile until proven otherwise."""

from transference.datasets.intake.archives import Limits, is_archive, unpack
from transference.datasets.intake.downloads import Remote, download
from transference.datasets.intake.hub import HubAddress, HubFile, HubListing, fetch, list_hub
from transference.datasets.intake.pickles import read_object_array, read_pickle

__all__ = [
    "HubAddress",
    "HubFile",
    "HubListing",
    "Limits",
    "Remote",
    "download",
    "fetch",
    "is_archive",
    "list_hub",
    "read_object_array",
    "read_pickle",
    "unpack",
]
