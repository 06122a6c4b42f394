# SPDX-License-Identifier: MIT
"""Starts programs pinned to a core and reads what they used from /proc.

CPU is the first field of schedstat, nanoseconds on a core: exact where the tick-based utime and stime
of stat are not, and it includes the soft interrupts that ran in the process's time, which on loopback
is most of TCP.
"""
import ctypes
import fcntl
import http.client
import json
import os
import random
import re
import resource
import signal
import socket
import ssl
import struct
import subprocess
import sys
import time

START_TIMEOUT_S = 10
LOAD_TIMEOUT_S = 120
INSIDE = "TAKO_BENCH_NETNS"


class Failed(Exception):
    """One measurement could not be taken; the run goes on without it."""


def private_network():
    """Runs this program again in a network namespace of its own, if the system allows that.

    There the congestion control is ours to choose (BBR's pacing triples the cost of loopback file
    transfers), no firewall rule is paid for, and sockets in TIME_WAIT are nobody else's.
    Returns None when inside, otherwise why not."""
    if os.environ.get(INSIDE) == "1":
        bring_loopback_up()
        for name, value in (("tcp_congestion_control", "cubic"), ("tcp_max_tw_buckets", "400000")):
            try:
                with open(f"/proc/sys/net/ipv4/{name}", "w", encoding="ascii") as f:
                    f.write(value)
            except OSError:
                pass
        return None
    flags = ["--net"]
    if os.geteuid() != 0:  # and not as its root: servers that think they are root change their user
        flags += ["--map-current-user", "--keep-caps"]
    try:
        subprocess.run(["unshare", *flags, "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as e:
        return f"no network namespace ({e})"
    os.environ[INSIDE] = "1"
    os.execvp("unshare", ["unshare", *flags, sys.executable, *sys.argv])
    return None


def bring_loopback_up():
    siocsifflags, iff_up = 0x8914, 1
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, siocsifflags, struct.pack("16sH14x", b"lo", iff_up))


def congestion_control():
    try:
        with open("/proc/sys/net/ipv4/tcp_congestion_control", encoding="ascii") as f:
            return f.read().strip()
    except OSError:
        return "unknown"


def free_port():
    """Below the ephemeral ports, which the generator's own connections use up by the thousand."""
    for _ in range(100):
        port = random.randint(20000, 29999)
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Failed("no free port between 20000 and 29999")


def udp_is_bound(port):
    with open("/proc/net/udp", encoding="ascii") as f:
        return any(line.split()[1].endswith(f":{port:04X}") for line in list(f)[1:])


class Line:
    """A long, bad one in front of a server (bench/lossy.c): its clients' port is .port."""

    def __init__(self, program, server_port, delay_ms, loss_per_mille, seed, cpu):
        self.port = free_port()
        self.child = subprocess.Popen([program, *map(str, (self.port, server_port, delay_ms, loss_per_mille, seed))],
                                      stdout=subprocess.PIPE, preexec_fn=prepare(cpu))
        if self.child.stdout.readline() != b"ready\n":
            raise Failed("no line")

    def close(self):
        self.child.kill()
        self.child.wait()
        self.child.stdout.close()


def prepare(cpu, batch=False):
    """What a child does before it becomes the program. On a core that server and generator share,
    SCHED_BATCH keeps either from interrupting the other: each does all it can, then sleeps."""
    libc = ctypes.CDLL(None)

    def child():
        os.sched_setaffinity(0, {cpu})
        if batch:
            os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
        hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        libc.prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG: no server outlives an interrupted run
    return child


def session(leader):
    """The processes of one session. (The kernel's list of a task's children is often not built in.)"""
    found = []
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", encoding="ascii", errors="replace") as f:
                fields = f.read().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == leader and fields[0] != "Z":
            found.append(int(name))
    return found


class Process:
    """A server under test: one command, possibly several processes."""

    def __init__(self, argv, cpu, batch, log):
        self.log_path = log
        with open(log, "wb") as out:
            # Its own session: that is how it and its workers are found and ended together.
            self.child = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out,
                                          preexec_fn=prepare(cpu, batch),
                                          start_new_session=True)

    def wait_ready(self, port, udp=False):
        end = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < end:
            if self.child.poll() is not None:
                raise Failed(f"exited with {self.child.returncode}: {self.last_words()}")
            try:
                if not udp:
                    socket.create_connection(("127.0.0.1", port), 0.5).close()
                    return
            except OSError:
                pass
            if udp and udp_is_bound(port):
                return
            time.sleep(0.02)
        raise Failed(f"does not listen after {START_TIMEOUT_S} s: {self.last_words()}")

    def last_words(self):
        with open(self.log_path, "rb") as f:
            lines = f.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "no output"

    def pids(self):
        return session(self.child.pid)

    def cpu_ns(self):
        """(on a core, waiting for one), over all tasks."""
        on, waiting = 0, 0
        for pid in self.pids():
            for tid in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{tid}/schedstat", encoding="ascii") as f:
                    fields = f.read().split()
                on += int(fields[0])
                waiting += int(fields[1])
        return on, waiting

    def memory_bytes(self):
        """(resident, private dirty), user memory only."""
        rss, dirty = 0, 0
        for pid in self.pids():
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                for line in f:
                    key, _, value = line.partition(":")
                    if key == "Rss":
                        rss += int(value.split()[0]) * 1024
                    elif key == "Private_Dirty":
                        dirty += int(value.split()[0]) * 1024
        return rss, dirty

    def stop(self):
        if self.child.poll() is None:
            self.child.send_signal(signal.SIGTERM)
            try:
                self.child.wait(3)
            except subprocess.TimeoutExpired:
                pass
        try:
            os.killpg(self.child.pid, signal.SIGKILL)
        except OSError:
            pass
        self.child.wait()


