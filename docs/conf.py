"""
How Sphinx makes the site, C{make docs}: of the pages as they stand, from the folder above.

The pages are plain Markdown, for whoever reads them where the source is kept; L{sitepages} adds
what only the site has.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

project = "msgserver"
author = "The msgserver authors"
copyright = author
# Read, not imported: the site needs no Twisted for its name.
_package = (ROOT / "msgserver/__init__.py").read_text()
(release,) = re.findall(r'^__version__ = "(.*)"$', _package, re.MULTILINE)

extensions = ["myst_parser", "sphinx.ext.intersphinx", "apipages", "sitepages"]

# The folder above is the source, so that links between pages are the same here and there.
root_doc = "docs/index"
source_suffix = {".md": "markdown"}
include_patterns = ["README*.md", "NEWS.md", "docs/**", "examples/*/README.md"]
exclude_patterns = [
    ".*",
    "**/.*",
    "**/__pycache__",
    "docs/*.py",
    "docs/site",
    "bench",
    "build",
    "msgserver",
    "tests",
]

nitpicky = True
# What is quoted is often code.
smartquotes = False
myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 6

html_theme = "furo"
html_title = "msgserver"
templates_path = ["site/templates"]
html_additional_pages = {"index": "redirect.html"}
html_static_path = ["site/static"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
