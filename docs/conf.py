"""Sphinx configuration; `./dev docs` builds into docs/_build/html and fails on a warning."""

import concx

project = "concx"
author = "The concx authors"
project_copyright = "2026, The concx authors"
version = release = concx.__version__

extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]

myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

html_theme = "furo"
html_title = f"concx {release}"