class Load:
    """The generator, stopped at 'ready' and again after its result, so that the server's counters can
    be read exactly around the requests that are counted."""

    def __init__(self, program, args, cpu, batch):
        self.child = subprocess.Popen([program, "--sync", "--cpu", str(cpu), *args], text=True,
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      preexec_fn=prepare(cpu, batch))

    def line(self):
        text = self.child.stdout.readline()
        if not text:
            self.child.wait(5)
            raise Failed(f"the generator exited with {self.child.returncode}")
        return text

    def wait_ready(self):
        if self.line().strip() != "ready":
            raise Failed("the generator did not become ready")

    def go(self):
        self.child.stdin.write("go\n")
        self.child.stdin.flush()

    def result(self):
        return json.loads(self.line())

    def close(self):
        self.child.stdin.close()
        try:
            self.child.wait(LOAD_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()
        self.child.stdout.close()


class H2load:
    """nghttp2's generator: one thread, any number of streams on each connection."""

    def __init__(self, port, workload, cpu, tls):
        self.argv = ["h2load", *workload.args]
        self.connections = workload.connections
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{port}{workload.path}"
        self.cpu = cpu

    def run(self, requests):
        count = str(min(self.connections, requests))
        begin = time.monotonic()
        try:
            done = subprocess.run([*self.argv, "-c", count, "-n", str(requests), self.url], text=True, check=False,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  preexec_fn=prepare(self.cpu), timeout=LOAD_TIMEOUT_S)
        except (OSError, subprocess.TimeoutExpired) as e:
            raise Failed(f"h2load: {e}") from e
        seconds = time.monotonic() - begin
        found = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", done.stdout)
        if not found:
            raise Failed(f"h2load: {done.stdout.strip()[-200:]}")
        good, failed, errored = map(int, found.groups())
        return {"requests": good, "errors": failed + errored, "seconds": seconds,
                "rps": good / seconds}

    @staticmethod
    def verify(port, path, want):
        try:
            done = subprocess.run(["nghttp", "--no-dep", f"http://127.0.0.1:{port}{path}"],
                                  capture_output=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired) as e:
            raise Failed(f"nghttp: {e}") from e
        if done.stdout != want:
            raise Failed(f"{path} over HTTP/2: {len(done.stdout)} bytes that are not the ones expected")


def fetch(port, method, path, body=None, tls=False):
    conn = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        conn = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
    try:
        conn.request(method, path, body)
        response = conn.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as e:
        raise Failed(f"{method} {path}: {e!r}") from e
    finally:
        conn.close()


def fetch_h3(port, path, folder):
    """By ngtcp2's example client."""
    got = os.path.join(folder, "got")
    os.makedirs(got, exist_ok=True)
    try:
        subprocess.run(["gtlsclient", "-q", "--exit-on-all-streams-close", "--download", got, "127.0.0.1", str(port),
                        f"https://127.0.0.1:{port}{path}"], capture_output=True, timeout=10, check=False)
        with open(os.path.join(got, os.path.basename(path)), "rb") as f:
            return f.read()
    except (OSError, subprocess.TimeoutExpired) as e:
        raise Failed(f"gtlsclient: {e}") from e


class Perf:
    """Counts the system calls of some processes, exactly and almost for free. perf is started
    disabled and told to count only while the load runs."""

    def __init__(self, pids):
        control_r, self.control = os.pipe()
        self.ack, ack_w = os.pipe()
        self.child = subprocess.Popen(
            ["perf", "stat", "-x", ",", "-e", "raw_syscalls:sys_enter,context-switches",
             "-D", "-1", "--control", f"fd:{control_r},{ack_w}", "-p", ",".join(map(str, pids))],
            pass_fds=(control_r, ack_w), stderr=subprocess.PIPE, stdout=subprocess.DEVNULL,
            text=True)
        os.close(control_r)
        os.close(ack_w)
        self.tell(b"enable")

    def tell(self, command):
        os.write(self.control, command + b"\n")
        if not os.read(self.ack, 16):
            raise Failed("perf stat ended: " + self.child.stderr.read().strip())

    def result(self):
        """({"": calls}, context switches)"""
        self.tell(b"disable")
        self.child.send_signal(signal.SIGINT)
        text = self.child.stderr.read()
        self.child.wait(5)
        os.close(self.control)
        os.close(self.ack)
        counts = [line.split(",")[0] for line in text.splitlines() if "," in line]
        if len(counts) < 2 or not counts[0].isdigit():
            raise Failed("perf cannot count system calls here: " + text.strip())
        return {"": int(counts[0])}, int(counts[1])


class Strace:
    """The same with strace: it names the calls, but slows the server so much that more requests are
    ready at each wake-up, which flatters the number of waits."""

    def __init__(self, pids):
        args = [a for pid in pids for a in ("-p", str(pid))]
        self.child = subprocess.Popen(["strace", "-f", "-c", "-U", "name,calls", *args],
                                      stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for _ in pids:
            if "attached" not in self.child.stderr.readline():
                raise Failed("strace cannot attach")

    def result(self):
        self.child.send_signal(signal.SIGINT)
        text = self.child.stderr.read()
        self.child.wait(5)
        rows = [line.split() for line in text.splitlines()]
        return {r[0]: int(r[1]) for r in rows
                if len(r) == 2 and r[1].isdigit() and r[0] != "total"}, None


def syscall_counter():
    """The better of the two that works here, or None."""
    perf = ["perf", "stat", "-x", ",", "-e", "raw_syscalls:sys_enter", "true"]
    for probe, counter in ((perf, Perf), (["strace", "-c", "true"], Strace)):
        try:
            done = subprocess.run(probe, capture_output=True, text=True, check=False)
        except OSError:
            continue
        if done.returncode == 0 and (counter is Strace or done.stderr[:1].isdigit()):
            return counter
    return None
