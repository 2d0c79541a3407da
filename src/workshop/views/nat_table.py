"""The table of a NAT: one row per connection that drains while it is silent, and a slider for the limit."""

import threading
import weakref
from typing import TYPE_CHECKING

import ipywidgets as w

from workshop.views.html import block
from workshop.views.slider import Slider

if TYPE_CHECKING:
    from workshop.labs.nat import Flow, Nat

LOOK = 0.1  # seconds between two looks at the NAT; the bars themselves drain without a message
DRAIN = ("<style>@keyframes drain{to{width:0}}"
         ".wv.wv .flow{display:grid;grid-template-columns:max-content 1fr 21em;gap:10px;"
         "align-items:center;margin:3px 0}"
         ".wv.wv .track{height:12px;border-radius:6px;background:var(--lane);"
         "border:1px solid var(--grid);overflow:hidden}"
         ".wv.wv .fill{height:100%;background:var(--data)}"
         "@media(prefers-reduced-motion:reduce){.wv.wv .fill{animation-timing-function:steps(4)!important}}</style>")


class NatTable:
    """The view. It is redrawn when a packet passes or an entry is removed; its thread ends with the NAT."""

    def __init__(self, nat: "Nat") -> None:
        limit = nat.forget_after or 0.0
        self.slider = Slider("limit (s)", limit, 0.1, 5.0, 0.1, disabled=nat.forget_after is None)
        self.slider.observe(lambda change: nat.set_limit(change["new"]), "value")
        self.rows = w.HTML(table(nat))
        self.widget = w.VBox([self.slider, self.rows])
        threading.Thread(target=_follow, args=(nat, weakref.ref(self.rows)), name="nat-table", daemon=True).start()


def _follow(nat: "Nat", rows: "weakref.ref[w.HTML]") -> None:
    pause, before = threading.Event(), None
    while nat.running and (shown := rows()) is not None:
        now = (nat.forget_after, *((flow.last, flow.carried, flow.swallowed, flow.forgotten, flow.closed)
                                   for flow in nat.flows))
        if now != before:
            shown.value, before = table(nat), now
        del shown
        pause.wait(LOOK)


def table(nat: "Nat") -> str:
    """Return the rows as HTML; the bar of an open connection drains to nothing at its limit."""
    rows = "".join(_row(nat, flow) for flow in nat.flows[-12:])
    return DRAIN + block(rows or '<div class="dim">No connection yet.</div>', "Connections in the NAT's table")


def _row(nat: "Nat", flow: "Flow") -> str:
    limit = nat.forget_after
    state = "removed" if flow.forgotten else "closed" if flow.closed else "open"
    left = nat.seconds_left(flow) if state == "open" else 0.0
    share = 100.0 if limit is None else 100 * left / limit
    motion = f"animation:drain {left:.2f}s linear forwards" if limit is not None and left else ""
    dropped = f", dropped {flow.swallowed} B" if flow.swallowed else ""
    colour = "" if state == "open" else ' style="color:var(--bad)"' if state == "removed" else ' class="dim"'
    return (f'<div class="flow"><span>connection {flow.number + 1}</span><div class="track" aria-hidden="true">'
            f'<div class="fill" style="width:{share:.0f}%;{motion}"></div></div>'
            f"<span{colour}>{state}, carried {flow.carried} B{dropped}</span></div>")
