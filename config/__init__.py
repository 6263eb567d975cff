"""Turns flags, environment, a TOML file and defaults into checked values; decides nothing. See README.md."""

import os

# pydantic looks through everything that is installed for plugins: 20 ms of a start, and none of them is ours.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
