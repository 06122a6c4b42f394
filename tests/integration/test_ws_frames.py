# SPDX-License-Identifier: MIT
"""WebSocket frame by frame (tests/programs/ws.c): framing, pings, reserved bits, opcodes, fragments, UTF-8,
closing and sizes, in the order of the Autobahn suite's families, each case with the section of RFC 6455
that it is about.

Every case is a row: bytes that are sent, and what must come back, in order.  Its bytes are written whole,
one by one and in random pieces, over TCP; in pieces over TLS and over a stream of HTTP/2; and to a server
that reads them one by one.
"""
import zlib

import pytest

import servers
from wire import scaled, tls_context
from wswire import (BINARY, CLOSE, CONT, PING, PONG, TEXT, WS, binary, close, cont, cuts, frame, message, ping,
                    pong, text)

#: Sizes around each form of the length, and of buffers.
SIZES = (0, 1, 125, 126, 127, 128, 4095, 65535, 65536, 70000)
CASES = {}


def case(name, section, sent, *events, path="/echo"):
    """`events` are messages and pongs; the last may be a Close with the code that the server fails the
    connection with.  Without one the connection must be in order: it is closed with 1000."""
    assert name not in CASES, name
    CASES[name] = (section, sent, events, path)


def fails(code):
    return (CLOSE, code)


def bytes_of(n):
    return bytes(i * 7 % 251 for i in range(n))


def letters(n):
    return bytes(97 + i % 26 for i in range(n))


# ---- 1: framing (section 5.2) ---------------------------------------------------------------------

for n in SIZES:
    case(f"1.1-text-{n}", "5.6", text(letters(n)), (TEXT, letters(n)))
    case(f"1.2-binary-{n}", "5.6", binary(bytes_of(n)), (BINARY, bytes_of(n)))
case("1.3-several", "5.2", text(b"a") + binary(b"b") + text(b"") + text(b"c"),
     (TEXT, b"a"), (BINARY, b"b"), (TEXT, b""), (TEXT, b"c"))
for n, form in ((0, 16), (5, 16), (125, 16), (0, 64), (5, 64), (126, 64), (65535, 64)):
    # "the minimal number of bytes MUST be used to encode the length"
    case(f"1.4-{n}-in-{form}-bits", "5.2", text(letters(n), form=form), fails(1002))
case("1.4-top-bit-of-64", "5.2", frame(BINARY, length=1 << 63, form=64), fails(1002))
case("1.4-all-bits-of-64", "5.2", frame(BINARY, length=(1 << 64) - 1, form=64), fails(1002))
for name, kw in (("empty", {}), ("text", {"payload": b"x"}), ("long", {"payload": bytes(300)})):
    # "a server MUST close the connection upon receiving a frame that is not masked"
    case(f"1.5-unmasked-{name}", "5.1", binary(key=None, **kw), fails(1002))
case("1.5-unmasked-ping", "5.1", ping(key=None), fails(1002))
case("1.5-unmasked-close", "5.1", close(1000, key=None), fails(1002))
case("1.5-unmasked-second", "5.1", text(b"a") + text(b"b", key=None), (TEXT, b"a"), fails(1002))
case("1.6-mask-of-zeros", "5.3", text(b"plain", key=bytes(4)), (TEXT, b"plain"))
case("1.6-mask-of-ones", "5.3", binary(bytes_of(1000), key=b"\xff" * 4), (BINARY, bytes_of(1000)))
for n in range(1, 9):
    case(f"1.6-mask-tail-{n}", "5.3", text(letters(n), key=b"\x81\x02\xf3\x44") * 3, *[(TEXT, letters(n))] * 3)

# ---- 2: pings and pongs (sections 5.5.2, 5.5.3) ----------------------------------------------------

