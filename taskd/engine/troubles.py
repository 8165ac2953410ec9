"""What a scan could not take for a task file, in the list of problems."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from taskd.engine.site import Place, Site
from taskd.repo import replicas
from taskd.store.base import Problem


def list_troubles(
    site: Site,
    place: Place,
    troubles: Sequence[replicas.Trouble],
    listed: Iterable[str],
    standing: Container[str],
) -> None:
    """List what a scan could not take for a file, and take from the list what is in order or gone."""
    found = {trouble.path: trouble for trouble in troubles}
    with site.writing() as txn:
        for path, trouble in found.items():
            if not trouble.unstable and not (trouble.note and path in listed):
                kind = "notice" if trouble.note else "problem"
                where = (place.key, path, trouble.line)
                row = Problem(*where, trouble.reason, trouble.remedy, kind=kind, since=txn.now())
                txn.put_problems(place.key, path, [row])
        for path in set(listed) - found.keys():
            if path not in standing and txn.base(place.key, path) is None:
                txn.put_problems(place.key, path, [])
