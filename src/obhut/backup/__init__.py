"""Backup into restic-format repositories: snapshots, policies, and the actions of ``obhut backup``.

Decisions over snapshots are pure functions here (``select``, ``group``, ``retention``); bytes, blobs and trees are the
core's. Must not import ``obhut.cli``, ``obhut.hub`` or another room.
"""
