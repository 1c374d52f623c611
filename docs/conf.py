"""Sphinx configuration; `./dev docs` builds into docs/_build/html and fails on a warning."""

import concx

project = "concx"
author = "The concx authors"
project_copyright = "2026, The concx authors"
version = release = concx.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["_build"]
suppress_warnings = ["myst.xref_missing"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
napoleon_google_docstring = False
autodoc_typehints = "signature"
# Links into the standard library's documentation need the network; a build must not.
intersphinx_mapping: dict[str, tuple[str, str | None]] = {}

html_theme = "furo"
html_title = f"concx {release}"
