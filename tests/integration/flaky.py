# SPDX-License-Identifier: MIT
"""A server that breaks off, stalls and lies, as the path of a request says; and many requests at a time for whoever
asks it.  A loop of its own on a thread of its own; what it saw is counted."""
import asyncio
import collections
import re
import socket
import struct
import threading

#: Responses to be cut at every byte: what frames them, their bytes, and where their head ends.
RESPONSES = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\nX-A: b\r\n\r\nhello, there",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n7;x=y\r\n, there\r\n0\r\n\r\n",
    "trailers": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nc\r\nhello, there\r\n0\r\n"
                b"X-Trailer: t\r\n\r\n",
    "to-end": b"HTTP/1.1 200 OK\r\nX-A: b\r\n\r\nhello, there",
    "interim": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n"
               b"hello, there",
    "empty": b"HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
}
BODY = b"hello, there"


def head_end(kind):
    """Of the final response."""
    whole = RESPONSES[kind]
    return whole.rindex(b"\r\n\r\n" if kind in ("empty", "interim", "length", "to-end") else b"chunked\r\n\r\n") + (
        4 if kind in ("empty", "interim", "length", "to-end") else 11)


class Request:
    """One request as it came, and the connection to answer on."""

    def __init__(self, reader, writer, line, fields, number):
        self.reader, self.writer = reader, writer
        self.method, self.target, self.version = line.split(" ")
        self.fields = fields
        self.number = number  # on this connection, from 1

    async def send(self, data):
        self.writer.write(data)
        await self.writer.drain()

    async def body(self):
        if "transfer-encoding" in self.fields:
            data = b""
            while True:
                n = int((await self.reader.readline()).strip(), 16)
                data += (await self.reader.readexactly(n + 2))[:n]
                if n == 0:
                    return data
        return await self.reader.readexactly(int(self.fields.get("content-length", 0)))

    def reset(self):
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


async def cut(r):
    """/cut/KIND/N/HOW: N bytes of that response; then the end, a reset, nothing, or the rest."""
    _, _, kind, n, how = r.target.split("/")
    whole = RESPONSES[kind]
    await r.send(whole[:int(n)])
    if how == "rest":
        await asyncio.sleep(0.002)
        await r.send(whole[int(n):])
        return kind != "to-end"
    if how == "abort":
        r.writer.transport.abort()
    elif how == "stall":
        await r.reader.read(1)
    elif how == "reset":
        r.reset()
    return False


class Flaky:
    """handlers: {name: async def handler(request)}, called for paths /name and /name/…; one returns whether the
    connection goes on."""

    def __init__(self, context=None, **handlers):
        self.context = context
        self.handlers = {"cut": cut, **handlers}
        self.requests = collections.Counter()  # by path
        self.connections = 0
        self.open = 0
        self.most = 0
        self.tasks = set()  # the loop's own references to them are weak
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.server = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1000,
                                                                             ssl=self.context))
        self.addr = self.server.sockets[0].getsockname()
        self._ready.set()
        self.loop.run_forever()

    def __enter__(self):
        self.thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_):
        self.loop.call_soon_threadsafe(self._stop)
        self.thread.join()

    def _stop(self):
        self.server.close()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.call_soon(self.loop.stop)

    @property
    def url(self):
        return f"http{'s' if self.context else ''}://127.0.0.1:{self.addr[1]}"

    async def _request(self, reader, writer, number):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        fields = dict((k.lower(), v.strip()) for k, v in (line.split(":", 1) for line in head[1:] if line))
        return Request(reader, writer, head[0], fields, number)

    async def _serve(self, reader, writer):
        self.tasks.add(asyncio.current_task())
        self.connections += 1
        self.open += 1
        self.most = max(self.most, self.open)
        number = 0
        try:
            goes_on = True
            while goes_on:
                number += 1
                r = await self._request(reader, writer, number)
                self.requests[r.target] += 1
                goes_on = await self.handlers[re.split("[/?]", r.target)[1]](r)
        except (OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            self.tasks.discard(asyncio.current_task())
            writer.close()


def all_of(coroutines, at_once):
    """Their results, in order."""
    async def gather():
        gate = asyncio.Semaphore(at_once)

        async def one(c):
            async with gate:
                return await c
        return await asyncio.gather(*(one(c) for c in coroutines))
    return asyncio.run(gather())
