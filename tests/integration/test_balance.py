# SPDX-License-Identifier: MIT
"""Connections and workers: few connections that last are spread evenly, whatever the kernel's hash
makes of them."""
import collections

import pytest

import servers
from servers import knobs, stats
from wire import Wire, eventually

CONNECTIONS = 16


def served_by(ws):
    """How many of these connections each worker has."""
    return collections.Counter(w.get("/worker").body for w in ws)


def connect(s, count):
    return [s.connect() for _ in range(count)]


@pytest.mark.parametrize("workers", [2, 3, 4])
def test_few_connections_are_spread(workers):
    """One after the other: exact for two workers, for more as good as looking at two others is."""
    for _ in range(3):
        with knobs(worker_count=workers) as s:
            ws = []
            for _ in range(CONNECTIONS):
                ws.append(s.connect())
                ws[-1].get("/worker")
            counts = served_by(ws)
            assert sum(counts.values()) == CONNECTIONS
            assert len(counts) == workers, counts
            assert max(counts.values()) - min(counts.values()) <= workers - 1, counts
            for w in ws:
                w.close()


def test_a_burst_is_spread():
    """All at once, so that both workers accept at the same time and see each other's figures late."""
    for _ in range(5):
        with knobs(worker_count=2) as s:
            ws = connect(s, CONNECTIONS)
            counts = served_by(ws)
            assert len(counts) == 2, counts
            assert max(counts.values()) <= CONNECTIONS // 2 + 2, counts
            for w in ws:
                w.close()


def test_connections_that_leave_make_room():
    """What one worker lost, the next ones get."""
    with knobs(worker_count=2) as s:
        ws = connect(s, CONNECTIONS)
        by = collections.defaultdict(list)
        for w in ws:
            by[w.get("/worker").body].append(w)
        one, other = by.values()
        for w in one:
            w.close()
        eventually(lambda: stats(s)["open"] == len(other) + 1)
        new = []
        for _ in one:
            new.append(s.connect())
            new[-1].get("/worker")
        counts = served_by(new + other)
        assert max(counts.values()) - min(counts.values()) <= 1, counts
        assert set(served_by(new)) == set(by) - {other[0].get("/worker").body}
        for w in new + other:
            w.close()


def test_off_keeps_what_the_kernel_gives():
    with knobs(worker_count=2, accept_balance="off") as s:
        ws = connect(s, 4 * CONNECTIONS)
        served_by(ws)
        assert stats(s)["moved"] == 0
        for w in ws:
            w.close()


def test_counted_as_moved():
    """The hash has given one worker more than half at least once in so many, so some were moved; and
    each is counted once as accepted and once as open."""
    with knobs(worker_count=2) as s:
        ws = connect(s, 4 * CONNECTIONS)
        served_by(ws)
        figures = stats(s)
        assert 0 < figures["moved"] < 4 * CONNECTIONS
        assert figures["open"] == 4 * CONNECTIONS + 1
        assert figures["accepted"] >= figures["open"]
        for w in ws:
            w.close()


def test_limits_hold_for_moved_ones():
    """max_connections and the limit of an address count them once, and free their places."""
    with knobs(worker_count=2, max_connections_per_ip=CONNECTIONS) as s:
        for _ in range(3):
            ws = connect(s, CONNECTIONS)
            served_by(ws)
            with Wire(s.addr) as extra:
                extra.assert_closed()
            for w in ws:
                w.close()
            eventually(lambda: _open(s) == 1)


def _open(s):
    """None: there is no place for one more yet, that of the last one who asked included."""
    try:
        return stats(s)["open"]
    except (AssertionError, ConnectionError):
        return None


def test_bad_value_is_refused():
    r = servers.run_refused([servers.program("tests/programs/knobs"), "listen=127.0.0.1:0",
                             "accept_balance=7"])
    assert r.returncode == 2
    assert "accept_balance is 7" in r.stderr
