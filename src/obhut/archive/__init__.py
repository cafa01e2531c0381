"""Archives: documents kept unaltered for years, with proof (docs/design/archive.md).

``canonical``, ``record``, ``classes`` and ``receipt`` are pure; ``store`` is where the bytes lie, ``sequencer`` the only
writer of a log, ``vault`` an opened archive, and ``actions`` what the commands do.
"""
