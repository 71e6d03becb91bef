"""The parts of the benchmarks that compute; nothing here is timed."""

import math
import socket
import threading
from collections import Counter
from dataclasses import asdict

import pytest

from bench import against, report, servers
from bench.__main__ import ALL
from bench.client import LOST, Answer, Load, each_once, multipart, schedule_s
from bench.flooding import FloodLog
from bench.jobs import share_within
from bench.page import Check, Section, Table, markdown
from bench.report import Result
from bench.stats import deviation, median_ratio, percentile, rate_per_s
from bench.workload import Options

MACHINE = {"cores": 2, "cpu": "a CPU", "memory_gb": 8, "kernel": "6.1", "python": "3.11.7",
           "packages": {"numpy": "2.4"}}


@pytest.mark.parametrize(("percent", "expected"), [(0, 1), (50, 3), (75, 4), (90, 4.6), (100, 5)])
def test_a_percentile_lies_between_its_neighbours(percent: float, expected: float) -> None:
    assert percentile([5, 3, 1, 2, 4], percent) == pytest.approx(expected)


def test_nothing_has_no_percentile() -> None:
    assert math.isnan(percentile([], 99))


def test_ratios_are_taken_within_a_round() -> None:
    rounds = [{"a": 10, "b": 5}, {"a": 40, "b": 10}, {"a": 3, "b": 1}]
    assert median_ratio(rounds, "a", "b") == 3


def test_one_outlier_hardly_moves_the_deviation() -> None:
    assert deviation([1.0, 1.1, 0.9, 1.0, 9.0]) == pytest.approx(0.1)


@pytest.mark.parametrize(("ends_s", "expected"), [([1, 3, 5, 7, 99], 0.5), ([1, 3], 0.25)])
def test_a_rate_is_taken_between_ends_unless_they_are_few(ends_s: list[float], expected: float) -> None:
    assert rate_per_s(ends_s, 0, 8) == pytest.approx(expected)


def test_an_open_loop_is_due_at_a_fixed_rate() -> None:
    assert schedule_s(4, 5) == [0, 0.25, 0.5, 0.75, 1]


def test_only_200_and_202_count_as_answered() -> None:
    load = Load([Answer(status, 1.0) for status in (200, 202, 429, LOST)], elapsed_s=4)
    assert (load.per_s, load.others) == (0.5, {"429": 1, "lost": 1})


def test_a_floods_refusals_are_not_its_work() -> None:
    log = FloodLog([(1, 200), (2, 503), (3, 200)])
    assert (log.per_s(0, 4), log.others) == (0.5, {"503": 1})


def test_a_request_that_crossed_the_closing_of_an_idle_connection_is_sent_again() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_answer_one_a_connection, args=(listener, 2), daemon=True).start()
        load = each_once(listener.getsockname(), [multipart("/", b"JPEG")] * 2, connections=1)
    assert [answer.body for answer in load.good] == [b"ok", b"ok"]


def _answer_one_a_connection(listener: socket.socket, connections: int) -> None:
    for _ in range(connections):
        connection, _ = listener.accept()
        with connection:
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


def test_a_request_announces_the_length_of_its_body() -> None:
    head, _, body = multipart("/predict", b"JPEG", {"model_type": "strawberry"}).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}\r\n".encode() in head + b"\r\n"


def test_an_eta_is_good_within_a_factor_either_way() -> None:
    assert share_within([0.5, 0.7, 1, 1.4, 2], 1.5) == 0.6


@pytest.mark.parametrize(("check", "kept"), [
    (Check("at most", 1.5, 1.5), True), (Check("at most", 1.6, 1.5), False),
    (Check("at least", 1.5, 1.5, at_least=True), True), (Check("at least", 1.4, 1.5, at_least=True), False),
    (Check("not measured", math.nan, 1), False), (Check("not measured", math.nan, 1, at_least=True), False)])
def test_a_limit_is_kept_from_its_side(check: Check, kept: bool) -> None:
    assert check.kept == kept


def test_the_limits_on_the_new_one_give_way_by_what_the_old_one_deviates_from_itself() -> None:
    figures = [(100.0, 84.0, 90.0), (100.0, 84.0, 100.0), (200.0, 170.0, 220.0)]
    rounds = [{server: {"8 connections, per second": figure, "others": Counter({"503": 1})}
               for server, figure in zip((against.OLD, against.NEW, against.AGAIN), three, strict=True)}
              for three in figures]
    section = against.section({"old": "aaa", "new": "bbb", "rounds": rounds})
    [check] = section.checks
    assert (check.value, check.limit, check.kept) == (pytest.approx(0.84), pytest.approx(0.75), True)
    assert section.tables[1].rows == (("other answers", "503: 3", "503: 3", "503: 3"),)


def test_a_table_is_aligned_markdown() -> None:
    assert markdown(Table(("name", "ms"), (("a", 1.25), ("bcd", 123.4)))) == (
        "| name |   ms |\n| ---- | ---: |\n| a    | 1.25 |\n| bcd  |  123 |")


def test_the_page_has_limits_and_each_workload() -> None:
    section = Section("flood: a title", "How.", (Table(("x",), (("y",),)),), (Check("a limit", 2, 1, "ms"),))
    text = report.page([(Result("flood", "2026-01-02 03:04", MACHINE, "drawn", asdict(Options()), {}), section)])
    for expected in ("a limit", "at most 1.00 ms", "**no**", "## flood: a title", "2 cores of a CPU", "| y",
                     "Measured 2026-01-02 03:04, 5 rounds."):
        assert expected in text


def test_the_written_page_is_what_the_results_say() -> None:
    kept = [(result, workload.section(result.measured)) for name, workload in ALL.items()
            if (result := report.load(name)) is not None]
    assert not kept or report.PAGE.read_text("utf-8") == report.page(kept)


def test_every_peer_has_pinned_requirements_that_begin_with_it() -> None:
    for peer in servers.PEERS:
        lines = peer.requirements.read_text().splitlines()
        assert peer.version.lower().startswith(peer.name.lower())
        assert all("==" in line for line in lines)
