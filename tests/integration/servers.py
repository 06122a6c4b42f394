# SPDX-License-Identifier: MIT
"""Programs under test as processes: started, watched, stopped, and looked at afterwards.

A process that ends with another status than expected, or with a sanitizer's report, fails the
test that used it.
"""
import functools
import os
import re
import resource
import signal
import socket
import subprocess
import tempfile
import time

import pytest

from wire import PATIENCE, SAN, Wire

BUILD = os.environ.get(
    "TAKO_BUILD",
    os.path.join(os.path.dirname(__file__), "..", "..", "build"))
ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
#: What a server that is told nothing may run on: the whole suite runs on either.
RUNTIMES = [os.environ["TAKO_RUNTIME"]] if os.environ.get("TAKO_RUNTIME") else ["io_uring", "epoll"]
#: The programs of launch() and the showcase over TLS instead of plain TCP: TAKO_TEST_OVER=tls.
OVER_TLS = os.environ.get("TAKO_TEST_OVER") == "tls"
#: They listen for QUIC too, beside plain TCP: h3wire.py says when.
WITH_H3 = False
START_S = 20 * PATIENCE
STOP_S = 15 * PATIENCE
#: The exit status of a program whose drain was cut (tests/programs/program.h).
EXIT_CUT = 3
REPORT = re.compile(r"ERROR: \w+Sanitizer|WARNING: ThreadSanitizer|runtime error:")
#: What assert_clean() says of a process that a signal has ended.
CRASH = re.compile(r" ended with -\d+, not ")


def assert_no_report(err):
    """No sanitizer has anything to say; else its summary comes first."""
    if REPORT.search(err):
        short = re.search(r"^SUMMARY: .*|^.*runtime error: .*", err, re.M)
        raise AssertionError(f"{short.group() if short else 'a report'}\n{err}")


# Neither two runs of the tests at the same time nor two tests of one run shall meet: where they may
# run beside each other, each is told its own range.
_LOW = int(os.environ.get("TAKO_TEST_PORTS", "20000"))
_HIGH = _LOW + 5000
_next_port = _LOW + os.getpid() * 97 % (_HIGH - _LOW)


def free_port(host="127.0.0.1"):
    """A port nobody listens on, below the range that the kernel gives to clients."""
    global _next_port
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for _ in range(_HIGH - _LOW):
        _next_port = _LOW + (_next_port + 1 - _LOW) % (_HIGH - _LOW)
        with socket.socket(family, socket.SOCK_STREAM) as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind((host, _next_port))
                with socket.socket(family, socket.SOCK_DGRAM) as u:
                    u.bind((host, _next_port))
            except OSError:
                continue
            return _next_port
    raise RuntimeError("no free port")


def certificate(folder, name="own", *, subject="/CN=localhost", alt="DNS:localhost,IP:127.0.0.1", key="ec",
                days=2, signer=None, extra=()):
    """Make a key and a certificate with OpenSSL, which is not ours; returns their two paths.  `signer`:
    the pair that signs, else it signs itself."""
    cert, own_key = (os.path.join(folder, f"{name}.{end}") for end in ("pem", "key"))
    kind = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"] if key == "ec" else [key]
    by = ["-CA", signer[0], "-CAkey", signer[1]] if signer else []
    alt = ["-addext", f"subjectAltName={alt}"] if alt else []
    subprocess.run(["openssl", "req", "-x509", "-nodes", "-newkey", *kind, "-keyout", own_key, "-out", cert,
                    "-subj", subject, "-days", str(days), *alt, *by, *extra],
                   check=True, capture_output=True, stdin=subprocess.DEVNULL)
    return cert, own_key


_folder = None


def shared_certificate():
    """One for localhost, the same for the whole run."""
    global _folder
    if not _folder:
        _folder = tempfile.TemporaryDirectory()
        certificate(_folder.name)
    return os.path.join(_folder.name, "own.pem"), os.path.join(_folder.name, "own.key")


def node_modules(name):
    """Where scripts/npm.sh has put that package, for NODE_PATH; None: it has not."""
    for folder in (BUILD, os.path.dirname(BUILD)):
        modules = os.path.join(folder, "npm", "node_modules")
        if os.path.isdir(os.path.join(modules, name)):
            return modules
    return None


def program(name):
    """The path of a built program; a build without it is a failure, not a skip.  Examples know no
    TAKO_TEST_KNOBS: where there are any, their second build does."""
    if os.environ.get("TAKO_TEST_KNOBS"):
        name = re.sub("^examples/", "cut/", name)
    path = os.path.join(BUILD, name)
    assert os.access(path, os.X_OK), f"{path} is not built"
    return os.path.abspath(path)


