# SPDX-License-Identifier: MIT
"""Static files as responses: fields, conditions, ranges, coded siblings, options, and files that
change under way."""
import email
import itertools
import os
import re
import resource
import subprocess

import pytest

import servers
from wire import Wire, eventually, request

#: All files of the tree but a few were changed then.
MODIFIED_S = 784111777
MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"
RFC850 = "Sunday, 06-Nov-94 08:49:37 GMT"
ASCTIME = "Sun Nov  6 08:49:37 1994"
EARLIER = "Sun, 06 Nov 1994 08:49:36 GMT"
LATER = "Sun, 06 Nov 1994 08:49:38 GMT"

ALPHABET = b"abcdefghijklmnopqrstuvwxyz"
#: Read, and sent by the kernel: either side of the limit between them, and far beyond.
BLOCK = bytes(range(256)) * 256
SIZES = {"alphabet.txt": 26, "read.bin": 65536, "sent.bin": 65537, "large.bin": 3_000_000}


def content(size):
    return ALPHABET if size == 26 else (BLOCK * (size // len(BLOCK) + 1))[:size]


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    d = tmp_path_factory.mktemp("static")
    for name, size in SIZES.items():
        (d / name).write_bytes(content(size))
    (d / "empty.txt").write_bytes(b"")
    (d / "index.html").write_text("the index\n")
    (d / "sub dir").mkdir()
    (d / "sub dir" / "index.html").write_text("the index below\n")
    (d / "bare").mkdir()
    (d / "bare" / "x.txt").write_text("x\n")
    (d / "main.htm").write_text("main\n")
    (d / ".hidden").write_text("hidden\n")
    for name in ("page.js", "both.css", "gz.css", "picture.png", "stale.css", "dir.css"):
        (d / name).write_text(f"{name} as it is\n")
    for name in ("page.js.br", "both.css.br", "both.css.gz", "gz.css.gz", "picture.png.gz",
                 "picture.png.br", "stale.css.gz", "orphan.css.gz"):
        (d / name).write_text(f"this stands for {name}\n" * 20)
    (d / "dir.css.gz").mkdir()
    for path in d.rglob("*"):
        if path.is_file():
            os.utime(path, (MODIFIED_S, MODIFIED_S))
    os.utime(d / "stale.css.gz", (MODIFIED_S - 3, MODIFIED_S - 3))
    return d


@pytest.fixture(scope="module")
def server(tree):
    with servers.launch("static", f"dir={tree}") as s:
        yield s


@pytest.fixture
def wire(server):
    with server.connect() as w:
        yield w


def fetch(server, path, *fields, method="GET"):
    with server.connect() as w:
        return w.get(path, *fields, method=method)


# ---- The plain answer -------------------------------------------------------------

@pytest.mark.parametrize("name,size", SIZES.items())
def test_whole(wire, name, size):
    r = wire.get(f"/files/{name}")
    assert r.status == 200
    assert r.body == content(size)
    assert r.framing == "length"
    assert r.get("Last-Modified") == MODIFIED
    assert r.get("Accept-Ranges") == "bytes"
    assert r.get("X-Content-Type-Options") == "nosniff"
    assert r.get("Vary") == "Accept-Encoding"
    assert r.get("Content-Encoding") is None
    assert r.get("Cache-Control") is None
    assert r.get("Content-Range") is None
    assert re.fullmatch(r'"[\x21\x23-\x7e]+"', r.get("ETag")), "a strong entity-tag"
    wire.assert_open("/hello")


@pytest.mark.parametrize("name,want", [
    ("alphabet.txt", "text/plain; charset=utf-8"), ("index.html", "text/html; charset=utf-8"),
    ("page.js", "text/javascript; charset=utf-8"), ("gz.css", "text/css; charset=utf-8"),
    ("picture.png", "image/png"), ("large.bin", "application/octet-stream"),
    ("page.js.br", "application/octet-stream"), ("gz.css.gz", "application/gzip"),
])
def test_type(wire, name, want):
    r = wire.get(f"/files/{name}")
    assert r.get("Content-Type") == want
    assert r.get("Content-Encoding") is None


@pytest.mark.parametrize("path", ["alphabet.txt", "sent.bin", "empty.txt", "", "sub%20dir/"])
@pytest.mark.parametrize("fields", [(), ("Range: bytes=0-0",), ("Accept-Encoding: gzip",)])
def test_head_is_get_without_body(wire, path, fields):
    head = wire.get(f"/files/{path}", *fields, method="HEAD")
    plain = tuple(f for f in fields if not f.startswith("Range"))
    got = wire.get(f"/files/{path}", *plain)
    assert head.body == b"" and head.status == got.status == 200
    # Later versions have their names in lower case.
    drop = ("date",)
    assert [f for f in head.fields if f[0].lower() not in drop] == \
        [f for f in got.fields if f[0].lower() not in drop]
    assert int(head.get("Content-Length")) == len(got.body)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_other_methods(wire, method):
    r = wire.get("/files/alphabet.txt", "Content-Length: 0", method=method)
    assert r.status == 405
    assert set(r.tokens("Allow")) == {"get", "head", "options"}


def test_options(wire):
    r = wire.get("/files/alphabet.txt", method="OPTIONS")
    assert r.status == 204
    assert set(r.tokens("Allow")) == {"get", "head", "options"}


def test_pipelined(wire):
    names = [*SIZES, "empty.txt", "missing"] * 3
    wire.send(b"".join(request("GET", f"/files/{n}") for n in names))
    for n in names:
        r = wire.response()
        if n == "missing":
            assert r.status == 404
        else:
            assert r.body == content(SIZES.get(n, 0))


def test_last_modified_is_never_later_than_date(tree, wire):
    path = tree / "tomorrow.txt"
    path.write_text("x")
    os.utime(path, (4_000_000_000, 4_000_000_000))
    r = wire.get("/files/tomorrow.txt")
    assert r.get("Last-Modified") == r.get("Date")


def test_showcase_serves_files(showcase, files):
    r = fetch(showcase, "/files/big.bin", "Range: bytes=-256")
    assert r.status == 206
    assert r.body == bytes(range(256))
    assert fetch(showcase, "/files/").body == (files / "index.html").read_bytes()


# ---- Directories --------------------------------------------------------------------

def test_index(wire):
    assert wire.get("/files/").body == b"the index\n"
    r = wire.get("/files/sub%20dir/")
    assert r.body == b"the index below\n"
    assert r.get("Content-Type") == "text/html; charset=utf-8"


@pytest.mark.parametrize("target,location", [
    ("/files", "/files/"),
    ("/files?a=1&b", "/files/?a=1&b"),
    ("/files/sub%20dir", "/files/sub%20dir/"),
    ("/files/sub%20dir?x=%2F&y", "/files/sub%20dir/?x=%2F&y"),
    ("/files/sub%20dir?", "/files/sub%20dir/?"),
    ("/files/./bare/../%73ub%20dir", "/files/sub%20dir/"),
])
def test_slash_is_added(wire, target, location):
    for method in ("GET", "HEAD"):
        r = wire.get(target, method=method)
        assert r.status == 308
        assert r.get("Location") == location


@pytest.mark.parametrize("path", ["bare", "bare/", "sub%20dir/none", "alphabet.txt/",
                                  "alphabet.txt/x", "missing/", "orphan.css", "dir.css.gz"])
def test_not_found(wire, path):
    r = wire.get(f"/files/{path}")
    assert r.status == 404
    assert r.get("ETag") is None and r.get("Last-Modified") is None
    wire.assert_open("/hello")


# ---- Conditions -----------------------------------------------------------------------

@pytest.fixture
def tag(server):
    return fetch(server, "/files/alphabet.txt").get("ETag")


CONDITIONS = [
    # RFC 9110 13.1.2 and 13.1.3
    (("If-None-Match: {tag}",), 304),
    (("If-None-Match: W/{tag}",), 304),
    (('If-None-Match: "x", {tag}',), 304),
    (('If-None-Match: "x"', "If-None-Match: {tag}"), 304),
    (("If-None-Match: *",), 304),
    (('If-None-Match: "x"',), 200),
    (("If-None-Match: {bare}",), 200),
    ((f"If-Modified-Since: {MODIFIED}",), 304),
    ((f"If-Modified-Since: {RFC850}",), 304),
    ((f"If-Modified-Since: {ASCTIME}",), 304),
    ((f"If-Modified-Since: {LATER}",), 304),
    ((f"If-Modified-Since: {EARLIER}",), 200),
    (("If-Modified-Since: never",), 200),
    ((f"If-Modified-Since: {LATER}", f"If-Modified-Since: {LATER}"), 200),
    # 13.1.1 and 13.1.4
    (("If-Match: {tag}",), 200),
    (('If-Match: "x", {tag}',), 200),
    (("If-Match: *",), 200),
    (("If-Match: W/{tag}",), 412),
    (('If-Match: "x"',), 412),
    (("If-Match:",), 412),
    ((f"If-Unmodified-Since: {MODIFIED}",), 200),
    ((f"If-Unmodified-Since: {EARLIER}",), 412),
    (("If-Unmodified-Since: never",), 200),
    # 13.2.2
    (('If-None-Match: "x"', f"If-Modified-Since: {LATER}"), 200),
    (("If-None-Match: {tag}", f"If-Modified-Since: {EARLIER}"), 304),
    (("If-Match: {tag}", f"If-Unmodified-Since: {EARLIER}"), 200),
    (('If-Match: "x"', "If-None-Match: {tag}"), 412),
    (("If-Match: {tag}", "If-None-Match: {tag}"), 304),
    (("If-None-Match: {tag}", "Range: bytes=0-1"), 304),
    (('If-Match: "x"', "Range: bytes=0-1"), 412),
    (('If-Match: "x"', "Range: bytes=100-"), 412),
    (("If-Match: {tag}", "Range: bytes=0-1"), 206),
]


@pytest.mark.parametrize("fields,status", CONDITIONS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_condition(wire, tag, fields, status, method):
    fields = [f.format(tag=tag, bare=tag.strip('"')) for f in fields]
    r = wire.get("/files/alphabet.txt", *fields, method=method)
    if status == 206 and method == "HEAD":
        status = 200
    assert r.status == status, fields
    if status == 200 and method == "GET":
        assert r.body == ALPHABET
    if status == 412:
        assert r.get("ETag") is None
    wire.assert_open("/hello")


def test_not_modified_has_what_it_must(tree):
    """RFC 9110 15.4.5: no less than the 200 says of caching, and no more of its content."""
    with servers.launch("static", f"dir={tree}", "cache_control=max-age=60") as s, s.connect() as w:
        full = w.get("/files/both.css", "Accept-Encoding: gzip")
        assert full.get("Content-Encoding") == "gzip"
        r = w.get("/files/both.css", "Accept-Encoding: gzip", f"If-None-Match: {full.get('ETag')}")
        assert r.status == 304
        for name in ("ETag", "Cache-Control", "Vary"):
            assert r.get(name) == full.get(name) is not None
        for name in ("Content-Type", "Content-Encoding", "Last-Modified", "Content-Length"):
            assert r.get(name) is None


def test_replaced_file_has_another_tag(tree, wire):
    """Also when neither its size nor its time of modification tells."""
    path = tree / "replaced.txt"
    tags = set()
    for text in ("one", "two", "six"):
        new = tree / "replaced.new"
        new.write_text(text)
        os.utime(new, (MODIFIED_S, MODIFIED_S))
        new.rename(path)
        r = wire.get("/files/replaced.txt", *(f"If-None-Match: {t}" for t in tags))
        assert r.body == text.encode()
        tags.add(r.get("ETag"))
    assert len(tags) == 3


# ---- Ranges -----------------------------------------------------------------------------

def parts(r):
    """The bytes of each part, as a library reads them that was written for mail."""
    message = email.message_from_bytes(
        b"Content-Type: " + r.get("Content-Type").encode() + b"\r\n\r\n" + r.body)
    assert message.is_multipart() and not message.defects
    return [p.get_payload(decode=True) for p in message.get_payload()]


def split(r):
    """(Content-Range, fields, bytes) of each part, straight from RFC 2046 section 5.1.1."""
    boundary = re.fullmatch(r"multipart/byteranges; boundary=([0-9a-f]{32})",
                            r.get("Content-Type")).group(1).encode()
    pieces = (b"\r\n" + r.body).split(b"\r\n--" + boundary)
    assert pieces[0] == b"" and pieces[-1] == b"--\r\n"
    found = []
    for piece in pieces[1:-1]:
        assert piece.startswith(b"\r\n")
        head, data = piece[2:].split(b"\r\n\r\n", 1)
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        found.append((fields["Content-Range"], fields, data))
    return found


@pytest.mark.parametrize("name,size", SIZES.items())
@pytest.mark.parametrize("spec", ["0-0", "0-9", "5-", "-1", "-10", "25-25", "0-", "-99999999",
                                  "10-99999999999999999999", "-99999999999999999999999"])
def test_one_range(wire, name, size, spec):
    whole = content(size)
    first, last = spec.split("-")
    want = whole[int(first):int(last or size) + 1] if first else whole[-int(last):]
    start = int(first) if first else size - len(want)
    r = wire.get(f"/files/{name}", f"Range: bytes={spec}")
    assert r.status == 206
    assert r.body == want
    assert r.get("Content-Range") == f"bytes {start}-{start + len(want) - 1}/{size}"
    assert r.get("Last-Modified") == MODIFIED and r.get("ETag")
    wire.assert_open("/hello")


@pytest.mark.parametrize("spec,want", [
    ("bytes=0-3,10-12", ["0-3", "10-12"]),
    ("bytes=10-12,0-3", ["10-12", "0-3"]),
    ("bytes=0-0,-1", ["0-0", "25-25"]),
    ("bytes=0-1, 4-5, 100-, 8-9", ["0-1", "4-5", "8-9"]),
    ("bytes=0-3,10-12,2-6", ["0-6", "10-12"]),
])
def test_several_ranges(wire, spec, want):
    r = wire.get("/files/alphabet.txt", f"Range: {spec}")
    assert r.status == 206
    assert r.get("Content-Range") is None
    got = split(r)
    assert [p[0] for p in got] == [f"bytes {w}/26" for w in want]
    for (_, fields, data), w in zip(got, want):
        first, last = map(int, w.split("-"))
        assert data == ALPHABET[first:last + 1]
        assert fields["Content-Type"] == "text/plain; charset=utf-8"
    assert parts(r) == [p[2] for p in got]
    wire.assert_open("/hello")


def test_several_large_ranges(server, wire):
    """Parts that are copied and parts that the kernel sends, in one response."""
    wire.assert_open("/hello")  # accepted, so counted
    before = server.fd_count()
    whole = content(SIZES["large.bin"])
    spans = [(2_000_000, 2_900_000), (10, 20), (100_000, 1_500_000), (1_600_000, 1_600_500)]
    r = wire.get("/files/large.bin", "Range: bytes=" + ",".join(f"{a}-{b}" for a, b in spans))
    assert r.status == 206
    got = split(r)
    assert [p[2] for p in got] == [whole[a:b + 1] for a, b in spans]
    wire.assert_open("/hello")
    eventually(lambda: server.fd_count() <= before)


@pytest.mark.parametrize("spec", [
    "bytes=", "bytes=-", "bytes=x-y", "bytes=9-5", "bytes=0-1,9-5", "items=0-1", "bytes 0-1",
    "bytes=0-1;", "bytes=--5", "bytes=0-25,0-25", "bytes=0-,0-,0-", "bytes=0-20,5-25",
    "bytes=" + ",".join(f"{i}-{i}" for i in range(0, 17)),
    "bytes=" + ",".join(["0-0"] * 1000), "bytes=" + ",".join(["0-"] * 1000),
])
def test_ignored_range(wire, spec):
    r = wire.get("/files/alphabet.txt", f"Range: {spec}")
    assert r.status == 200
    assert r.body == ALPHABET
    assert r.get("Content-Range") is None


def test_repeated_range_is_ignored(wire):
    r = wire.get("/files/alphabet.txt", "Range: bytes=0-1", "Range: bytes=4-5")
    assert (r.status, r.body) == (200, ALPHABET)


@pytest.mark.parametrize("spec", ["26-", "26-30", "100-200", "-0", "26-,30-40,-0",
                                  "99999999999999999999-"])
def test_unsatisfiable_range(wire, spec):
    r = wire.get("/files/alphabet.txt", f"Range: bytes={spec}")
    assert r.status == 416
    assert r.get("Content-Range") == "bytes */26"
    assert r.get("ETag") is None and r.get("Accept-Ranges") is None
    wire.assert_open("/hello")


def test_ranges_of_nothing(wire):
    assert wire.get("/files/empty.txt").body == b""
    r = wire.get("/files/empty.txt", "Range: bytes=0-")
    assert (r.status, r.get("Content-Range")) == (416, "bytes */0")
    r = wire.get("/files/empty.txt", "Range: bytes=-1")
    assert (r.status, r.body) == (200, b"")


@pytest.mark.parametrize("value,status", [
    ("{tag}", 206), ("W/{tag}", 200), ('"x"', 200), ("{bare}", 200), ("*", 200),
    ("{tag}, {tag}", 200), (MODIFIED, 206), (RFC850, 206), (ASCTIME, 206), (LATER, 200),
    (EARLIER, 200), ("never", 200), ("", 200),
])
def test_if_range(wire, tag, value, status):
    value = value.format(tag=tag, bare=tag.strip('"'))
    r = wire.get("/files/alphabet.txt", "Range: bytes=1-3", f"If-Range: {value}")
    assert r.status == status
    assert r.body == (b"bcd" if status == 206 else ALPHABET)
    # A range that cannot be had does not count either, when the file is not the one meant.
    r = wire.get("/files/alphabet.txt", "Range: bytes=100-", f"If-Range: {value}")
    assert r.status == (416 if status == 206 else 200)


def test_resumed_download(server, tree, tmp_path):
    """As curl does it: what is there already is not sent again."""
    part = tmp_path / "part"
    part.write_bytes(content(SIZES["large.bin"])[:1_000_000])
    subprocess.run(["curl", "-sSk", "--fail", "-C", "-", "-o", str(part),
                    f"{server.scheme}://{server.addr[0]}:{server.addr[1]}/files/large.bin"], check=True)
    assert part.read_bytes() == (tree / "large.bin").read_bytes()


# ---- Coded siblings -------------------------------------------------------------------------

@pytest.mark.parametrize("name,accept,coding", [
    ("both.css", None, None),
    ("both.css", "", None),
    ("both.css", "br", "br"),
    ("both.css", "gzip", "gzip"),
    ("both.css", "GZIP", "gzip"),
    ("both.css", "gzip, br", "br"),
    ("both.css", "gzip, deflate, br, zstd", "br"),
    ("both.css", "br;q=0.5, gzip;q=0.8", "gzip"),
    ("both.css", "br;q=0, gzip", "gzip"),
    ("both.css", "br;q=0, gzip;q=0.000", None),
    ("both.css", "*", "br"),
    ("both.css", "*, br;q=0", "gzip"),
    ("both.css", "*;q=0, gzip", "gzip"),
    ("both.css", "gzip;q=0.001", "gzip"),
    ("both.css", "identity", None),
    ("both.css", "identity, gzip;q=0.5", None),
    ("both.css", "identity;q=0.5, gzip", "gzip"),
    ("both.css", "identity;q=0, gzip;q=0.1", "gzip"),
    ("both.css", "br;q=2, gzip;q=-1", None),
    ("both.css", "br;q=nan, gzip;q=", None),
    ("both.css", "brotli, gzipped", None),
    ("page.js", "gzip", None),
    ("page.js", "gzip, br;q=0.1", "br"),
    ("gz.css", "br, gzip", "gzip"),
    ("gz.css", "br", None),
    ("alphabet.txt", "br, gzip", None),
    ("stale.css", "gzip", None),
    ("dir.css", "gzip", None),
])
def test_coding(wire, name, accept, coding):
    fields = [] if accept is None else [f"Accept-Encoding: {accept}"]
    r = wire.get(f"/files/{name}", *fields)
    plain = wire.get(f"/files/{name}")
    assert r.status == 200
    assert r.get("Content-Encoding") == coding
    assert r.get("Vary") == plain.get("Vary") == "Accept-Encoding"
    assert r.get("Content-Type") == plain.get("Content-Type")
    assert (r.get("ETag") == plain.get("ETag")) == (coding is None)
    if coding:
        suffix = {"br": ".br", "gzip": ".gz"}[coding]
        assert r.body == f"this stands for {name}{suffix}\n".encode() * 20
    else:
        assert r.body == plain.body


def test_repeated_accept_encoding_is_one_list(wire):
    r = wire.get("/files/both.css", "Accept-Encoding: gzip;q=0.5", "Accept-Encoding: br;q=0.1")
    assert r.get("Content-Encoding") == "gzip"


def test_no_coding_acceptable(wire):
    assert wire.get("/files/page.js", "Accept-Encoding: identity;q=0, gzip").status == 406
    assert wire.get("/files/page.js", "Accept-Encoding: *;q=0").status == 406
    wire.assert_open("/hello")


def test_packed_types_have_no_siblings(wire):
    r = wire.get("/files/picture.png", "Accept-Encoding: br, gzip")
    assert r.body == b"picture.png as it is\n"
    assert r.get("Vary") is None and r.get("Content-Encoding") is None


def test_tags_of_codings_are_not_mixed_up(wire):
    tags = {c: wire.get("/files/both.css", f"Accept-Encoding: {c}").get("ETag")
            for c in ("br", "gzip", "identity")}
    assert len(set(tags.values())) == 3
    for asked in tags:
        for known, tag in tags.items():
            r = wire.get("/files/both.css", f"Accept-Encoding: {asked}", f"If-None-Match: {tag}")
            assert r.status == (304 if asked == known else 200)


def test_ranges_of_the_coded_bytes(wire):
    coded = b"this stands for both.css.gz\n" * 20
    r = wire.get("/files/both.css", "Accept-Encoding: gzip", "Range: bytes=5-9")
    assert r.status == 206
    assert r.body == coded[5:10]
    assert r.get("Content-Encoding") == "gzip"
    assert r.get("Content-Range") == f"bytes 5-9/{len(coded)}"
    # Of several, each part is coded: the multipart body around them is not.
    r = wire.get("/files/both.css", "Accept-Encoding: gzip", "Range: bytes=0-3,10-12")
    assert r.get("Content-Encoding") is None and r.get("Vary") == "Accept-Encoding"
    assert [(p[1]["Content-Encoding"], p[2]) for p in split(r)] == \
        [("gzip", coded[:4]), ("gzip", coded[10:13])]


# ---- Options ----------------------------------------------------------------------------------

def test_options_of_a_mount(tree):
    with servers.launch("static", f"dir={tree}", "index=main.htm", "cache_control=no-cache",
                        "fallback=main.htm", "dotfiles=1", "no_precompressed=1",
                        "max_range_count=2", "prefix=/") as s, s.connect() as w:
        r = w.get("/")
        assert (r.status, r.body, r.get("Cache-Control")) == (200, b"main\n", "no-cache")
        for path in ("/missing", "/missing/too", "/bare", "/bare/", "/alphabet.txt/"):
            r = w.get(path)
            assert (r.status, r.body) == (200, b"main\n"), path
            assert r.get("Content-Type") == "text/html; charset=utf-8"
        r = w.get("/.hidden")
        assert (r.status, r.body) == (200, b"hidden\n")
        r = w.get("/both.css", "Accept-Encoding: br")
        assert (r.get("Content-Encoding"), r.get("Vary")) == (None, None)
        assert w.get("/alphabet.txt", "Range: bytes=0-0,2-2").status == 206
        assert w.get("/alphabet.txt", "Range: bytes=0-0,2-2,4-4").status == 200
        assert w.get("/hello").body == b"hello\n"


def test_no_index_and_no_ranges(tree):
    with servers.launch("static", f"dir={tree}", "index=", "max_range_count=off",
                        "prefix=/a/{id}/b/") as s, s.connect() as w:
        assert w.get("/a/7/b/").status == 404
        assert w.get("/a/7/b/sub%20dir").status == 404
        r = w.get("/a/7/b/alphabet.txt", "Range: bytes=0-0")
        assert (r.status, r.get("Accept-Ranges")) == (200, "none")
        # An encoded slash in another parameter is none of ours.
        assert w.get("/a/%2F/b/alphabet.txt").status == 200


def test_redirect_below_a_parameter(tree):
    with servers.launch("static", f"dir={tree}", "prefix=/a/{id}/b") as s, s.connect() as w:
        r = w.get("/a/%2f%41/b/sub%20dir?q")
        assert (r.status, r.get("Location")) == (308, "/a/%2FA/b/sub%20dir/?q")
        assert w.get(r.get("Location")).body == b"the index below\n"


@pytest.mark.parametrize("args,code", [
    (["dir=/nowhere/at/all"], "ESYS"),
    (["dir=/etc/passwd"], "ESYS"),
    (["dir="], "EINVAL"),
    (["index=../x"], "EINVAL"),
    (["index=x/"], "EINVAL"),
    (["fallback=../../etc/passwd"], "EINVAL"),
    (["fallback=/etc/passwd"], "EINVAL"),
    (["fallback="], "EINVAL"),
    (["cache_control=a\nSet-Cookie: x"], "EINVAL"),
    (["max_range_count=65"], "EINVAL"),
    (["prefix=files"], "EINVAL"),
    (["prefix=/{path}"], "EINVAL"),
])
def test_refused(tree, args, code):
    r = servers.run_refused([servers.program("tests/programs/static"), f"dir={tree}", *args])
    assert r.returncode == 2
    assert f"tako_server_new: {code}: " in r.stderr


# ---- Files that change under way ------------------------------------------------------------------

@pytest.fixture
def growing(tree):
    """A sparse file larger than any socket buffer."""
    path = tree / "growing.bin"
    with open(path, "wb") as f:
        f.truncate(64 << 20)
    yield path
    path.unlink(missing_ok=True)


def test_shrinking_file_does_not_look_complete(server, growing):
    before = server.fd_count()
    with server.connect(rcvbuf=65536) as w:
        w.send(request("GET", "/files/growing.bin"))
        r = w.head()
        w.exactly(100_000)
        os.truncate(growing, 1 << 20)
        rest = w.until_gone()
        assert len(rest) + 100_000 < int(r.get("Content-Length")) == 64 << 20
    eventually(lambda: server.fd_count() <= before)


def test_shrinking_file_in_parts_does_not_look_complete(server, growing):
    before = server.fd_count()
    with server.connect(rcvbuf=65536) as w:
        w.send(request("GET", "/files/growing.bin",
                       "Range: bytes=0-9,1000000-30000000,40000000-60000000"))
        r = w.head()
        assert r.status == 206
        w.exactly(100_000)
        os.truncate(growing, 2 << 20)
        assert len(w.until_gone()) + 100_000 < int(r.get("Content-Length"))
    eventually(lambda: server.fd_count() <= before)


@servers.not_sent_in_bits
def test_replaced_file_is_sent_as_it_was(server, tree, growing):
    with server.connect(rcvbuf=65536) as w:
        w.send(request("GET", "/files/growing.bin"))
        r = w.head()
        w.exactly(100_000)
        new = tree / "growing.new"
        new.write_bytes(b"new")
        new.rename(growing)
        rest = w.exactly(int(r.get("Content-Length")) - 100_000)
        assert rest.count(b"\0") == len(rest)
        w.assert_open("/hello")
        assert w.get("/files/growing.bin").body == b"new"


@servers.not_sent_in_bits
def test_growing_file_is_sent_as_long_as_announced(server, growing):
    with server.connect(rcvbuf=65536) as w:
        w.send(request("GET", "/files/growing.bin"))
        r = w.head()
        with open(growing, "ab") as f:
            f.write(b"x" * 1000)
        body = w.exactly(int(r.get("Content-Length")))
        assert b"x" not in body
        w.assert_open("/hello")


def test_clients_that_leave_cost_no_descriptors(server, growing):
    before = server.fd_count()
    for fields in ((), ("Range: bytes=0-9,1000000-30000000,40000000-60000000",)) * 10:
        w = Wire(server.addr, rcvbuf=65536)
        w.send(request("GET", "/files/growing.bin", *fields))
        w.head()
        w.reset()
    eventually(lambda: server.fd_count() <= before)
    assert fetch(server, "/files/alphabet.txt").body == ALPHABET


def limit_descriptors(server, spare):
    """Leave that many to be opened."""
    used = {int(n) for n in os.listdir(f"/proc/{server.pid}/fd")}
    free = (n for n in itertools.count() if n not in used)
    limit = next(itertools.islice(free, spare, None))
    _, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (limit, hard))


#: One for each way in which an answer can end.
ENDINGS = [
    ("alphabet.txt", ()), ("sent.bin", ()), ("empty.txt", ()), ("", ()), ("sub%20dir", ()),
    ("missing", ()), ("bare/", ()), ("alphabet.txt", ("If-None-Match: *",)),
    ("alphabet.txt", ('If-Match: "x"',)), ("alphabet.txt", ("Range: bytes=100-",)),
    ("sent.bin", ("Range: bytes=0-9",)), ("sent.bin", ("Range: bytes=0-9,20-60000",)),
    ("both.css", ("Accept-Encoding: br",)), ("stale.css", ("Accept-Encoding: gzip",)),
    ("dir.css", ("Accept-Encoding: gzip",)), ("page.js", ("Accept-Encoding: identity;q=0",)),
]


def test_every_ending_gives_its_descriptors_back(server, wire):
    wire.assert_open("/hello")
    wire.assert_open("/hello")  # accepted, so counted
    before = server.fd_count()
    for path, fields in ENDINGS:
        for method in ("GET", "HEAD"):
            wire.get(f"/files/{path}", *fields, method=method)
            eventually(lambda: server.fd_count() <= before)


def test_no_descriptor_left(tree):
    with servers.launch("static", f"dir={tree}") as s, s.connect() as w:
        w.assert_open("/hello")
        limit_descriptors(s, 0)
        r = w.get("/files/alphabet.txt")
        assert (r.status, r.get("ETag")) == (503, None)
        limit_descriptors(s, 1)
        assert w.get("/files/alphabet.txt").body == ALPHABET
        assert w.get("/files/alphabet.txt", "Range: bytes=0-1,4-5").status == 206


def test_no_descriptor_left_for_a_part(tree):
    """The head is gone by then: the response must not look complete."""
    with servers.launch("static", f"dir={tree}") as s, s.connect() as w:
        w.assert_open("/hello")
        before = s.fd_count()
        limit_descriptors(s, 1)
        w.send(request("GET", "/files/large.bin", "Range: bytes=0-99999,200000-299999"))
        r = w.head()
        assert len(w.until_gone()) < int(r.get("Content-Length"))
        eventually(lambda: s.fd_count() == before - 1)
