"""The ports to the outside that tests replace: the clock, and files that must last (bound from the core).

Nothing else in Python may ask the time, rename or sync: ruff's ``banned-api`` forbids it everywhere but here.
"""
