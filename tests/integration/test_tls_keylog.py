# SPDX-License-Identifier: MIT
"""SSLKEYLOGFILE: a debug build writes what the client writes too; a release build nothing."""
import os
import re

import pytest

import servers
from test_tls import LOCAL, launch, pair, s_client
from wire import request

#: What module.mk takes for a debug build.
DEBUG = bool(re.search("debug|address|thread|undefined", os.path.relpath(servers.BUILD, os.path.join(
    os.path.dirname(__file__), "../..")).partition("/")[2]))


@pytest.fixture(scope="module")
def cert(tmp_path_factory):
    return servers.certificate(tmp_path_factory.mktemp("keylog"), "own")


def secrets(path):
    """By label and the client's random number."""
    with open(path, encoding="ascii") as f:
        lines = [line.split() for line in f if not line.startswith("#")]
    assert all(len(line) == 3 for line in lines)
    return {(label, random.lower()): secret.lower() for label, random, secret in lines}


@pytest.mark.parametrize("flag,label", [("-tls1_2", "CLIENT_RANDOM"), ("-tls1_3", "CLIENT_TRAFFIC_SECRET_0")])
def test_key_log(cert, tmp_path, flag, label):
    ours, theirs = str(tmp_path / "ours"), str(tmp_path / "theirs")
    with launch(*pair(cert), env={"SSLKEYLOGFILE": ours}) as s:
        out = s_client(s, flag, "-ign_eof", "-keylogfile", theirs, send=request("GET", "/hello", "Connection: close"))
        assert "200 OK" in out
    assert any(key[0] == label for key in secrets(theirs))
    if not DEBUG:
        assert not os.path.exists(ours)
        with open(servers.program("tests/programs/tls"), "rb") as f:
            assert b"SSLKEYLOGFILE" not in f.read()
        return
    assert os.stat(ours).st_mode & 0o777 == 0o600
    # wolfSSL makes no exporter's secret; to read a capture nobody needs it.
    wanted = {k: v for k, v in secrets(theirs).items() if k[0] != "EXPORTER_SECRET"}
    written = secrets(ours)
    assert wanted and {k: written.get(k) for k in wanted} == wanted


@pytest.mark.skipif(not DEBUG, reason="a release build does not look")
def test_that_cannot_be_written(cert, monkeypatch):
    monkeypatch.setenv("SSLKEYLOGFILE", "/none/of/this")
    r = servers.run_refused([servers.program("tests/programs/tls"), f"listen={LOCAL}:{servers.free_port()}", *pair(cert)])
    assert r.returncode == 2 and "SSLKEYLOGFILE /none/of/this: No such file" in r.stderr
