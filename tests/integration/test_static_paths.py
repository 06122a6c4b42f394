# SPDX-License-Identifier: MIT
"""Static files and hostile paths: nothing outside the directory ever comes out, whatever the path,
the links in the tree, and the kernel's means of looking after them."""
import os
import socket
import threading
import time

import pytest

import servers
from wire import PATIENCE, eventually, request, scaled

SECRET = b"SECRET"


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    d = tmp_path_factory.mktemp("paths")
    root = d / "root"
    (d / "secret").write_bytes(SECRET)
    (d / "outside").mkdir()
    (d / "outside" / "secret").write_bytes(SECRET)
    (d / "outside" / "index.html").write_bytes(SECRET)
    (d / "root2").mkdir()
    (d / "root2" / "secret").write_bytes(SECRET)
    (root / "sub").mkdir(parents=True)
    (root / "a.txt").write_text("a\n")
    (root / "b.css").write_text("b\n")
    (root / "sub" / "c.txt").write_text("c\n")
    for name in (".git", ".hidden.d", "sub/.deep"):
        (root / name).mkdir()
        (root / name / "config").write_bytes(SECRET)
        (root / name / "index.html").write_bytes(SECRET)
    (root / ".env").write_bytes(SECRET)
    (root / "sub" / ".env").write_bytes(SECRET)
    links = {
        "absolute": d / "secret", "relative": "../secret", "up": "..", "slash": "/",
        "outside": d / "outside", "sub/far": "../../outside", "sub/twice": "../up/secret",
        "b.css.gz": "../secret", "loop": "loop", "self": "self/x", "proc": "/proc/self/root",
        "sub/index.html": "../../outside/index.html", "broken": "nothing",
        "inside": "a.txt", "inside.d": "sub", "sub/top": "..", "absolute.in": root / "a.txt",
    }
    for name, to in links.items():
        (root / name).symlink_to(to)
    os.mkfifo(root / "fifo")
    with socket.socket(socket.AF_UNIX) as s:
        s.bind(str(root / "socket"))
    try:
        os.mknod(root / "null", 0o20666, os.makedev(1, 3))
    except PermissionError:
        pass  # only root may; 404 all the same
    return root


#: The server's argument for each way in which a kernel or a sandbox knows openat2(2), or not.
KERNELS = {"openat2": [], "ENOSYS": ["no_openat2=ENOSYS"], "EPERM": ["no_openat2=EPERM"]}


@pytest.fixture(scope="module", params=KERNELS)
def server(request, tree):  # pylint: disable=redefined-outer-name
    with servers.launch("static", f"dir={tree}", *KERNELS[request.param]) as s:
        s.has_openat2 = request.param == "openat2"
        yield s


@pytest.fixture
def wire(server):
    with server.connect() as w:
        yield w


