"""How Sphinx builds these pages; `make docs` calls it. What is special about them is in `_ext/guide.py`."""

import sys
from pathlib import Path

import aquatint

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "Aquatint"
version = release = aquatint.__version__
html_title = f"Aquatint {release}"

extensions = ["myst_parser", "guide"]
exclude_patterns = ["_ext"]
# Anchors as a code host makes them, so that one link works there and here.
myst_heading_anchors = 4

html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_copy_source = False
html_show_copyright = False
