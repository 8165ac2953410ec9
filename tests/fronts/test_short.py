"""The short way in: the real script, a real venv, real repositories, and a daemon that speaks frames."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import pty
import shutil
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import uuid
import venv
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from taskd import __version__
from taskd.frames import LIMIT, STDIN_LIMIT, Call, FrameError, pack, pack_stream, read_request

REPOSITORY = Path(__file__).resolve().parents[2]
SCRIPTS = REPOSITORY / "taskd" / "cli" / "scripts"
LOCAL = "init uninit daemon service demo merge-driver completion help mcp web board doctor migrate -h"
SHELLS = [name for name in ("sh", "dash", "bash", "zsh", "ksh", "mksh") if shutil.which(name)]
PATIENCE = 20  # seconds for one command; only a hang meets it
DONE = pack(b"X", b"0")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the file system or kernel of Linux is meant")

#: stands in for the installed package: tells how it was started, and that it was
FULL_PROGRAM = """
import json, os, sys
asked = any(word == "-" or word.endswith("@-") for word in sys.argv)
facts = {
    "argv": [os.fsencode(word).hex() for word in sys.argv[1:]],
    "options": sys.orig_argv[1 : sys.orig_argv.index("-m")],
    "cwd": os.getcwdb().hex(),
    "stdin": len(sys.stdin.buffer.read()) if asked else None,
    "here": "" in sys.path or os.getcwd() in sys.path,
}
print("FULL" + json.dumps(facts))
"""


@pytest.fixture(scope="module")
def taskd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A venv with the scripts as an installer puts them, and a package that says when it is reached."""
    root = tmp_path_factory.mktemp("venv with spaces")
    venv.EnvBuilder(symlinks=True).create(root)
    for name in ("taskd", "git-taskd"):
        shutil.copy(SCRIPTS / name, root / "bin" / name)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    package = root / "lib" / version / "site-packages" / "taskd"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(FULL_PROGRAM)
    return root / "bin" / "taskd"


class Daemon:
    """Listens on a socket and answers every request with what `answer` gives for it."""

    def __init__(self, path: Path) -> None:
        """Begin to listen on `path`; by default every command is done without a word."""
        self.path = path
        self.calls: list[Call] = []
        self.answer: Callable[[Call], bytes] = lambda _: DONE
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(8)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(FrameError, BrokenPipeError, ConnectionResetError):
                request = read_request(connection)
                if isinstance(request, Call):
                    self.calls.append(request)
                    connection.sendall(self.answer(request))

    def kill(self) -> None:
        """End, and leave the socket behind as SIGKILL does."""
        self.close()
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(str(self.path))

    def close(self) -> None:
        """Stop listening."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.path.unlink(missing_ok=True)


@pytest.fixture
def daemon() -> Iterator[Daemon]:
    """A daemon that runs while the test does, on a socket with a name short enough for every kernel."""
    daemon = Daemon(Path(os.environ["XDG_RUNTIME_DIR"]) / f"{uuid.uuid4().hex[:12]}.sock")
    yield daemon
    daemon.close()


def announce(common: Path, path: Path | str) -> None:
    """Write the endpoint as the daemon does."""
    (common / "taskd").mkdir(exist_ok=True)
    (common / "taskd" / "endpoint.json").write_text(json.dumps({"socket": str(path), "pid": 1}) + "\n")


@pytest.fixture
def repo(make_repo: Callable[..., Path], daemon: Daemon) -> Path:
    """A repository whose daemon is `daemon`."""
    top = make_repo(commit=False)
    announce(top / ".git", daemon.path)
    return top


def run(
    *argv: str | bytes | Path, cwd: Path, stdin: bytes = b"", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end."""
    everything = {**os.environ, **(env or {})}
    return subprocess.run(
        argv, cwd=cwd, env=everything, input=stdin, capture_output=True, check=False, timeout=PATIENCE
    )


