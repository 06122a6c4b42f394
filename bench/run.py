#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Compares tako with a bare ceiling and with other servers; `make bench` calls it.

One worker each, pinned to one core, the generator on another. The servers take turns (A B C A B C)
for several short rounds, each freshly started, so that whatever the machine does meanwhile meets all
of them; ratios are taken inside a round before their median is. bench/README.md explains the table.
"""
import argparse
import json
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import measure
import servers
from measure import Failed

HERE = os.path.dirname(os.path.abspath(__file__))
IDLE_SETTLE_S = 1.0
CONTENDED = 0.05  # of its CPU time that the server waited for the core: somebody else was on it
TIE = 1.05        # CPU per request closer than this is the same
LOSS_PER_MILLE, LOSS_DELAY_MS, LOSS_SECONDS = 10, 12.5, 5
URING_BAR = 1.08  # over a bare io_uring loop
PROXY_BAR_US = 1  # of CPU for a PROXY header
UDP_BAR = 2       # datagrams per second and core, of a loop of recvfrom and sendto


class Workload:
    def __init__(self, name, title, kind="plain", path="/plaintext", requests=0, warmup=0,
                 connections=64, args=(), layout=None, bar=None, beats=(), against=None, proxy=None):
        self.name = name
        self.title = title
        # plain, close, file, post, idle, ws; h2load's: h2, grpc, tls (requests), tls-h2, tls-new (handshakes),
        # tls-file; or over HTTP/3: h3, h3-new, h3-file, h3-idle, h3-loss; without HTTP: echo, udp, proxy
        self.kind = kind
        self.websocket = kind == "ws" or name == "ws-idle"
        self.path = path
        self.requests = requests    # per round; a slow server is cut by --seconds first
        self.warmup = warmup
        self.connections = connections
        self.args = list(args)
        self.layout = layout        # where only one layout of server and generator makes sense
        self.bar = bar              # tako's CPU per request over the ceiling's, at most
        self.beats = beats          # peers that tako must not be above; "*" is all
        self.against = against or {}  # peers, and how much of their CPU per request it may take
        self.proxy = proxy          # connections begin with a header of this version
        self.grpc = kind == "grpc"
        self.echo = kind in ("echo", "udp", "proxy") or name == "raw-idle"
        self.quic = kind.startswith("h3")
        self.idle = kind.endswith("idle")
        self.h2load = kind in ("h2", "grpc") or kind.startswith("tls")


WORKLOADS = [
    Workload("plaintext", "13 bytes, keep-alive, 64 connections", requests=150000, warmup=10000,
             bar=1.08, beats="*"),
    Workload("browser", "the same with a browser's request head (700 bytes, 12 fields)",
             requests=120000, warmup=10000, args=["--head", "browser"], bar=1.08),
    Workload("pipelined", "the same, pipelined 16 deep", requests=1600000, warmup=100000,
             args=["--depth", "16"], bar=1.20),
    Workload("many", "13 bytes, keep-alive, 256 connections", requests=150000, warmup=10000,
             connections=256, bar=1.10),
    Workload("connections", "13 bytes, keep-alive, 1,000 connections", requests=150000,
             warmup=20000, connections=1000, bar=1.10),
    # A client's half of a connection costs three times the server's. On a core of its own the server
    # would sleep after each one, and what is measured would be falling asleep and waking.
    Workload("close", "13 bytes, a new connection for each request", kind="close", requests=20000,
             warmup=500, args=["--mode", "close", "--sources", "16"], layout="shared", bar=1.08),
    Workload("file", "a 1 MiB file from the page cache, 16 connections", kind="file",
             path="/files/1m.bin", requests=5000, warmup=200, connections=16,
             beats=("lighttpd",)),
    Workload("post", "POST of 64 KiB, 16 connections", kind="post", path="/count", requests=40000,
             warmup=1000, connections=16, args=["--post", str(servers.POST_BYTES)], bar=1.08),
    Workload("h2c", "13 bytes over HTTP/2, 100 streams on each of 8 connections", kind="h2",
             requests=800000, warmup=8000, connections=8, args=["-m", "100"], bar=1.15,
             beats=("h2o", "haproxy")),
    Workload("h2c-one", "the same, one stream on each of 64 connections", kind="h2",
             requests=150000, warmup=6400, connections=64, args=["-m", "1"], bar=1.15,
             beats=("h2o", "haproxy")),
    Workload("https", "13 bytes over TLS 1.3, keep-alive, 64 connections", kind="tls", requests=100000,
             warmup=6400, args=["--h1"], bar=1.08, beats=("nginx", "haproxy")),
    # Over h2c: what encrypting costs.
    Workload("h2", "13 bytes over HTTP/2 in TLS 1.3, 100 streams on each of 8 connections", kind="tls-h2",
             requests=800000, warmup=8000, connections=8, args=["-m", "100"], bar=1.12),
    # Over a plain POST of the same bytes.
    Workload("grpc", "unary gRPC of 16 bytes over h2c, 100 streams on each of 8 connections", kind="grpc",
             path="/bench.Echo/Unary", requests=400000, warmup=8000, connections=8, args=["-m", "100"],
             bar=1.25, against={"grpc-cpp": 0.1}),
    Workload("grpc-stream", "a gRPC stream of a million 64-byte messages over h2c, one after the other", kind="grpc",
             path="/bench.Echo/Stream", requests=4, warmup=1, connections=1, args=["-m", "1"]),
    # All at once, as h2load connects them.
    Workload("handshake", "full TLS 1.3 handshakes (ECDSA P-256, X25519), a request on each", kind="tls-new",
             requests=2000, warmup=200, connections=2000, args=["--h1"], bar=1.05, against={"nginx": 0.75}),
    # At least 85 % of its throughput, where CPU is what bounds it.
    Workload("https-file", "a 1 MiB file over TLS 1.3 (AES-128-GCM), 16 connections", kind="tls-file",
             path="/files/1m.bin", requests=1500, warmup=64, connections=16, args=["--h1"],
             against={"nginx": 1 / 0.85}),
    Workload("idle", "user memory of idle connections, each after one request", kind="idle",
             connections=10000, args=["--mode", "idle"]),
    Workload("ws", "16-byte WebSocket echoes, 100 connections", kind="ws", path="/echo",
             requests=150000, warmup=10000, connections=100, args=["--message", "16"], bar=1.06,
             beats=("libwebsockets",), against={"node-ws": 0.5}),
    Workload("ws-1k", "the same with 1 KiB", kind="ws", path="/echo", requests=150000,
             warmup=10000, connections=100, args=["--message", "1024"], bar=1.06,
             beats=("libwebsockets",), against={"node-ws": 0.5}),
    Workload("ws-64k", "the same with 64 KiB, 16 connections", kind="ws", path="/echo",
             requests=30000, warmup=1000, connections=16, args=["--message", "65536"], bar=1.06),
    Workload("ws-idle", "user memory of idle WebSockets", kind="idle", path="/echo",
             connections=10000, args=["--mode", "idle"]),
    Workload("h3", "13 bytes over HTTP/3, 100 streams on each of 8 connections", kind="h3", requests=400000,
             warmup=20000, connections=8, args=["--depth", "100"], against={"gtlsserver": 0.9}),
    Workload("h3-file", "a 1 MiB file over HTTP/3 (AES-128-GCM), 16 connections", kind="h3-file",
             path="/files/1m.bin", requests=1000, warmup=64, connections=16),
    Workload("h3-handshake", "full QUIC handshakes (ECDSA P-256, X25519), a request on each", kind="h3-new",
             requests=2000, connections=32, args=["--mode", "close"]),
    Workload("h3-idle", "user memory of idle QUIC connections, each after one request", kind="h3-idle",
             connections=2000, args=["--mode", "idle"]),
    Workload("h3-loss", f"a 1 MiB file with {LOSS_PER_MILLE / 10:.0f} % loss and {2 * LOSS_DELAY_MS:.0f} ms round trip, "
             "16 connections", kind="h3-loss", path="/files/1m.bin", requests=100000, connections=16),
    # This generator fills every connection, then reads them: a server of its own core would sleep in between.
    Workload("raw", "64 bytes sent back over raw TCP, 100 connections", kind="echo", requests=150000, warmup=10000,
             connections=100, layout="shared", bar=1.08),
    Workload("raw-idle", "user memory of idle raw connections, each after one message", kind="idle", connections=10000,
             args=["--mode", "idle"]),
    Workload("udp", "64-byte datagrams sent back, 16 peers, 16 in a row of each", kind="udp", requests=200000,
             warmup=10000, connections=16, args=["--udp", "16"], layout="shared"),
    Workload("udp-flow", "the same, one peer", kind="udp", requests=200000, warmup=10000, connections=1,
             args=["--udp", "16"], layout="shared"),
    Workload("udp-peers", "the same, 64 peers, one of each", kind="udp", requests=200000, warmup=10000, connections=64,
             args=["--udp", "1"], layout="shared"),
    Workload("udp-trains", "the same, 16 peers, 16 of each as a train", kind="udp", requests=800000, warmup=10000,
             connections=16, args=["--udp", "16", "--trains"], layout="shared"),
    Workload("proxy", "64 bytes sent back over a new connection for each, behind a PROXY header, version 2", kind="proxy",
             requests=15000, warmup=640, args=["--mode", "new"], layout="shared", proxy=2),
    Workload("proxy-v1", "the same, version 1", kind="proxy", requests=15000, warmup=640, args=["--mode", "new"],
             layout="shared", proxy=1),
    Workload("proxy-kept", "64 bytes sent back over 100 connections that have begun with a PROXY header", kind="echo",
             requests=150000, warmup=10000, connections=100, layout="shared", proxy=2, against={"tako-plain": TIE}),
]


class Bench:
    def __init__(self, opts, tmp):
        # A message as h2load sends it: prefix and 16 bytes.
        body = os.path.join(tmp, "message")
        with open(body, "wb") as f:
            f.write(b"\0\0\0\0\x10" + b"0123456789abcdef")
        for w in WORKLOADS:
            if w.grpc:
                w.args += ["-d", body, "-H", "content-type: application/grpc", "-H", "te: trailers"]
        self.opts = opts
        self.tmp = tmp
        self.load = os.path.join(opts.build, "bench/load")
        self.load_ws = os.path.join(opts.build, "bench/load_ws")
        self.load_h3 = os.path.join(opts.build, "bench/load_h3")
        self.load_echo = os.path.join(opts.build, "bench/load_echo")
        self.header = os.path.join(opts.build, "bench/header")
        self.counter = measure.Strace if opts.strace else measure.syscall_counter()
        with open(os.path.join(tmp, "www/files/1m.bin"), "rb") as f:
            self.file = f.read()

    def shared(self, workload):
        return (workload.layout or self.opts.layout) == "shared"

    def start(self, server, workload, port):
        log = os.path.join(self.tmp, f"{server.name}.log")
        process = measure.Process(server.command(workload, port), self.opts.server_cpu,
                                  self.shared(workload), log)
        try:
            process.wait_ready(port, workload.quic or workload.kind == "udp")
            self.verify(server, workload, port)
        except BaseException:
            process.stop()
            raise
        return process

    def verify(self, server, workload, port):
        """A server that answers something else is not compared."""
        if workload.websocket or workload.echo:
            return  # the generator compares every byte
        if workload.grpc:
            measure.H2load(port, workload, self.opts.load_cpu, False).run(1)
            return
        if workload.quic:
            got = measure.fetch_h3(port, workload.path, self.tmp)
            if got != (self.file if workload.path.startswith("/files") else servers.HELLO):
                raise Failed(f"{workload.path} over HTTP/3: {len(got)} bytes that are not the ones expected")
            return
        if workload.h2load and not server.over_tls(workload):
            measure.H2load.verify(port, workload.path, servers.HELLO)
            return
        if workload.h2load:
            want = self.file if workload.kind == "tls-file" else servers.HELLO
            got = measure.fetch(port, "GET", workload.path, tls=True)
            if got != (200, want):
                raise Failed(f"{workload.path} over TLS: status {got[0]}, {len(got[1])} bytes that are not "
                             "the ones expected")
            return
        if workload.kind == "post":
            got = measure.fetch(port, "POST", "/count", b"x" * servers.POST_BYTES)
            want = (200, str(servers.POST_BYTES).encode() if server.counts_body else got[1])
        else:
            got = measure.fetch(port, "GET", workload.path)
            want = (200, self.file if workload.kind == "file" else servers.HELLO)
        if got != want:
            raise Failed(f"{workload.path}: status {got[0]}, {len(got[1])} bytes that are not "
                         "the ones expected")

    def generator(self, workload):
        if workload.echo:
            return self.load_echo
        return self.load_ws if workload.websocket else self.load_h3 if workload.quic else self.load

    def load_args(self, server, workload, port):
        opts = self.opts
        args = ["--port", str(port), "--connections", str(workload.connections)] + workload.args
        if not workload.echo:
            args += ["--path", workload.path]
        if workload.proxy and server.proxied:
            args += ["--proxy", str(workload.proxy)]
        if not workload.idle:
            seconds = LOSS_SECONDS if workload.kind == "h3-loss" else opts.seconds
            args += ["--requests", str(opts.requests or workload.requests),
                     "--warmup", str(workload.warmup), "--seconds", str(seconds)]
        return args

    def once(self, server, workload):
        shared = self.shared(workload)
        cpu = self.opts.server_cpu if shared else self.opts.load_cpu
        port = measure.free_port()
        process = self.start(server, workload, port)
        if workload.h2load:
            return self.h2_sample(process, workload, port, cpu, server.over_tls(workload))
        try:
            before_memory = process.memory_bytes()
            if workload.kind == "h3-loss":
                return self.loss_sample(process, server, workload, port, cpu)
            load = measure.Load(self.generator(workload), self.load_args(server, workload, port), cpu, shared)
            try:
                load.wait_ready()
                if workload.idle:
                    return self.idle_sample(process, load, workload, before_memory)
                if self.opts.syscalls:
                    return self.syscall_sample(process, load)
                return self.cpu_sample(process, load)
            finally:
                load.close()
        finally:
            process.stop()

    def h2_sample(self, process, workload, port, cpu, tls):
        """Its generator has no signal for the end of its preparations, so a short run is the warm-up and
        connecting is counted, once in many thousand requests."""
        try:
            load = measure.H2load(port, workload, cpu, tls)
            load.run(workload.warmup)
            before = process.cpu_ns()
            sample = load.run(self.opts.requests or workload.requests)
            return self.share_cpu(sample, before, process.cpu_ns())
        finally:
            process.stop()

    def loss_sample(self, process, server, workload, port, cpu):
        """Bytes count, not whole files, of which few end in the time."""
        line = measure.Line(os.path.join(self.opts.build, "bench/lossy"), port, LOSS_DELAY_MS, LOSS_PER_MILLE, 1, cpu)
        try:
            load = measure.Load(self.load_h3, self.load_args(server, workload, line.port), cpu, False)
            try:
                load.wait_ready()
                sample = self.cpu_sample(process, load)
            finally:
                load.close()
        finally:
            line.close()
        sample["rps"] = sample["bytes"] / len(self.file) / sample["seconds"]
        return sample

    @staticmethod
    def share_cpu(sample, before, after):
        if not sample["requests"]:
            raise Failed("no request was answered")
        on = after[0] - before[0]
        sample["cpu_us"] = on / 1000 / sample["requests"]
        sample["busy"] = on / 1e9 / sample["seconds"]
        sample["waited"] = (after[1] - before[1]) / max(on, 1)
        return sample

    @staticmethod
    def cpu_sample(process, load):
        before = process.cpu_ns()
        load.go()
        sample = load.result()
        return Bench.share_cpu(sample, before, process.cpu_ns())

    def syscall_sample(self, process, load):
        counter = self.counter(process.pids())
        load.go()
        sample = load.result()
        calls, switches = counter.result()
        n = sample["requests"]
        mix = sorted(calls.items(), key=lambda item: -item[1])
        return {"requests": n, "errors": sample["errors"], "syscalls": sum(calls.values()) / n,
                "switches": None if switches is None else switches / n,
                "mix": {name: count / n for name, count in mix if name}}

    @staticmethod
    def idle_sample(process, load, workload, before):
        time.sleep(IDLE_SETTLE_S)
        after = process.memory_bytes()
        load.go()
        sample = load.result()
        if sample["alive"] != workload.connections:
            raise Failed(f"{sample['alive']} of {workload.connections} connections were kept")
        sample["base_rss"] = before[0]
        sample["rss"] = (after[0] - before[0]) / workload.connections
        sample["dirty"] = (after[1] - before[1]) / workload.connections
        return sample


def say(text="", end="\n"):
    print(text, end=end, flush=True)


def progress(text):
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def run_workload(bench, workload, contenders):
    """{server name: {"samples": [...], "round": [...], "failed": text or None}}"""
    results = {}
    rounds = 1 if bench.opts.syscalls or workload.idle else bench.opts.rounds
    running = []
    for server in contenders:
        if (workload.websocket and not server.websocket) or (workload.grpc and not server.grpc) or \
           (workload.quic and not server.quic) or (workload.echo and not server.echo):
            continue
        why = server.skip(workload)
        if why is None:
            results[server.name] = {"samples": [], "rounds": [], "failed": None}
            running.append(server)
        elif why:
            results[server.name] = {"samples": [], "rounds": [], "failed": why}
    for n in range(rounds):
        for server in running:
            result = results[server.name]
            if result["failed"]:
                continue
            progress(f"{workload.name}: round {n + 1} of {rounds}, {server.name}")
            try:
                result["samples"].append(bench.once(server, workload))
                result["rounds"].append(n)
            except (Failed, OSError, ValueError) as e:
                result["failed"] = str(e)
    progress("")
    return results


def median(result, key):
    return statistics.median(s[key] for s in result["samples"])


def latency(result, key):
    """h2load has no percentiles."""
    return f"{median(result, key):>9,.0f}" if key in result["samples"][0] else f"{'-':>9}"


def base_of(results):
    return next((results[n] for n in ("ceiling", "ceiling-h2", "ceiling-ws", "ceiling-tls", "tako-post", "tako-h2c",
                                      "udp-calls", "tako-plain") if n in results), None)


def ratios(result, base):
    """Of CPU per request, round by round: both halves saw the same machine."""
    theirs = dict(zip(base["rounds"], base["samples"]))
    return [s["cpu_us"] / theirs[n]["cpu_us"]
            for n, s in zip(result["rounds"], result["samples"]) if n in theirs]


def skipped(name, result):
    if result["samples"]:
        return False
    say(f"{name:15}{'-':>10}  skipped: {result['failed']}")
    return True


def notes_on(result, shared):
    errors = sum(s["errors"] for s in result["samples"])
    if errors:
        yield f"{errors} ERRORS"
    if not shared and median(result, "waited") > CONTENDED:
        yield f"somebody else was on its core ({median(result, 'waited'):.0%})"
    if result["failed"]:
        yield f"stopped after {len(result['samples'])} rounds: {result['failed']}"


def print_load_table(results, shared):
    base = base_of(results)
    say(f"{'':15}{'CPU µs/req':>10}{'x ceiling':>11}{'(min-max)':>14}{'req/s':>11}{'busy':>6}"
        f"{'p50 µs':>9}{'p99 µs':>9}")
    for name, result in results.items():
        if skipped(name, result):
            continue
        paired = ratios(result, base) if base else []
        ratio, spread = "-", ""
        if paired:
            ratio = f"{statistics.median(paired):.3f}"
            spread = f"({min(paired):.2f}-{max(paired):.2f})"
        busy = "-" if shared else f"{median(result, 'busy'):.0%}"
        say(f"{name:15}{median(result, 'cpu_us'):>10.3f}{ratio:>11}{spread:>14}"
            f"{median(result, 'rps'):>11,.0f}{busy:>6}"
            f"{latency(result, 'p50_us')}{latency(result, 'p99_us')}"
            f"  {', '.join(notes_on(result, shared))}".rstrip())


def print_idle_table(results):
    say(f"{'':15}{'private dirty':>14}{'resident':>12}{'alone':>12}   bytes per connection; "
        "KiB without any")
    for name, result in results.items():
        if not skipped(name, result):
            say(f"{name:15}{median(result, 'dirty'):>14,.0f}{median(result, 'rss'):>12,.0f}"
                f"{median(result, 'base_rss') / 1024:>12,.0f}")


def print_syscall_table(results):
    say(f"{'':15}{'calls/req':>10}{'switches/req':>14}   calls by name (strace only)")
    for name, result in results.items():
        if skipped(name, result):
            continue
        sample = result["samples"][0]
        switches = "-" if sample["switches"] is None else f"{sample['switches']:.4f}"
        mix = ", ".join(f"{call} {n:.3f}" for call, n in sample["mix"].items() if n >= 0.001)
        say(f"{name:15}{sample['syscalls']:>10.4f}{switches:>14}   {mix}".rstrip())


def uring_verdicts(workload, results):
    """The other runtime: near its own ceiling where that is one, and never behind epoll."""
    tako = results.get("tako-uring")
    if not tako or not tako["samples"] or workload.idle:
        return []
    found = []
    for base, bar in (("ceiling-uring", URING_BAR), ("tako", TIE)):
        other = results.get(base)
        if not other or not other["samples"] or (base != "tako" and workload.kind not in ("plain", "echo")):
            continue
        ratio = statistics.median(ratios(tako, other))
        found.append((ratio <= bar, f"on io_uring {ratio:.3f} x {base}, bar {bar:.2f}"))
    return found


def against_gtlsserver(workload, tako, peer):
    """Throughput.  Of a file it is that of a core which does nothing else: what comes out at the other end is bounded
    by the generator, whose half of a packet costs more than the server's."""
    theirs = dict(zip(peer["rounds"], peer["samples"]))
    rate = statistics.median(s["rps"] / theirs[n]["rps"] for n, s in zip(tako["rounds"], tako["samples"]) if n in theirs)
    if workload.kind == "h3-loss":
        return rate >= 0.9, f"{rate:.3f} x gtlsserver's throughput, bar 0.90"
    core = 1 / statistics.median(ratios(tako, peer))
    return core >= 1.3, (f"{core:.3f} x gtlsserver's throughput of a core, bar 1.30 ({rate:.3f} x with the generator's "
                         "part in it)")


