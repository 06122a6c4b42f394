# SPDX-License-Identifier: MIT
"""RFC 9113, sections 3 to 8: every MUST that a client can see, one row each.

A row sends something on a fresh connection and says what must come of it:
    answers(status)      the request on stream 1 is answered, and the connection goes on
    stream_error(codes)  RST_STREAM on stream 1, and the connection goes on
    connection_error(…)  GOAWAY with one of the codes, then the end
    alive()              nothing but the connection going on
A stream error may be treated as one of the connection (section 5.4); where that is what this server
does, the row says so.
"""
import struct
import time

import pytest

import servers
from h2wire import (ACK, CANCEL, COMPRESSION_ERROR, CONTINUATION, DATA, ENABLE_CONNECT_PROTOCOL,
                    ENABLE_PUSH, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR,
                    GOAWAY, H2, HEADER_TABLE_SIZE, HEADERS, INITIAL_WINDOW_SIZE,
                    MAX_CONCURRENT_STREAMS, MAX_FRAME_SIZE, MAX_HEADER_LIST_SIZE, NO_ERROR,
                    NO_RFC7540_PRIORITIES, PADDED, PING, PREFACE, PRIO, PRIORITY, PRIORITY_UPDATE,
                    PROTOCOL_ERROR, PUSH_PROMISE, REFUSED_STREAM, RST_STREAM, SETTINGS,
                    STREAM_CLOSED, WINDOW_UPDATE, frame, settings)


@pytest.fixture(scope="module")
def server():
    with servers.knobs() as s:
        yield s


# ---- What must come of it --------------------------------------------------------------


def answers(status=200, body=None):
    def check(c):
        r = c.response(1)
        assert r.status == status and r.ended, r
        if body is not None:
            assert r.body == body, r
        c.ping()
    return check


def alive():
    return lambda c: c.ping()


def stream_error(*codes, stream=1):
    def check(c):
        r = c.response(stream)
        assert r.reset in codes, r
        assert r.status is None, r
        c.ping()
        assert c.get(101).status == 200
    return check


def connection_error(*codes):
    def check(c):
        goaway = c.ended()
        assert goaway, f"no GOAWAY: {c.frames}"
        assert goaway.code in codes, (goaway.code, goaway.debug)
    return check


ROWS = []


def row(section, what, send, expect, hello=True, **kw):
    ROWS.append(pytest.param(send, expect, hello, kw, id=f"{section}-{what.replace(' ', '_')}"))


# ---- Shorthands ----------------------------------------------------------------------------


def fields(*extra, drop=(), method="GET", path="/hello", end=True):
    """A request on stream 1: the usual fields without those to drop, and these."""
    def send(c):
        base = [f for f in c.basic(method, path) if f[0] not in drop]
        c.headers(1, base + list(extra), END_HEADERS | (END_STREAM if end else 0))
    return send


def only(*list_):
    return lambda c: c.headers(1, list(list_))


def raw(*frames):
    return lambda c: c.send(b"".join(frames))


def up(stream, n):
    return frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", n))


def opened(*frames):
    """A request on stream 1 whose body is still to come, then these frames."""
    def send(c):
        c.headers(1, c.basic("POST", "/sink"), END_HEADERS)
        c.send(b"".join(frames))
    return send


def closed(*frames):
    """A request on stream 1 that is answered completely, then these frames."""
    def send(c):
        assert c.get(1).status == 200
        c.responses.clear()
        c.send(b"".join(frames))
    return send


def half_closed(*frames):
    """A request on stream 1 that is complete and not answered yet, then these frames."""
    def send(c):
        c.ask(1, "/slow?ms=300")
        c.send(b"".join(frames))
    return send


def in_block(*frames):
    """A field block on stream 1 that has begun and not ended, then these frames."""
    def send(c):
        c.headers(1, c.basic(), END_STREAM)
        c.send(b"".join(frames))
    return send


def post(body, *extra, path="/whole"):
    def send(c):
        c.headers(1, c.basic("POST", path) + list(extra), END_HEADERS)
        c.data(1, body)
    return send


PE = PROTOCOL_ERROR
FSE = FRAME_SIZE_ERROR

# ---- 3.4 Preface ------------------------------------------------------------------------------

row("3.4", "preface then empty SETTINGS", fields(), answers())
row("3.4", "preface without SETTINGS", raw(PREFACE, frame(PING, 0, 0, bytes(8))),
    connection_error(PE), hello=False)
row("3.4", "preface and SETTINGS ACK first", raw(PREFACE, frame(SETTINGS, ACK)),
    connection_error(PE), hello=False)
row("3.4", "request before the server's SETTINGS are acknowledged",
    lambda c: (setattr(c, "acks", False), c.ask(1)), answers())

# ---- 4.1 Frames, 4.2 sizes -----------------------------------------------------------------------

