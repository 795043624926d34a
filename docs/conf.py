"""How the documentation is built: Sphinx with MyST pages and the furo theme."""

from cidx_jobs import __version__

project = "cidx_jobs"
author = "cidx_jobs contributors"
project_copyright = "2026, cidx_jobs contributors"
version = release = __version__

extensions = ["myst_parser"]
exclude_patterns = ["_build"]
myst_heading_anchors = 3
nitpicky = True

html_theme = "furo"
html_title = "cidx_jobs"
