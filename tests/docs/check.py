#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""check.py BUILD: the documentation against the tree: what it shows compiles, runs, exists.

In README.md and docs/*.md, the words after ```c say what a snippet claims:

    ```c complete    a program: compiles and links
    ```c handlers    functions: compiles with tako's and the usual headers before it
    ```c setup       statements: compiles in a function that has router, srv, req, res and arg

<!-- handlers: list, show --> anywhere in a page declares functions that its snippets only name. Every
gcc line of README.md is run as it stands, on its first program, whose server must then answer.
Links to files must lead somewhere, docs/config.md must name every knob of every config struct, where it
speaks of that struct, and docs/operations.md every figure of tako_metrics().
"""
import http.client
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.abspath(os.path.join(os.path.dirname(__file__), "..", ".."))
CC = os.environ.get("CC") or "gcc"
WARN = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Werror"]
LAX = ["-Wno-unused-function", "-Wno-unused-parameter", "-Wno-unused-variable"]
PROLOGUE = """#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <tako/redis.h>
#include <tako/tako.h>
"""
KNOB_STRUCTS = {
    "server.h": ["tako_server_config", "tako_listen_config"],
    "http.h": ["tako_static_config", "tako_multipart_config"],
    "redis.h": ["tako_redis_config"],
    "grpc.h": ["tako_grpc_config"],
    "sse.h": ["tako_sse_config"],
    "tls.h": ["tako_cert_config"],
    "raw.h": ["tako_raw_config", "tako_udp_config"],
    "connect.h": ["tako_tls_client_config", "tako_connect_config"],
    "forwarded.h": ["tako_forward_config"],
    "client.h": ["tako_client_config", "tako_fetch_config"],
    "inherit.h": ["tako_restart_config"],
    "ws.h": ["tako_ws_config", "tako_ws_deflate"],
    "topic.h": ["tako_topic_config"],
    "webtransport.h": ["tako_wt_config"],
}
START_S = 20
STOP_S = 20


def pages():
    docs = os.path.join(ROOT, "docs")
    names = ["README.md"] + [f"docs/{f}" for f in sorted(os.listdir(docs)) if f.endswith(".md")]
    return {name: open(os.path.join(ROOT, name), encoding="utf-8").read() for name in names}


def snippets(text):
    """(line, claim, code) of each fenced snippet; claim is what follows its opening fence."""
    for m in re.finditer(r"^```(\S[^\n]*)?\n(.*?)^```$", text, re.M | re.S):
        yield text.count("\n", 0, m.start()) + 2, (m.group(1) or "").strip(), m.group(2)


def run(argv, code=None, **kw):
    """None, or what the command printed when it failed."""
    p = subprocess.run(argv, input=code, text=True, stdout=subprocess.PIPE,
                       stderr=subprocess.STDOUT, check=False, timeout=120, **kw)
    return None if p.returncode == 0 else p.stdout or f"exit status {p.returncode}"


# ---- Snippets ---------------------------------------------------------------


def compile_snippet(build, page, text, line, claim, code):
    names = [n.strip() for found in re.findall(r"<!-- handlers: (.*?) -->", text)
             for n in found.split(",")]
    given = "".join(f"int {n}(tako_req *req, tako_res *res, void *arg);\n" for n in names)
    at = f'#line {line} "{page}"\n'
    check = [CC, *WARN, "-I", os.path.join(ROOT, "include"), "-x", "c", "-"]
    if claim == "c complete":
        with tempfile.TemporaryDirectory() as tmp:
            return run(check + ["-D_GNU_SOURCE", "-pthread", "-x", "none",
                                os.path.join(build, "libtako.a"), "-luring", "-o",
                                f"{tmp}/program"],
                       at + code)
    if claim == "c handlers":
        return run(check + LAX + ["-fsyntax-only"], PROLOGUE + given + at + code)
    if claim == "c setup":
        head = ("int snippet(tako_router *router, tako_server *srv, tako_req *req, tako_res *res,"
                " void *arg);\nint snippet(tako_router *router, tako_server *srv, tako_req *req,"
                " tako_res *res, void *arg)\n{\n\tint rc = 0;\n")
        return run(check + LAX + ["-fsyntax-only"],
                   PROLOGUE + given + head + at + code + "\treturn rc;\n}\n")
    return f"nothing is known of a snippet that claims {claim!r}"


# ---- The five-minute start ----------------------------------------------------


def installed_tree(build, tmp):
    """A prefix as `make install` would fill it, and a checkout beside it."""
    prefix = os.path.join(tmp, "prefix")
    os.makedirs(os.path.join(prefix, "lib"))
    os.symlink(os.path.join(ROOT, "include"), os.path.join(prefix, "include"))
    for name in os.listdir(build):
        if name.startswith("libtako."):
            os.symlink(os.path.join(build, name), os.path.join(prefix, "lib", name))
    with open(os.path.join(build, "tako.pc"), encoding="utf-8") as f:
        pc = re.sub(r"^prefix=.*$", f"prefix={prefix}", f.read(), flags=re.M)
    with open(os.path.join(prefix, "lib", "tako.pc"), "w", encoding="utf-8") as f:
        f.write(pc)
    checkout = os.path.join(tmp, "tako")
    os.mkdir(checkout)
    os.symlink(os.path.join(ROOT, "include"), os.path.join(checkout, "include"))
    os.symlink(build, os.path.join(checkout, "build"))
    return dict(os.environ, PKG_CONFIG_PATH=f"{prefix}/lib", LD_LIBRARY_PATH=f"{prefix}/lib")


def free_port():
    """Not one of those that the integration tests take, which may run at the same time."""
    for port in range(30000 + os.getpid() % 2000, 32768):
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port")


def answers(proc, port):
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and proc.poll() is None:
        try:
            conn = http.client.HTTPConnection("127.0.0.1", port, timeout=START_S)
            conn.request("GET", "/")
            res = conn.getresponse()
            body = res.read()
            conn.close()
            return None if res.status == 200 and body else f"GET / gave {res.status} {body!r}"
        except ConnectionRefusedError:
            time.sleep(0.02)
    return "it did not come to listen"


def serve(program, port, env):
    proc = subprocess.Popen([program], env=env, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        problem = answers(proc, port)
        proc.send_signal(signal.SIGTERM)
        status = proc.wait(STOP_S)
        if not problem and status:
            problem = f"exit status {status}"
    finally:
        if proc.poll() is None:
            proc.kill()
        err = proc.communicate()[1].decode(errors="replace")
    return f"{problem}\n{err}" if problem else None


def first_program(build, text):
    """The newcomer's way: each gcc line of the README on its first program."""
    code = next(code for _, claim, code in snippets(text) if claim == "c complete")
    lines = re.findall(r"^ *(gcc .*)$", text, re.M)
    if not lines or "127.0.0.1:8080" not in code:
        yield "the README's start", "it has no gcc line, or its program another address"
    for line in lines:
        with tempfile.TemporaryDirectory() as tmp:
            env = installed_tree(build, tmp)
            port = free_port()
            with open(os.path.join(tmp, "hello.c"), "w", encoding="utf-8") as f:
                f.write(code.replace("127.0.0.1:8080", f"127.0.0.1:{port}"))
            problem = run(["sh", "-c", line], cwd=tmp, env=env)
            yield line, problem or serve(os.path.join(tmp, "hello"), port, env)


# ---- What is named exists -------------------------------------------------------


def dead_links(page, text):
    here = os.path.join(ROOT, os.path.dirname(page))
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        path = target.split("#")[0]
        if path and not re.match(r"[a-z]+:", path) and not os.path.exists(os.path.join(here, path)):
            yield target


def knobs(header, struct):
    with open(os.path.join(ROOT, "include/tako", header), encoding="utf-8") as f:
        body = re.search(rf"typedef struct {struct} \{{(.*?)^\}} {struct};", f.read(), re.M | re.S)
    code = re.sub(r"/\*.*?\*/", "", body.group(1), flags=re.S)
    fields = re.findall(r"\(\*(\w+)\)|(\w+);", code)
    return [a or b for a, b in fields if (a or b) not in ("size", "reserved")]


