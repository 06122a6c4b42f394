# SPDX-License-Identifier: MIT
"""gRPC with clients that are not ours: the cases of the gRPC project's interoperability list, over h2c and
TLS; then what that list leaves out: limits, interceptors, the server's drain.

Which case runs with which client (over HTTP/3, which none of them speaks, tests/unit/h3_grpc_test.c does):

    case                          grpcio   libgrpc++   grpc-js   gRPC-Web in Chromium
    empty_unary                     x          x          x        x
    large_unary                     x          x          x        x
    client_compressed_unary         x          x          x        no: it has no grpc-encoding
    server_compressed_unary         x          x          x        no: as above
    client_streaming                x          x          x        no: its requests are one message
    server_streaming                x          x          x        x
    ping_pong                       x          x          x        no: one message
    empty_stream                    x          x          x        no: one message
    custom_metadata                 x          x          x        x
    status_code_and_message         x          x          x        x
    special_status_message          x          x          x        x
    unimplemented_method            x          x          x        x
    unimplemented_service           x          x          x        x
    cancel_after_begin              x          x          x        x, of a unary call
    cancel_after_first_response     x          x          x        x, of a server's stream
    timeout_on_sleeping_server      x          x          x        x, of a unary call

grpcio: below; libgrpc++ and grpc-js: tests/programs/grpc_client.cc and .js; Chromium: test_grpc_web.py.
"""
import os
import queue
import shutil
import signal
import struct
import subprocess

import pytest

import h2wire
import servers
from wire import PATIENCE, Wire, eventually

grpc = pytest.importorskip("grpc")
stubs = pytest.importorskip("grpcstubs")

S = "/tako.test.Interop/"
TIMEOUT = 20 * PATIENCE
Code = grpc.StatusCode


def channel(server, **options):
    where = f"localhost:{server.addr[1]}"
    options = [("grpc.enable_http_proxy", 0), *options.items()]
    if server.scheme == "http":
        return grpc.insecure_channel(where, options)
    with open(servers.shared_certificate()[0], "rb") as f:
        return grpc.secure_channel(where, grpc.ssl_channel_credentials(f.read()), options)


@pytest.fixture(scope="module", params=["tcp", "tls"])
def server(request, tmp_path_factory):
    described = tmp_path_factory.mktemp("grpc") / "set.pb"
    described.write_bytes(stubs.reflected().SerializeToString())
    with servers.launch("grpc", f"descriptors={described}", tls=request.param == "tls" or servers.OVER_TLS) as s:
        yield s


@pytest.fixture(scope="module")
def ch(server):
    with channel(server) as c:
        yield c


def said(server):
    with Wire(server.addr) as w:
        return w.get("/said", "Connection: close").body.decode().splitlines()


@pytest.fixture
def log(server):
    """What calls have ended how, from here on."""
    with Wire(server.addr) as w:
        w.get("/forget", "Connection: close")
    return lambda: said(server)


def unary(ch, request, method="Unary", **kw):
    kw.setdefault("timeout", TIMEOUT)
    return ch.unary_unary(S + method)(request, **kw)


def refused(call):
    """The status and the message of a call that is not to succeed."""
    with pytest.raises(grpc.RpcError) as e:
        result = call()
        if not isinstance(result, bytes):
            list(result)
    return e.value.code(), e.value.details()


# ---- The list -----------------------------------------------------------------------------------------


def test_empty_unary(ch):
    assert unary(ch, b"", "Empty") == b""


@pytest.mark.parametrize("squeeze", [0, 1])
def test_large_unary(ch, squeeze):
    assert unary(ch, b"n=314159;squeeze=%d\0" % squeeze + b"x" * 271828) == bytes(314159)