row("4.1", "unknown frame type", raw(frame(0xbe, 0xff, 0, b"hello")), alive())
row("4.1", "unknown frame type on a stream that is idle", raw(frame(0xbe, 0, 5, b"")), alive())
row("4.1", "undefined flags", lambda c: c.frame(HEADERS, END_HEADERS | END_STREAM | 0xc2, 1,
                                               c.block(c.basic())), answers())
row("4.1", "undefined flags of PING", lambda c: c.frame(PING, 0xfe, 0, b"flagged!"), alive())
row("4.1", "reserved bit of the stream is ignored",
    lambda c: c.frame(HEADERS, END_HEADERS | END_STREAM, 1 | 1 << 31, c.block(c.basic())), answers())
row("4.2", "DATA of the largest size", lambda c: (c.headers(1, c.basic("POST", "/whole"), END_HEADERS),
                                                 c.frame(DATA, END_STREAM, 1, bytes(16384))),
    answers(body=b"16384\n"))
row("4.2", "DATA larger than the largest size", opened(frame(DATA, END_STREAM, 1, bytes(16385))),
    connection_error(FSE))
row("4.2", "HEADERS larger than the largest size",
    raw(frame(HEADERS, END_HEADERS | END_STREAM, 1, bytes(16385))), connection_error(FSE))
row("4.2", "unknown frame larger than the largest size", raw(frame(0xbe, 0, 0, bytes(16385))),
    connection_error(FSE))

# ---- 4.3 Field blocks --------------------------------------------------------------------------------

