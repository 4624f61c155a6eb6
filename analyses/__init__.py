"""Questions about transference, one folder each, answered on real images. ``python -m analyses.train`` first; see README.md."""
