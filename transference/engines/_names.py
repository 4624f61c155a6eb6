"""What engines are called."""

ENGINE_NAMES = ("loop", "threads", "compiled", "compiled-threads", "vmap", "vmap-64")
"""In the order of `ENGINES`, the plainest first."""

ALIASES = {"apart": "threads", "compiled-apart": "compiled-threads", "together": "vmap"}
"""Names of version 0.1, which run folders hold; understood for now."""

BATCHINGS = ("apart", "together")
"""The engines that evaluate a meta-batch: a training takes one, and keeps it."""