case("2.1-empty", "5.5.2", ping(), (PONG, b""))
case("2.2-text", "5.5.2", ping(b"Hello, world!"), (PONG, b"Hello, world!"))
case("2.3-not-text", "5.5.2", ping(b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"), (PONG, b"\x00\xff\xfe\xfd\xfc\xfb\x00\xff"))
case("2.4-125", "5.5", ping(b"\xfe" * 125), (PONG, b"\xfe" * 125))
case("2.5-126", "5.5", ping(b"\xfe" * 126), fails(1002))
case("2.5-126-header-only", "5.5", frame(PING, length=126), fails(1002))
case("2.5-long-form", "5.5", ping(b"x", form=16), fails(1002))
case("2.5-64-bits", "5.5", frame(PING, length=1 << 40), fails(1002))
case("2.7-pong", "5.5.3", pong())
case("2.8-pong-payload", "5.5.3", pong(b"unsolicited pong payload"))
case("2.9-pong-ping", "5.5.3", pong(b"unsolicited") + ping(b"payload"), (PONG, b"payload"))
case("2.10-ten", "5.5.2", b"".join(ping(b"p%d" % i) for i in range(10)), *[(PONG, b"p%d" % i) for i in range(10)])
case("2.11-pong-126", "5.5", pong(bytes(126)), fails(1002))
case("2.12-between-messages", "5.5.2", text(b"a") + ping(b"1") + text(b"b") + ping(b"2"),
     (TEXT, b"a"), (PONG, b"1"), (TEXT, b"b"), (PONG, b"2"))

# ---- 3: reserved bits (section 5.2: "MUST be 0 unless an extension is negotiated") -------------------

for rsv in range(1, 8):
    case(f"3.{rsv}-text", "5.2", text(b"x", rsv=rsv), fails(1002))
    case(f"3.{rsv}-empty-binary", "5.2", binary(rsv=rsv), fails(1002))
    case(f"3.{rsv}-after-message", "5.2", text(b"a") + text(b"b", rsv=rsv) + ping(), (TEXT, b"a"), fails(1002))
    case(f"3.{rsv}-continuation", "5.2", text(b"a", fin=False) + cont(b"b", rsv=rsv), fails(1002))
    case(f"3.{rsv}-ping", "5.2", ping(b"x", rsv=rsv), fails(1002))
    case(f"3.{rsv}-pong", "5.2", pong(rsv=rsv), fails(1002))
    case(f"3.{rsv}-close", "5.2", close(1000, rsv=rsv), fails(1002))

# ---- 4: opcodes (section 5.2: "If an unknown opcode is received, … MUST _Fail_") ---------------------

for op in (3, 4, 5, 6, 7, 11, 12, 13, 14, 15):
    case(f"4-{op}-empty", "5.2", frame(op), fails(1002))
    case(f"4-{op}-payload", "5.2", frame(op, b"reserved opcode payload") + ping(), fails(1002))
    case(f"4-{op}-after-message", "5.2", text(b"a") + frame(op, b"x") + ping(), (TEXT, b"a"), fails(1002))
    case(f"4-{op}-in-message", "5.4", text(b"a", fin=False) + frame(op, b"x"), fails(1002))

# ---- 5: fragmentation (section 5.4) ------------------------------------------------------------------

case("5.1-fragmented-ping", "5.5", ping(b"a", fin=False) + cont(b"b"), fails(1002))
case("5.2-fragmented-pong", "5.5", pong(b"a", fin=False) + cont(b"b"), fails(1002))
case("5.2-fragmented-close", "5.5", close(1000, fin=False), fails(1002))
case("5.3-two", "5.4", text(b"frag1", fin=False) + cont(b"frag2"), (TEXT, b"frag1frag2"))
case("5.3-two-binary", "5.4", binary(b"\xff", fin=False) + cont(b"\xfe"), (BINARY, b"\xff\xfe"))
case("5.4-many", "5.4", message(TEXT, letters(500), 1), (TEXT, letters(500)))
case("5.5-empty-first", "5.4", text(b"", fin=False) + cont(b"x"), (TEXT, b"x"))
case("5.5-empty-middle", "5.4", text(b"a", fin=False) + cont(b"", fin=False) * 3 + cont(b"b"), (TEXT, b"ab"))
case("5.5-empty-last", "5.4", text(b"a", fin=False) + cont(b""), (TEXT, b"a"))
case("5.5-all-empty", "5.4", binary(b"", fin=False) + cont(b"", fin=False) + cont(b""), (BINARY, b""))
case("5.6-ping-between", "5.4", text(b"a", fin=False) + ping(b"p") + cont(b"b"), (PONG, b"p"), (TEXT, b"ab"))
case("5.7-pong-between", "5.4", text(b"a", fin=False) + pong(b"p") + cont(b"b"), (TEXT, b"ab"))
case("5.8-pings-between", "5.4",
     binary(b"1", fin=False) + ping(b"x") + cont(b"2", fin=False) + ping(b"y") + cont(b"3", fin=False) + cont(b"4"),
     (PONG, b"x"), (PONG, b"y"), (BINARY, b"1234"))
for name, fin in (("last", True), ("more", False)):
    case(f"5.9-nothing-to-continue-{name}", "5.4", cont(b"x", fin=fin), fails(1002))
    case(f"5.10-nothing-to-continue-{name}-then-text", "5.4", cont(b"x", fin=fin) + text(b"y"), fails(1002))
    case(f"5.15-continued-after-its-end-{name}", "5.4",
         text(b"a", fin=False) + cont(b"b") + cont(b"c", fin=fin) + text(b"d"), (TEXT, b"ab"), fails(1002))
    case(f"5.16-empty-to-continue-{name}", "5.4", cont(fin=fin), fails(1002))
    for op in (TEXT, BINARY):
        case(f"5.18-{op}-in-message-{name}", "5.4", text(b"a", fin=False) + frame(op, b"b", fin=fin), fails(1002))
case("5.19-many-with-pings", "5.4",
     text(b"f1", fin=False) + cont(b"f2", fin=False) + ping(b"p1") + cont(b"f3", fin=False) + cont(b"f4", fin=False)
     + ping(b"p2") + cont(b"f5") + text(b"next"), (PONG, b"p1"), (PONG, b"p2"), (TEXT, b"f1f2f3f4f5"), (TEXT, b"next"))
case("5.20-large-fragments", "5.4", message(BINARY, bytes_of(70000), 65536), (BINARY, bytes_of(70000)))
case("5.21-most-frames", "10.4", message(BINARY, bytes(100), 1), (BINARY, bytes(100)), path="/echo?max_frame_count=100")
case("5.21-too-many-frames", "10.4", message(BINARY, bytes(101), 1), fails(1008), path="/echo?max_frame_count=100")
case("5.21-too-many-empty", "10.4", binary(fin=False) + cont(fin=False) * 100, fails(1008),
     path="/echo?max_frame_count=100")

# ---- 6: UTF-8 (section 8.1) ----------------------------------------------------------------------------

KOSME = b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5"


def utf8(name, data, valid):
    """In one frame, and with a frame for each byte."""
    events = [(TEXT, data)] if valid else [fails(1007)]
    case(f"{name}-whole", "8.1", text(data), *events)
    if len(data) > 1:
        case(f"{name}-bytes", "8.1", message(TEXT, data, 1), *events)


case("6.1-empty", "8.1", text(), (TEXT, b""))
case("6.1-empty-fragments", "8.1", text(fin=False) + cont(fin=False) + cont(), (TEXT, b""))
utf8("6.2", "Hello-µ@ßöäüàá-UTF-8!!".encode(), True)
case("6.2-split-in-character", "8.1", text(KOSME[:1], fin=False) + cont(KOSME[1:4], fin=False) + cont(KOSME[4:]),
     (TEXT, KOSME))
utf8("6.3", KOSME + b"\xed\xa0\x80edited", False)
# A message is refused as soon as it cannot become valid, not when it ends.
case("6.4-fragment-fails-at-once", "8.1", text(KOSME, fin=False) + cont(b"\xf4\x90\x80\x80", fin=False), fails(1007))
case("6.4-cut-then-wrong", "8.1", text(KOSME + b"\xf4", fin=False) + cont(b"\x90", fin=False), fails(1007))
case("6.4-binary-is-not-looked-at", "8.1", binary(KOSME + b"\xf4\x90\x80\x80"), (BINARY, KOSME + b"\xf4\x90\x80\x80"))
for n in range(1, len(KOSME) + 1):
    utf8(f"6.6-{n}", KOSME[:n], n in (2, 5, 7, 9, 11))
#: First and last of each length: RFC 3629 section 3.
for data, valid in ((b"\x00", True), (b"\xc2\x80", True), (b"\xe0\xa0\x80", True), (b"\xf0\x90\x80\x80", True),
                    (b"\xf8\x88\x80\x80\x80", False), (b"\xfc\x84\x80\x80\x80\x80", False),
                    (b"\x7f", True), (b"\xdf\xbf", True), (b"\xef\xbf\xbf", True), (b"\xf4\x8f\xbf\xbf", True),
                    (b"\xf7\xbf\xbf\xbf", False), (b"\xfb\xbf\xbf\xbf\xbf", False),
                    (b"\xfd\xbf\xbf\xbf\xbf\xbf", False)):
    utf8(f"6.7-{data.hex()}", data, valid)
for data, valid in ((b"\xed\x9f\xbf", True), (b"\xee\x80\x80", True), (b"\xef\xbf\xbd", True),
                    (b"\xf4\x90\x80\x80", False)):
    utf8(f"6.11-{data.hex()}", data, valid)
for data in (b"\x80", b"\xbf", b"\x80\xbf", b"\x80\xbf\x80", b"\x80\xbf\x80\xbf", b"\x80\xbf\x80\xbf\x80",
             b"\x80\xbf\x80\xbf\x80\xbf", bytes(range(0x80, 0xc0))):
    case(f"6.12-{len(data)}-tails-{data[:2].hex()}", "8.1", text(data), fails(1007))
for name, leads in (("2", range(0xc0, 0xe0)), ("3", range(0xe0, 0xf0)), ("4", range(0xf0, 0xf8)),
                    ("5", range(0xf8, 0xfc)), ("6", range(0xfc, 0xfe))):
    case(f"6.13-lonely-{name}", "8.1", text(b"".join(bytes([c, 32]) for c in leads)), fails(1007))
for data in (b"\xc0", b"\xe0\x80", b"\xf0\x80\x80", b"\xf8\x80\x80\x80", b"\xfc\x80\x80\x80\x80",
             b"\xdf", b"\xef\xbf", b"\xf7\xbf\xbf", b"\xfb\xbf\xbf\xbf", b"\xfd\xbf\xbf\xbf\xbf"):
    utf8(f"6.14-{data.hex()}", data, False)
for data in (b"\xfe", b"\xff", b"\xfe\xfe\xff\xff"):
    utf8(f"6.16-{data.hex()}", data, False)
for data in (b"\xc0\xaf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xf8\x80\x80\x80\xaf", b"\xfc\x80\x80\x80\x80\xaf",
             b"\xc1\xbf", b"\xe0\x9f\xbf", b"\xf0\x8f\xbf\xbf", b"\xf8\x87\xbf\xbf\xbf", b"\xfc\x83\xbf\xbf\xbf\xbf",
             b"\xc0\x80", b"\xe0\x80\x80", b"\xf0\x80\x80\x80", b"\xf8\x80\x80\x80\x80", b"\xfc\x80\x80\x80\x80\x80"):
    utf8(f"6.17-overlong-{data.hex()}", data, False)
for data in (b"\xed\xa0\x80", b"\xed\xad\xbf", b"\xed\xae\x80", b"\xed\xaf\xbf", b"\xed\xb0\x80", b"\xed\xbe\x80",
             b"\xed\xbf\xbf", b"\xed\xa0\x80\xed\xb0\x80", b"\xed\xad\xbf\xed\xbf\xbf", b"\xed\xae\x80\xed\xb0\x80",
             b"\xed\xaf\xbf\xed\xbf\xbf"):
    utf8(f"6.20-surrogate-{data.hex()}", data, False)
for point in [p * 0x10000 + low for p in range(17) for low in (0xfffe, 0xffff)] + [0xfffc, 0xfffd]:
    case(f"6.22-U+{point:04X}", "8.1", text(chr(point).encode()), (TEXT, chr(point).encode()))
case("6.24-long-then-wrong", "8.1", text(letters(5000) + b"\xff" + letters(5000)), fails(1007))
case("6.24-good-then-wrong", "8.1", text(KOSME) + text(b"\xce"), (TEXT, KOSME), fails(1007))

# ---- 7: closing (sections 5.5.1 and 7) ------------------------------------------------------------------


case("7.1.1-after-message", "5.5.1", text(b"Hello") + close(1000), (TEXT, b"Hello"), (CLOSE, 1000))
case("7.1.2-twice", "5.5.1", close(1000) + close(1000), (CLOSE, 1000))
case("7.1.3-ping-after", "5.5.1", close(1000) + ping(b"late"), (CLOSE, 1000))
case("7.1.4-text-after", "5.5.1", close(1000) + text(b"late"), (CLOSE, 1000))
case("7.1.5-in-message", "5.4", text(b"a", fin=False) + close(1000) + cont(b"b"), (CLOSE, 1000))
case("7.1.6-behind-much", "5.5.1", binary(bytes_of(1 << 18)) + close(1000) + ping(),
       (BINARY, bytes_of(1 << 18)), (CLOSE, 1000))
case("7.1.7-wrong-after", "5.5.1", close(1001) + frame(3, key=None), (CLOSE, 1001))
case("7.3.1-empty", "7.1.5", close(), (CLOSE, 1005))
case("7.3.2-one-byte", "5.5.1", frame(CLOSE, b"\x03"), (CLOSE, 1002))
case("7.3.3-code", "5.5.1", close(1000), (CLOSE, 1000))
case("7.3.4-reason", "5.5.1", close(1000, "Schluß".encode()), (CLOSE, 1000))
case("7.3.5-longest-reason", "5.5", close(1000, letters(123)), (CLOSE, 1000))
case("7.3.6-too-long", "5.5", close(1000, letters(124)), (CLOSE, 1002))
case("7.5.1-reason-not-utf8", "5.5.1", close(1000, KOSME + b"\xed\xa0\x80edited"), (CLOSE, 1007))
case("7.5.2-reason-cut", "5.5.1", close(1000, KOSME[:4]), (CLOSE, 1007))
for code in (1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999):
    case(f"7.7-{code}", "7.4.1", close(code), (CLOSE, code))
for code in (0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535):
    # "is reserved and MUST NOT be set as a status code in a Close control frame", or in no range at all.
    case(f"7.9-{code}", "7.4.2", close(code), (CLOSE, 1002))

# ---- 9, 10: sizes (section 10.4) ---------------------------------------------------------------------------

MIB = 1 << 20
case("9.1-largest", "10.4", binary(bytes_of(MIB)), (BINARY, bytes_of(MIB)))
case("9.1-too-large", "7.4.1", frame(BINARY, length=MIB + 1), fails(1009))
case("9.1-far-too-large", "7.4.1", frame(TEXT, length=(1 << 63) - 1, form=64), fails(1009))
case("9.1-too-large-by-parts", "7.4.1",
     binary(bytes(65536), fin=False) + cont(bytes(65536), fin=False) * 14 + cont(bytes(65535), fin=False)
     + frame(CONT, length=2, fin=False), fails(1009))
case("9.2-limit", "7.4.1", text(letters(100)) + text(letters(101)), (TEXT, letters(100)), fails(1009),
     path="/echo?max_message_bytes=100")
case("9.2-limit-by-parts", "7.4.1", message(TEXT, letters(100), 7) + message(TEXT, letters(101), 7),
     (TEXT, letters(100)), fails(1009), path="/echo?max_message_bytes=100")
case("9.2-limit-with-ping", "5.5", text(letters(100), fin=False) + ping(b"x" * 125) + cont(b""),
     (PONG, b"x" * 125), (TEXT, letters(100)), path="/echo?max_message_bytes=100")
case("9.3-large", "10.4", binary(bytes_of(4 * MIB)), (BINARY, bytes_of(4 * MIB)),
     path="/echo?max_message_bytes=16777216&max_unsent_bytes=off")
case("9.3-none", "10.4", message(TEXT, letters(2 * MIB), 100000), (TEXT, letters(2 * MIB)),
     path="/echo?max_message_bytes=off&max_unsent_bytes=off")
for size in (64, 1024, 65536):
    case(f"9.4-in-frames-of-{size}", "5.4", message(BINARY, bytes_of(300000), size), (BINARY, bytes_of(300000)))
for n, count in ((0, 300), (16, 300), (256, 200), (4096, 50)):
    case(f"9.7-{count}-of-{n}", "5.6", text(letters(n)) * count, *[(TEXT, letters(n))] * count)
case("10.1-frames-of-1300", "5.4", message(TEXT, letters(65536), 1300), (TEXT, letters(65536)))

# ---- Running them -------------------------------------------------------------------------------------------

#: Over what, and how the bytes are cut.
WAYS = [("tcp", "whole"), ("tcp", "bytes"), ("tcp", "pieces"), ("tls", "pieces"), ("h2", "pieces"), ("slow", "whole")]


#: One for all: making it reads the system's certificates, which takes longer than a case.
CONTEXT = tls_context()


@pytest.fixture(scope="module")
def addrs():
    """Where each way leads."""
    with servers.launch("ws") as plain:
        if servers.OVER_TLS:
            yield {"tcp": plain.addr}
            return
        # One that reads byte by byte and sends seven at a time, where the runtime can be told to.
        env = servers.hostile(servers.HOSTILE["all at once"] if "all at once" in servers.hostile_modes() else "")
        with servers.launch("ws", tls=True) as secure, servers.launch("ws", env=env) as slow:
            yield {"tcp": plain.addr, "h2": plain.addr, "tls": secure.addr, "slow": slow.addr}


def run(addr, name, over, how):
    _, sent, events, path = CASES[name]
    kw = {"over": "h2"} if over == "h2" else {"context": CONTEXT}
    with WS(addr, path, **kw) as w:
        for piece in cuts(sent, how, seed=zlib.crc32(name.encode())):
            try:
                w.send(piece)
            except OSError:
                break  # the server has heard enough; what it said is there
        for i, want in enumerate(events):
            got = w.event()
            assert got and got[:len(want)] == want, \
                f"event {i}: {str(got)[:200]} instead of {str(want)[:200]}"
        if not events or events[-1][0] != CLOSE:
            w.goodbye()
            return
        # Our answer, unless it went before: the server ends the connection when it is there.
        try:
            w.send(close(1000))
        except OSError:
            pass
        w.ends()


@pytest.mark.parametrize("name", CASES)
def test_case(addrs, name):
    """In every way, or in some of them where tests are slow: then each case in another."""
    first = list(CASES).index(name)
    for i in range(scaled(len(WAYS))):
        over, how = WAYS[(first + i) % len(WAYS)]
        # A handshake of TLS takes longer than most cases; and a byte at a time is slow.
        if over in addrs and (over != "tls" or first % 4 == 0) and (over != "slow" or len(CASES[name][1]) < 20000):
            run(addrs[over], name, over, how)


def test_enough_cases():
    """As the issue wants them; the table must not shrink unnoticed."""
    assert len(CASES) >= 250 and all(section for section, *_ in CASES.values())
