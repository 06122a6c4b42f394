# SPDX-License-Identifier: MIT
"""What transcripts are made of: bytes that are the same in each run, and text without what differs from one
moment, or one server, to another; and which runs are compared with which."""
import hashlib
import os
import re

import servers

#: Ids that the server made up, moments, ports that the kernel chose, boundaries between ranges.
_MADE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_TIME = re.compile(r"(?<=Expires=)[A-Z][a-z]{2}, [^;]* GMT")
_PORT = re.compile(r"127\.0\.0\.1:\d+")
_BOUNDARY = re.compile(r"(?<=boundary=)[^\r\n;]+|(?<=--)[^\r\n]+(?=\r\nContent-Type: )|(?<=--)[^\r\n]+(?=--\r\n$)")


def normal(text):
    """Without what differs from one moment, or one server, to another."""
    for pattern, word in (_MADE, "made"), (_TIME, "then"), (_PORT, "127.0.0.1:port"), (_BOUNDARY, "boundary"):
        text = pattern.sub(word, text)
    return text


def normal_fields(fields):
    return [(name, "now" if name == "Date" else normal(value)) for name, value in fields]


def normal_body(body):
    return normal(body.decode("latin-1"))


def noise(n):
    return b"".join(hashlib.sha256(b"%d" % i).digest() for i in range(n // 32 + 1))[:n]


#: The run that others are compared with: nothing is cut up in it.
REFERENCE = (servers.all_runtimes()[0], None)


def environment(run):
    """A server's, for a runtime and a way to cut up its bytes."""
    runtime, mode = run
    knobs = "" if mode is None else servers.HOSTILE[mode] or os.environ.get("TAKO_TEST_KNOBS", "")
    return {"TAKO_RUNTIME": runtime, "TAKO_TEST_KNOBS": knobs}


def runs(modes):
    """Every runtime that the environment leaves in each of these modes; but where it has chosen a mode itself
    that is the only one."""
    cut = bool(os.environ.get("TAKO_TEST_KNOBS"))
    return [(runtime, mode) for runtime in servers.runtimes() for mode in (["plain"] if cut else modes)
            if cut or (runtime, mode) != (REFERENCE[0], "plain")]