def against_calls(results):
    """Datagrams per second of a core: what batches are for."""
    for name in ("tako", "tako-uring"):
        if results.get(name, {}).get("samples") and results.get("udp-calls", {}).get("samples"):
            rate = 1 / statistics.median(ratios(results[name], results["udp-calls"]))
            yield rate >= UDP_BAR, f"{name} has {rate:.2f} x the datagrams per core of udp-calls, bar {UDP_BAR}"


def header_price(bench, workload):
    """The difference to the same connection without one.  It is less than what two rounds here differ by, so a program
    of its own has both of them in turns (header.c)."""
    run = subprocess.run([bench.header], stdout=subprocess.PIPE, text=True, check=True,
                         preexec_fn=lambda: os.sched_setaffinity(0, {bench.opts.server_cpu}))
    for runtime, version, price in re.findall(r"^(\S+), version (\d): (\S+) of", run.stdout, re.M):
        if int(version) == workload.proxy:
            price = float(price)
            yield price <= PROXY_BAR_US, f"on {runtime} a PROXY header costs {price:.2f} µs, bar {PROXY_BAR_US}"


def print_cpu_per_byte(results):
    """Of a 1 MiB file."""
    found = [f"{name} {median(r, 'cpu_us') * 1000 / (1 << 20):.3f}" for name, r in results.items() if r["samples"]]
    if found:
        say(f"  CPU per byte, ns: {', '.join(found)}")


