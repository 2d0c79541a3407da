"""Configuration for Sphinx. The pages are executed before, so that Sphinx only formats them."""

project = "WebSockets on serverless"
author = "the authors of the workshop"
extensions = ["myst_nb"]
root_doc = "README"
html_theme = "furo"
html_title = project
html_static_path = ["static"]
html_css_files = ["book.css"]
html_show_sphinx = html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False
exclude_patterns = ["**/node_modules", "**/.*"]
myst_heading_anchors = 4
nb_execution_mode = "off"
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # a page has no kernel; widgets appear as their text
suppress_warnings = [
    "mystnb.unknown_mime_type",
    "myst.header",  # a README may begin a section below its level
    "toc.not_included",
    "misc.highlighting_failure",  # requests, transcripts and logs in code blocks
]
