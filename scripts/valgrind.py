#!/usr/bin/env python3
"""valgrind.py PROGRAM...: each example under valgrind, from start to a SIGTERM after some requests.

It must answer, stop by itself with status 0, and leave no error and no leak. Programs keep the
address that is written in them; one that another process holds is a skip, not a failure.
"""
import http.client
import os
import signal
import ssl
import subprocess
import sys
import tempfile
import time

# It does not know what the kernel writes into a ring's buffers.
os.environ["TAKO_RUNTIME"] = "epoll"

START_S = 60
STOP_S = 60
REQUESTS = [
    ("GET", "/", None),
    ("GET", "/users/17", None),
    ("GET", "/users/nobody", None),
    ("GET", "/no/such/path?x=%20", None),
    ("HEAD", "/", None),
    ("OPTIONS", "/", None),
    ("POST", "/upload", b"x" * 100_000),
    ("POST", "/echo", b"y" * 100_000),
]
# The showcase has many routes and no port of its own to lose.
SHOWCASE_ARGS = ["--http", "127.0.0.1:0", "--workers", "2", "--quiet"]


def listening(pid):
    """The TCP ports on which a process listens, as the kernel has them."""
    inodes = set()
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            target = os.readlink(f"/proc/{pid}/fd/{fd}")
        except OSError:
            continue
        if target.startswith("socket:["):
            inodes.add(target[8:-1])
    ports = set()
    with open(f"/proc/{pid}/net/tcp", encoding="ascii") as table:
        for line in list(table)[1:]:
            field = line.split()
            if field[3] == "0A" and field[9] in inodes:
                ports.add(int(field[1].split(":")[1], 16))
    return sorted(ports)


def wait_for_port(proc):
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and proc.poll() is None:
        ports = listening(proc.pid)
        if ports:
            return ports[0]
        time.sleep(0.05)
    return None


def connection(program, port):
    if os.path.basename(program) not in ("tls", "h3"):
        return http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    trusting = ssl.create_default_context()
    trusting.check_hostname = False
    trusting.verify_mode = ssl.CERT_NONE
    return http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=trusting)


def talk(program, port):
    """Requests on one connection, whatever their status: returns how many were answered."""
    answered = 0
    conn = connection(program, port)
    for method, path, body in REQUESTS:
        try:
            conn.request(method, path, body)
            conn.getresponse().read()
            answered += 1
        except (ConnectionError, http.client.RemoteDisconnected):
            # A refused body may close the connection before all of it was sent: that is the answer.
            answered += body is not None
            conn.close()
    conn.close()
    return answered


def check(program):
    """None, or what went wrong; a text that starts with "skip" when it could not be tried."""
    args = SHOWCASE_ARGS if os.path.basename(program) == "showcase" else []
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryDirectory() as cwd:
        proc = subprocess.Popen(
            ["valgrind", "-q", "--error-exitcode=99", "--leak-check=full",
             "--errors-for-leak-kinds=definite,possible", "--track-fds=no", os.path.abspath(program)] + args,
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd=cwd)
        problem = None
        try:
            port = wait_for_port(proc)
            if port is None:
                problem = "it did not come to listen"
            elif talk(program, port) != len(REQUESTS):
                problem = "not every request was answered"
            proc.send_signal(signal.SIGTERM)
            status = proc.wait(STOP_S)
            if not problem and status != 0:
                problem = f"it ended with status {status}"
        except subprocess.TimeoutExpired:
            problem = f"it did not stop within {STOP_S} s of SIGTERM"
        finally:
            if proc.poll() is None:
                proc.kill()
                proc.wait()
        out.seek(0)
        text = out.read()
    if problem and "in use" in text:
        return "skip: its address is in use"
    return f"{problem}\n{text}" if problem else None


def main():
    count = {"ok": 0, "FAIL": 0, "skip": 0}
    for program in sys.argv[1:]:
        problem = check(program)
        verdict = "ok" if not problem else "skip" if problem.startswith("skip") else "FAIL"
        count[verdict] += 1
        print(f"  {verdict:7} {os.path.basename(program)}", problem or "", flush=True)
    print(f"{count['ok']} passed, {count['FAIL']} failed, {count['skip']} skipped")
    return count["FAIL"] > 0


sys.exit(main())