def print_handshakes(workloads):
    """QUIC's beside TLS's, where both were measured: how many of each a core makes in a second."""
    both = [(what, workloads.get(name, {})) for what, name in (("QUIC", "h3-handshake"), ("TLS", "handshake"))]
    for name in ("tako", "tako-uring"):
        rates = {what: 1e6 / median(results[name], "cpu_us") for what, results in both
                 if results.get(name, {}).get("samples")}
        if len(rates) == 2:
            say(f"\nfull handshakes a second and core, {name}: {rates['QUIC']:,.0f} over QUIC, {rates['TLS']:,.0f} over TLS "
                f"({rates['QUIC'] / rates['TLS']:.2f} x)")


def verdicts(workload, results):
    """What the project asks of itself, as (met, text)."""
    tako = results.get("tako")
    if not tako:
        return []
    if tako["failed"] or any(s["errors"] for s in tako["samples"]):
        return [(False, "it did not get through")]
    found = []
    base = base_of(results)
    if workload.bar and base and base["samples"]:
        ratio = statistics.median(ratios(tako, base))
        found.append((ratio <= workload.bar, f"{ratio:.3f} x ceiling, bar {workload.bar:.2f}"))
    found += uring_verdicts(workload, results)
    for name, result in results.items():
        if name.startswith(("ceiling", "tako", "udp")) or not result["samples"]:
            continue
        if workload.beats == "*" or name in workload.beats:
            ratio = statistics.median(ratios(tako, result))
            found.append((ratio <= TIE, f"{ratio:.3f} x {name}"
                          + (" (a tie)" if 1 < ratio <= TIE else "")))
    for name, most in workload.against.items():
        if results.get(name, {}).get("samples"):
            ratio = statistics.median(ratios(tako, results[name]))
            text = f"{ratio:.3f} x {name}, bar {most:.2f}"
            if name == "grpc-cpp":
                text = f"{1 / ratio:.1f} x the calls per second of {name}, bar {1 / most:.0f}"
            found.append((ratio <= most, text))
    if workload.kind == "udp":
        found += against_calls(results)
    if workload.name == "grpc-stream":
        rate = servers.STREAM_MESSAGES / median(tako, "cpu_us")
        found.append((rate >= 2, f"{rate:.2f} million messages a second per core, bar 2"))
    if workload.kind in ("h3-file", "h3-loss") and results.get("gtlsserver", {}).get("samples"):
        found.append(against_gtlsserver(workload, tako, results["gtlsserver"]))
    if workload.name == "ws-64k":
        rate = 65536 / 1000 / median(tako, "cpu_us")
        found.append((rate >= 1, f"{rate:.1f} GB/s echoed per core, bar 1"))
    if workload.idle:
        dirty = median(tako, "dirty")
        bar = 48 << 10 if workload.quic else 2048 if workload.websocket else 512
        found.append((dirty <= bar, f"{dirty:.0f} bytes per idle connection, bar {bar}"))
    return found


