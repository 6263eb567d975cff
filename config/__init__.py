"""Turns flags, environment, a TOML file and defaults into checked values; decides nothing. See README.md."""
