"""What a replica knows and what it would say next: values and a state machine, no clock, no dice, no socket.

Usable on its own; see README.md for the ten lines that make two replicas equal.
"""