def select(text, known, what):
    if not text:
        return list(known)
    names = text.split(",")
    for name in names:
        if name not in known:
            sys.exit(f"run.py: no {what} '{name}'; there are: {', '.join(known)}")
    return [n for n in known if n in names]


def machine():
    model = "unknown CPU"
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        for line in f:
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    return {"cpu": model, "cpus": os.cpu_count(), "kernel": platform.release(),
            "congestion_control": measure.congestion_control(),
            "load_average": os.getloadavg()[0]}


def parse_args():
    p = argparse.ArgumentParser(description=__doc__.split("\n\n", maxsplit=1)[0])
    cpus = sorted(os.sched_getaffinity(0))
    p.add_argument("--build", default=os.path.join(HERE, "../build"), help="build directory")
    p.add_argument("--only", metavar="A,B",
                   help="workloads: " + ", ".join(w.name for w in WORKLOADS))
    p.add_argument("--servers", metavar="A,B",
                   help="servers: " + ", ".join(s.name for s in servers.ALL))
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--seconds", type=float, default=1.2, help="longest round")
    p.add_argument("--requests", type=int, help="per round, instead of each workload's own number")
    p.add_argument("--server-cpu", type=int, default=cpus[0])
    p.add_argument("--load-cpu", type=int, default=cpus[-1])
    p.add_argument("--layout", choices=("split", "shared"), default="split",
                   help="server and generator on a core each, or both on one: then CPU per request "
                        "hardly depends on what else the machine does, and req/s means nothing")
    p.add_argument("--syscalls", action="store_true",
                   help="count system calls per request instead of time, with perf or else strace")
    p.add_argument("--strace", action="store_true",
                   help="the same with strace, which names the calls")
    p.add_argument("--host-network", action="store_true",
                   help="do not use a network namespace of its own")
    p.add_argument("--strict", action="store_true", help="exit 1 when a bar is missed")
    p.add_argument("--json", metavar="FILE", help="write every sample to FILE")
    return p.parse_args()


