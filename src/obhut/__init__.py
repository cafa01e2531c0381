"""Obhut: backup, sync and archive in open formats, and the judge that tells what would survive.

The rooms (``backup``; later ``sync``, ``archive``, ``protection``) know the cellar (``storage``, ``world``; later
``log``, ``guard``) and never each other. The front (``cli``; later ``hub``) knows all, and nobody imports it. The byte
work happens in Rust, in the private module ``obhut._core``.

The package itself imports nothing, so that ``obhut --version`` and ``obhut --help`` answer at once.
"""

from typing import Final

#: Equal to the version of the core (``obhut._core.__version__``); a test compares them.
__version__: Final = "0.1.0"
