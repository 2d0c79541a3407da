"""A slider with a name that screen readers find; the slider of ipywidgets has none."""

from pathlib import Path
from typing import Any

import anywidget
import traitlets

from workshop.views.html import style_sheet

STYLE = (".wv.slider{display:flex;gap:10px;align-items:center;max-width:560px;margin:2px 6px}"
         ".wv.slider label{display:grid;grid-template-columns:170px 1fr;gap:10px;align-items:center;flex:1;margin:0;"
         "font:inherit}.wv.slider label span{text-align:right}"
         ".wv.slider input[type=range]{width:100%;min-width:60px;accent-color:var(--data);margin:0}"
         ".wv.slider input[type=number]{width:84px;font:inherit;color:var(--ink);background:var(--paper);"
         "border:1px solid var(--edge);border-radius:4px;padding:1px 4px}")


class Slider(anywidget.AnyWidget):
    """A number between `minimum` and `maximum`; `value` changes when the handle is released or a number is entered."""

    _esm = Path(__file__).with_suffix(".js")
    style = traitlets.Unicode(style_sheet() + STYLE).tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    value = traitlets.Float().tag(sync=True)
    minimum = traitlets.Float().tag(sync=True)
    maximum = traitlets.Float().tag(sync=True)
    step = traitlets.Float(1.0).tag(sync=True)
    disabled = traitlets.Bool(False).tag(sync=True)

    def __init__(self, label: str, value: float, minimum: float, maximum: float, step: float = 1.0, *,
                 disabled: bool = False, **kwargs: Any) -> None:
        super().__init__(label=label, value=value, minimum=minimum, maximum=max(maximum, value), step=step,
                         disabled=disabled, **kwargs)
