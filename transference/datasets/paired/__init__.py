"""Paired data: every example has several modalities, a subset of which makes a mode (``watch[accel+gyro]``)."""

from transference.datasets.paired._opening import find_paired, images_called, open_paired, paired_names
from transference.datasets.paired._paired import KINDS, Modality, PairedDataset, PairedReader, content_digest
from transference.datasets.paired._prepared import PreparedPairs, prepared_pairs

__all__ = [
    "KINDS",
    "Modality",
    "PairedDataset",
    "PairedReader",
    "PreparedPairs",
    "content_digest",
    "find_paired",
    "images_called",
    "open_paired",
    "paired_names",
    "prepared_pairs",
]
