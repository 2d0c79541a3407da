"""The planner's model, its panel, and the same traffic on a real platform."""

import asyncio
import xml.etree.ElementTree as ET
from dataclasses import replace

import pytest

from fclocal import Platform
from workshop.labs.cost_model import CONCURRENCIES, Plan, cost_table, curve, estimate, optimum, svg
from workshop.labs.cost_panel import cost_planner
from workshop.labs.traffic_replay import modelled, replay_traffic, schedule


def test_concurrency_one_bills_every_second_of_every_connection():
    assert estimate(Plan(per_hour=600, seconds=120, concurrency=1)).busy == pytest.approx(600 * 120, rel=0.02)


def test_one_instance_that_holds_everybody_is_billed_the_whole_hour_at_most():
    estimated = estimate(Plan(per_hour=600, seconds=120, concurrency=200, mb_each=0))
    assert estimated.instances == 1
    assert estimated.busy == pytest.approx(3600, rel=0.01)


def test_the_curve_falls_until_everybody_fits_into_one_instance():
    points = curve(Plan(per_hour=600, seconds=120, mb_each=0))
    costs = [point.cost for point in points]
    assert costs == sorted(costs, reverse=True)
    assert optimum(points).concurrency == 50
    assert [point.concurrency for point in points] == list(CONCURRENCIES)


def test_connections_that_need_memory_make_the_curve_rise_again():
    points = curve(Plan(per_hour=600, seconds=120, mb_each=20))
    assert points[-1].cost > optimum(points).cost
    assert points[-1].memory >= 200 * 20


def test_twice_the_traffic_costs_at_most_twice_as_much():
    one, two = (estimate(Plan(per_hour=number, seconds=60, concurrency=10)).cost for number in (300, 600))
    assert one < two <= 2 * one * 1.05


def test_no_traffic_costs_nothing():
    assert estimate(Plan(per_hour=0)).cost == 0


def test_a_month_of_few_calls_costs_the_minimum_of_each_hour():
    assert estimate(Plan(per_hour=10, seconds=1, hours=730)).cost == pytest.approx(7.30)


def test_the_text_names_the_cheapest_and_compares_with_a_server():
    words = cost_table(Plan(), server=60)
    assert "Cheapest: concurrency 50" in words
    assert "A server at 60 CNY a month costs" in words and "less." in words
    assert "costs 876" in cost_table(Plan(), server=1000.0) and "more." in cost_table(Plan(), server=1000.0)
    assert "Check the current price" in words
    assert max(map(len, words.splitlines())) <= 76 and words.isascii()


def test_the_chart_has_a_point_for_each_concurrency_and_words_for_all():
    tree = ET.fromstring(svg(Plan(), server=60))
    marks = [e for e in tree.iter("{http://www.w3.org/2000/svg}circle") if e.find("{*}title") is not None]
    assert len(marks) == len(CONCURRENCIES)
    assert "Cheapest at concurrency 50" in tree.get("aria-label", "")


def test_the_panel_is_the_same_as_text_and_follows_its_sliders():
    panel = cost_planner(per_hour=600, seconds=120, server=60)
    assert str(panel) == cost_table(Plan(per_hour=600, seconds=120), 60)
    panel.sliders["seconds"].value = 30
    panel.currency.value = "USD"
    assert str(panel) == cost_table(Plan(per_hour=600, seconds=30, currency="USD"), 60)
    assert str(panel).splitlines()[-2] in panel.table.value
    assert "<svg" in panel.chart.value
    shown = panel._repr_mimebundle_()
    assert "text/plain" in shown and "<svg" in shown["text/html"]  # what a page without a kernel shows


def test_the_model_of_a_few_visits():
    assert modelled([(0.0, 1.0), (0.5, 1.0)], 2) == (1.5, 1)
    assert modelled([(0.0, 1.0), (0.5, 1.0)], 1) == (2.0, 2)
    assert modelled(schedule(9, 0.3), 1)[0] == pytest.approx(2.7)


def test_measured_seconds_lie_on_the_curve(fc: Platform):
    replay = asyncio.run(replay_traffic(fc, "functions/06-billing", visits=6, seconds=0.8, concurrencies=(2, 6)))
    for concurrency, model, measured in replay.points:
        # Handshakes and goodbyes take their time, and shift who overlaps with whom.
        assert abs(measured - model) <= 0.15 * model + 0.2, concurrency
    assert "6 visits" in str(replay) and len(replay.curve) == 6
    crosses = [e for e in ET.fromstring(replay.svg()).iter() if e.get("aria-label", "").startswith("measured at")]
    assert len(crosses) == 2


def test_a_plan_is_data():
    assert replace(Plan(), concurrency=200).sized.memory == 896
