"""An analysis; see README.md beside this file."""
