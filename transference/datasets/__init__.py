"""Where images come from: one place a file, all of one shape (`DatasetReader`).

``open_dataset("omniglot:train", data_root="data")`` looks among the registered modes (entry points in ``transference.datasets``), for a
prepared file ``data/omniglot.84x84x1.safetensors`` of the asked size, then for ``data/omniglot.parquet`` and the folder ``data/omniglot``.

What a reader of one's own needs is public here: `DatasetReader` says what to be, `Gathered` is a ready one of listed
`Picture` objects, `decode` and `mark_files` serve images in files, `split_names` and `as_seen` give splits and classes
the names that all readers give them. A `Container` says which files a reader is for, and `CONTAINERS` lists them.

`preparing` turns what people have (archives as distributed, class folders, parquet files) into prepared files; `originals` knows the
forms in which five datasets are distributed, `split_lists` which class belongs to which split, `intake` takes in what comes from outside.
`paired` has data whose examples have several modalities.
"""

from transference.datasets._containers import CONTAINERS, Container, places_of
from transference.datasets._decode import decode
from transference.datasets._images import DatasetReader, ImageDataset, Mark, Picture, SplitSize, mark_files, split_sizes
from transference.datasets._names import SPLITS, as_seen, in_order, split_names, usable_name
from transference.datasets._opened import Opened, tensors_of
from transference.datasets._opening import (
    check_new_name,
    dataset_names,
    find_reader,
    in_full,
    is_other,
    only_split,
    open_dataset,
    parse_mode,
    stray_files,
)
from transference.datasets._tree import Folder
from transference.datasets._unread import Unread, shared_classes, unread
from transference.datasets.folder import ClassFolders
from transference.datasets.paired import (
    Modality,
    PairedDataset,
    PairedReader,
    find_paired,
    open_paired,
    paired_names,
)
from transference.datasets.parquet import ParquetImages
from transference.datasets.prepared import Prepared, prepared_files
from transference.datasets.views import Gathered

__all__ = [
    "CONTAINERS",
    "SPLITS",
    "ClassFolders",
    "Container",
    "DatasetReader",
    "Folder",
    "Gathered",
    "ImageDataset",
    "Mark",
    "Modality",
    "Opened",
    "PairedDataset",
    "PairedReader",
    "ParquetImages",
    "Picture",
    "Prepared",
    "SplitSize",
    "Unread",
    "as_seen",
    "check_new_name",
    "dataset_names",
    "decode",
    "find_paired",
    "find_reader",
    "in_full",
    "in_order",
    "is_other",
    "mark_files",
    "only_split",
    "open_dataset",
    "open_paired",
    "paired_names",
    "parse_mode",
    "places_of",
    "prepared_files",
    "shared_classes",
    "split_names",
    "split_sizes",
    "stray_files",
    "tensors_of",
    "unread",
    "usable_name",
]
