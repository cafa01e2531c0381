"""The transparency log: an append-only list of entries whose every state can be proved (docs/design/archive.md).

``merkle``, ``note`` and ``tiles`` are pure and import nothing but Python's standard library: the verifier for
strangers is made of them.
"""
