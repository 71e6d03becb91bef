"""The pure parts of the benchmarks; nothing here is timed."""

import math
from dataclasses import asdict
from xml.etree import ElementTree

import pytest

from bench import contenders, messages, report, results, sizing, svg
from bench.__main__ import WORKLOADS
from bench.client import Load, others, schedule_s
from bench.flooding import Ended, FloodLog
from bench.jobs import share_within
from bench.page import Chart, Check, Section, Table, markdown, plain
from bench.results import Result
from bench.stats import median_ratio, percentile, rate_per_s
from bench.workload import Options

CHART = Chart("flood", "p99 alone & in the flood", "ms", ("alone", "in the flood"), ("Punnet", "<other>"),
              ((20.0, 25.5), (30.0, 480.0)))
MACHINE = {"cores": 2, "cpu": "a CPU", "memory_gb": 8, "kernel": "6.1", "python": "3.11.7",
           "packages": {"numpy": "2.4"}}
SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 3), (75, 4), (90, 4.6), (100, 5)])
def test_a_percentile_lies_between_its_neighbours(percent: float, expected: float) -> None:
    assert percentile([5, 3, 1, 2, 4], percent) == pytest.approx(expected)


def test_nothing_has_no_percentile() -> None:
    assert math.isnan(percentile([], 99))


def test_ratios_are_taken_within_a_round() -> None:
    rounds = [{"a": 10, "b": 5}, {"a": 40, "b": 10}, {"a": 3, "b": 1}]
    assert median_ratio(rounds, "a", "b") == 3


def test_a_rate_is_taken_between_ends_not_over_the_rims_of_the_window() -> None:
    assert rate_per_s([1, 3, 5, 7, 99], 0, 8) == pytest.approx(0.5)


def test_a_rate_of_two_ends_is_counted_over_the_window() -> None:
    assert rate_per_s([1, 3], 0, 8) == pytest.approx(0.25)


def test_an_open_loop_is_due_at_a_fixed_rate() -> None:
    assert schedule_s(4, 5) == [0, 0.25, 0.5, 0.75, 1]


def test_only_200_and_202_count_as_answered() -> None:
    load = Load((), {200: 7, 202: 1, 429: 2, 0: 1}, elapsed_s=2)
    assert (load.answered, load.per_s, load.others) == (8, 4, {"lost": 1, "429": 2})


def test_a_floods_refusals_are_not_its_work() -> None:
    log = FloodLog((Ended(1, 200), Ended(2, 503), Ended(3, 200)))
    assert (log.per_s(0, 4), others(log.statuses)) == (0.5, {"503": 1})


@pytest.mark.parametrize(("check", "kept"), [
    (Check("at most", 1.5, 1.5), True), (Check("at most", 1.6, 1.5), False),
    (Check("at least", 1.5, 1.5, at_least=True), True), (Check("at least", 1.4, 1.5, at_least=True), False)])
def test_a_limit_is_kept_from_its_side(check: Check, kept: bool) -> None:
    assert check.kept == kept


def test_a_value_that_could_not_be_measured_keeps_no_limit() -> None:
    assert not Check("nothing", math.nan, 1).kept
    assert not Check("nothing", math.nan, 1, at_least=True).kept


def test_a_table_is_shown_in_markdown_and_plain() -> None:
    table = Table(("name", "ms"), (("a", 1.25), ("bcd", 123.4)))
    assert markdown(table) == "| name | ms |\n| --- | ---: |\n| a | 1.25 |\n| bcd | 123 |"
    assert plain(table) == "name    ms\na     1.25\nbcd    123"


def test_a_chart_is_well_formed_and_names_every_value() -> None:
    texts = [text.text for text in ElementTree.fromstring(svg.draw(CHART)).iter(f"{SVG}text")]
    assert {"Punnet", "<other>", "alone", "in the flood", "20.0 ms", "25.5 ms", "480 ms"} <= set(texts)


def test_a_charts_bars_are_as_long_as_their_values() -> None:
    bars = [bar for bar in ElementTree.fromstring(svg.draw(CHART)).iter(f"{SVG}rect") if bar.get("height") == "16"]
    widths = [float(bar.get("width", 0)) for bar in bars]
    assert [width / widths[0] * 20 for width in widths] == pytest.approx([20, 25.5, 30, 480], rel=0.01)


@pytest.mark.parametrize(("largest", "steps"), [
    (480, [0, 100, 200, 300, 400, 500]), (1, [0, 0.2, 0.4, 0.6, 0.8, 1]), (101, [0, 50, 100, 150]), (0, [0, 1])])
def test_an_axis_has_round_steps_up_to_the_largest_value(largest: float, steps: list[float]) -> None:
    assert svg.axis_steps(largest) == pytest.approx(steps)


def test_the_page_has_limits_charts_and_each_workload() -> None:
    section = Section("flood: a title", "How.", (Table(("x",), (("y",),)),), (Check("a limit", 2, 1, "ms"),), (CHART,))
    text = report.page([(Result("flood", "2026-01-02 03:04", MACHINE, "drawn", asdict(Options()), {}), section)])
    for expected in ("| a limit | 2.00 ms | at most 1.00 ms | **no** |", "(performance/flood.svg)", "## flood: a title",
                     "Measured 2026-01-02 03:04, 5 rounds.", "2 cores of a CPU", "| y |"):
        assert expected in text


def test_the_written_page_is_what_the_results_say() -> None:
    kept = [(result, WORKLOADS[name].section(result.measured)) for name in WORKLOADS
            if (result := results.load(name)) is not None]
    assert not kept or report.PAGE.read_text("utf-8") == report.page(kept)


@pytest.mark.parametrize("request_bytes", [
    messages.multipart("/predict", b"JPEG", {"model_type": "strawberry"}), messages.raw("/predict", b"JPEG")])
def test_a_request_announces_the_length_of_its_body(request_bytes: bytes) -> None:
    head, _, body = request_bytes.partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}\r\n".encode() in head + b"\r\n"


def test_an_eta_is_good_within_a_factor_either_way() -> None:
    assert share_within([0.5, 0.7, 1, 1.4, 2], 1.5) == 0.6


@pytest.mark.parametrize(("per_s", "native", "process_mb", "expected"), [
    ({1: 100, 2: 190, 4: 195}, 0.9, 100, [2, 1, 1]),  # all cores by processes, no more than help
    ({1: 100, 2: 101, 4: 102}, 0.5, 100, [1, 2, 1]),  # a core is idle, and half of the work is native
    ({1: 100, 2: 190, 4: 195}, 0.9, 3000, [1, 2, 1])])  # memory has room for one
def test_sizes_are_advised_from_throughput_native_share_and_memory(
        per_s: dict[int, float], native: float, process_mb: float, expected: list[int]) -> None:
    advice = sizing.advise(sizing.Measurements(2, per_s, native, process_mb, memory_mb=8000))
    assert [one.value for one in advice] == expected


def test_every_peer_has_pinned_requirements_that_begin_with_it() -> None:
    for peer in contenders.PEERS:
        lines = peer.requirements.read_text().splitlines()
        assert peer.version.lower().startswith(peer.name.lower())
        assert all("==" in line for line in lines)
