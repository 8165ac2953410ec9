"""Puts the daemon of one repository in the care of systemd or launchd, and takes it out again.

Each repository has unit files of its own, so two repositories, or two installations of taskd, never
write the same file. For systemd they are concrete instances of the shipped templates: the template with
one line changed.
"""

from __future__ import annotations

import os
import plistlib
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, TypeAlias

from taskd.errors import Refused, TaskdError, UsageError
from taskd.local import socket_place

NAME_LIMIT: Final = 253  # bytes of a unit's file name, so that its drop-in directory (+ `.d`) is possible
PATIENCE: Final = 60.0  # seconds for the service manager: a start waits for the first scan
LINGER: Final = Path("/var/lib/systemd/linger")  # where logind keeps who may run without being logged in

_NOT_UTF8 = re.compile(r"[\ud800-\udfff]")  # how Python shows such bytes
_CONTROL = re.compile(r"[\0-\x1f\x7f\ud800-\udfff]")  # these bytes too
_PLAIN = re.compile(r"[A-Za-z0-9_./+@:,-]+")


@dataclass(frozen=True, slots=True)
class Undone:
    """Something that could not be done: why, and the command that does it when that has changed."""

    reason: str
    command: str


@dataclass(frozen=True, slots=True)
class ServiceReport:
    """How the service of a repository stands after the call.

    `manager` is `systemd` or `launchd`, `unit` what it calls the service, `files` the unit files that
    are there, `changed` those that this call wrote or removed. `state` is `active`, `inactive`, `failed`
    or another word of the manager's, `unknown` when it cannot be asked, `absent` without unit files.
    """

    manager: str
    unit: str
    files: tuple[Path, ...]
    changed: tuple[Path, ...]
    state: str
    undone: tuple[Undone, ...] = ()
    hints: tuple[str, ...] = ()

    def as_data(self) -> dict[str, object]:
        """The same for JSON: paths as strings, `undone` as `[{reason, command}]`."""
        return {
            "manager": self.manager,
            "unit": self.unit,
            "files": [str(path) for path in self.files],
            "changed": [str(path) for path in self.changed],
            "state": self.state,
            "undone": [asdict(one) for one in self.undone],
            "hints": list(self.hints),
        }


@dataclass(frozen=True, slots=True)
class Place:
    """Whose service it is: the directory the daemon is started with, the state behind it, the home."""

    top: Path
    common_dir: Path
    home: Path

    @property
    def key(self) -> str:
        """12 hex digits that no other repository of this machine has."""
        return socket_place(self.common_dir).stem


def install(
    repository_top: Path,
    common_dir: Path,
    taskd: Path,
    *,
    platform: str = sys.platform,
    home: Path,
    start: bool = True,
) -> ServiceReport:
    """Write the unit files of the repository and, with `start`, start its daemon.

    `taskd` is the program to start. Calling it again changes nothing; calling it with another `taskd`
    restarts the daemon. UsageError where there is neither systemd nor launchd; Refused when a path
    cannot be written into a unit file.
    """
    manager = _manager_for(platform, Place(repository_top, common_dir, home))
    contents = zip(manager.paths(), manager.contents(Path.cwd() / taskd), strict=True)
    changed = tuple(path for path, content in contents if _write_file(path, content))
    undone = manager.activate(changed, start=start)
    return _report(manager, changed, undone)


def uninstall(
    repository_top: Path, common_dir: Path, *, platform: str = sys.platform, home: Path
) -> ServiceReport:
    """Stop the daemon of the repository and remove its unit files. Calling it again changes nothing."""
    manager = _manager_for(platform, Place(repository_top, common_dir, home))
    there = tuple(filter(os.path.lexists, manager.paths()))
    undone = manager.deactivate() if there else []
    for path in there:
        path.unlink()
    return _report(manager, there, undone + (manager.forget() if there else []))


def status(
    repository_top: Path, common_dir: Path, *, platform: str = sys.platform, home: Path
) -> ServiceReport:
    """Tell how the service of the repository stands."""
    return _report(_manager_for(platform, Place(repository_top, common_dir, home)), (), [])


def find_template(name: str) -> Path:
    """Give a shipped unit file, such as `systemd/taskd@.service`: of a checkout, else as installed."""
    checkout = Path(__file__).resolve().parents[2]
    schemes = (sysconfig.get_default_scheme(), sysconfig.get_preferred_scheme("user"))
    for root in (checkout, *(Path(sysconfig.get_path("data", scheme)) / "share/taskd" for scheme in schemes)):
        if (root / name).is_file():
            return root / name
    raise TaskdError(reason=f"{name} is not where it was installed; install taskd again")


def escape_path(path: Path) -> str:
    """Give the instance name of a path, as `systemd-escape --path` does."""
    raw = os.fsencode(os.path.normpath(path)).strip(b"/")
    words = [_escape_byte(byte, first=at == 0) for at, byte in enumerate(raw)]
    return "".join(words) or "-"


