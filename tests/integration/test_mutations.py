# SPDX-License-Identifier: MIT
"""Good requests, broken at random: whatever comes back is well-formed HTTP, and ends when it said so."""
import random
import time

import pytest

from wire import SCALE, Wire, chunked, request

SEEDS = [
    request("GET", "/plaintext"),
    request("GET", "/inspect?a=b", "X-One: 1", "Cookie: a=b"),
    request("HEAD", "/json", "Connection: keep-alive"),
    request("OPTIONS", "*"),
    request("GET", "http://t/users/7", "Accept: */*"),
    request("POST", "/upload", body=b"hello"),
    request("POST", "/upload", "Transfer-Encoding: chunked") + chunked(b"hello", b"world", trailers=["X: y"]),
    request("POST", "/echo", "Expect: 100-continue", body=b"hello"),
    request("GET", "/files/small.txt", "Range: bytes=1-3", "If-None-Match: \"x\""),
    request("GET", "/stream?chunks=2&bytes=3&delay_ms=0"),
    request("GET", "/slow?ms=1", version="HTTP/1.0"),
]
PIECES = [b"\r\n", b"\n", b"\r", b" ", b"\t", b"\0", b":", b",", b";", b"0", b"-", b"\xff", b"%00", b"%2f", b"/../", b"\r\n\r\n", b"\r\n ",
          b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: u\r\n", b"Connection: close\r\n", b"0\r\n\r\n", b"5\r\n",
          b"GET / HTTP/1.1\r\n", b"HTTP/1.1", b"chunked", b"\x80" * 8, b"A" * 300, b"ffffffffffffffff"]


def mutate(rng, data):
    data = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        at = rng.randrange(len(data) + 1)
        kind = rng.randrange(5)
        if kind == 0:
            data[at:at] = rng.choice(PIECES)
        elif kind == 1 and at < len(data):
            data[at] = rng.randrange(256)
        elif kind == 2:
            del data[at:at + rng.choice((1, 2, 10))]
        elif kind == 3:
            data[at:at + 1] = rng.choice(PIECES)
        else:
            other = rng.choice(SEEDS)
            cut = rng.randrange(len(other))
            data[at:] = other[cut:]
    return bytes(data)


def ends_or_goes_on_with_a_status(w):
    """However little of it comes at once."""
    first = b"HTTP/1.1 "
    while len(w.buf) < len(first) and first.startswith(w.buf) and not w.eof:
        w._more(w.deadline)
    return not w.buf or w.buf.startswith(first)


def read_all(w, data):
    """Every answer up to the end; the strict reader of Wire judges them."""
    statuses = []
    while True:
        if not w.more_or_end(w.deadline):
            return statuses
        r = w.head(w.deadline)
        statuses.append(r.status)
        if r.status < 200:
            continue
        # Two readings are possible where a HEAD may have been understood: the empty one is right
        # if what follows is a status line or the end.
        method = "GET"
        if b"HEAD" in data:
            if ends_or_goes_on_with_a_status(w):
                method = "HEAD"
        w.body(r, method, w.deadline)
        if r.closes:
            # A request that was the last by its own words, and is followed by others, may be reset.
            assert w.until_gone() == b"", "more after an answer that said close"
            return statuses


@pytest.mark.parametrize("seed", range(8))
def test_mutated_requests(showcase, seed):
    rng = random.Random(seed)
    seen = set()
    for _ in range(max(40, int(300 * SCALE))):
        data = b"".join(rng.choice(SEEDS) for _ in range(rng.randrange(2)))
        data += mutate(rng, rng.choice(SEEDS)) + rng.choice(SEEDS)
        with Wire(showcase.addr) as w:
            w.deadline = time.monotonic() + w.timeout
            try:
                if rng.randrange(4):
                    w.send(data)
                else:
                    w.drip(data, rng.choice((1, 3, 17)))
                w.finish()
            except OSError:
                pass  # it closed before it had read all
            try:
                seen.update(read_all(w, data))
            except Exception:
                print("the bytes were", data)
                raise
    # The mutations were of all kinds: some harmless, some not.
    assert {200, 400} <= seen, seen
    assert not seen & {500, 502, 503}, seen
