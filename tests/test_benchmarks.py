"""The benchmark table says what was measured, and judges it rightly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import report
from benchmarks.registry import Bench, Figure, Row, figure, timed

FLOOR = Figure(10.0, 12.0, 30)
ON = {"date": "2026-01-01 10:00 UTC", "system": "some"}


@pytest.mark.parametrize(
    ("row", "reached"),
    [
        (Row("a", Figure(12.9, 20.0), FLOOR, ratio=1.3), True),
        (Row("a", Figure(13.1, 20.0), FLOOR, ratio=1.3), False),
        (Row("a", Figure(5.0, 26.0), limit=5, limit_p99=25), False),
        (Row("a", Figure(5.0, 25.0), limit=5, limit_p99=25), True),
        (Row("a", Figure(1499.0, 0.0, unit="/s"), FLOOR, least=1500), False),
        (Row("a", Figure(1500.0, 0.0, unit="/s"), FLOOR, least=1500), True),
        (Row("a", Figure(5.0, 5.0), FLOOR), None),
        (Row("a", Figure(5.0, 5.0), ratio=1.3), None),
    ],
)
def test_verdict(row: Row, reached: bool | None) -> None:  # noqa: FBT001 - a table of cases
    """A goal that is missed by a little is missed, and no goal gives no verdict."""
    assert row.is_reached is reached


def test_ratio_needs_one_unit() -> None:
    """Megabytes are not compared with milliseconds."""
    assert Row("memory", Figure(80.0, 80.0, unit="MB"), FLOOR).times_floor is None


def test_table_reads_well() -> None:
    """The printed table has floor, figure, ratio, goal and verdict of each row."""
    rows = [Row("a verb", Figure(12.0, 14.0, 200), FLOOR, limit=40, ratio=1.3)]

    assert report.table(rows).splitlines() == [
        "| what   | floor   | measured           | ratio  | reach              | verdict |",
        "| ------ | ------- | ------------------ | ------ | ------------------ | ------- |",
        "| a verb | 10.0 ms | 12.0 ms (p99 14.0) | 1.20 × | ≤ 40.0 ms, ≤ 1.3 × | reached |",
    ]


def test_page_keeps_what_people_wrote(tmp_path: Path) -> None:
    """Writing the table twice changes only the table, wherever it stands in the page."""
    page = tmp_path / "performance.md"
    page.write_text("# Performance\n\nHow to run.\n")
    report.write_page(page, [Row("old", FLOOR)], ON)
    page.write_text(page.read_text() + "\nWhere one falls short.\n")

    report.write_page(page, [Row("new", FLOOR)], ON)

    text = page.read_text()
    assert text.startswith("# Performance\n\nHow to run.\n\n" + report.BEGIN)
    assert text.endswith(report.END + "\n\nWhere one falls short.\n")
    assert ("old" in text, text.count("| new ")) == (False, 1)


def test_json_has_machine_and_figures() -> None:
    """Programs find the machine, the samples and the verdict."""
    data = json.loads(report.as_json([Row("a", FLOOR, FLOOR, ratio=1)], ON))["data"]

    assert (data["machine"], data["rows"][0]["measured"]["n"], data["rows"][0]["reached"]) == (ON, 30, True)


def test_floor_is_measured_once(tmp_path: Path) -> None:
    """Rows of one run are compared with the same floor."""
    bench = Bench(tmp_path, {"python": FLOOR})

    assert bench.floor("python") is FLOOR


def test_figures_come_from_samples() -> None:
    """Median and 99th percentile are those of the samples."""
    assert figure([float(n) for n in range(1, 102)]) == Figure(51.0, 101.0, 101, "ms")
    assert timed(lambda: None, 7).n == 7