@pytest.mark.parametrize("how", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_client_compressed_unary(ch, how):
    assert unary(ch, b"n=314159;compressed=1\0" + bytes(271828), compression=how) == bytes(314159)
    # And what is not compressed is known to be not.
    assert refused(lambda: unary(ch, b"n=1;compressed=1\0" + bytes(271828))) == \
        (Code.INVALID_ARGUMENT, "not compressed")


def test_server_compressed_unary(server):
    """What the client takes is what it gets: it would tell if it could not read it."""
    for algorithms in (0b101, 0b011):  # identity and gzip; identity and deflate
        with channel(server, **{"grpc.compression_enabled_algorithms_bitset": algorithms}) as c:
            got, call = c.unary_unary(S + "Unary").with_call(b"n=314159", timeout=TIMEOUT)
            assert got == bytes(314159) and call.code() is Code.OK


def test_client_streaming(ch):
    requests = [b"\0" + bytes(n) for n in (27182, 8, 1828, 45904)]
    assert ch.stream_unary(S + "Input")(iter(requests), timeout=TIMEOUT) == b"74922"


def test_server_streaming(ch):
    got = ch.unary_stream(S + "Output")(b"n=31415,9,2653,58979", timeout=TIMEOUT)
    assert [len(m) for m in got] == [31415, 9, 2653, 58979]


class Requests:
    """Requests of a stream, said when it is time."""

    def __init__(self):
        self.queue = queue.Queue()
        self.say, self.end = self.queue.put, lambda: self.queue.put(None)

    def __iter__(self):
        return iter(self.queue.get, None)


def test_ping_pong(ch):
    requests = Requests()
    call = ch.stream_stream(S + "Duplex")(iter(requests), timeout=TIMEOUT)
    for n in (31415, 9, 2653, 58979):
        requests.say(b"n=%d" % n)
        assert len(next(call)) == n
    requests.end()
    assert list(call) == [] and call.code() is Code.OK


def test_empty_stream(ch):
    call = ch.stream_stream(S + "Duplex")(iter([]), timeout=TIMEOUT)
    assert list(call) == [] and call.code() is Code.OK


@pytest.mark.parametrize("duplex", [False, True])
def test_custom_metadata(ch, duplex):
    sent = (("x-grpc-test-echo-initial", "test_initial_metadata_value"),
            ("x-grpc-test-echo-trailing-bin", b"\xab\xab\xab"))
    if duplex:
        call = ch.stream_stream(S + "Duplex")(iter([b"n=314159"]), timeout=TIMEOUT, metadata=sent)
        assert [len(m) for m in call] == [314159]
    else:
        _, call = ch.unary_unary(S + "Unary").with_call(b"n=314159", timeout=TIMEOUT, metadata=sent)
    assert sent[0] in [tuple(m) for m in call.initial_metadata()]
    assert sent[1] in [tuple(m) for m in call.trailing_metadata()]


def test_status_code_and_message(ch):
    want = (Code.UNKNOWN, "test status message")
    assert refused(lambda: unary(ch, b"code=2;message=test status message")) == want
    requests = iter([b"code=2;message=test status message"])
    assert refused(lambda: ch.stream_stream(S + "Duplex")(requests, timeout=TIMEOUT)) == want


def test_special_status_message(ch):
    text = "\t\ntest with whitespace\r\nand Unicode BMP ☺ and non-BMP 😈\t\n"
    assert refused(lambda: unary(ch, b"code=2;message=" + text.encode())) == (Code.UNKNOWN, text)


def test_every_status(ch):
    codes = {c.value[0]: c for c in Code}
    for number in range(1, 17):
        assert refused(lambda n=number: unary(ch, b"code=%d" % n))[0] is codes[number]


def test_unimplemented_method(ch):
    assert refused(lambda: unary(ch, b"", "Other"))[0] is Code.UNIMPLEMENTED


def test_unimplemented_service(ch):
    assert refused(lambda: ch.unary_unary("/tako.test.Other/Unary")(b"", timeout=TIMEOUT))[0] is Code.UNIMPLEMENTED


def test_cancel_after_begin(ch, log):
    call = ch.stream_unary(S + "Input").future(iter(Requests()), timeout=TIMEOUT)
    call.cancel()
    assert call.cancelled() and call.code() is Code.CANCELLED
    # It may have been cancelled before anything was sent.
    eventually(lambda: all("CANCELLED" in line for line in log()))


def test_cancel_after_first_response(ch, log):
    requests = Requests()
    call = ch.stream_stream(S + "Duplex")(iter(requests), timeout=TIMEOUT)
    requests.say(b"n=31415")
    assert len(next(call)) == 31415
    call.cancel()
    with pytest.raises(grpc.RpcError):
        next(call)
    requests.end()
    assert call.code() is Code.CANCELLED
    want = [f"{what} {S}Duplex CANCELLED" for what in ("cancelled", "over")]
    eventually(lambda: log() == want)


def test_timeout_on_sleeping_server(ch, log):
    requests = Requests()
    call = ch.stream_stream(S + "Hang")(iter(requests), timeout=0.5)
    requests.say(b"x")
    assert refused(lambda: call)[0] is Code.DEADLINE_EXCEEDED
    requests.end()
    # Whoever was first, the method was told.
    eventually(lambda: [line.split()[0] for line in log()] == ["cancelled", "over"])


def test_list_with_libgrpc(server):
    """The same cases, by tests/programs/grpc_client.cc."""
    path = os.path.join(servers.BUILD, "tests/programs/grpc_client")
    if not os.access(path, os.X_OK):
        pytest.skip("libgrpc++ is not installed")
    certificate = [servers.shared_certificate()[0]] if server.scheme == "https" else []
    r = subprocess.run([path, f"localhost:{server.addr[1]}", *certificate], capture_output=True, text=True,
                       timeout=60 * PATIENCE, check=False)
    assert r.stdout == "all good\n" and r.returncode == 0, r.stdout + r.stderr


def test_list_with_grpc_js(server):
    """The same cases, by tests/programs/grpc_client.js."""
    modules = servers.node_modules("@grpc/grpc-js")
    if not modules or not shutil.which("node"):
        pytest.skip("@grpc/grpc-js is not installed: scripts/npm.sh does that")
    certificate = [servers.shared_certificate()[0]] if server.scheme == "https" else []
    r = subprocess.run(["node", os.path.join(servers.ROOT, "tests/programs/grpc_client.js"),
                        f"localhost:{server.addr[1]}", *certificate], env={**os.environ, "NODE_PATH": modules},
                       capture_output=True, text=True, timeout=60 * PATIENCE, check=False)
    assert r.stdout == "16 good\n" and r.returncode == 0, r.stdout + r.stderr


# ---- Late answers -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["sleep", "job", "defer"])
def test_answered_later(ch, how):
    assert unary(ch, f"n=7;{how}=30".encode()) == bytes(7)


@pytest.mark.parametrize("how", ["sleep", "job", "defer"])
def test_answered_too_late(ch, log, how):
    assert refused(lambda: unary(ch, f"n=7;{how}=800".encode(), timeout=0.3))[0] is Code.DEADLINE_EXCEEDED
    eventually(lambda: "ECLOSED" in "".join(log()) and any(line.startswith("over") for line in log()))


def test_details(ch):
    with pytest.raises(grpc.RpcError) as e:
        unary(ch, b"code=9;details=some details")
    assert ("grpc-status-details-bin", b"some details") in [tuple(m) for m in e.value.trailing_metadata()]


# ---- Limits --------------------------------------------------------------------------------------------------


def test_limits(ch):
    assert unary(ch, b"n=100\0" + bytes(94), "Small") == bytes(100)
    assert refused(lambda: unary(ch, bytes(101), "Small")) == \
        (Code.RESOURCE_EXHAUSTED, "the message is over the limit")
    assert refused(lambda: unary(ch, b"n=101", "Small"))[0] is Code.RESOURCE_EXHAUSTED
    # A bomb: 1 MiB in 1 KiB would fit in every limit but this.
    assert refused(lambda: unary(ch, bytes(1 << 14), "Small", compression=grpc.Compression.Gzip))[0] is \
        Code.RESOURCE_EXHAUSTED
    assert refused(lambda: unary(ch, bytes((4 << 20) + 1)))[0] is Code.RESOURCE_EXHAUSTED


@servers.not_byte_by_byte
@servers.not_sent_in_bits
def test_back_pressure(ch):
    """A client that is slow to read is waited for, and gets everything."""
    call = ch.unary_stream(S + "Flood")(b"n=5000", timeout=3 * TIMEOUT)
    assert sum(len(m) for m in call) == 5000 * 64


def test_forgotten_answer(ch):
    assert refused(lambda: unary(ch, b"", "Forgetful"))[0] is Code.INTERNAL


# ---- Interceptors ----------------------------------------------------------------------------------------------


def guarded(ch, *metadata, request=b"n=3"):
    return ch.unary_unary("/tako.test.Guarded/Unary").with_call(request, timeout=TIMEOUT, metadata=metadata)


def test_interceptors(ch, log):
    assert refused(lambda: guarded(ch)) == (Code.UNAUTHENTICATED, "no good token")
    got, call = guarded(ch, ("token", "good"))
    assert got == bytes(3) and ("x-status-at-head", "0") in [tuple(m) for m in call.initial_metadata()]
    assert refused(lambda: guarded(ch, ("token", "good"), request=b"code=10"))[0] is Code.ABORTED
    assert refused(lambda: guarded(ch, ("token", "good"), ("http-status", "429")))[0] is Code.UNAVAILABLE
    want = [f"intercepted /tako.test.Guarded/Unary {code} OK"
            for code in ("UNAUTHENTICATED", "OK", "ABORTED", "UNAVAILABLE")]
    eventually(lambda: log() == want)


# ---- Health ------------------------------------------------------------------------------------------------------

HEALTH = "grpc.health.v1.HealthCheck"


def set_health(server, service, status):
    with Wire(server.addr) as w:
        assert w.get(f"/health?service={service}&status={status}", "Connection: close").body == b"OK"


def test_health_check(server, ch):
    check = stubs.stub(ch.unary_unary, "/grpc.health.v1.Health/Check", HEALTH + "Request", HEALTH + "Response")
    ask = stubs.message(HEALTH + "Request")
    assert check(ask(), timeout=TIMEOUT).status == 1
    with pytest.raises(grpc.RpcError) as e:
        check(ask(service="checked"), timeout=TIMEOUT)
    assert e.value.code() is Code.NOT_FOUND
    set_health(server, "checked", 2)
    assert check(ask(service="checked"), timeout=TIMEOUT).status == 2


def test_health_watch(server, ch):
    watch = stubs.stub(ch.unary_stream, "/grpc.health.v1.Health/Watch", HEALTH + "Request", HEALTH + "Response")
    call = watch(stubs.message(HEALTH + "Request")(service="watched"), timeout=TIMEOUT)
    assert next(call).status == 3
    for status in (1, 2, 0, 1):
        set_health(server, "watched", status)
        assert next(call).status == status
    call.cancel()


# ---- Reflection --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection(ch, version):
    package = f"grpc.reflection.{version}.ServerReflection"
    ask = stubs.message(package + "Request")
    info = stubs.stub(ch.stream_stream, f"/{package}/ServerReflectionInfo", package + "Request", package + "Response")
    questions = [ask(host="h", list_services=""), ask(file_containing_symbol="tako.main.Ask.Inner"),
                 ask(file_by_filename="base.proto"), ask(file_containing_symbol="tako.main.Oracle.Tell"),
                 ask(file_containing_symbol="tako.main.None"), ask(all_extension_numbers_of_type="tako.main.Ask")]
    answers = list(info(iter(questions), timeout=TIMEOUT))
    assert [a.original_request for a in answers] == questions and answers[0].valid_host == "h"
    assert [s.name for s in answers[0].list_services_response.service] == ["tako.main.Oracle"]
    base, main = (f.SerializeToString() for f in stubs.reflected().file)
    assert [list(answers[i].file_descriptor_response.file_descriptor_proto) for i in (1, 2, 3)] == [[main], [base], [main]]
    assert answers[4].error_response.error_code == Code.NOT_FOUND.value[0]
    assert answers[5].all_extension_numbers_response.base_type_name == "tako.main.Ask"


# ---- The example -------------------------------------------------------------------------------------------------


def test_example():
    port = servers.free_port()
    with servers.Server([servers.program("examples/grpc"), f"127.0.0.1:{port}"], ("127.0.0.1", port)) as s, \
            channel(s) as c:
        # As protobuf has it: field 1, a string.
        assert c.unary_unary("/greet.Greeter/SayHello")(b"\x0a\x03you", timeout=TIMEOUT) == b"\x0a\x0bHello, you!"
        got = [m[2:] for m in c.unary_stream("/greet.Greeter/SayHellos")(b"\x0a\x01x", timeout=TIMEOUT)]
        assert got == [word + b", x!" for word in (b"Hello", b"Bonjour", b"Hallo", b"Hola", b"Ciao")]
        assert refused(lambda: c.unary_unary("/greet.Greeter/SayHello")(b"\x0a\x09you", timeout=TIMEOUT)) == \
            (Code.INVALID_ARGUMENT, "not a HelloRequest")
        package = "grpc.reflection.v1.ServerReflection"
        info = stubs.stub(c.stream_stream, f"/{package}/ServerReflectionInfo", package + "Request", package + "Response")
        ask = stubs.message(package + "Request")
        services, file = info(iter([ask(list_services=""), ask(file_containing_symbol="greet.HelloReply")]), timeout=TIMEOUT)
        assert [x.name for x in services.list_services_response.service] == ["greet.Greeter"]
        assert b"greeter.proto" in file.file_descriptor_response.file_descriptor_proto[0]


# ---- The drain --------------------------------------------------------------------------------------------------


def test_drain_finishes_calls():
    with servers.launch("grpc", "drain_timeout_ms=20000") as s, channel(s) as c:
        answer = c.unary_unary(S + "Unary").future(b"n=5;sleep=700", timeout=TIMEOUT)
        stream = c.stream_stream(S + "Duplex")(iter(requests := Requests()), timeout=TIMEOUT)
        requests.say(b"n=1")
        next(stream)
        s.signal()
        # New calls are not taken, running ones go on.
        requests.say(b"n=9")
        assert len(next(stream)) == 9
        requests.end()
        assert list(stream) == [] and stream.code() is Code.OK
        assert answer.result() == bytes(5)
        s.stop()


def test_drain_cancels_at_last():
    with servers.launch("grpc", "drain_timeout_ms=800") as s, channel(s) as c:
        requests = Requests()
        call = c.stream_stream(S + "Duplex")(iter(requests), timeout=TIMEOUT)
        requests.say(b"n=1")
        next(call)
        s.signal(signal.SIGTERM)
        assert refused(lambda: call) == (Code.CANCELLED, "the server stops")
        requests.end()
        s.wait()
        s.assert_clean()


# ---- On the wire -------------------------------------------------------------------------------------------------


def framed(message):
    return b"\0" + struct.pack(">I", len(message)) + message


GRPC = [("content-type", "application/grpc"), ("te", "trailers")]


@pytest.mark.parametrize("path, body, fields, status", [
    ("Duplex", framed(b"code=10"), [], "10"),
    ("Small", b"\0\0\1\0\0", [], "8"),
    ("Other", framed(b""), [], "12"),
    ("Hang", framed(b"x"), [("grpc-timeout", "50m")], "4"),
])
def test_early_closure(server, path, body, fields, status):
    """PROTOCOL-HTTP2.md, "Early Server Closure": Trailers-Only is one HEADERS with END_STREAM, and a client that has
    not ended its stream is told by RST_STREAM with NO_ERROR that it need not."""
    with h2wire.H2((*server.addr, "tls") if server.scheme == "https" else server.addr) as c:
        c.headers(1, c.basic("POST", S + path) + GRPC + fields, h2wire.END_HEADERS).data(1, body, end=False)
        c.until(lambda f: f.kind == h2wire.RST_STREAM)
        assert [(f.kind, f.flags) for f in c.frames if f.stream == 1] == \
            [(h2wire.HEADERS, h2wire.END_STREAM | h2wire.END_HEADERS), (h2wire.RST_STREAM, 0)]
        assert c.responses[1].reset == h2wire.NO_ERROR
        assert c.responses[1].get("grpc-status") == status and c.responses[1].get("content-type") == "application/grpc"


def test_deadlines_are_no_way_past_the_limits():
    """A call whose time has passed may still be worked on; of such there are no more than of those that were reset."""
    message = f"defer={3000 * PATIENCE}".encode()

    def ask(c, stream):
        c.ask(stream, S + "Unary", *GRPC, ("grpc-timeout", "1m"), method="POST", body=framed(message))
        return c.response(stream)

    with servers.launch("grpc", "h2_max_pending_reset_count=3", "worker_count=1", tls=False) as s, h2wire.H2(s.addr) as c:
        for stream in (1, 3, 5, 7):
            assert ask(c, stream).get("grpc-status") == str(Code.DEADLINE_EXCEEDED.value[0])
        assert ask(c, 9).reset == h2wire.REFUSED_STREAM
        # The connection is as good as before, and serves on when they are done.
        streams = iter(range(11, 100001, 2))
        eventually(lambda: ask(c, next(streams)).reset is None, timeout=TIMEOUT, every=0.2)
