"""page_links(): the pages of functions as links for the learner's browser."""

from workshop.labs.urls import browser_url
from workshop.views.html import block, page_link, present


def page_links(*urls: str) -> None:
    """Show a link for each URL of a page. On a JupyterHub the links lead through the hub, once for http and https."""
    shown = {browser_url(url): url for url in urls}
    present("\n".join(shown), block("<br>".join(map(page_link, shown.values()))))
