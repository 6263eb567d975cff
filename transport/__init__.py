"""Carries opaque bytes between replicas and nothing else: it may lose, repeat and reorder them.

Knows topics, brokers, links and limits. Promises that the sender's name is the one in the topic, that nothing blocks
the caller, and that every message it drops is counted with a reason. Must not know what the bytes mean: no frames, no
vectors, no configuration files. The one byte it keeps for itself is 0x00 in front of a payload (`wire.py`).
"""
