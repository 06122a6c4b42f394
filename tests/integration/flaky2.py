# SPDX-License-Identifier: MIT
"""flaky.Flaky in HTTP/2: a server that breaks off, stalls, refuses and leaves, as the path of a request says.  Only
header compression is a library's."""
import asyncio
import re
import struct

import hpack

import flaky
import h2wire
from flaky import BODY
from h2wire import (ACK, DATA, END_HEADERS, END_STREAM, GOAWAY, HEADERS, MAX_CONCURRENT_STREAMS, PADDED, PING, RST_STREAM,
                    SETTINGS, WINDOW_UPDATE, frame)


def block(*fields):
    return hpack.Encoder().encode(fields)


def head(*fields, end=False):
    return frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), 1, block(*fields))


HELLO = h2wire.settings((MAX_CONCURRENT_STREAMS, 100))
OK = (":status", "200")
#: What a server says on a connection with one request, to be cut at every byte; and where the head of its response ends.
RESPONSES = {
    "length": [HELLO, head(OK, ("content-length", "12")), frame(DATA, END_STREAM, 1, BODY)],
    "pieces": [HELLO, head(OK), frame(DATA, 0, 1, BODY[:5]) + frame(DATA, PADDED, 1, b"\2" + BODY[5:] + b"\0\0") +
               frame(DATA, END_STREAM, 1)],
    "trailers": [HELLO, head(OK), frame(DATA, 0, 1, BODY) +
                 frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\0\x09x-trailer\1t")],
    "interim": [HELLO, head((":status", "103"), ("link", "</a>")) +
                frame(HEADERS, END_HEADERS, 1, b"\x88"), frame(DATA, END_STREAM, 1, BODY)],
    "continued": [HELLO, frame(HEADERS, 0, 1, b"\x88") + frame(h2wire.CONTINUATION, END_HEADERS, 1, b"\0\1a\1b"),
                  frame(PING, 0, 0, b"12345678") + frame(DATA, END_STREAM, 1, BODY)],
    "empty": [HELLO, b"", head((":status", "204"), end=True)],
}


def whole(kind):
    return b"".join(RESPONSES[kind])


def head_end(kind):
    return len(whole(kind)) if kind == "empty" else len(b"".join(RESPONSES[kind][:2]))


class Request2:
    """One request, and its stream to answer on; `number` is that of the connection's requests."""

    def __init__(self, conn, stream, fields, number):
        self.conn, self.stream, self.number = conn, stream, number
        self.fields = dict(fields)
        self.method, self.target = self.fields[":method"], self.fields[":path"]
        self.data = b""
        self.code = None  # the client's RST_STREAM
        self.ended = asyncio.Event()

    async def body(self):
        await self.ended.wait()
        return self.data

    async def head(self, *fields, status=200, end=False):
        text = self.conn.encoder.encode([(":status", str(status)), *fields])
        await self.conn.send(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), self.stream, text))

    async def send(self, data, end=False):
        await self.conn.send(frame(DATA, END_STREAM if end else 0, self.stream, data))

    async def ok(self, body=b"ok"):
        await self.head(("content-length", str(len(body))))
        await self.send(body, end=True)

    async def reset(self, code):
        await self.conn.send(frame(RST_STREAM, 0, self.stream, struct.pack(">I", code)))


class Connection2:
    def __init__(self, server, reader, writer):
        self.server, self.reader, self.writer = server, reader, writer
        self.encoder = hpack.Encoder()
        self.decoder = hpack.Decoder()
        self.streams = {}
        self.last = 0
        self.over = asyncio.Event()
        self.goaway = None

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def leave(self, last, code=0):
        await self.send(frame(GOAWAY, 0, 0, struct.pack(">II", last, code)))

    async def frames(self):
        while True:
            n, kind, flags, stream = struct.unpack(">IBBI", b"\0" + await self.reader.readexactly(9))
            yield kind, flags, stream, await self.reader.readexactly(n)

    async def take(self, kind, flags, stream, payload):
        if kind == HEADERS:
            r = Request2(self, stream, self.decoder.decode(payload), len(self.streams) + 1)
            self.streams[stream] = r
            self.last = stream
            self.server.requests[r.target] += 1
            self.server.start(self.server.handlers[re.split("[/?]", r.target)[1]](r))
        elif kind == DATA:
            self.streams[stream].data += payload
            if payload:
                grant = struct.pack(">I", len(payload))
                await self.send(frame(WINDOW_UPDATE, 0, 0, grant) + frame(WINDOW_UPDATE, 0, stream, grant))
        elif kind == RST_STREAM:
            self.streams[stream].code = struct.unpack(">I", payload)[0]
            self.streams[stream].ended.set()
        elif kind == SETTINGS and not flags & ACK and not self.server.raw:
            await self.send(frame(SETTINGS, ACK))
        elif kind == GOAWAY:
            self.goaway = struct.unpack(">I", payload[4:8])[0]
        if kind in (HEADERS, DATA) and flags & END_STREAM:
            self.streams[stream].ended.set()


async def cut(r):
    """/cut/KIND/N/HOW: N bytes of all that is said there; then the end, a reset, nothing, or the rest."""
    _, _, kind, n, how = r.target.split("/")
    text = whole(kind)
    await r.conn.send(text[:int(n)])
    if how == "rest":
        await asyncio.sleep(0.002)
        await r.conn.send(text[int(n):])
    elif how == "close":
        # Who closes with something unread, be it only that SETTINGS were seen, resets.
        r.conn.writer.write_eof()
    elif how == "reset":
        flaky.Request.reset(r.conn)


class Flaky2(flaky.Flaky):
    """`raw`: nothing is said but by handlers; else SETTINGS, of so many `streams`."""

    def __init__(self, context=None, raw=False, streams=100, **handlers):
        super().__init__(context, **{"cut": cut, **handlers})
        self.raw = raw
        self.streams = streams
        self.conns = []

    def start(self, coroutine):
        async def guarded():
            try:
                await coroutine
            except (OSError, asyncio.CancelledError):
                pass
        task = self.loop.create_task(guarded())
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def _serve(self, reader, writer):
        task = asyncio.current_task()
        self.tasks.add(task)
        self.connections += 1
        self.open += 1
        self.most = max(self.most, self.open)
        conn = Connection2(self, reader, writer)
        self.conns.append(conn)
        try:
            assert await reader.readexactly(len(h2wire.PREFACE)) == h2wire.PREFACE
            if not self.raw:
                await conn.send(h2wire.settings((MAX_CONCURRENT_STREAMS, self.streams)))
            async for f in conn.frames():
                await conn.take(*f)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            self.tasks.discard(task)
            writer.close()