HOSTILE = [
    # dot segments, in every spelling
    "/files/../secret", "/files/sub/../../secret", "/files/./../secret", "/../secret",
    "/files/%2e%2e/secret", "/files/%2E./secret", "/files/.%2e/secret",
    "/files/sub/%2e%2e/%2e%2e/secret", "/files/../../../../../../../etc/passwd",
    "/files/../root2/secret", "/files/..", "/files/../", "/files/a.txt/../../secret",
    # encoded twice: names that nobody has
    "/files/%252e%252e/secret", "/files/%252e%252e%252fsecret", "/files/..%252fsecret",
    # encoded slashes separate nothing
    "/files/..%2fsecret", "/files/%2e%2e%2fsecret", "/files/%2e%2e%2Fsecret",
    "/files/sub%2fc.txt", "/files/sub/..%2f..%2fsecret", "/files/%2fetc/passwd",
    "/files/%2f", "/files/sub%2f",
    # backslashes
    "/files/..%5csecret", "/files/sub%5cc.txt", "/files/sub/..%5c..%5csecret",
    "/files/%5c..%5csecret",
    # empty segments, absolute paths
    "/files//a.txt", "/files//etc/passwd", "/files///etc/passwd", "/files/sub//c.txt",
    "/files/sub//", "/files//", "/files/sub/..//a.txt",
    # overlong and other odd encodings of "../" and of NUL
    "/files/%c0%ae%c0%ae/secret", "/files/%c0%ae%c0%ae%c0%afsecret", "/files/..%c0%afsecret",
    "/files/%e0%80%ae%e0%80%ae/secret", "/files/%uff0e%uff0e/secret", "/files/a.txt%c0%80",
    "/files/..;/secret", "/files/..%00/secret", "/files/a.txt%00", "/files/a.txt%00.png",
    "/files/%00", "/files/..%0d%0a/secret", "/files/%0a", "/files/%7f",
    # names with a dot in front
    "/files/.git/config", "/files/.git/", "/files/.git", "/files/%2egit/config",
    "/files/.env", "/files/%2Eenv", "/files/sub/.env", "/files/sub/.deep/config",
    "/files/sub/.deep/", "/files/.hidden.d/", "/files/sub/../.git/config", "/files/...",
    # links that lead out
    "/files/absolute", "/files/relative", "/files/up/secret", "/files/up/", "/files/up",
    "/files/slash/etc/passwd", "/files/outside/secret", "/files/outside/", "/files/outside",
    "/files/sub/far/secret", "/files/sub/far/", "/files/sub/twice", "/files/sub/",
    "/files/sub/top/up/secret", "/files/proc/etc/passwd", "/files/loop", "/files/loop/x",
    "/files/self", "/files/broken", "/files/absolute.in",
    # what is no file
    "/files/fifo", "/files/socket", "/files/null", "/files/fifo/", "/files/null/x",
    "/files/a.txt/", "/files/a.txt/.", "/files/a.txt/sub",
    # lengths
    "/files/" + "x" * 255, "/files/" + "x" * 256, "/files/" + "x" * 5000,
    "/files/" + "x/" * 2500, "/files/" + "sub/../" * 700 + "missing",
    "/files/" + "%78" * 1000, "/files/" + "inside.d/top/" * 300 + "a.txt",
]


def is_no_path(path):
    """A bad escape or a NUL (RFC 3986 section 2.1): 400, and the end of a connection of HTTP/1.1."""
    return "%00" in path or "%u" in path


@pytest.mark.parametrize("path", HOSTILE, ids=lambda p: p[:60])
def test_hostile_path(server, path):
    for fields in ((), ("Accept-Encoding: gzip, br",)):
        with server.connect() as w:
            r = w.get(path, *fields)
            assert r.status == (400 if is_no_path(path) else 404), r
            assert SECRET not in r.body and b"root:" not in r.body
            assert r.get("ETag") is None
            if is_no_path(path) and w.version == 1:
                assert w.until_gone() == b""
            else:
                w.assert_open("/hello")


def test_link_beside_a_file_does_not_lead_out(wire):
    r = wire.get("/files/b.css", "Accept-Encoding: gzip")
    assert (r.status, r.body, r.get("Content-Encoding")) == (200, b"b\n", None)


@pytest.mark.parametrize("path,body", [
    ("inside", b"a\n"), ("inside.d/c.txt", b"c\n"), ("sub/top/a.txt", b"a\n"),
    ("inside.d/top/sub/c.txt", b"c\n"),
])
def test_links_inside(server, wire, path, body):
    """Followed where the kernel can say that they stay inside, and only there."""
    r = wire.get(f"/files/{path}")
    if server.has_openat2:
        assert (r.status, r.body) == (200, body)
    else:
        assert r.status == 404


NAMES = [b"sp ace.txt", b"plus+.txt", b"%41.txt", b"q?uery.txt", b"ha#sh.txt", b"semi;colon.txt",
         "ünïcode-\N{SNOWMAN}.txt".encode(), b"\xff\xfe latin.txt", b"quote\"'.txt", b"a:b.txt",
         b"new\nline.txt", b"del\x7f.txt", b"no-extension", b"trailing.", b"-rf", b"~", b"a..b",
         b"n" * 255]


@pytest.mark.parametrize("name", NAMES, ids=repr)
def test_odd_names(tree, wire, name):
    path = os.fsencode(tree) + b"/" + name
    with open(path, "wb") as f:
        f.write(name)
    encoded = "".join(f"%{c:02x}" for c in name)
    r = wire.get(f"/files/{encoded}")
    assert (r.status, r.body) == (200, name)
    wire.assert_open("/hello")