def run_all(opts, bench, chosen, contenders):
    report = {"machine": machine(), "workloads": {}}
    missed = 0
    for workload in chosen:
        if opts.syscalls and (workload.idle or workload.h2load or workload.kind == "h3-loss"):
            continue
        shared = bench.shared(workload)
        say(f"\n{workload.name}: {workload.title}"
            + (" (one core for server and generator)" if shared else ""))
        results = run_workload(bench, workload, contenders)
        report["workloads"][workload.name] = results
        if opts.syscalls:
            print_syscall_table(results)
            continue
        if workload.idle:
            print_idle_table(results)
        else:
            print_load_table(results, shared)
        if workload.kind == "h3-file":
            print_cpu_per_byte(results)
        found = verdicts(workload, results)
        if workload.kind == "proxy":
            found += header_price(bench, workload)
        for met, text in found:
            say(f"  tako {'meets' if met else 'MISSES'}: {text}")
            missed += not met
    if not opts.syscalls:
        print_handshakes(report["workloads"])
    return report, missed


def find_contenders(opts, tmp, names):
    found = []
    for server in (s(opts.build, tmp) for s in servers.ALL if s.name in names):
        absent = server.missing()
        if absent and opts.strict and server.name == "tako":
            sys.exit(f"run.py: {absent}")
        if absent:
            say(f"{server.name} is left out: {absent}")
        else:
            found.append(server)
    return found


