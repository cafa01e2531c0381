"""Policy of sync: devices, folders, roles, versions, what people see (``docs/design/sync.md``).

Files, network and protocol are the core's. Nothing here imports it: what is needed of it comes in (:mod:`obhut.sync.core`).
"""