def test_redirect_of_an_odd_name(tree, wire):
    d = os.fsencode(tree) + b"/x:/ \xff?\r\nSet-Cookie: a"
    os.makedirs(d, exist_ok=True)
    with open(d + b"/index.html", "wb") as f:
        f.write(b"odd\n")
    r = wire.get("/files/x%3A/%20%FF%3F%0D%0ASet-Cookie%3A%20a?q")
    assert r.status == 308
    assert r.get("Location") == "/files/x%3A/%20%FF%3F%0D%0ASet-Cookie%3A%20a/?q"
    assert r.get("Set-Cookie") is None
    assert wire.get(r.get("Location")).body == b"odd\n"


@pytest.fixture(scope="module")
def at_root(tree):
    (tree / "dir").mkdir()
    (tree / "dir" / "index.html").write_text("dir\n")
    with servers.launch("static", f"dir={tree}", "prefix=") as s:
        yield s


@pytest.mark.parametrize("target", [
    "//evil.example/../../dir", "//evil.example/%2e%2e/../dir", "//../dir", "/.//../dir",
    "///../../dir", "//evil.example/dir", "//dir", "/\\evil.example/../dir",
    "/%5cevil.example/../dir", "/dir", "/./dir",
])
def test_no_redirect_leads_to_another_host(at_root, target):
    """RFC 3986 section 4.2: what begins with two slashes names a host."""
    with at_root.connect() as w:
        w.send(request("GET", target))
        r = w.response()
        if r.status == 308:
            assert r.get("Location") == "/dir/"
        else:
            assert r.status in (400, 404)
        assert target not in ("/dir", "/./dir") or r.status == 308


def test_special_files_do_not_block(server):
    """A FIFO without a writer: the open must return, or the only worker would hang."""
    with server.connect() as a, server.connect() as b:
        a.send(request("GET", "/files/fifo") * 20)
        assert b.get("/hello").status == 200
        for _ in range(20):
            assert a.response().status == 404


def test_directory_that_is_swapped_for_a_link(server, tree, tmp_path):
    """Between a check and an open there is no moment in which to put a link."""
    victim = tree / "victim"
    spare = tmp_path / "spare"
    victim.mkdir(exist_ok=True)
    (victim / "secret").write_text("public")
    trap = tmp_path / "trap"
    trap.symlink_to(tree.parent / "outside")
    stop = threading.Event()

    def swap():
        while not stop.is_set():
            victim.rename(spare)
            trap.rename(victim)
            victim.rename(trap)
            spare.rename(victim)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        seen = set()
        with server.connect() as w:
            for _ in range(scaled(3000, 200)):
                r = w.get("/files/victim/secret")
                seen.add((r.status, r.body if r.status == 200 else b""))
    finally:
        stop.set()
        thread.join()
    assert seen <= {(200, b"public"), (404, b"")}


def test_file_that_is_swapped_for_a_link(server, tree, tmp_path):
    (tmp_path / "good").write_text("public")
    stop = threading.Event()

    def swap():
        i = 0
        while not stop.is_set():
            i += 1
            new = tree / f"new{i % 2}"
            if i % 2:
                new.symlink_to(tree.parent / "secret")
            else:
                new.write_text("public")
            new.rename(tree / "swapped")
            # Without a pause it is another file between any two of the server's calls.
            if i % 8 == 0:
                stop.wait(0.001)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        seen = set()
        with server.connect() as w:
            asked, deadline = 0, time.monotonic() + 20 * PATIENCE
            # A busy machine may give long turns to either.
            while asked < scaled(3000, 200) or ((200, b"public") not in seen and time.monotonic() < deadline):
                asked += 1
                r = w.get("/files/swapped")
                seen.add((r.status, r.body if r.status == 200 else b""))
    finally:
        stop.set()
        thread.join()
    assert seen <= {(200, b"public"), (404, b"")}
    assert (200, b"public") in seen


def test_no_descriptor_is_lost(server):
    """After everything that could not be opened, and was."""
    with server.connect() as w:
        w.assert_open("/hello")
        before = server.fd_count()
        for path in HOSTILE:
            if is_no_path(path):
                with server.connect() as other:
                    other.get(path)
            else:
                w.get(path)
        eventually(lambda: server.fd_count() == before)
