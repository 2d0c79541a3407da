"""HTML under the views that are not pictures: cards, strips and listings, in the colours of `views.drawing`."""

import re
from html import escape
from typing import Any

from workshop.labs.urls import browser_url
from workshop.views.drawing import FONT, PALETTE, css

CODE = "ui-monospace, 'Cascadia Mono', Menlo, Consolas, monospace"
# Colours of a verdict, and of a point of the checklist: the border, and its soft background.
VERDICT = {"PASS": ("good", "good-soft"), "NOT YET": ("ping", "ping-soft"), "NOT STARTED": ("edge", "lane"),
           "CRASHED": ("bad", "bad-soft"), "OUR FAULT": ("redis", "lane"), "OK": ("good", "good-soft"),
           "FIX": ("bad", "bad-soft"), "DECIDE": ("ping", "ping-soft")}


def style_sheet() -> str:
    """Return the style sheet of all views: one CSS variable per colour, and the classes that they share."""
    colours = "".join(f"--{name}:{css(name)};" for name in PALETTE)
    # The class twice: JupyterLab has rules of its own for dl, dt and pre, and these must win.
    return (f".wv{{{colours}color:var(--ink);font:14px/1.5 {FONT};max-width:860px;margin:6px 2px}}"
            ".wv.wv a{color:var(--data)}.wv.wv .dim{color:var(--dim)}.wv.wv details{margin:6px 0}"
            ".wv.wv summary{cursor:pointer;color:var(--dim)}"
            f".wv.wv code,.wv.wv pre{{font:13px/1.45 {CODE};color:var(--ink);background:none;margin:0;padding:0}}"
            ".wv.wv pre{overflow-x:auto;white-space:pre}"
            ".wv.wv .card{border:1px solid var(--grid);border-left:5px solid var(--edge);border-radius:6px;"
            "padding:8px 12px;background:var(--paper)}"
            ".wv.wv .badge{display:inline-block;border-radius:4px;padding:0 8px;font-weight:650;border:1px solid;"
            "white-space:nowrap;color:var(--ink)}"
            ".wv.wv .copy{margin-left:auto;font:inherit;font-size:12px;cursor:pointer;color:var(--ink);"
            "background:var(--lane);border:1px solid var(--edge);border-radius:4px;padding:1px 8px}"
            ".wv.wv dl{display:grid;grid-template-columns:max-content 1fr;gap:1px 12px;margin:6px 0}"
            ".wv.wv dt{color:var(--dim);float:none;width:auto;margin:0;font-weight:400;white-space:nowrap}"
            ".wv.wv dd{float:none;width:auto;margin:0;overflow-wrap:anywhere}"
            ".wv.wv .strip{display:flex;gap:5px;flex-wrap:wrap}"
            ".wv.wv .box{border:1px solid var(--grid);border-radius:6px;padding:2px 6px;min-width:50px;"
            "text-align:center;text-decoration:none;color:var(--ink);background:var(--paper)}"
            ".wv.wv .here{border:2px solid var(--data)}"
            ".wv.wv .dots{display:block;letter-spacing:2px;line-height:1;min-height:1em}")


def block(body: str, label: str = "") -> str:
    """Return one view: its style sheet and its body; `label` names it for screen readers."""
    named = f' role="group" aria-label="{escape(label)}"' if label else ""
    return f'<style>{style_sheet()}</style><div class="wv"{named}>{body}</div>'


def prose(text: str) -> str:
    """Escape a sentence; text in `backticks` is code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))


def badge(word: str) -> str:
    """Return the word of a verdict in its colour."""
    colour, soft = VERDICT.get(word, ("edge", "lane"))
    return (f'<span class="badge" style="border-color:var(--{colour});background:var(--{soft})">'
            f"{escape(word)}</span>")


def file_link(path: str, words: str = "") -> str:
    """Return a link to a file of the project as a notebook in `notebooks/` sees it."""
    return f'<a href="../{escape(path)}" target="_blank" rel="noopener">{escape(words or path)}</a>'


def page_link(url: str, words: str = "") -> str:
    """Return a link that opens a page of a function in the learner's browser."""
    address = escape(browser_url(url))
    return f'<a href="{address}" target="_blank" rel="noopener">{escape(words) or address}</a>'


def in_notebook() -> bool:
    """Return whether this process is the kernel of a notebook."""
    try:
        from IPython import get_ipython
    except ImportError:
        return False
    shell = get_ipython()
    return shell is not None and hasattr(shell, "kernel")


def present(text: str, html: str) -> None:
    """Show `html` in a notebook, with `text` as its plain form; print `text` anywhere else."""
    if in_notebook():
        from IPython.display import display

        display({"text/plain": text, "text/html": html}, raw=True)  # type: ignore[no-untyped-call]
    else:
        print(text)


def present_widget(text: str, html: str, widget: Any) -> None:
    """Show a widget in a notebook; `html` and `text` are what a page without a kernel shows."""
    from IPython.display import display

    display({**widget._repr_mimebundle_(), "text/html": html, "text/plain": text}, raw=True)  # type: ignore[no-untyped-call]