class Server:
    """A running program that listens on self.addr."""

    def __init__(self, argv, addr, nofile=None, ready_path="/healthz", cwd=None, env=None,
                 pass_fds=()):
        self.addr = addr
        self.scheme = "https" if addr and "tls" in addr[2:] else "http"
        self.name = os.path.basename(argv[0])
        self._checked = False
        self._out = tempfile.TemporaryFile()
        self._err = tempfile.TemporaryFile()
        limit = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (nofile, nofile))) \
            if nofile else None
        self.proc = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=self._out,
                                     stderr=self._err, preexec_fn=limit, cwd=cwd, pass_fds=pass_fds,
                                     env={**os.environ, **(env or {})})
        self.pid = self.proc.pid
        try:
            if ready_path:
                self.wait_ready(ready_path)
        except BaseException:
            self.kill()
            raise

    def __enter__(self):
        return self

    def __exit__(self, kind, exc, trace):
        if kind is None:
            if not self._checked:
                self.stop()
            return
        # What a test saw of a server that died is a connection that was reset: say why.
        ended = self.proc.poll()
        self.kill()
        if not self._checked:
            assert_no_report(self.stderr)
            assert ended is None or self._told, f"{self.name} ended with {ended}: {self.stderr}"

    # ---- What it says -------------------------------------------------------

    @staticmethod
    def _text(f):
        f.flush()
        with os.fdopen(os.dup(f.fileno()), "rb") as copy:
            return os.pread(copy.fileno(), 1 << 22, 0).decode("utf-8", "replace")

    @property
    def stdout(self):
        return self._text(self._out)

    @property
    def stderr(self):
        return self._text(self._err)

    def said(self, name):
        """The last value of a "name value" line of its standard output."""
        values = re.findall(rf"^{name} (.*)$", self.stdout, re.M)
        assert values, f"{self.name} did not say {name}: {self.stdout!r}"
        return values[-1]

    # ---- Life ----------------------------------------------------------------

    def wait_ready(self, path):
        """Until it has answered a request: it listens, and its signal handlers are in place."""
        deadline = time.monotonic() + START_S
        while True:
            assert self.proc.poll() is None, \
                f"{self.name} ended with {self.proc.returncode}: {self.stderr}"
            assert time.monotonic() < deadline, f"{self.name} does not listen: {self.stderr}"
            try:
                w = Wire(self.addr)
            except (ConnectionError, FileNotFoundError):
                time.sleep(0.005)
                continue
            with w:
                w.get(path)
                w.leave()
                return

    def connect(self, **kw):
        return Wire(self.addr, **kw)

    _told = False

    def signal(self, number=signal.SIGTERM):
        self._told = self._told or number in (signal.SIGTERM, signal.SIGINT)
        self.proc.send_signal(number)

    def wait(self, timeout=STOP_S):
        return self.proc.wait(timeout)

    def kill(self):
        if self.proc.poll() is None:
            self.proc.kill()
            self.proc.wait()

    def assert_clean(self, status=0):
        """It has ended, with that status and without a sanitizer's report."""
        self._checked = True
        err = self.stderr
        assert_no_report(err)
        assert self.proc.returncode == status, \
            f"{self.name} ended with {self.proc.returncode}, not {status}: {err}"

    def stop(self, status=0):
        """SIGTERM, unless a test has sent it, and see it go in order.  A second one could meet a process
        that has given its signals back and is about to end."""
        if self.proc.poll() is None and not self._told:
            self.signal()
        try:
            self.wait()
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.name} did not stop on SIGTERM: {self.stderr}") from None
        self.assert_clean(status)

    # ---- What the kernel knows of it -----------------------------------------

    def rss_kib(self):
        with open(f"/proc/{self.pid}/status", encoding="ascii") as f:
            return int(re.search(r"^VmRSS:\s+(\d+) kB", f.read(), re.M).group(1))

    def cpu_s(self):
        with open(f"/proc/{self.pid}/stat", encoding="ascii") as f:
            after = f.read().rsplit(")", 1)[1].split()
        return (int(after[11]) + int(after[12])) / os.sysconf("SC_CLK_TCK")

    def fd_count(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


def showcase(files, *args, **kw):
    port = free_port()
    listen = ["--http", f"127.0.0.1:{port}"]
    addr = ("127.0.0.1", port)
    if OVER_TLS:
        cert, key = shared_certificate()
        listen = ["--tls", f"127.0.0.1:{port}", "--cert", cert, "--key", key]
        addr += ("tls",)
    elif WITH_H3:
        cert, key = shared_certificate()
        listen += ["--h3", f"127.0.0.1:{port}", "--cert", cert, "--key", key]
    cut = (kw.get("env") or {}).get("TAKO_TEST_KNOBS", os.environ.get("TAKO_TEST_KNOBS", ""))
    cut = [f"--{knob.replace('_', '-')}" for knob in cut.split()]
    return Server([program("examples/showcase"), *listen, *cut, "--workers", "2",
                   "--quiet", "--files", str(files), *args], addr, **kw)


def launch(name, *args, host="127.0.0.1", tls=OVER_TLS, **kw):
    """A program of tests/programs that takes listen=ADDR."""
    port = free_port(host)
    shown = f"[{host}]" if ":" in host else host
    kw.setdefault("ready_path", "/hello")
    addr = (host, port)
    if tls:
        cert, key = shared_certificate()
        kw["env"] = {**(kw.get("env") or {}), "TAKO_TEST_CERT": cert, "TAKO_TEST_KEY": key}
        addr += ("tls",)
    elif WITH_H3:
        cert, key = shared_certificate()
        kw["env"] = {**kw.get("env", {}), "TAKO_TEST_H3": "1", "TAKO_TEST_CERT": cert, "TAKO_TEST_KEY": key}
    return Server([program(f"tests/programs/{name}"), f"listen={shown}:{port}", *args], addr, **kw)


def knobs(**settings):
    """tests/programs/knobs.c with these fields of its config."""
    kw = {k: settings.pop(k) for k in ("host", "nofile", "ready_path", "env", "tls") if k in settings}
    settings.setdefault("worker_count", 1)
    return launch("knobs", *(f"{k}={v}" for k, v in settings.items()), **kw)


def stats(server):
    """The figures of knobs.c."""
    with Wire(server.addr) as w:
        text = w.get("/stats").body.decode()
        w.leave()
    return {k: int(v) for k, v in (line.split() for line in text.splitlines())}


def runtimes():
    """The runtimes that the tests can choose between: one, if the environment has chosen already."""
    chosen = os.environ.get("TAKO_RUNTIME")
    return [chosen] if chosen else all_runtimes()


def all_runtimes():
    """Those that work here, whatever the environment has chosen."""
    return [name for name in ("epoll", "io_uring") if _runs_on(name)]


@functools.lru_cache(maxsize=None)
def _runs_on(name):
    """Whether this build and this machine have that runtime."""
    try:
        with knobs(env={"TAKO_RUNTIME": name}) as s, Wire(s.addr) as w:
            return w.get("/runtime", "Connection: close").body.decode() == name
    except AssertionError:
        return False


def hostile(knobs_text):
    return {"TAKO_TEST_KNOBS": knobs_text} if knobs_text else {}


_CUT = os.environ.get("TAKO_TEST_KNOBS", "").split()
#: For tests of what small pieces make different: how much memory, or how many turns, something takes.
in_whole_pieces = pytest.mark.skipif(bool(_CUT), reason="about whole pieces")
#: For tests with megabytes, on their way in or out.
not_byte_by_byte = pytest.mark.skipif("recv_buffer_bytes=1" in _CUT, reason="would take minutes byte by byte")
not_sent_in_bits = pytest.mark.skipif("send_max_bytes" in " ".join(_CUT), reason="would take minutes in small sends")

#: Ways to cut bytes on their way, as knobs of the programs in tests/programs; of "dripped" the client
#: takes care.
HOSTILE = {
    "plain": "",
    "dripped": "",
    "read byte by byte": "recv_buffer_bytes=1",
    "two small buffers": "recv_buffer_bytes=64 recv_buffer_count=2",
    "partial sends": "send_max_bytes=13",
    "all at once": "recv_buffer_bytes=1 recv_buffer_count=1 send_max_bytes=7",
}


@functools.lru_cache(maxsize=None)
def hostile_modes():
    """Those that the programs of this build can be told: they refuse what they do not know."""
    told = not _starts_with(hostile("no_such_knob=1"))
    return [mode for mode, text in HOSTILE.items() if not text or told and _starts_with(hostile(text))]


def _starts_with(env):
    try:
        with knobs(env=env):
            return True
    except AssertionError:
        return False


def run_refused(argv, timeout=START_S):
    """Run a program that is expected to end by itself; its result, checked for reports."""
    r = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                       timeout=timeout, check=False)
    assert_no_report(r.stderr)
    return r


__all__ = ["BUILD", "SAN", "Server", "free_port", "knobs", "program", "run_refused", "runtimes",
           "showcase", "hostile", "in_whole_pieces", "not_byte_by_byte",
           "not_sent_in_bits", "hostile_modes", "HOSTILE", "launch", "stats"]
