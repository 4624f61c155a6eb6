"""The public names of this room, and where each is defined: the only list of them."""

from ._device import choose_device as choose_device
from ._device import full_precision as full_precision
from ._device import n_workers as n_workers
from ._device import workers as workers
from ._free import free_memory as free_memory
from ._layout import as_allocated as as_allocated
from ._layout import channels_last as channels_last
from ._layout import usable as usable
from ._memory import keep_freed_memory as keep_freed_memory
from ._memory import out_of_memory as out_of_memory
from ._settings import eager as eager
from ._settings import restored as restored
from ._settings import undisturbed as undisturbed
