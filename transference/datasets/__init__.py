"""Where images come from: one place a file, all of one shape (`DatasetReader`).

``open_dataset("omniglot:train", data_root="data")`` looks among the registered modes (entry points in ``transference.datasets``), for a
prepared file ``data/omniglot.84x84x1.safetensors`` of the asked size, then for ``data/omniglot.parquet`` and the folder ``data/omniglot``.

`preparing` turns what people have (archives as distributed, class folders, parquet files) into prepared files; `originals` knows the
forms in which five datasets are distributed, `split_lists` which class belongs to which split, `intake` takes in what comes from outside.
"""

from transference.datasets._images import DatasetReader, ImageDataset, Picture, SplitSize, split_sizes
from transference.datasets._names import SPLITS
from transference.datasets._opening import check_new_name, dataset_names, find_reader, open_dataset, parse_mode, stray_files
from transference.datasets._unread import Unread, shared_classes, unread
from transference.datasets.folder import ClassFolders
from transference.datasets.parquet import ParquetImages
from transference.datasets.prepared import Prepared, prepared_files

__all__ = [
    "SPLITS",
    "ClassFolders",
    "DatasetReader",
    "ImageDataset",
    "ParquetImages",
    "Picture",
    "Prepared",
    "SplitSize",
    "Unread",
    "check_new_name",
    "dataset_names",
    "find_reader",
    "open_dataset",
    "parse_mode",
    "prepared_files",
    "shared_classes",
    "split_sizes",
    "stray_files",
    "unread",
]