def described(text, struct):
    """What the page says from the struct's name, at the beginning of a line, up to that of the next."""
    m = re.search(rf"^`{struct}`(.*?)(?=^`tako_\w+`|\Z)", text, re.M | re.S)
    return m.group(1) if m else ""


def missing_knobs(text):
    for header, structs in KNOB_STRUCTS.items():
        for struct in structs:
            here = described(text, struct)
            yield from (f"{struct}.{k}" for k in knobs(header, struct) if f"`{k}`" not in here)


def unknown_structs():
    """Configs in the headers that nobody looks for in the page."""
    for header in sorted(os.listdir(os.path.join(ROOT, "include/tako"))):
        if header.endswith(".h"):
            with open(os.path.join(ROOT, "include/tako", header), encoding="utf-8") as f:
                found = re.findall(r"^\} (tako_\w+_config);", f.read(), re.M)
            yield from (s for s in found if s not in KNOB_STRUCTS.get(header, []))


def missing_figures(text):
    """In a row, `_sent_total` stands for a name that begins as the one before it does."""
    with open(os.path.join(ROOT, "src/core/metrics.c"), encoding="utf-8") as f:
        names = re.findall(r'"(tako_\w+)",\s*"(?:counter|gauge|histogram)"|define DURATION "(\w+)"', f.read())
    said = set()
    for line in text.splitlines():
        words = re.findall(r"`(\w+)`", line.split("|")[1]) if line.startswith("| `tako_") else []
        for w in words:
            at = [i for i, c in enumerate(words[0]) if c == "_"] if w.startswith("_") else [len(words[0])]
            said.update((words[0][:i] + w if w.startswith("_") else w) for i in at)
    return [a or b for a, b in names if (a or b) not in said]


def checks(build):
    """(what, None or the problem) of each check."""
    all_pages = pages()
    for page, text in all_pages.items():
        for line, claim, code in snippets(text):
            if claim.split(" ")[0] == "c":
                yield f"{page}:{line}", compile_snippet(build, page, text, line, claim, code)
        dead = list(dead_links(page, text))
        yield f"{page}: links", f"these lead nowhere: {', '.join(dead)}" if dead else None
    yield from first_program(build, all_pages["README.md"])
    unnamed = list(missing_knobs(all_pages["docs/config.md"])) + list(unknown_structs())
    yield "docs/config.md: knobs", f"not there: {', '.join(unnamed)}" if unnamed else None
    unnamed = missing_figures(all_pages["docs/operations.md"])
    yield "docs/operations.md: figures", f"not there: {', '.join(unnamed)}" if unnamed else None


def main():
    passed = failed = 0
    for what, problem in checks(os.path.abspath(sys.argv[1])):
        passed += not problem
        failed += bool(problem)
        if problem:
            print(f"FAIL {what}\n{problem}\n", flush=True)
    print(f"{passed} passed, {failed} failed")
    return failed > 0


sys.exit(main())
