"""Somebody else who commits to the workspace branch, with real git and an index of their own."""

from __future__ import annotations

from collections.abc import Mapping

from tests.engine.bench import REF, Bench


def commit(
    bench: Bench, changes: Mapping[str, str | None], onto: str | None = REF, says: str = "theirs"
) -> str:
    """Commit files (None removes one) on top of `onto`, None for a history of its own; the new tip."""
    env = {"GIT_INDEX_FILE": str(bench.top / ".git" / "rival-index")}
    bench.git(bench.top, "read-tree", *(["--empty"] if onto is None else [onto]), env=env)
    for path, text in changes.items():
        if text is None:
            bench.git(bench.top, "update-index", "--force-remove", path, env=env)
        else:
            blob = bench.git(bench.top, "hash-object", "-w", "--stdin", input=text).strip()
            bench.git(bench.top, "update-index", "--add", "--cacheinfo", f"100644,{blob},{path}", env=env)
    tree = bench.git(bench.top, "write-tree", env=env).strip()
    parents = [] if onto is None else ["-p", onto]
    tip = bench.git(bench.top, "commit-tree", "-m", says, *parents, tree).strip()
    bench.git(bench.top, "update-ref", REF, tip)
    return tip


def rewrite(bench: Bench, path: str, *edits: tuple[str, str]) -> str:
    """Commit one file with some of its text replaced."""
    text = bench.on_branch()[path]
    for old, new in edits:
        assert old in text
        text = text.replace(old, new)
    return commit(bench, {path: text})
