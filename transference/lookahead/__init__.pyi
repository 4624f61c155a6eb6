"""The public names of this room, and where each is defined: the only list of them."""

from ._choices import LOOKAHEADS as LOOKAHEADS
from ._lookahead import SGD as SGD
from ._lookahead import Adam as Adam
from ._lookahead import Episodes as Episodes
from ._lookahead import Lookahead as Lookahead
from ._lookahead import MetaBatches as MetaBatches
from ._lookahead import Normalised as Normalised
from ._lookahead import Outer as Outer
from ._lookahead import Source as Source
from ._lookahead import describe as describe
from ._lookahead import moving as moving
from ._lookahead import step_sizes as step_sizes
from ._lookahead import with_alpha as with_alpha
from ._modes import ModeLookahead as ModeLookahead
from ._modes import updates_of as updates_of
