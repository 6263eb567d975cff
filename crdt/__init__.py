"""What a replica knows and what it would say next: values and a state machine, no clock, no dice, no socket.

Usable on its own; see README.md for the ten lines that make two replicas equal.
"""

from typing import Final

from crdt import errors

COMPILED: Final = not str(errors.__file__).endswith(".py")  # machine code: hatch_build.py