def start(*argv: str | Path, cwd: Path) -> subprocess.Popen[bytes]:
    """Start a command whose output we read."""
    return subprocess.Popen(argv, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def full(result: subprocess.CompletedProcess[bytes]) -> dict[str, object]:
    """What the full program says of how it was started."""
    assert (result.stdout[:4], result.stderr) == (b"FULL", b"")
    facts: dict[str, object] = json.loads(result.stdout[4:])
    return facts


def test_answer_relayed(taskd: Path, repo: Path, daemon: Daemon) -> None:
    """What the daemon answers is what the command prints, on both outputs, and its exit code."""
    daemon.answer = lambda _: pack(b"O", b"one\n") + pack(b"E", b"two\n") + pack(b"O", b"") + pack(b"X", b"5")

    result = run(taskd, "list", cwd=repo)

    assert (result.stdout, result.stderr, result.returncode) == (b"one\n", b"two\n", 5)


def test_call_is_complete(taskd: Path, repo: Path, daemon: Daemon) -> None:
    """The daemon learns the command line as typed, where, by which version, and nothing of no concern."""
    told = {"TASKD_ACTOR": "alice=bob\n", "NO_COLOR": "", "CLAUDE_SESSION_ID": "s 1", "TERM": "dumb"}
    keep = {
        name: value for name, value in os.environ.items() if name in {"LC_ALL", "LANG", "USER", "COLUMNS"}
    }

    run(taskd, "--json", "note", "x", "", "a\nb ü", cwd=repo, env={**told, "PASSWORD": "x"})

    assert daemon.calls == [
        Call(
            version=__version__,
            cwd=str(repo),
            env={**keep, **told},
            argv=("--json", "note", "x", "", "a\nb ü"),
            uid=os.getuid(),
        )
    ]


def test_terminal_told(taskd: Path, repo: Path, daemon: Daemon) -> None:
    """On a terminal the daemon learns that it is one, and how wide."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 132, 0, 0))

    subprocess.run([taskd, "list"], cwd=repo, stdin=theirs, stdout=theirs, check=True, timeout=PATIENCE)
    os.close(ours)
    os.close(theirs)

    (call,) = daemon.calls
    assert (call.out_tty, call.in_tty, call.columns) == (True, True, 132)


def test_repository_found(
    taskd: Path, tmp_path: Path, make_repo: Callable[..., Path], git: Callable[..., str], daemon: Daemon
) -> None:
    """The daemon is found from wherever git finds the repository: links, bare, linked, submodules."""
    main = make_repo(tmp_path / "main", {"a/b/file": "x"})
    git(main, "worktree", "add", "-q", "../linked")
    git(tmp_path, "clone", "-q", "--bare", "main", "bare.git")
    git(tmp_path / "bare.git", "worktree", "add", "-q", "../of-bare")
    git(tmp_path, "init", "-q", "--separate-git-dir", "elsewhere.git", "separate")
    git(tmp_path / "separate", "-c", "protocol.file.allow=always", "submodule", "-q", "add", "../main", "sub")
    (tmp_path / "shortcut").symlink_to("linked/a")
    for common in ("main/.git", "bare.git", "elsewhere.git", "elsewhere.git/modules/sub"):
        announce(tmp_path / common, daemon.path)
    worktrees = "main main/a/b linked linked/a/b shortcut of-bare of-bare/a separate separate/sub/a"
    git_dirs = (
        "main/.git main/.git/refs main/.git/worktrees/linked bare.git bare.git/refs/heads elsewhere.git"
    )
    places = [tmp_path / name for name in f"{worktrees} {git_dirs}".split()]

    assert b"".join(run(taskd, "list", cwd=place).stdout for place in places) == b""
    assert [call.cwd for call in daemon.calls] == [os.path.realpath(place) for place in places]


@pytest.mark.parametrize("options", ["-C repo", "-C repo -Cdeep", "--actor -C --json -Crepo --token=1"])
def test_other_directory(taskd: Path, repo: Path, daemon: Daemon, options: str) -> None:
    """-C leads to another repository's daemon, one after the other, and the daemon is told all of it."""
    (repo / "deep").mkdir()

    run(taskd, *options.split(), "list", cwd=repo.parent)

    assert [(call.cwd, " ".join(call.argv)) for call in daemon.calls] == [
        (str(repo.parent), f"{options} list")
    ]


@pytest.mark.parametrize(
    "words", ["-C nowhere list", "-C deep -C", "--actor", "", "--new list", "-", "-C / list"]
)
def test_unclear_arguments(taskd: Path, repo: Path, words: str) -> None:
    """Arguments the script cannot place are for the full program to judge, in the same directory."""
    (repo / "deep").mkdir()

    facts = full(run(taskd, *words.split(), cwd=repo))

    assert facts["argv"] == [word.encode().hex() for word in words.split()]
    assert facts["cwd"] == os.fsencode(repo).hex()


@pytest.mark.parametrize("words", [*LOCAL.split(), "--version", "x --help", "x y -h", "--json web", "x -C ."])
def test_local_verbs(taskd: Path, repo: Path, daemon: Daemon, words: str) -> None:
    """What concerns this process and machine, or a verb that may name another repository, stays here."""
    full(run(taskd, *words.split(), cwd=repo))

    assert daemon.calls == []


@pytest.mark.parametrize(("value", "asked"), [("1", 0), ("yes", 0), ("0", 1), ("", 1)])
def test_daemon_declined(taskd: Path, repo: Path, daemon: Daemon, value: str, asked: int) -> None:
    """TASKD_NO_DAEMON=1 goes round the daemon; empty or 0 does not."""
    run(taskd, "list", cwd=repo, env={"TASKD_NO_DAEMON": value})

    assert len(daemon.calls) == asked


def link_to(target: Path | str, link: Path) -> Path:
    """Make a link and give it."""
    link.parent.mkdir(parents=True, exist_ok=True)
    link.symlink_to(target)
    return link


@pytest.mark.parametrize("name", ["taskd", "git-taskd"])
def test_behind_links(taskd: Path, repo: Path, daemon: Daemon, tmp_path: Path, name: str) -> None:
    """The script works behind links as pipx and uv make them: absolute, relative, one to the other."""
    absolute = link_to(taskd.parent / name, tmp_path / "local bin" / name)
    relative = link_to(f"../local bin/{name}", tmp_path / "x" / name)
    odd = link_to(f"../x/{name}", tmp_path / "new\nline" / "other name")
    directory = link_to(taskd.parent, tmp_path / "bin") / name
    dashed = link_to(absolute, tmp_path / "-n\n")

    results = [run(link, "list", cwd=repo) for link in (absolute, relative, odd, directory, dashed)]

    assert [(result.stderr, result.returncode) for result in results] == [(b"", 0)] * 5
    assert len(daemon.calls) == 5


def test_found_through_path(taskd: Path, repo: Path, daemon: Daemon) -> None:
    """`taskd …` and `git taskd …` are found through PATH."""
    env = {"PATH": f"{taskd.parent}:{os.environ['PATH']}"}

    run("taskd", "list", cwd=repo, env=env)
    run("git", "-C", repo, "taskd", "ready", cwd=repo.parent, env=env)

    assert [call.argv for call in daemon.calls] == [("list",), ("ready",)]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell(taskd: Path, repo: Path, daemon: Daemon, shell: str) -> None:
    """Whatever shell plays sh on a system, it starts the script, also when called by hand beside it."""
    run(shell, "taskd", "-C", repo, "list", cwd=taskd.parent)

    assert len(daemon.calls) == 1


def test_python_not_beside(taskd: Path, repo: Path, daemon: Daemon, tmp_path: Path) -> None:
    """A script away from its python, as after `pip install --user`, uses python3 with the user's packages."""
    alone = Path(shutil.copy(taskd, tmp_path / "taskd"))
    env = {"PATH": f"{taskd.parent}:{os.environ['PATH']}"}

    run(alone, "list", cwd=repo, env=env)
    facts = full(run(alone, "init", cwd=repo, env=env))

    assert (len(daemon.calls), facts["options"], facts["here"]) == (1, ["-EP"], False)


@linux_only
def test_odd_bytes(taskd: Path, tmp_path: Path, make_repo: Callable[..., Path], daemon: Daemon) -> None:
    """Directories and arguments in no encoding at all, with newlines in them, arrive as they are."""
    cwd = tmp_path / os.fsdecode(b"caf\xe9\nnew line")
    announce(make_repo(cwd) / ".git", daemon.path)
    odd = b"\xff\xfe \xc3"

    run(taskd, "add", odd, cwd=cwd)
    facts = full(run(taskd, "init", odd, "", cwd=cwd))

    assert [(call.cwd, os.fsencode(call.argv[1])) for call in daemon.calls] == [(str(cwd), odd)]
    assert (facts["cwd"], facts["argv"]) == (os.fsencode(cwd).hex(), [b"init".hex(), odd.hex(), ""])


def test_environment_without_locale(taskd: Path, repo: Path, daemon: Daemon) -> None:
    """In the C locale, as cron and agents have it, non-ASCII arguments arrive all the same."""
    run(taskd, "add", "größe", cwd=repo, env={"LC_ALL": "C", "LANG": "C"})

    assert [call.argv for call in daemon.calls] == [("add", "größe")]


@pytest.mark.parametrize("word", ["-", "@-", "body=@-", "--body=-"])
def test_stdin_sent(taskd: Path, repo: Path, daemon: Daemon, word: str) -> None:
    """Standard input goes along, however long, when an argument asks for it."""
    text = os.urandom(3 * LIMIT)

    run(taskd, "set", "x", word, cwd=repo, stdin=text)

    assert [call.stdin for call in daemon.calls] == [text]


def test_stdin_left_alone(taskd: Path, repo: Path) -> None:
    """A command that does not ask for standard input leaves it to the next one in the script."""
    assert run("sh", "-c", '"$0" list; cat', taskd, cwd=repo, stdin=b"rest").stdout == b"rest"


@pytest.mark.parametrize("how", ["no daemon", "left to us", "refused"])
def test_stdin_given_back(taskd: Path, repo: Path, daemon: Daemon, how: str) -> None:
    """Standard input is not lost when, after all, the full program has to do it."""
    daemon.answer = lambda _: pack(b"L", b"")
    if how == "no daemon":
        (repo / ".git/taskd/endpoint.json").unlink()
    if how == "refused":
        daemon.kill()

    facts = full(run(taskd, "add", "-", cwd=repo, stdin=bytes(2 * LIMIT)))

    assert facts["stdin"] == 2 * LIMIT


def test_too_much_stdin(taskd: Path, repo: Path, daemon: Daemon) -> None:
    """Endless standard input is refused in a sentence, and nothing is done."""
    result = run(taskd, "add", "-", cwd=repo, stdin=bytes(STDIN_LIMIT + 1))

    assert (result.returncode, b"16 MiB" in result.stderr, daemon.calls) == (2, True, [])


def test_too_long_command(taskd: Path, repo: Path, daemon: Daemon) -> None:
    """A command line too long for a frame is done by the full program."""
    facts = full(run(taskd, "list", *["x" * 100_000] * 11, cwd=repo))

    assert (len(facts["argv"]), daemon.calls) == (12, [])  # type: ignore[arg-type]


def test_big_output(taskd: Path, repo: Path, daemon: Daemon) -> None:
    """Tens of megabytes of answer come out whole, in one frame or in many."""
    data = os.urandom(10_000_000)
    daemon.answer = lambda _: b"".join([pack(b"O", data), *pack_stream(b"O", data), DONE])

    result = run(taskd, "export", cwd=repo)

    assert (result.stdout == data + data, result.returncode) == (True, 0)


def test_reader_gone(taskd: Path, repo: Path, daemon: Daemon) -> None:
    """`taskd list | head -1` ends without a word."""
    daemon.answer = lambda _: pack(b"O", b"line\n" * 2_000_000) + DONE
    process = start(taskd, "list", cwd=repo)
    assert process.stdout is not None
    process.stdout.close()

    _, errors = process.communicate(timeout=PATIENCE)

    assert (process.returncode, errors) == (141, b"")


@linux_only
def test_disk_full(taskd: Path, repo: Path, daemon: Daemon) -> None:
    """An answer that cannot be written is an error, and the command is not done a second time."""
    daemon.answer = lambda _: pack(b"O", b"line\n") + DONE

    result = run("sh", "-c", '"$0" done x >/dev/full', taskd, cwd=repo)

    assert (result.returncode, b"cannot write" in result.stderr, len(daemon.calls)) == (1, True, 1)


def test_interrupted(taskd: Path, repo: Path, daemon: Daemon) -> None:
    """Ctrl-C while the daemon takes its time ends the command with 130 and no traceback."""
    asked, over = threading.Event(), threading.Event()

    def take_time(_: Call) -> bytes:
        asked.set()
        over.wait(PATIENCE)
        return DONE

    daemon.answer = take_time
    process = start(taskd, "wait", cwd=repo)
    assert asked.wait(PATIENCE)
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=PATIENCE)
    over.set()

    assert (process.returncode, output) == (130, (b"", b""))


