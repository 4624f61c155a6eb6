"""Where to compute: devices, digits, threads, the layout of memory, and the settings that surround us."""

from transference.devices._device import choose_device, full_precision, n_workers, workers
from transference.devices._layout import as_allocated, channels_last, usable
from transference.devices._memory import free_memory, keep_freed_memory, out_of_memory
from transference.devices._settings import restored, undisturbed

__all__ = [
    "as_allocated",
    "channels_last",
    "choose_device",
    "free_memory",
    "full_precision",
    "keep_freed_memory",
    "n_workers",
    "out_of_memory",
    "restored",
    "undisturbed",
    "usable",
    "workers",
]
