"""Operations on what people write: new tasks, fields, dependencies, deletion."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from taskd import wire
from taskd.core.document import Document, compose, edit_all, read
from taskd.core.fields import FIELDS, KEYS, Kind, Owner, expected, is_slug, slug_of, typed
from taskd.core.reconcile import with_authored
from taskd.core.task import Task
from taskd.core.texts import text_hash
from taskd.engine.desk import Desk
from taskd.engine.writeback import is_removed
from taskd.errors import BadValue, Cycle, DocumentError, IdTaken, NotFound, Refused, Uneditable

SUFFIX_LENGTH: Final = 4  # hex digits; two tasks of one name at one moment still differ
TRIES: Final = 50  # suffixes tried before giving up; each has one chance in 65,536 to be taken


def add_task(desk: Desk, p: wire.Add) -> object:
    """Make a task; the id is the one asked for or a new one made from the name."""
    name = typed_value("name", p.name)
    if not isinstance(name, str) or not name.strip():
        raise BadValue(field="name", value=p.name, reason="a task needs a name")
    known, extra = _sorted_out(p.values)
    id = _wanted_id(desk, p.id) if p.id is not None else _new_id(desk, name)
    depends_on = _checked_edges(desk, id, known.pop("depends_on", ()))
    known = {"id": id, "name": name, "depends_on": depends_on, "created": desk.txn.now(), **known}
    directory = _directory(p.path)
    file = f"{directory}/{id}.md" if directory else f"{id}.md"
    text = _composed(file, {key: value for key, value in known.items() if value is not None}, extra)
    document = read_back(text)
    task = with_authored(Task(id=id, name=name, file=file, text=desk.txn.keep(text)), document)
    made = desk.accept(None, task)
    desk.txn.enqueue("replicas", desk.txn.dependents([id])[id])
    desk.txn.enqueue("branch", desk.txn.dependents([id])[id])
    if p.file:
        desk.authored.append((id, {}))
    return desk.tell(made.id)


def set_fields(desk: Desk, p: wire.Set) -> object:
    """Set authored fields and unknown keys of a task."""
    task = desk.find_own(p.id, force=p.force)
    known, extra = _sorted_out(p.values)
    wanted = {**known, **extra}
    for name, added in p.add.items():
        wanted[name] = _grown(task, name, added)
    for name, removed in p.remove.items():
        wanted[name] = _shrunk(wanted.get(name, getattr(task, name, ())), name, removed)
    if "id" in wanted:
        raise Refused(reason="an id is changed in the task's file, not by set")
    if "depends_on" in wanted:
        wanted["depends_on"] = new_edges(desk, task, wanted["depends_on"])
    return desk.tell(write_fields(desk, task, wanted, force=p.force).id)


def add_edge(desk: Desk, p: wire.Edge) -> object:
    """Make a task wait for another; refused if that would close a cycle."""
    task = desk.find_own(p.id, force=p.force)
    on = desk.find(p.on).id
    if on in task.depends_on:
        return desk.tell(task.id)
    _checked_edges(desk, task.id, [on])
    return desk.tell(write_fields(desk, task, {"depends_on": (*task.depends_on, on)}, force=p.force).id)


def drop_edge(desk: Desk, p: wire.Edge) -> object:
    """Let a task wait for another no longer."""
    task = desk.find_own(p.id, force=p.force)
    on = p.on if p.on in task.depends_on else desk.find(p.on).id
    if on not in task.depends_on:
        raise Refused(reason=f"{task.id} does not depend on {on}")
    left = tuple(other for other in task.depends_on if other != on)
    return desk.tell(write_fields(desk, task, {"depends_on": left}, force=p.force).id)


def remove_task(desk: Desk, p: wire.Remove) -> object:
    """Delete a task: a tombstone stays, its id is never used again, `restore` brings it back.

    `files` are those that stay, where taskd does not write: they do not bring it back by being there.
    """
    task = desk.find_own(p.id, force=p.force)
    now = desk.txn.now()
    told = desk.tell(task.id)
    files = [
        {"worktree": base.worktree, "path": base.path, "state": "differs"}
        for base in desk.txn.bases_of(task.id)
        if (place := desk.site.places.get(base.worktree)) is not None
        and not is_removed(desk.site, place, base.path)
    ]
    desk.accept(task, replace(task, deleted_at=now, claim=None), forced=p.force)
    return {**told, "deleted_at": now, "claim": None, "files": files, "conflicts": 0}


def restore_task(desk: Desk, p: wire.Remove) -> object:
    """Bring a deleted task back as it was: fields from its document, status as it stood."""
    task = desk.txn.task(p.id)
    if task is None:
        raise NotFound(p.id)
    if task.deleted_at is None:
        raise Refused(reason=f"{task.id} was not deleted")
    document = read_back(desk.txn.text(task.text))
    back = with_authored(replace(task, deleted_at=None), document)
    return desk.tell(desk.accept(task, back).id)


def write_fields(desk: Desk, task: Task, wanted: Mapping[str, object], *, force: bool) -> Task:
    """Edit the head's document in place and make the result the head."""
    old = desk.txn.text(task.text)
    text = _edited(task.file, old, wanted)
    if text_hash(text) == task.text:
        return task
    document = read_back(text)
    new = replace(with_authored(task, document), text=desk.txn.keep(text), modified=desk.txn.now())
    desk.authored.append((task.id, dict(wanted)))
    return desk.accept(task, new, forced=force)