@pytest.mark.parametrize(
    "socket", ["", "1", '""', '"/nowhere/x.sock"', r'"/n\u00e9/x"', f'"/{"x" * 200}"', '"/dev/null"']
)
def test_no_endpoint(taskd: Path, repo: Path, socket: str) -> None:
    """Whatever stands in the endpoint file: where no daemon's socket is, the full program does it."""
    (repo / ".git/taskd/endpoint.json").write_text(f'{{"socket": {socket}}}\n')

    facts = full(run(taskd, "list", "--json", cwd=repo))

    assert (facts["argv"], facts["options"]) == ([b"list".hex(), b"--json".hex()], ["-I"])


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a socket to somebody else")
def test_foreign_socket(taskd: Path, repo: Path, daemon: Daemon) -> None:
    """A socket of another user is not talked to: it could be anybody's."""
    os.chown(daemon.path, 65534, 65534)

    full(run(taskd, "list", cwd=repo))

    assert daemon.calls == []


def test_left_to_us(taskd: Path, repo: Path, daemon: Daemon) -> None:
    """What the daemon does not want to do, such as for another version, is done here."""
    daemon.answer = lambda _: pack(b"L", b"")

    facts = full(run(taskd, "list", cwd=repo))

    assert (facts["argv"], len(daemon.calls)) == ([b"list".hex()], 1)


