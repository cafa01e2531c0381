"""The soak: random verbs of three programs, with random kills, on one repository, against a reference model.

``python -m soak --minutes 60`` (with ``tests`` on the path), or ``make soak SOAK_MINUTES=60``.
"""
