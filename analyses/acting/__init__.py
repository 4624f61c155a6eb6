"""An analysis; see config.toml beside this file."""