def quote_word(text: str) -> str:
    """Give one word of an ExecStart= line. `text` may hold bytes that are not UTF-8 (surrogateescape)."""
    if _PLAIN.fullmatch(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return '"' + _CONTROL.sub(lambda found: f"\\x{os.fsencode(found[0]).hex()}", escaped) + '"'


@dataclass(frozen=True, slots=True)
class Systemd:
    """systemd's user manager. The shipped templates hold the rules; only paths are filled in."""

    place: Place
    name: str = "systemd"

    @property
    def instance(self) -> str:
        """The path of the repository, escaped; its key if that makes too long a name."""
        escaped = escape_path(self.place.top)
        return escaped if len(f"taskd@{escaped}.service") <= NAME_LIMIT else self.place.key

    @property
    def unit(self) -> str:
        """The service; the socket is called the same."""
        return f"taskd@{self.instance}.service"

    def paths(self) -> tuple[Path, ...]:
        """The service and the socket, beside each other."""
        config = os.environ.get("XDG_CONFIG_HOME") or self.place.home / ".config"
        folder = Path(config) / "systemd" / "user"
        return folder / self.unit, folder / f"taskd@{self.instance}.socket"

    def contents(self, taskd: Path) -> tuple[bytes, ...]:
        """The templates, with the line changed that names the program or the socket."""
        service = self._filled("systemd/taskd@.service", "ExecStart", self._command(taskd))
        runtime = {"XDG_RUNTIME_DIR": f"/run/user/{os.getuid()}", **os.environ}
        place = str(socket_place(self.place.common_dir, runtime))
        if _CONTROL.search(place):
            raise Refused(reason=f"systemd cannot be told of a socket at {place!r}")
        return service, self._filled("systemd/taskd@.socket", "ListenStream", place.replace("%", "%%"))

    def activate(self, changed: Sequence[Path], *, start: bool) -> list[Undone]:
        """Enable without the bus, which need not be there yet; start with it."""
        enabled = _run("systemctl", "--user", "enable", self.unit, SYSTEMD_OFFLINE="1")
        begun = _run("systemctl", "--user", "daemon-reload")
        if begun:
            begun = Undone(
                begun.reason, f"{begun.command} && systemctl --user start {shlex.quote(self.unit)}"
            )
        elif start:
            # nothing happens to a daemon that is not running, and nothing to one whose unit is as it was
            again = _run("systemctl", "--user", "try-restart", self.unit) if changed else None
            begun = again or _run("systemctl", "--user", "start", self.unit)
        return [one for one in (enabled, begun) if one]

    def deactivate(self) -> list[Undone]:
        """Stop service and socket; take the links away that `enable` made, also without the bus."""
        units = [path.name for path in reversed(self.paths()) if path.exists()]
        stopped = _run("systemctl", "--user", "stop", *units)
        disabled = _run("systemctl", "--user", "disable", *units, SYSTEMD_OFFLINE="1")
        return [one for one in (stopped, disabled) if one]

    def forget(self) -> list[Undone]:
        """Reload; a failed start that nobody can look at any more is forgotten too."""
        undone = _run("systemctl", "--user", "daemon-reload")
        if undone is None:
            _run("systemctl", "--user", "reset-failed", self.unit)  # not failed: refused, and all is well
        return [undone] if undone else []

    def state(self) -> str:
        """The answer of `systemctl is-active`, which fails without a word on standard output."""
        return _ask("systemctl", "--user", "is-active", self.unit) or "unknown"

    def hints(self) -> tuple[str, ...]:
        """Lingering, which decides whether the daemon outlives the login."""
        user = os.environ.get("USER") or str(os.getuid())
        if (LINGER / user).exists():
            return ()
        return ("the daemon stops when you log out; `loginctl enable-linger` keeps it running",)

    def _command(self, taskd: Path) -> str:
        """The ExecStart= value; systemd refuses a program whose path holds quotes, hence the shell."""
        path = str(taskd)
        if set(path) & set("\"'\\") or _CONTROL.search(path):
            return f""":/bin/sh -c 'exec "$0" "$@"' {quote_word(path)} -C %f daemon run"""
        return f"{quote_word(':' + path)} -C %f daemon run"

    def _filled(self, template: str, key: str, value: str) -> bytes:
        """The template with the value of `key`; %f becomes the path where the instance is not named so."""
        text = find_template(template).read_text(encoding="utf-8")
        head, rest = text.split(f"\n{key}=", 1)
        text = f"{head}\n{key}={value}\n{rest.partition(chr(10))[2]}"
        top = str(self.place.top)
        if _NOT_UTF8.search(top):  # it would be ignored, with a warning
            text = re.sub(r"^ConditionPathIsDirectory=.*\n", "", text, flags=re.MULTILINE)
        if self.instance != self.place.key:
            return text.encode()
        if _CONTROL.search(top) or top != top.strip() or top.endswith("\\"):
            raise Refused(reason=f"systemd cannot be told of a directory as long and as odd as {top!r}")
        text = text.replace("-C %f", f"-C {quote_word(top)}")
        return text.replace("%f", top.replace("%", "%%")).encode()


@dataclass(frozen=True, slots=True)
class Launchd:
    """launchd's domain of the user who is logged in."""

    place: Place
    name: str = "launchd"

    @property
    def unit(self) -> str:
        """The label."""
        return f"dev.taskd.{self.place.key}"

    @property
    def domain(self) -> str:
        """The domain of the user's own session."""
        return f"gui/{os.getuid()}"

    def paths(self) -> tuple[Path, ...]:
        """The launch agent."""
        return (self.place.home / "Library" / "LaunchAgents" / f"{self.unit}.plist",)

    def contents(self, taskd: Path) -> tuple[bytes, ...]:
        """The template with label, paths and the place of git filled in."""
        plist = plistlib.loads(find_template("launchd/dev.taskd.plist").read_bytes())
        log = str(self.place.common_dir / "taskd" / "logs" / "launchd.log")
        plist |= {
            "Label": self.unit,
            "ProgramArguments": [str(taskd), "-C", str(self.place.top), "daemon", "run"],
            "WorkingDirectory": str(self.place.top),
            "EnvironmentVariables": {"PATH": self._search_path(plist["EnvironmentVariables"]["PATH"])},
            "StandardOutPath": log,
            "StandardErrorPath": log,
        }
        try:
            return (plistlib.dumps(plist, sort_keys=False),)
        except ValueError:  # a control character, or bytes that are not UTF-8
            raise Refused(reason=f"launchd cannot be told of {log!r} and {str(self.place.top)!r}") from None

    def activate(self, changed: Sequence[Path], *, start: bool) -> list[Undone]:
        """Load the agent, in the place of an older one; launchd loads it by itself at the next login."""
        (self.place.common_dir / "taskd" / "logs").mkdir(mode=0o700, parents=True, exist_ok=True)
        if not start:
            return []
        loaded = self.state() not in ("unknown", "inactive")
        undone = self.deactivate() if loaded and changed else []
        if loaded and not changed:
            return []
        begun = _run("launchctl", "bootstrap", self.domain, str(self.paths()[0]))
        return [*undone, begun] if begun else undone

    def deactivate(self) -> list[Undone]:
        """Unload the agent, which stops the daemon."""
        if self.state() == "inactive":
            return []
        undone = _run("launchctl", "bootout", f"{self.domain}/{self.unit}")
        return [undone] if undone else []

    def forget(self) -> list[Undone]:
        """Nothing: launchd reads the folder anew at each login."""
        return []

    def state(self) -> str:
        """`active` when it runs, `inactive` when it is not loaded, else launchd's own word."""
        if not shutil.which("launchctl"):
            return "unknown"
        told = _ask("launchctl", "print", f"{self.domain}/{self.unit}")
        found = re.search(r"^\s*state = (.+)$", told, re.MULTILINE)
        word = found[1] if found else "inactive"
        return "active" if word == "running" else word

    def hints(self) -> tuple[str, ...]:
        """Nothing: a launch agent belongs to the login, and people expect that."""
        return ()

    def _search_path(self, usual: str) -> str:
        git = shutil.which("git")
        return ":".join(dict.fromkeys([*([str(Path(git).parent)] if git else []), *usual.split(":")]))


Manager: TypeAlias = Systemd | Launchd


def _manager_for(platform: str, place: Place) -> Manager:
    if platform == "darwin":
        return Launchd(place)
    if platform.startswith("linux"):
        return Systemd(place)
    raise UsageError(reason=f"there is neither systemd nor launchd on {platform}; use `taskd daemon start`")


def _report(manager: Manager, changed: tuple[Path, ...], undone: Sequence[Undone]) -> ServiceReport:
    files = tuple(filter(os.path.lexists, manager.paths()))
    state = manager.state() if files else "absent"
    hints = manager.hints() if files else ()
    return ServiceReport(manager.name, manager.unit, files, changed, state, tuple(undone), hints)


def _escape_byte(byte: int, *, first: bool) -> str:
    char = chr(byte)
    if char == "/":
        return "-"
    if char.isascii() and (char.isalnum() or (char in ":_." and not (first and char == "."))):
        return char
    return f"\\x{byte:02x}"


def _write_file(path: Path, content: bytes) -> bool:
    """Put `content` there in one step, unless it is there already; whether anything was written."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and path.read_bytes() == content:
        return False
    number, name = tempfile.mkstemp(prefix=".taskd-", dir=path.parent)
    with os.fdopen(number, "wb") as file:
        file.write(content)
        os.fchmod(number, 0o644)
    Path(name).replace(path)
    return True


def _run(*argv: str, **more: str) -> Undone | None:
    """Run a command of the service manager; what it could not do, None when it did."""
    try:
        done = subprocess.run(
            argv, env={**os.environ, **more}, capture_output=True, text=True, check=False, timeout=PATIENCE
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        reason = f"there is no {argv[0]} here" if isinstance(problem, FileNotFoundError) else str(problem)
        return Undone(reason, shlex.join(argv))
    if done.returncode == 0:
        return None
    return Undone((done.stderr or done.stdout).strip() or f"exit code {done.returncode}", shlex.join(argv))


def _ask(*argv: str) -> str:
    """Give what a command of the service manager says on standard output; nothing if it cannot."""
    try:
        return subprocess.run(
            argv, capture_output=True, text=True, check=False, timeout=PATIENCE
        ).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""
