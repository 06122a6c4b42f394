# SPDX-License-Identifier: MIT
"""QUIC over real sockets (tests/programs/quic.c), with ngtcp2's own client, which is not ours."""
import json
import os
import subprocess

import pytest

import servers
from wire import PATIENCE, eventually

PROGRAM = servers.program("tests/programs/quic")
pytestmark = [
    pytest.mark.skipif(not os.path.exists(PROGRAM), reason="a build without QUIC"),
    pytest.mark.skipif(subprocess.run(["which", "gtlsclient"], capture_output=True, check=False).returncode != 0,
                       reason="no gtlsclient")]
LOCAL = "127.0.0.1"


def launch(*args, worker_count=1, host=LOCAL):
    port = servers.free_port()
    cert, key = servers.shared_certificate()
    addr = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return servers.Server([PROGRAM, f"listen={addr}", f"worker_count={worker_count}", f"cert_file={cert}",
                           f"key_file={key}", *args], (host, port, "tcp"))


def gtlsclient(server, *args):
    """It speaks HTTP/3 and hears itself: the handshake and the end are what counts."""
    r = subprocess.run(["gtlsclient", "--exit-on-first-stream-close", *args, server.addr[0], str(server.addr[1]),
                        "https://localhost/"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=20 * PATIENCE,
                       check=False)
    return r.stdout.decode("utf-8", "replace")


def stats(server):
    with server.connect() as w:
        text = w.get("/stats", "Connection: close").body.decode()
    return {name: int(value) for name, value in (line.split() for line in text.splitlines())}


@pytest.mark.parametrize("host", [LOCAL, "::1"])
def test_handshake(host):
    with launch(host=host) as s:
        out = gtlsclient(s)
        assert "QUIC handshake has completed" in out
        assert "1RTT HANDSHAKE_DONE" in out
        figures = stats(s)
        assert figures["tls_handshakes"] == 1 and figures["tls_failures"] == 0
        # Of the two, the one that asks is there.
        assert eventually(lambda: stats(s)["connections_open"] == 1)


def test_retry():
    with launch("h3_retry=1", worker_count=4) as s:
        out = gtlsclient(s)
        assert "type=Retry" in out and "QUIC handshake has completed" in out
        assert stats(s)["tls_handshakes"] == 1


def test_resumed(tmp_path):
    args = [f"--session-file={tmp_path}/session", f"--tp-file={tmp_path}/params", "--disable-early-data"]
    with launch() as s:
        gtlsclient(s, *args)
        gtlsclient(s, *args)
        assert stats(s)["tls_resumed"] == 1


def test_qlog(tmp_path):
    """A file for each connection, named by its first id: JSON texts in sequence (RFC 7464), as any tool reads them."""
    with launch(f"h3_qlog_dir={tmp_path}", "h3_qlog_max_files=2", worker_count=2) as s:
        for dcid in ("0123456789abcdef01", "0123456789abcdef02", "0123456789abcdef03"):
            assert "QUIC handshake has completed" in gtlsclient(s, f"--dcid={dcid}")
    names = sorted(os.listdir(tmp_path))
    assert names == ["0123456789abcdef01.sqlog", "0123456789abcdef02.sqlog"]
    for name in names:
        texts = (tmp_path / name).read_text().split("\x1e")
        assert texts[0] == ""
        head, *events = [json.loads(text) for text in texts[1:]]
        assert head["qlog_format"] == "JSON-SEQ"
        assert head["trace"]["common_fields"]["group_id"] == name.removesuffix(".sqlog")
        assert head["trace"]["vantage_point"]["type"] == "server"
        kinds = {event["name"] for event in events}
        assert {"transport:packet_received", "transport:packet_sent", "transport:parameters_set",
                "recovery:metrics_updated"} <= kinds
        frames = {frame["frame_type"] for event in events if event["name"] == "transport:packet_sent"
                  for frame in event["data"]["frames"]}
        assert {"crypto", "handshake_done"} <= frames


@pytest.mark.parametrize("setting, why", [
    ("h3_qlog_dir=/nowhere", "h3_qlog_dir /nowhere: No such file or directory"),
    ("h3_qlog_dir=/proc", "h3_qlog_dir /proc: cannot be written to"),
    ("h3_qlog_max_files=1", "h3_qlog_max_files is set, but h3_qlog_dir is not")])
def test_qlog_refused(setting, why):
    cert, key = servers.shared_certificate()
    r = subprocess.run([PROGRAM, "listen=127.0.0.1:0", f"cert_file={cert}", f"key_file={key}", setting],
                       capture_output=True, timeout=20 * PATIENCE, check=False)
    assert r.returncode == 2 and why in r.stderr.decode()


def test_another_version():
    with launch() as s:
        out = gtlsclient(s, "--version=0x1a2a3a4a", "--preferred-versions=v1")
        assert "QUIC handshake has completed" in out


@pytest.mark.parametrize("args", [("--nat-rebinding",), ()])
def test_the_address_changes(args):
    """Wherever the kernel takes its packets from then on, the worker that has the connection gets them."""
    with launch(worker_count=4) as s:
        for _ in range(4):
            out = gtlsclient(s, "--change-local-addr=1ms", *args)
            assert "QUIC handshake has completed" in out
        assert stats(s)["tls_handshakes"] == 4


def test_datagrams_for_another_worker():
    """Of four workers the kernel gives a new address to the same one again in one case of four: sooner or later one
    that has the connection gets its packets from another."""
    with launch(worker_count=4) as s:
        for i in range(1, 25):
            out = gtlsclient(s, "--change-local-addr=10ms", "--nat-rebinding", "--delay-stream=50ms")
            assert "QUIC handshake has completed" in out
            figures = stats(s)
            if figures["handed_over"]:
                break
        assert figures["tls_handshakes"] == i and figures["tls_failures"] == 0
        assert figures["handed_over"] > 0
        assert figures["handed_over"] < figures["datagrams"]
