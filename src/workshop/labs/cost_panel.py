"""The cost planner with sliders; printed, it is the same as text. The model is `workshop.labs.cost_model`."""

from dataclasses import fields, replace
from typing import Any

import ipywidgets as w

from workshop.labs import cost_model
from workshop.labs.cost_model import Plan
from workshop.views.slider import Slider

LABEL = {"description_width": "176px"}
# field -> (label, least, most, step)
SLIDERS: dict[str, tuple[str, float, float, float]] = {
    "per_hour": ("connections per hour", 0, 5000, 10),
    "seconds": ("seconds each", 1, 3600, 1),
    "cpu": ("vCPU", 0.05, 4, 0.05),
    "memory": ("memory (MB)", 128, 8192, 64),
    "mb_each": ("MB per connection", 0, 50, 1),
    "hours": ("hours a month", 1, 744, 1),
}


def cost_planner(*, server: float | None = None, **fields: Any) -> "PlanPanel":
    """A panel to plan with. Keywords are the fields of `workshop.labs.cost_model.Plan`; `server`: price of an always-on
    server per month, in the plan's currency, to compare with."""
    return PlanPanel(Plan(**fields), server)


class PlanPanel:
    """The view: sliders, one chart, one table."""

    def __init__(self, first: Plan, server: float | None) -> None:
        self.plan, self.server = first, server
        self.sliders = {
            name: Slider(label, getattr(first, name), least, most, step)
            for name, (label, least, most, step) in SLIDERS.items()}
        self.currency = w.Dropdown(options=["CNY", "USD"], value=first.currency, description="currency", style=LABEL)
        self.price = w.FloatText(value=server or 0.0, description="always-on server a month", style=LABEL)
        self.chart, self.table = w.HTML(), w.HTML()
        for control in (*self.sliders.values(), self.currency, self.price):
            control.observe(self._changed, "value")
        self.widget = w.VBox([*self.sliders.values(), self.currency, self.price, self.chart, self.table])
        self._draw()

    def __str__(self) -> str:
        return cost_model.cost_table(self.plan, self.server)

    __repr__ = __str__

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        return {**self.widget._repr_mimebundle_(**kwargs), "text/html": self.chart.value + self.table.value,
                "text/plain": str(self)}

    def _changed(self, change: object) -> None:
        kinds = {field.name: type(getattr(self.plan, field.name)) for field in fields(Plan)}
        self.plan = replace(self.plan, currency=self.currency.value,
                            **{name: kinds[name](slider.value) for name, slider in self.sliders.items()})
        self.server = self.price.value or None
        self._draw()

    def _draw(self) -> None:
        self.chart.value = cost_model.svg(self.plan, self.server)
        self.table.value = f"<pre>{cost_model.cost_table(self.plan, self.server)}</pre>"
