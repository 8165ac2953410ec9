"""`python -m benchmarks [NAME…]`: measure, print a table, keep the figures."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from benchmarks import report
from benchmarks.registry import FLOORS, MEASUREMENTS, Bench, Row, load_all

PAGE: Final = Path(__file__).resolve().parent.parent / "docs" / "performance.md"


def main(argv: Sequence[str] | None = None) -> int:
    """Run it; 1 when something measured does not reach what is asked of it."""
    load_all()
    options = parse_arguments(argv)
    if options.list:
        print(listing())
        return 0
    with tempfile.TemporaryDirectory(prefix="taskd-bench-", dir=options.dir) as top:
        settle_environment(Path(top))
        bench = Bench(Path(top))
        rows = [row for name in options.names or names() for row in measure(name, bench)]
        on = report.machine(Path(top))
    print(report.table(rows))
    if options.json:
        Path(options.json).write_text(report.as_json(rows, on) + "\n")
    if options.write:
        report.write_page(PAGE, rows, on)
    return int(any(row.is_reached is False for row in rows))


def parse_arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "names", nargs="*", metavar="NAME", help="what to measure; all of it if none is given"
    )
    parser.add_argument("--list", action="store_true", help="name everything that can be measured")
    parser.add_argument("--json", metavar="FILE", help="write the figures with machine and date there")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.name}; measures all")
    parser.add_argument("--dir", metavar="DIR", help="measure on that directory's file system")
    options = parser.parse_args(argv)
    unknown = [name for name in options.names if name not in names()]
    if unknown:
        parser.error(f"nothing is called {unknown[0]}; --list names what there is")
    if options.write and options.names:
        parser.error("--write measures everything: a table of parts would mix runs")
    return options


def names() -> list[str]:
    """Everything that can be measured, floors first."""
    return ["floors", *MEASUREMENTS]


def listing() -> str:
    """One line for each name."""
    rows = [("floors", "Only the floors: " + ", ".join(FLOORS))]
    rows += [(name, first_line(work)) for name, work in MEASUREMENTS.items()]
    return "\n".join(f"{name:16} {what}" for name, what in rows)


def first_line(work: Callable[[Bench], object]) -> str:
    """What the function measures, without the full stop."""
    return (work.__doc__ or "").partition("\n")[0].removesuffix(".")


def measure(name: str, bench: Bench) -> Iterator[Row]:
    """The rows of one name; says on stderr what it is at, since some take minutes."""
    for row in floor_rows(bench) if name == "floors" else MEASUREMENTS[name](bench):
        print(f"{name}: {row.what}: {report.shown(row.measured)}", file=sys.stderr, flush=True)
        yield row


def floor_rows(bench: Bench) -> Iterator[Row]:
    """The floors themselves, as rows without a goal."""
    for name, work in FLOORS.items():
        figure = bench.floor(name)
        if figure is not None:
            yield Row(f"floor {name}: {first_line(work)}", figure)


def settle_environment(top: Path) -> None:
    """Nothing of the caller's home, configuration or taskd settings steers what is measured."""
    for name in [name for name in os.environ if name.startswith(("TASKD_", "GIT_", "XDG_"))]:
        del os.environ[name]
    for name in ("home", "run"):
        (top / name).mkdir(mode=0o700)
    (top / "gitconfig").touch()
    os.environ |= {
        "HOME": str(top / "home"),
        "XDG_CONFIG_HOME": str(top / "home" / ".config"),
        "XDG_RUNTIME_DIR": str(top / "run"),
        "GIT_CONFIG_GLOBAL": str(top / "gitconfig"),
        "GIT_CONFIG_SYSTEM": str(top / "gitconfig"),
    }


if __name__ == "__main__":
    raise SystemExit(main())
