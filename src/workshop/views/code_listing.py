"""Highlighted code with line numbers, a copy button and a link to the file."""

from html import escape

from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import TextLexer, get_lexer_for_filename
from pygments.util import ClassNotFound

from workshop.views.html import block, file_link

# Colour of the palette -> kinds of tokens, under Pygments' short names.
KINDS = {"redis": "k kc kn kd ow", "good": "s s1 s2 sa l",
         "dim": "c c1 cm ch sd", "ping": "mi mf", "data": "nf fm nc nd nt"}
COPY = "const b=this;navigator.clipboard.writeText(b.closest('.listing').querySelector('pre').dataset.code)" \
       ".then(()=>{b.textContent='Copied'},()=>{b.textContent='Select and copy'})"


def listing(path: str, lines: list[str], first: int) -> str:
    """Return the lines of a file as HTML; `first` is the number of the first line."""
    code = "\n".join(lines)
    try:
        lexer = get_lexer_for_filename(path, stripnl=False)
    except ClassNotFound:
        lexer = TextLexer(stripnl=False)
    coloured = highlight(code, lexer, HtmlFormatter(nowrap=True)).removesuffix("\n").split("\n")
    rows = "\n".join(f'<span class="ln" data-n="{number}"></span>{line}' for number, line in enumerate(coloured, first))
    rules = "".join(f".wv.wv .{kind}{{color:var(--{colour})}}" for colour, kinds in KINDS.items()
                    for kind in kinds.split())
    last = first + len(lines) - 1
    width = len(str(last))
    place = f"line {first}" if last == first else f"lines {first} to {last}"
    head = (f'<div style="display:flex;gap:12px;align-items:baseline;margin-bottom:4px">{file_link(path)}'
            f'<span class="dim">{place}</span>'
            f'<button type="button" class="copy" onclick="{escape(COPY)}">Copy</button></div>')
    # Wide enough for lines of 120 columns beside JupyterLab's closed side bar; in less room the lines scroll.
    return block(f"<style>{rules}.wv:has(>.listing){{max-width:1000px}}.wv.wv .listing pre{{font-size:12.5px}}"
                 ".wv.wv .ln::before{content:attr(data-n);display:inline-block;"
                 f"width:{width}ch;"
                 "margin-right:2ch;text-align:right;color:var(--dim)}</style>"
                 f'<div class="card listing">{head}<pre tabindex="0" data-code="{escape(code)}">{rows}</pre></div>',
                 f"{path}, {place}")
