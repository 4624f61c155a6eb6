"""The public names of this room, and where each is defined: the only list of them."""

from ._agreement import TRUSTED as TRUSTED
from ._agreement import check_estimates as check_estimates
from ._band import NEUTRAL_BAND as NEUTRAL_BAND
from ._calibrated import calibrate as calibrate
from ._calibrated import widest as widest
from ._confidence import split_confidence as split_confidence
from ._contrast import contrast as contrast
from ._controls import control_bands as control_bands
from ._controls import random_parts as random_parts
from ._crossed import enough_for as enough_for
from ._crossed import intervals as intervals
from ._predicted import predicted_rows as predicted_rows
from ._ranking import compare_modes as compare_modes
from ._ranking import rank_modes as rank_modes
from ._replicates import RATE as RATE
from ._replicates import single_pairs as single_pairs
from ._replicates import summarise_replicates as summarise_replicates
from ._split import split as split
from ._summary import CLASSES as CLASSES
from ._summary import GROUP as GROUP
from ._summary import QUANTILES as QUANTILES
from ._summary import classify as classify
from ._summary import measured as measured
from ._summary import summarise as summarise
from ._summary import summarise_blocks as summarise_blocks
from ._variance import variance_shares as variance_shares