row("4.3", "block that cannot be decompressed", raw(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff\xff")),
    connection_error(COMPRESSION_ERROR))
row("4.3", "block with an index beyond the table",
    raw(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x82\x86\x84\xff\x80\x01")),
    connection_error(COMPRESSION_ERROR))
row("4.3", "block that ends in a field", raw(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x82\x86\x84\x41\x0f")),
    connection_error(COMPRESSION_ERROR))
row("4.3", "table size update over the limit",
    raw(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x3f\xe2\x3f\x82\x86\x84")), connection_error(COMPRESSION_ERROR))
row("4.3", "table size update within a block",
    lambda c: c.frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x82\x20\x86\x84"), connection_error(COMPRESSION_ERROR))
row("4.3", "block in two frames", lambda c: (lambda b: (c.frame(HEADERS, END_STREAM, 1, b[:5]),
                                                      c.frame(CONTINUATION, END_HEADERS, 1, b[5:])))(c.block(c.basic())), answers())
row("4.3", "other frame within a block", in_block(frame(PING, 0, 0, bytes(8))), connection_error(PE))
row("4.3", "other stream's HEADERS within a block",
    lambda c: (c.headers(1, c.basic(), END_STREAM), c.headers(3, c.basic())), connection_error(PE))
row("4.3", "other stream's CONTINUATION within a block", in_block(frame(CONTINUATION, END_HEADERS, 3)),
    connection_error(PE))
row("4.3", "unknown frame within a block", in_block(frame(0xbe, 0, 1, b"x")), connection_error(PE))
row("4.3", "DATA within a block", in_block(frame(DATA, END_STREAM, 1, b"x")), connection_error(PE))
row("4.3", "the table goes on after a stream that was reset",
    lambda c: (c.headers(3, c.basic() + [("x-a", "b"), ("connection", "x")]),
               c.headers(5, c.basic() + [("x-a", "b")]), c.response(3), c.response(5), c.ask(7), c.response(7),
               c.responses.update({1: c.responses[7]})), answers())

# ---- 5.1 States ------------------------------------------------------------------------------------------

row("5.1", "DATA on an idle stream", raw(frame(DATA, END_STREAM, 1, b"x")), connection_error(PE, STREAM_CLOSED))
row("5.1", "RST_STREAM on an idle stream", raw(frame(RST_STREAM, 0, 1, bytes(4))), connection_error(PE))
row("5.1", "WINDOW_UPDATE on an idle stream", raw(up(1, 10)), connection_error(PE))
row("5.1", "CONTINUATION on an idle stream", raw(frame(CONTINUATION, END_HEADERS, 1)), connection_error(PE))
row("5.1", "PRIORITY on an idle stream", raw(frame(PRIORITY, 0, 3, bytes(4) + b"\x10")), alive())
row("5.1", "DATA when half closed", half_closed(frame(DATA, END_STREAM, 1, b"x")),
    lambda c: stream_or_connection(c, STREAM_CLOSED))
row("5.1", "HEADERS when half closed", lambda c: (c.ask(1, "/slow?ms=300"), c.headers(1, c.basic())),
    lambda c: stream_or_connection(c, STREAM_CLOSED))
row("5.1", "WINDOW_UPDATE when half closed", half_closed(up(1, 10)), answers())
row("5.1", "PRIORITY when half closed", half_closed(frame(PRIORITY, 0, 1, bytes(4) + b"\x10")), answers())
row("5.1", "RST_STREAM when half closed", half_closed(frame(RST_STREAM, 0, 1, struct.pack(">I", CANCEL))), alive())
row("5.1", "WINDOW_UPDATE when closed", closed(up(1, 10)), alive())
row("5.1", "RST_STREAM when closed", closed(frame(RST_STREAM, 0, 1, bytes(4))), alive())
row("5.1", "PRIORITY when closed", closed(frame(PRIORITY, 0, 1, bytes(4) + b"\x10")), alive())
row("5.1", "DATA after RST_STREAM", opened(frame(RST_STREAM, 0, 1, bytes(4)), frame(DATA, 0, 1, b"x")),
    lambda c: reset_or_ignored(c))
row("5.1", "trailers after RST_STREAM",
    lambda c: (c.headers(1, c.basic("POST", "/sink"), END_HEADERS), c.frame(RST_STREAM, 0, 1, bytes(4)),
               c.headers(1, [("x-t", "1")])), lambda c: reset_or_ignored(c))
row("5.1.1", "even stream", lambda c: c.headers(2, c.basic()), connection_error(PE))
row("5.1.1", "lower stream than before", lambda c: (c.get(5), c.headers(3, c.basic())),
    lambda c: lower_is_refused(c))
row("5.1.1", "streams that are left out", lambda c: (c.get(7), c.responses.update({1: c.responses[7]})), answers())
row("5.1.2", "more streams than allowed", lambda c: over_the_limit(c), lambda c: limit_was_kept(c))


def stream_or_connection(c, *codes):
    """A stream error that may be one of the connection."""
    f = c.until(lambda f: f.kind == RST_STREAM and f.stream == 1 or f.kind == GOAWAY)
    assert f and f.code in codes, c.frames
    if f.kind == RST_STREAM:
        c.ping()
    else:
        c.ended()


def reset_or_ignored(c):
    """The peer of RST_STREAM must be ready for what was sent meanwhile (section 5.1)."""
    c.frame(PING, 0, 0, b"conform!")
    f = c.until(lambda f: f.kind in (PING, GOAWAY))
    assert f and (f.kind == PING or f.code == STREAM_CLOSED), c.frames


def lower_is_refused(c):
    """PROTOCOL_ERROR; or ignored, as nothing tells a new stream from a closed one."""
    c.frame(PING, 0, 0, b"conform!")
    f = c.until(lambda f: f.kind in (PING, GOAWAY))
    assert f and (f.kind == PING or f.code in (PE, STREAM_CLOSED)), c.frames
    assert 3 not in c.responses


def over_the_limit(c):
    c.ping()
    for i in range(120):
        c.ask(1 + 2 * i, "/slow?ms=300")


def limit_was_kept(c):
    """As many as announced are answered, the others refused one by one, and may be asked for again."""
    assert all(c.response(1 + 2 * i).status == 200 for i in range(100))
    assert [c.responses[1 + 2 * i].reset for i in range(100, 120)] == [REFUSED_STREAM] * 20
    assert c.get(301).status == 200


# ---- 5.4, 5.5 ---------------------------------------------------------------------------------------------

row("5.4.1", "GOAWAY says the last stream that was looked at",
    lambda c: (c.get(1), c.get(3), c.frame(PING, 0, 1, bytes(8))),
    lambda c: (lambda g: (_ for _ in ()).throw(AssertionError(g)) if g.last_stream != 3 else None)(c.ended()))
row("5.5", "unknown setting", lambda c: (c.send(settings((0xbeef, 1))), c.ask(1)), answers())
row("5.5", "GREASE of settings and frames", lambda c: (c.send(settings((0x0a0a, 7), (0x1a1a, 0))),
                                                     c.frame(0x0b, 0xff, 0, b"grease"), c.ask(1)), answers())

# ---- 6.1 DATA ----------------------------------------------------------------------------------------------

row("6.1", "DATA on stream 0", raw(frame(DATA, END_STREAM, 0, b"x")), connection_error(PE))
row("6.1", "DATA with padding", lambda c: (c.headers(1, c.basic("POST", "/whole"), END_HEADERS),
                                          c.frame(DATA, END_STREAM | PADDED, 1, b"\x05hello" + bytes(5))),
    answers(body=b"5\n"))
row("6.1", "DATA with padding and nothing else",
    lambda c: (c.headers(1, c.basic("POST", "/whole"), END_HEADERS),
               c.frame(DATA, END_STREAM | PADDED, 1, b"\x05" + bytes(5))), answers(body=b"0\n"))
row("6.1", "padding as long as the payload", opened(frame(DATA, END_STREAM | PADDED, 1, b"\x06hello")),
    connection_error(PE))
row("6.1", "padding longer than the payload", opened(frame(DATA, END_STREAM | PADDED, 1, b"\xffx")),
    connection_error(PE))
row("6.1", "PADDED without a length", opened(frame(DATA, END_STREAM | PADDED, 1, b"")),
    connection_error(PE, FSE))
row("6.1", "empty DATA that ends the stream", lambda c: (c.headers(1, c.basic("POST", "/whole"), END_HEADERS),
                                                        c.frame(DATA, END_STREAM, 1)), answers(body=b"0\n"))

# ---- 6.2 HEADERS ---------------------------------------------------------------------------------------------

row("6.2", "HEADERS on stream 0", lambda c: c.headers(0, c.basic()), connection_error(PE))
row("6.2", "HEADERS with padding",
    lambda c: c.frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\x04" + c.block(c.basic()) + bytes(4)), answers())
row("6.2", "padding longer than the block",
    raw(frame(HEADERS, END_HEADERS | END_STREAM | PADDED, 1, b"\x08\x82\x86\x84")), connection_error(PE))
row("6.2", "HEADERS with priority",
    lambda c: c.frame(HEADERS, END_HEADERS | END_STREAM | PRIO, 1, bytes(4) + b"\x0f" + c.block(c.basic())), answers())
row("6.2", "priority without room for it", raw(frame(HEADERS, END_HEADERS | END_STREAM | PRIO, 1, b"\0\0")),
    connection_error(FSE, PE))
row("6.2", "HEADERS with padding and priority",
    lambda c: c.frame(HEADERS, END_HEADERS | END_STREAM | PRIO | PADDED, 1,
                      b"\x02" + bytes(4) + b"\x0f" + c.block(c.basic()) + bytes(2)), answers())

# ---- 6.3 PRIORITY -----------------------------------------------------------------------------------------------

row("6.3", "PRIORITY on stream 0", raw(frame(PRIORITY, 0, 0, bytes(5))), connection_error(PE))
row("6.3", "PRIORITY of four bytes", opened(frame(PRIORITY, 0, 1, bytes(4))),
    lambda c: stream_or_connection(c, FSE))
row("6.3", "PRIORITY of six bytes", opened(frame(PRIORITY, 0, 1, bytes(6))),
    lambda c: stream_or_connection(c, FSE))

# ---- 6.4 RST_STREAM ------------------------------------------------------------------------------------------------

row("6.4", "RST_STREAM on stream 0", raw(frame(RST_STREAM, 0, 0, bytes(4))), connection_error(PE))
row("6.4", "RST_STREAM of three bytes", opened(frame(RST_STREAM, 0, 1, bytes(3))), connection_error(FSE))
row("6.4", "RST_STREAM of five bytes", opened(frame(RST_STREAM, 0, 1, bytes(5))), connection_error(FSE))
row("6.4", "RST_STREAM with an unknown code", opened(frame(RST_STREAM, 0, 1, b"\0\0\xbe\xef")), alive())
row("6.4", "no frames after RST_STREAM",
    lambda c: (c.ask(1, "/slow?ms=50"), c.frame(RST_STREAM, 0, 1, struct.pack(">I", CANCEL)), c.get(3, "/slow?ms=150")),
    lambda c: (c.ping(), not_answered(c, 1)))


def not_answered(c, stream):
    assert stream not in c.responses, c.responses


# ---- 6.5 SETTINGS ----------------------------------------------------------------------------------------------------

row("6.5", "SETTINGS is acknowledged", raw(settings((MAX_HEADER_LIST_SIZE, 1 << 20))),
    lambda c: [c.until(lambda f: f.kind == SETTINGS and f.flags & ACK) for _ in range(2)])
row("6.5", "SETTINGS on a stream", raw(frame(SETTINGS, 0, 1)), connection_error(PE))
row("6.5", "SETTINGS ACK with a payload", raw(frame(SETTINGS, ACK, 0, bytes(6))), connection_error(FSE))
row("6.5", "SETTINGS of five bytes", raw(frame(SETTINGS, 0, 0, bytes(5))), connection_error(FSE))
row("6.5", "SETTINGS of three settings and a half", raw(frame(SETTINGS, 0, 0, bytes(21))), connection_error(FSE))
row("6.5", "SETTINGS ACK that nobody asked for", raw(frame(SETTINGS, ACK), frame(SETTINGS, ACK), frame(SETTINGS, ACK)),
    lambda c: ack_is_refused_or_ignored(c))
row("6.5.2", "ENABLE_PUSH of 2", raw(settings((ENABLE_PUSH, 2))), connection_error(PE))
row("6.5.2", "ENABLE_PUSH of 1", lambda c: (c.send(settings((ENABLE_PUSH, 1))), c.ask(1)), answers())
row("6.5.2", "INITIAL_WINDOW_SIZE over 2^31-1", raw(settings((INITIAL_WINDOW_SIZE, 1 << 31))),
    connection_error(FLOW_CONTROL_ERROR))
row("6.5.2", "MAX_FRAME_SIZE below 16384", raw(settings((MAX_FRAME_SIZE, 16383))), connection_error(PE))
row("6.5.2", "MAX_FRAME_SIZE over 2^24-1", raw(settings((MAX_FRAME_SIZE, 1 << 24))), connection_error(PE))
row("6.5.2", "largest MAX_FRAME_SIZE", lambda c: (c.send(settings((MAX_FRAME_SIZE, (1 << 24) - 1))), c.ask(1)), answers())
row("6.5.2", "HEADER_TABLE_SIZE of 0", lambda c: (c.send(settings((HEADER_TABLE_SIZE, 0))), c.ask(1)), answers())
row("6.5.2", "HEADER_TABLE_SIZE of 2^32-1", lambda c: (c.send(settings((HEADER_TABLE_SIZE, 0xffffffff))), c.ask(1)), answers())
row("6.5.2", "MAX_CONCURRENT_STREAMS of 0 is about pushes",
    lambda c: (c.send(settings((MAX_CONCURRENT_STREAMS, 0))), c.ask(1)), answers())
row("6.5.2", "what the server announces", lambda c: c.ping(), lambda c: announced(c))
row("6.5.3", "settings apply in their order",
    lambda c: (c.send(settings((INITIAL_WINDOW_SIZE, 1), (INITIAL_WINDOW_SIZE, 100))), c.ask(1)), answers())


def ack_is_refused_or_ignored(c):
    c.frame(PING, 0, 0, b"conform!")
    f = c.until(lambda f: f.kind in (PING, GOAWAY))
    assert f and (f.kind == PING or f.code == PE), c.frames


def announced(c):
    assert c.settings[MAX_CONCURRENT_STREAMS] == 100
    assert c.settings[MAX_HEADER_LIST_SIZE] == 16384
    assert c.settings[INITIAL_WINDOW_SIZE] == 262144
    assert c.settings[ENABLE_CONNECT_PROTOCOL] == 1
    assert c.settings[NO_RFC7540_PRIORITIES] == 1
    assert ENABLE_PUSH not in c.settings
    assert c.frames[0].kind == SETTINGS and c.frames[0].stream == 0


# ---- 6.6 PUSH_PROMISE, 6.7 PING, 6.8 GOAWAY ---------------------------------------------------------------------------

row("6.6", "PUSH_PROMISE from a client", opened(frame(PUSH_PROMISE, END_HEADERS, 1, b"\0\0\0\2\x82\x86\x84")),
    connection_error(PE))
row("6.7", "PING is answered with its own bytes", lambda c: c.frame(PING, 0, 0, b"12345678"),
    lambda c: c.until(lambda f: f.kind == PING and f.flags == ACK and f.payload == b"12345678"))
row("6.7", "PING ACK is not answered", lambda c: c.frame(PING, ACK, 0, b"12345678"),
    lambda c: (c.ping(), no_frame(c, PING, b"12345678")))
row("6.7", "PING on a stream", raw(frame(PING, 0, 1, bytes(8))), connection_error(PE))
row("6.7", "PING of seven bytes", raw(frame(PING, 0, 0, bytes(7))), connection_error(FSE))
row("6.7", "PING of nine bytes", raw(frame(PING, 0, 0, bytes(9))), connection_error(FSE))
row("6.7", "PING overtakes a response", lambda c: (c.ask(1, "/slow?ms=300"), c.ping()), answers())
row("6.8", "GOAWAY on a stream", raw(frame(GOAWAY, 0, 1, bytes(8))), connection_error(PE))
row("6.8", "GOAWAY of seven bytes", raw(frame(GOAWAY, 0, 0, bytes(7))), connection_error(FSE))
row("6.8", "GOAWAY: the last request is answered, then the end",
    lambda c: (c.ask(1, "/slow?ms=100"), c.frame(GOAWAY, 0, 0, bytes(8))),
    lambda c: (answered(c, 1), c.ended()))


def no_frame(c, kind, payload):
    assert not [f for f in c.frames if f.kind == kind and f.payload == payload], c.frames


def answered(c, stream):
    assert c.response(stream).status == 200


# ---- 6.9 WINDOW_UPDATE -------------------------------------------------------------------------------------------------

row("6.9", "WINDOW_UPDATE of three bytes", raw(frame(WINDOW_UPDATE, 0, 0, bytes(3))), connection_error(FSE))
row("6.9", "WINDOW_UPDATE of five bytes", raw(frame(WINDOW_UPDATE, 0, 0, bytes(5))), connection_error(FSE))
row("6.9", "WINDOW_UPDATE of 0 on the connection", raw(up(0, 0)), connection_error(PE))
row("6.9", "WINDOW_UPDATE of 0 on a stream", opened(up(1, 0)), lambda c: stream_or_connection(c, PE))
row("6.9", "reserved bit of the increment is ignored", lambda c: (c.send(up(0, 1 << 31 | 5)), c.ask(1)), answers())
row("6.9.1", "connection window over 2^31-1", raw(up(0, 0x7fffffff)), connection_error(FLOW_CONTROL_ERROR))
row("6.9.1", "stream window over 2^31-1", opened(up(1, 0x7fffffff)),
    lambda c: stream_or_connection(c, FLOW_CONTROL_ERROR))
row("6.9.1", "DATA beyond the stream's window",
    lambda c: (c.headers(1, c.basic("POST", "/hang"), END_HEADERS), [c.frame(DATA, 0, 1, bytes(16384)) for _ in range(17)]),
    lambda c: beyond_the_window(c))
row("6.9.2", "response within the window that the client gives", lambda c: window_of(c, 5), lambda c: None)
row("6.9.2", "window that becomes negative", lambda c: negative_window(c), lambda c: None)
row("6.9.2", "INITIAL_WINDOW_SIZE that overflows a stream's window",
    opened(up(1, 0x7fff0000 - 65535), settings((INITIAL_WINDOW_SIZE, 0x7fffffff))),
    lambda c: stream_or_connection(c, FLOW_CONTROL_ERROR))
row("6.9.3", "windows grow while a response waits", lambda c: dripped_window(c), lambda c: None)


def beyond_the_window(c):
    """/hang has no POST route, so that the stream may be answered and reset before."""
    f = c.until(lambda f: f.kind in (RST_STREAM, GOAWAY) and f.code != NO_ERROR or f.kind == RST_STREAM)
    assert f and f.code in (FLOW_CONTROL_ERROR, NO_ERROR), c.frames


def window_of(c, n):
    c.updates = False
    c.send(settings((INITIAL_WINDOW_SIZE, n)))
    c.ask(1)
    c.settle()
    r = c.responses[1]
    assert r.body == b"hello\n"[:n] and not r.ended, r
    c.send(up(1, 1))
    assert c.response(1).body == b"hello\n"


def negative_window(c):
    c.updates = False
    c.send(settings((INITIAL_WINDOW_SIZE, 3)))
    c.ask(1)
    c.settle()
    c.send(settings((INITIAL_WINDOW_SIZE, 1)))    # two less than was used
    c.send(up(1, 2))                              # and back at 0
    c.settle()
    assert c.responses[1].body == b"hel", c.responses
    c.send(up(1, 3))
    assert c.response(1).body == b"hello\n"


def dripped_window(c):
    c.updates = False
    c.send(settings((INITIAL_WINDOW_SIZE, 0)))
    c.ask(1)
    for i in range(6):
        c.settle()
        assert c.responses[1].body == b"hello\n"[:i]
        c.send(up(1, 1))
    assert c.response(1).body == b"hello\n"


# ---- 6.10 CONTINUATION ---------------------------------------------------------------------------------------------------

row("6.10", "CONTINUATION on stream 0", in_block(frame(CONTINUATION, END_HEADERS, 0)), connection_error(PE))
row("6.10", "CONTINUATION after a complete block", lambda c: (c.ask(1, "/slow?ms=200"), c.frame(CONTINUATION, END_HEADERS, 1)),
    connection_error(PE))
row("6.10", "CONTINUATION after DATA", opened(frame(DATA, 0, 1, b"x"), frame(CONTINUATION, END_HEADERS, 1)), connection_error(PE))
row("6.10", "empty CONTINUATION that ends a block", in_block(frame(CONTINUATION, END_HEADERS, 1)), answers())
row("6.10", "a byte a CONTINUATION", lambda c: (lambda b: (c.frame(HEADERS, END_STREAM, 1, b[:-6]),
                                                       [c.frame(CONTINUATION, 0, 1, b[i:i + 1]) for i in range(len(b) - 6, len(b))],
                                                       c.frame(CONTINUATION, END_HEADERS, 1)))(c.block(c.basic())), answers())

# ---- 8.1 Messages --------------------------------------------------------------------------------------------------------

row("8.1", "trailers", lambda c: (c.headers(1, c.basic("POST", "/whole"), END_HEADERS), c.frame(DATA, 0, 1, b"abc"),
                                 c.headers(1, [("x-sum", "1")])), answers(body=b"3\n"))
row("8.1", "trailers that do not end the stream",
    lambda c: (c.headers(1, c.basic("POST", "/sink"), END_HEADERS), c.frame(DATA, 0, 1, b"abc"),
               c.headers(1, [("x-sum", "1")], END_HEADERS)), stream_error(PE))
row("8.1", "trailers with a pseudo-header field",
    lambda c: (c.headers(1, c.basic("POST", "/sink"), END_HEADERS), c.headers(1, [(":path", "/"), ("x", "1")])), stream_error(PE))
row("8.1", "trailers with a field of the connection",
    lambda c: (c.headers(1, c.basic("POST", "/sink"), END_HEADERS), c.headers(1, [("connection", "close")])), stream_error(PE))
row("8.1", "trailers with a name in upper case",
    lambda c: (c.headers(1, c.basic("POST", "/sink"), END_HEADERS), c.headers(1, [("X-Sum", "1")])), stream_error(PE))
row("8.1", "response before the request's body has ended, then RST_STREAM with NO_ERROR",
    lambda c: (c.headers(1, c.basic("POST", "/ignore"), END_HEADERS), c.frame(DATA, 0, 1, b"more to come")),
    lambda c: (answered(c, 1), c.until(lambda f: f.kind == RST_STREAM), no_error(c)))
row("8.1", "HEAD has no body", fields(method="HEAD"), answers(body=b""))


def no_error(c):
    assert c.responses[1].reset == NO_ERROR, c.frames
    c.ping()


# ---- 8.1.1 Malformed: content-length -----------------------------------------------------------------------------------------

row("8.1.1", "content-length that is right", post(b"hello", ("content-length", "5")), answers(body=b"5\n"))
row("8.1.1", "content-length of 0 and no body", fields(("content-length", "0")), answers())
row("8.1.1", "body shorter than content-length", post(b"hell", ("content-length", "5")), stream_error(PE))
row("8.1.1", "body longer than content-length", post(b"hello!", ("content-length", "5")), stream_error(PE))
row("8.1.1", "content-length and no body", fields(("content-length", "5")), stream_error(PE))
row("8.1.1", "content-length twice", post(b"hello", ("content-length", "5"), ("content-length", "5")), stream_error(PE))
row("8.1.1", "content-length twice and different", post(b"hello", ("content-length", "5"), ("content-length", "6")), stream_error(PE))
row("8.1.1", "content-length that is no number", post(b"hello", ("content-length", "five")), stream_error(PE))
row("8.1.1", "content-length with a sign", post(b"hello", ("content-length", "+5")), stream_error(PE))
row("8.1.1", "content-length that is a list", post(b"hello", ("content-length", "5, 5")), stream_error(PE))
row("8.1.1", "content-length over 2^64", post(b"hello", ("content-length", "18446744073709551621")), stream_error(PE))
row("8.1.1", "body shorter than content-length, with trailers",
    lambda c: (c.headers(1, c.basic("POST", "/sink") + [("content-length", "5")], END_HEADERS), c.frame(DATA, 0, 1, b"abc"),
               c.headers(1, [("x-sum", "1")])), stream_error(PE))

# ---- 8.2 Fields ------------------------------------------------------------------------------------------------------------------

row("8.2", "name in upper case", fields(("X-Custom", "a")), stream_error(PE))
row("8.2", "name with one letter in upper case", fields(("x-Custom", "a")), stream_error(PE))
for name, bad in [("space", "x y"), ("colon", "x:y"), ("control", "x\x01"), ("DEL", "x\x7f"), ("high", "x\xe4"), ("LF", "x\n"),
                  ("NUL", "x\0y"), ("CR", "x\r")]:
    row("8.2.1", f"name with {name}", fields((bad.encode("latin-1"), b"a")), stream_error(PE))
row("8.2.1", "empty name", fields(("", "a")), stream_error(PE))
for name, bad in [("NUL", "a\0b"), ("CR", "a\rb"), ("LF", "a\nb"), ("CRLF", "a\r\nx: y"), ("leading space", " a"),
                  ("trailing space", "a "), ("leading tab", "\ta"), ("trailing tab", "a\t"), ("only a space", " ")]:
    row("8.2.1", f"value with {name}", fields(("x", bad)), stream_error(PE))
row("8.2.1", "value with a tab inside", fields(("x", "a\tb")), answers())
row("8.2.1", "empty value", fields(("x", "")), answers())
row("8.2.1", "value with bytes over 0x7f", fields((b"x", b"\xc3\xa4")), answers())
for name, value in [("connection", "keep-alive"), ("proxy-connection", "keep-alive"), ("keep-alive", "timeout=5"),
                    ("transfer-encoding", "chunked"), ("upgrade", "websocket")]:
    row("8.2.2", name, fields((name, value)), stream_error(PE))
row("8.2.2", "te of trailers", fields(("te", "trailers")), answers())
row("8.2.2", "te of something else", fields(("te", "gzip")), stream_error(PE))
row("8.2.2", "te of trailers and something else", fields(("te", "trailers, deflate")), stream_error(PE))

# ---- 8.3 Pseudo-header fields -------------------------------------------------------------------------------------------------------

row("8.3", "unknown pseudo-header field", fields((":version", "2")), stream_error(PE))
row("8.3", "unknown pseudo-header field first", only((":x", "y"), (":method", "GET"), (":scheme", "http"), (":path", "/"),
                                                   (":authority", "a")), stream_error(PE))
row("8.3", "pseudo-header field of a response", fields((":status", "200")), stream_error(PE))
row("8.3", "pseudo-header field after others", only((":method", "GET"), (":scheme", "http"), (":authority", "a"), ("x", "y"),
                                                 (":path", "/")), stream_error(PE))
for name in (":method", ":scheme", ":path", ":authority"):
    row("8.3", f"{name} twice", fields((name, {":method": "GET", ":scheme": "http", ":path": "/", ":authority": "a"}[name])),
        stream_error(PE))
for name in (":method", ":scheme", ":path"):
    row("8.3.1", f"without {name}", fields(drop=(name,)), stream_error(PE))
row("8.3.1", "without :authority and host", fields(drop=(":authority",)), stream_error(PE))
row("8.3.1", "host in the place of :authority", fields(("host", "a.example"), drop=(":authority",)), answers())
row("8.3.1", "host that equals :authority",
    only((":method", "GET"), (":scheme", "http"), (":path", "/hello"), (":authority", "A.example"), ("host", "a.example")), answers())
row("8.3.1", "host that differs from :authority", fields(("host", "other.example")), stream_error(PE))
row("8.3.1", "host twice", fields(("host", "a"), ("host", "a"), drop=(":authority",)), stream_error(PE))
row("8.3.1", "userinfo in :authority",
    only((":method", "GET"), (":scheme", "http"), (":path", "/hello"), (":authority", "user@a.example")), stream_error(PE))
row("8.3.1", "empty :authority", only((":method", "GET"), (":scheme", "http"), (":path", "/hello"), (":authority", "")),
    stream_error(PE))
row("8.3.1", "empty :path", fields(path=""), stream_error(PE))
row("8.3.1", ":path without a slash", fields(path="hello"), stream_error(PE))
row("8.3.1", ":path that is a whole URI", fields(path="http://a/hello"), stream_error(PE))
row("8.3.1", "asterisk and OPTIONS", fields(method="OPTIONS", path="*"), answers(204))
row("8.3.1", "asterisk and GET", fields(path="*"), stream_error(PE))
row("8.3.1", ":path with a fragment", fields(path="/hello#x"), answers(400))
row("8.3.1", ":path with a space", fields(path="/hel lo"), answers(400))
row("8.3.1", ":path with a query", fields(path="/hello?a=%20b"), answers())
row("8.3.1", ":path with dots", fields(path="/a/../hello"), answers())
row("8.3.1", ":scheme of https", lambda c: c.headers(1, [(k, "https" if k == ":scheme" else v) for k, v in c.basic()]), answers())
row("8.3.1", ":scheme of something else", lambda c: c.headers(1, [(k, "ftp" if k == ":scheme" else v) for k, v in c.basic()]),
    answers(400))
row("8.3.1", ":authority that is no host",
    only((":method", "GET"), (":scheme", "http"), (":path", "/hello"), (":authority", "a b")), answers(400))
row("8.3.1", ":authority with a port that is none",
    only((":method", "GET"), (":scheme", "http"), (":path", "/hello"), (":authority", "a:99999")), answers(400))
row("8.3.1", ":method that is no token", fields(method="GE T"), stream_error(PE))
row("8.3.1", ":method in lower case is another one", fields(method="get"), answers(405))
row("8.3.1", ":method without end", fields(method="X" * 40), answers(501))
row("8.3.2", "one :status, and no other pseudo-header field", fields(path="/missing"), answers(404))
row("8.5", "CONNECT with :path and :scheme", fields(method="CONNECT"), stream_error(PE))
row("8.5", "CONNECT", only((":method", "CONNECT"), (":authority", "a:80")), answers(404))
row("8.5", ":protocol without CONNECT", only((":method", "GET"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/"),
                                            (":authority", "a")), stream_error(PE))
row("8441-4", "extended CONNECT of what nobody speaks",
    lambda c: c.headers(1, [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":path", "/hello"),
                            (":authority", "a")], END_HEADERS), answers(501))
row("8441-4", "extended CONNECT without :path", only((":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"),
                                                    (":authority", "a")), stream_error(PE))

# ---- 10.5.1, and RFC 9218 ------------------------------------------------------------------------------------------------------------

row("10.5.1", "a list that is too large", fields(*[(f"x-{i}", "v" * 1000) for i in range(16)]), answers(431))
row("10.5.1", "too many fields", fields(*[(f"x-{i}", "v") for i in range(150)]), answers(431))
row("10.5.1", "target that is too long", fields(path="/" + "x" * 9000), answers(414))
row("9218-4", "priority", fields(("priority", "u=1, i")), answers())
row("9218-4", "priority that is malformed", fields(("priority", "u=99;;, =")), answers())
row("9218-7.1", "PRIORITY_UPDATE", lambda c: (c.frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\1u=1, i"), c.ask(1)), answers())
row("9218-7.1", "PRIORITY_UPDATE on a stream", raw(frame(PRIORITY_UPDATE, 0, 1, b"\0\0\0\1u=1")), connection_error(PE))
row("9218-7.1", "PRIORITY_UPDATE of stream 0", raw(frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\0u=1")), connection_error(PE))


@pytest.mark.parametrize("send,expect,hello,kw", ROWS)
def test_row(server, send, expect, hello, kw):
    with H2(server.addr, hello=hello, **kw) as c:
        send(c)
        expect(c)


@pytest.mark.parametrize("hello", [PREFACE[:-2] + b"xx", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
                                   b"\x16\x03\x01" + bytes(40), bytes(24)])
def test_wrong_preface(hello):
    """Section 3.4: PROTOCOL_ERROR, where HTTP/2 is all there is."""
    with servers.knobs(transport="h2c", ready_path=None) as s:
        deadline = time.monotonic() + servers.START_S
        while True:
            try:
                c = H2(s.addr, hello=False)
                break
            except ConnectionError:
                assert time.monotonic() < deadline
                time.sleep(0.01)
        with c:
            c.send(hello)
            assert c.ended().code == PROTOCOL_ERROR


def test_there_are_enough_rows():
    assert len(ROWS) >= 120
    assert len({r.id for r in ROWS}) == len(ROWS)
