# SPDX-License-Identifier: MIT
"""Everything at once: clients that behave, that reset, that read slowly, that leave in the middle.
Twenty seconds at full scale; TAKO_SOAK_S=600 for longer.  What the well-behaved get must be right, and
afterwards nothing may be left."""
import os
import random
import threading
import time

from servers import knobs, stats
from wire import Wire, eventually, request, scaled

SECONDS = float(os.environ.get("TAKO_SOAK_S", scaled(20, 3)))
CLIENTS = 24
BODY = bytes(range(256)) * 300


def keeps_alive(addr, rng):
    with Wire(addr) as w:
        for _ in range(rng.randint(1, 50)):
            assert w.get("/hello").body == b"hello\n"


def pipelines(addr, rng):
    n = rng.randint(2, 40)
    with Wire(addr) as w:
        w.send(request("GET", "/hello") * n)
        for _ in range(n):
            assert w.response().body == b"hello\n"


def closes(addr, rng):
    for _ in range(rng.randint(1, 10)):
        with Wire(addr) as w:
            assert w.get("/hello", "Connection: close").body == b"hello\n"
            w.assert_closed()


def echoes(addr, rng):
    body = BODY[:rng.randint(0, len(BODY))]
    with Wire(addr) as w:
        for _ in range(rng.randint(1, 4)):
            w.send(request("POST", "/echo", body=body))
            assert w.response().body == body


def uploads_in_pieces(addr, rng):
    body = BODY[:rng.randint(1, 20000)]
    head, _, data = request("POST", "/sink", body=body).partition(b"\r\n\r\n")
    with Wire(addr) as w:
        w.send(head + b"\r\n\r\n")
        while data:
            n = rng.randint(1, 6000)
            w.send(data[:n])
            data = data[n:]
            time.sleep(rng.random() / 500)
        assert w.response().body == b"%d\n" % len(body)


def downloads(addr, rng):
    n = rng.randint(1, 3_000_000)
    with Wire(addr) as w:
        assert len(w.get(rng.choice(["/big", "/flood"]) + f"?bytes={n}").body) == n


def reads_slowly(addr, rng):
    with Wire(addr, rcvbuf=4096) as w:
        w.send(request("GET", "/flood?bytes=300000", "Connection: close"))
        for _ in range(10):
            w.exactly(rng.randint(1, 3000))
            time.sleep(rng.random() / 50)
        if rng.random() < 0.5:
            w.rest()


def resets_in_the_answer(addr, rng):
    with Wire(addr, rcvbuf=4096) as w:
        w.send(request("GET", "/big?bytes=5000000") * rng.randint(1, 3))
        if rng.random() < 0.7:
            w.exactly(rng.randint(1, 5000))
        w.reset()


def resets_in_the_body(addr, rng):
    with Wire(addr) as w:
        w.send(request("POST", rng.choice(["/echo", "/sink", "/whole"]), body=BODY)[:rng.randint(10, 70000)])
        if rng.random() < 0.5:
            time.sleep(rng.random() / 100)
        w.reset()


def leaves_while_it_waits(addr, rng):
    with Wire(addr) as w:
        w.send(request("GET", "/slow?ms=50") + request("GET", "/hello") * rng.randint(0, 3000))
        time.sleep(rng.random() / 20)
        if rng.random() < 0.5:
            w.finish()
            time.sleep(rng.random() / 20)
        w.reset() if rng.random() < 0.5 else w.close()


def does_nothing(addr, rng):
    with Wire(addr):
        time.sleep(rng.random() / 20)


CAREFUL = [keeps_alive, pipelines, closes, echoes, uploads_in_pieces, downloads]
CARELESS = [reads_slowly, resets_in_the_answer, resets_in_the_body, leaves_while_it_waits, does_nothing]


def test_mixed_load():
    end = time.monotonic() + SECONDS
    seed = random.randrange(1 << 32)
    done = dict.fromkeys((f.__name__ for f in CAREFUL + CARELESS), 0)
    failures = []

    def client(addr, n):
        rng = random.Random(f"{seed}-{n}")
        while time.monotonic() < end and not failures:
            f = rng.choice(CAREFUL + CARELESS)
            try:
                f(addr, rng)
            except (AssertionError, OSError) as e:
                # A careless one may be cut while it still wants to send or read.
                if f in CAREFUL or not isinstance(e, OSError):
                    failures.append(f"{f.__name__}, seed {seed}: {e!r}")
            done[f.__name__] += 1

    with knobs(worker_count=2, max_connections_per_ip=1000) as s:
        threads = [threading.Thread(target=client, args=(s.addr, n)) for n in range(CLIENTS)]
        for t in threads:
            t.start()
        for t in threads:
            t.join()
        print(f"{SECONDS:.0f} s, seed {seed}: {done}")
        assert not failures, failures
        assert all(done.values()), done
        # Of our own question.
        eventually(lambda: (lambda f: f["open"] == 1 and f["active"] == 1)(stats(s)))
