"""The engine: what a replica says to its peers, and when. See `replica.py` for the protocol as an essay."""
