"""Measuring Obhut beside its peers: sets, tools, phases, floors, bars, pictures. Run as ``python -m bench``."""
