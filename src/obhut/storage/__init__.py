"""Where bytes rest: locations of repositories, and backends that exist only in Python.

The backends themselves (folder, retry, limits, cache) are the core's; this package says which one a location means.
"""