def _composed(file: str, known: Mapping[str, object], extra: Mapping[str, object]) -> bytes:
    try:
        return compose(known, extra)
    except Uneditable as error:
        raise Uneditable(**{**error.facts, "path": file}) from None


def _edited(file: str, text: bytes, wanted: Mapping[str, object]) -> bytes:
    try:
        return edit_all(text, wanted)
    except Uneditable as error:
        raise Uneditable(**{**error.facts, "path": file}) from None


def _sorted_out(values: Mapping[str, object]) -> tuple[dict[str, object], dict[str, object]]:
    """Typed values of the known authored fields, and unknown keys as given."""
    known, extra = dict[str, object](), dict[str, object]()
    for key, raw in values.items():
        row = KEYS.get(key)
        if row is None and key != "path":
            extra[_key(key)] = raw
        elif row is None or row.owner is Owner.RUNTIME:
            remedy = "`taskd status`" if key == "status" else "the command for it"
            raise BadValue(field=key, value=raw, reason=f"the index keeps it; use {remedy}")
        else:
            known[row.name] = typed_value(row.name, raw)
    return known, extra


def _key(word: str) -> str:
    if not re.fullmatch(r"[A-Za-z_][\w.-]{0,99}", word):
        raise BadValue(field="key", value=word, reason="a key is a word of letters, digits, _, - and .")
    return word


def typed_value(name: str, raw: object) -> object:
    """A known field's value from what somebody gave; BadValue when it cannot be one."""
    row = FIELDS[name]
    if row.kind is Kind.BODY:
        return raw
    try:
        value = typed(row, raw)
    except ValueError as error:
        raise BadValue(field=name, value=raw, reason=str(error)) from None
    if not expected(row, value):
        raise BadValue(field=name, value=raw, reason=f"choose one of {', '.join(row.values)}")
    return value


def _words(name: str, raw: Iterable[str]) -> tuple[str, ...]:
    if name not in ("tags", "depends_on"):
        raise BadValue(field=name, value=list(raw), reason="only tags and depends_on can be added to")
    value = typed_value(name, list(raw))
    return value if isinstance(value, tuple) else ()


def _grown(task: Task, name: str, added: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*getattr(task, name, ()), *_words(name, added))))


def _shrunk(before: object, name: str, removed: Iterable[str]) -> tuple[str, ...]:
    gone = _words(name, removed)
    return tuple(item for item in before if item not in gone) if isinstance(before, tuple) else ()


def new_edges(desk: Desk, task: Task, wanted: object) -> tuple[str, ...]:
    """The edges wanted, new ones checked and resolved; one that dangles already may stay."""
    edges = wanted if isinstance(wanted, tuple) else ()
    pairs = [(on,) if on in task.depends_on else _checked_edges(desk, task.id, (on,)) for on in edges]
    return tuple(dict.fromkeys(on for pair in pairs for on in pair))


def _wanted_id(desk: Desk, id: str) -> str:
    if not is_slug(id):
        raise BadValue(field="id", value=id, reason="lower-case letters and digits, joined by -, _ or .")
    if desk.txn.taken([id]):
        raise IdTaken(id=id)
    return id


def _new_id(desk: Desk, name: str) -> str:
    """The name's slug, with a suffix where it was ever used. The suffix depends on time and name alone."""
    slug = slug_of(name)
    if not desk.txn.taken([slug]):
        return slug
    for number in range(TRIES):
        seed = f"{desk.txn.now()} {desk.who} {number}".encode()
        id = f"{slug}-{text_hash(seed)[:SUFFIX_LENGTH]}"
        if not desk.txn.taken([id]):
            return id
    raise IdTaken(id=slug)


def _checked_edges(desk: Desk, id: str, wanted: object) -> tuple[str, ...]:
    edges = tuple(wanted) if isinstance(wanted, (list, tuple)) else ()
    found = []
    for word in edges:
        on = desk.find(word).id if word != id else id
        if on == id or desk.txn.reaches(on, id):
            raise Cycle(task=id, on=on)
        found.append(on)
    return tuple(found)


def _directory(path: str) -> str:
    parts = [part for part in path.strip("/").split("/") if part]
    if any(part in (".", "..") or part.startswith(".") or "\\" in part for part in parts):
        raise BadValue(field="path", value=path, reason="a directory below the tasks directory")
    return "/".join(parts)


def read_back(text: bytes) -> Document:
    """The document a text is; Refused when it is none."""
    try:
        document = read(text)
    except DocumentError as error:
        raise Refused(reason=f"that would not read back: {error.reason}") from None
    if document is None:
        raise Refused(reason="that would not read back as a task")
    return document
