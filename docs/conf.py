"""Sphinx: MyST Markdown, furo, warnings are errors (`make docs`)."""

project = "Obhut"
author = "the Obhut contributors"
copyright = "the Obhut contributors, Apache-2.0"

extensions = ["myst_parser"]
myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
nitpicky = True

html_theme = "furo"
html_title = "Obhut"
html_static_path: list[str] = []
