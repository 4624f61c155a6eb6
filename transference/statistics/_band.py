"""Which ratios count as neutral."""

NEUTRAL_BAND = (1.0, 1.0 + 0.5 / 60)
"""Loss ratios in ``[low, high)`` count as neutral. This is the bar just above 1 of the paper's figure (60 bins over 0.8 to 1.3), which
matches the shares printed there; the paper defines no band."""
