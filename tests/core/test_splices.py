"""Where the bytes of a field change, and that no others do."""

from __future__ import annotations

import pytest

from taskd.core.edits import edit
from taskd.core.task import Criterion, Status

EDITED = [
    # (frontmatter, field, value, frontmatter afterwards)
    # -- texts in their place
    ("id: a\nrisk:  low  # c\n", "risk", "high", "id: a\nrisk:  high  # c\n"),
    ("id: a\r\n'name': 'x' # c\r\n", "name", "it's", "id: a\r\n'name': 'it''s' # c\r\n"),
    ('id: a\ntitle: "x"\n', "name", "y", 'id: a\ntitle: "y"\n'),
    ("id: a\nname: x\n", "name", "fix #12: on", 'id: a\nname: "fix #12: on"\n'),
    ("id: a\nname: x\n", "name", "a\nb", 'id: a\nname: "a\\nb"\n'),
    ("id: a\nname: x\n  y\n# z\n", "name", "w", "id: a\nname: w\n# z\n"),
    ("id: a\nname:\n  x\n", "name", "w", "id: a\nname:\n  w\n"),
    ("id: a\nassignee:  # who\n", "assignee", "bob", "id: a\nassignee: bob  # who\n"),
    ("id: a\nname: fix: bug # c\n", "name", "w", "id: a\nname: w # c\n"),
    ("id: a\nname: fix: bug\nrisk: low\n", "risk", "high", "id: a\nname: fix: bug\nrisk: high\n"),
    ("id: a\nestimate: 1\n", "estimate", 2.5, "id: a\nestimate: 2.5\n"),
    ("id: a\nestimate: abc\n", "estimate", 3.0, "id: a\nestimate: 3\n"),
    ("id: a\ndue: 2026-01-01\n", "due", "2026-02-01", "id: a\ndue: 2026-02-01\n"),
    ("id: a\nstatus: TODO\n", "status", Status.COMPLETED, "id: a\nstatus: completed\n"),
    ("name: n\nid: a\n", "id", "on", 'name: n\nid: "on"\n'),
    ("id: a\nx: 1\n", "x", "on", "id: a\nx: on\n"),
    ("id: a\nx: |\n    b\n    c\n\ny: 1\n", "x", "d\n\ne\n", "id: a\nx: |\n    d\n\n    e\n\ny: 1\n"),
    ("id: a\nx: |\n\ny: 1\n", "x", "d\ne", "id: a\nx: |-\n  d\n  e\n\ny: 1\n"),
    ("id: a\nx: >-\n  b\n\ny: 1\n", "x", "d", "id: a\nx: d\n\ny: 1\n"),
    # -- lists between brackets
    ("id: a\ntags: [x, 'y', z] # c\n", "tags", ("x", "w", "z"), "id: a\ntags: [x, 'w', z] # c\n"),
    ("id: a\ntags: [x, y]\n", "tags", ("x", "y", "v, w"), 'id: a\ntags: [x, y, "v, w"]\n'),
    ("id: a\ntags: [x, z]\n", "tags", ("w", "x", "z"), "id: a\ntags: [w, x, z]\n"),
    ("id: a\ntags: [x, y, z]\n", "tags", ("y", "z"), "id: a\ntags: [y, z]\n"),
    ("id: a\ntags: [x, y, z,]\n", "tags", ("x",), "id: a\ntags: [x,]\n"),
    (
        "id: a\ntags: [\n  x,  # c\n  y,  # d\n]\n",
        "tags",
        ("x",),
        "id: a\ntags: [\n  x,  # c\n  # d\n]\n",
    ),
    ("id: a\nx: [{b: c}, [d]]\n", "x", [{"b": "c"}, ["e"], {"f": "g"}], "id: a\nx: [{b: c}, [e], {f: g}]\n"),
    ("id: a\ndependsOn: [b] # c\n", "depends_on", ("b", "d"), "id: a\ndepends_on: [b, d] # c\n"),
    ("id: a\ndepends_on: [b]\n", "depends_on", (), "id: a\ndepends_on: []\n"),
    ("id: a\ntags: []\n", "tags", ("x",), "id: a\ntags: [x]\n"),
    ("id: a\ntags: x, y # c\n", "tags", ("x",), "id: a\ntags: [x] # c\n"),
    ("id: a\ndepends_on: b\n", "depends_on", ("b", "c"), "id: a\ndepends_on: [b, c]\n"),
    ("id: a\ndepends_on: [No Slug, b]\n", "depends_on", ("b", "c"), "id: a\ndepends_on: [b, c]\n"),
    # -- lists on lines
    (
        "id: a\ntags:  # t\n  - x  # c\n  # d\n  - y\n\n  - z\n",
        "tags",
        ("x", "z"),
        "id: a\ntags:  # t\n  - x  # c\n  # d\n\n  - z\n",
    ),
    (
        "id: a\ntags:\n- x # c\n- 'y'\nrisk: low\n",
        "tags",
        ("x", "y", "w"),
        "id: a\ntags:\n- x # c\n- 'y'\n- 'w'\nrisk: low\n",
    ),
    (
        "id: a\ntags:\n  -   x\n  - v\n",
        "tags",
        ("w", "x", "v", "z"),
        "id: a\ntags:\n  -   w\n  -   x\n  - v\n  - z\n",
    ),
    ("id: a\ntags:\n  - x # c\n  - y\n", "tags", ("w", "y"), "id: a\ntags:\n  - w # c\n  - y\n"),
    ("id: a\ntags:\n  - x\n  - y\n", "tags", ("w",), "id: a\ntags:\n  - w\n"),
    ("id: a\ntags:\n  -\n  - y\n", "tags", ("x", "y"), "id: a\ntags:\n  - x\n  - y\n"),
    ("id: a\ntags:\n  -\n    x\n", "tags", ("w",), "id: a\ntags: [w]\n"),
    ("id: a\ndepends_on:\n  - b\n", "depends_on", (), "id: a\ndepends_on: []\n"),
    (
        "id: a\nsuccess_criteria:\n  - x\n  - criterion: it # c\n    measurable: z\n  - w\n",
        "success_criteria",
        (Criterion("x"), Criterion("it", "z", met=True), Criterion("w"), Criterion("v")),
        (
            "id: a\nsuccess_criteria:\n  - x\n  - criterion: it\n    measurable: z\n    met: true\n"
            "  - w\n  - v\n"
        ),
    ),
    (
        "id: a\nsuccess_criteria:\n  - criterion: x\n    weight: high\n  - criterion: v\n    of: [b]\n",
        "success_criteria",
        (Criterion("x", met=True), Criterion("v", "u")),
        (
            "id: a\nsuccess_criteria:\n  - criterion: x\n    met: true\n    weight: high\n"
            "  - criterion: v\n    measurable: u\n    of: [b]\n"
        ),
    ),
    (
        "id: a\nsuccess_criteria: [{criterion: x, measurable: u, of: b}]\n",
        "success_criteria",
        (Criterion("x"),),
        "id: a\nsuccess_criteria: [{criterion: x, of: b}]\n",
    ),
    (
        "id: a\nsuccess_criteria: x\n",
        "success_criteria",
        (Criterion("v"),),
        "id: a\nsuccess_criteria:\n  - v\n",
    ),
    (
        "id: a\nsuccess_criteria: [] # c\n",
        "success_criteria",
        (Criterion("x"),),
        "id: a\nsuccess_criteria: # c\n  - x\n",
    ),
    (
        "id: a\nsuccess_criteria:\n",
        "success_criteria",
        (Criterion("x"),),
        "id: a\nsuccess_criteria:\n  - x\n",
    ),
    ("id: a\nx:\n  - [b]\n  - c\n", "x", [["b"], ["d"]], "id: a\nx:\n  - [b]\n  - [d]\n"),
    # -- another shape
    ("id: a\nx: {b: c} # d\n", "x", {"b": ["e"]}, "id: a\nx: {b: [e]} # d\n"),
    ("id: a\nx: # d\n  b: c\n\ny: 1\n", "x", {"e": "f"}, "id: a\nx: # d\n  e: f\n\ny: 1\n"),
    ("id: a\nx:\n  b: c\n", "x", "d", "id: a\nx: d\n"),
    ("id: a\nx: b # c\n", "x", {"d": "e"}, "id: a\nx: # c\n  d: e\n"),
    ("id: a\nx: |\n  b\n", "x", ["c"], "id: a\nx: [c]\n"),
    # -- keys in and out
    ("id: a\nrisk: low # c\n# d\nx: 1\n", "risk", None, "id: a\n# d\nx: 1\n"),
    ("id: a\ntags:\n  - x\n  # c\nx: 1\n", "tags", (), "id: a\n  # c\nx: 1\n"),
    ("id: a\nx: |\n  b\n\n\ny: 1\n", "x", None, "id: a\n\n\ny: 1\n"),
    ("id: a\nestimate: abc\n", "estimate", None, "id: a\n"),
    ("id: a\n\n# c\ntags: []\n", "risk", "low", "id: a\nrisk: low\n\n# c\ntags: []\n"),
    ("  id: a # c\n  x: 1\n", "name", "w", "  id: a # c\n  name: w\n  x: 1\n"),
    ("# c\nname: n\n", "id", "a", "# c\nid: a\nname: n\n"),
    ("id: a\nx: 1\n", "on", {"b": "c"}, 'id: a\nx: 1\n"on":\n  b: c\n'),
    ("id: a\r\n", "success_criteria", (Criterion("x"),), "id: a\r\nsuccess_criteria:\r\n  - x\r\n"),
    ("id: a\n", "completed", "2026-01-01", "id: a\ncompleted: 2026-01-01\n"),
    ("id: a\n", "actual_hours", 1.5, "id: a\nactual_hours: 1.5\n"),
    ("id: a\nx: |+\n  b\n\n", "z", "1", "id: a\nx: |+\n  b\n\nz: 1\n"),
    # -- braces around everything
    ("{id: a, risk: low} # c\n", "risk", "high", "{id: a, risk: high} # c\n"),
    (
        "{id: a, risk: low}\n",
        "due",
        "2026-01-01T10:00:00Z",
        '{id: a, risk: low, due: "2026-01-01T10:00:00Z"}\n',
    ),
    ("{name: n, x: 1}\n", "id", "a", "{id: a, name: n, x: 1}\n"),
    ("{id: a, risk: low, x: 1}\n", "risk", None, "{id: a, x: 1}\n"),
    ("{id: a, risk: low}\n", "risk", None, "{id: a}\n"),
    ("{id: a, x: b}\n", "x", {"c": "d"}, "{id: a, x: {c: d}}\n"),
    ("{id: a, tags: [x]}\n", "tags", ("x", "z"), "{id: a, tags: [x, z]}\n"),
]


@pytest.mark.parametrize(("front", "field", "value", "wanted"), EDITED)
@pytest.mark.parametrize("tail", ["---", "---\r\n---\n\nbody\n"])
def test_an_edit_touches_the_fields_own_bytes(
    front: str, field: str, value: object, wanted: str, tail: str
) -> None:
    """Comments, quotes, key spelling, indentation, layout and line ends stay their author's."""
    eol = "\r\n" if "\r" in front else "\n"

    assert (
        edit(f"\ufeff---{eol}{front}{tail}".encode(), field, value).decode()
        == f"\ufeff---{eol}{wanted}{tail}"
    )