def introduce(opts, host_network):
    facts = machine()
    cores = f"server on core {opts.server_cpu}, generator on core {opts.load_cpu}"
    if opts.layout == "shared":
        cores = f"server and generator on core {opts.server_cpu}"
    say(f"{facts['cpu']}, {facts['cpus']} CPUs, Linux {facts['kernel']}, "
        f"{facts['congestion_control']}; {cores}; load average {facts['load_average']:.2f}")
    if host_network:
        say(f"in the host's network, {host_network}: compare ratios only")


def main():
    opts = parse_args()
    opts.build = os.path.abspath(opts.build)
    opts.syscalls |= opts.strace
    if opts.server_cpu == opts.load_cpu:
        opts.layout = "shared"
    names = select(opts.servers, [s.name for s in servers.ALL], "server")
    only = select(opts.only, [w.name for w in WORKLOADS], "workload")
    if not os.access(os.path.join(opts.build, "bench/load"), os.X_OK):
        sys.exit(f"run.py: {opts.build}/bench/load is not there; run `make bench`")
    if opts.syscalls and not measure.syscall_counter():
        sys.exit("run.py: neither perf nor strace can count system calls here")
    host_network = "as asked" if opts.host_network else measure.private_network()
    introduce(opts, host_network)
    os.sched_setaffinity(0, {opts.load_cpu})

    tmp = tempfile.mkdtemp(prefix="tako-bench-")
    try:
        servers.make_www(tmp)
        report, missed = run_all(opts, Bench(opts, tmp), [w for w in WORKLOADS if w.name in only],
                                 find_contenders(opts, tmp, names))
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        shutil.rmtree(tmp, ignore_errors=True)
    if opts.json:
        with open(opts.json, "w", encoding="utf-8") as f:
            json.dump(report, f, indent=1)
    if opts.strict and missed:
        sys.exit(1)


if __name__ == "__main__":
    main()
