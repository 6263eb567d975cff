"""The data types: a file each, announced in `catalog.py` and nowhere else.

A type is an Entry (its rows and how peers' rows enter and leave) and functions that read it and write it locally, with
the State as their first argument.
"""