@linux_only
def test_never_accepted(taskd: Path, repo: Path, daemon: Daemon) -> None:
    """A daemon that ends before it has read the request cannot have done it: it is done here."""
    daemon.close()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(daemon.path))
        listener.listen(1)
        process = start(taskd, "done", "x", cwd=repo)
        connection, _ = listener.accept()
        connection.recv(1)
        connection.close()
        output, _ = process.communicate(timeout=PATIENCE)

    assert output[:4] == b"FULL"


HALF = pack(b"O", b"whole") + pack(b"O", b"not whole")[:-1]
NONSENSE = [b"\0\0\0\0rest", b"HTTP/1.1 400 Bad Request\r\n", pack(b"X", b"x"), HALF[:10] + pack(b"L", b"")]


@pytest.mark.parametrize("answer", [b"", HALF[:2], HALF[:10], HALF, *NONSENSE])
def test_daemon_dies(taskd: Path, repo: Path, daemon: Daemon, answer: bytes) -> None:
    """When the daemon dies at its work, the caller learns that nobody knows, and nothing is done twice."""
    daemon.answer = lambda _: answer

    result = run(taskd, "done", "x", cwd=repo)

    assert (result.returncode, len(daemon.calls)) == (75, 1)
    assert result.stdout == (b"whole" if HALF[:10] in answer else b"")
    assert (b"not known" in result.stderr, b"--request-id" in result.stderr) == (True, True)


def test_daemon_dies_json(taskd: Path, repo: Path, daemon: Daemon) -> None:
    """With --json that error is an object like every other."""
    daemon.answer = lambda _: b""

    error = json.loads(run(taskd, "done", "x", "--json", cwd=repo).stderr)

    assert (error["schema"], error["kind"], error["error"]["code"]) == (1, "error", "unknown-outcome")


def test_imports_nothing(taskd: Path, repo: Path) -> None:
    """The way to the socket imports nothing that a bare interpreter has not, but the socket itself."""

    def imported(*argv: str | Path) -> set[str]:
        result = run(taskd.parent / "python", "-I", "-S", "-X", "importtime", *argv, cwd=repo)
        return {line.rpartition(b"|")[2].strip().decode() for line in result.stderr.splitlines()}

    assert imported(taskd, "list") - imported("-c", "pass") == {"_socket"}
