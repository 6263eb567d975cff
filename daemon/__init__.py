"""The one place where time passes: wires the parts, runs the loop, serves local programs. See README.md."""
