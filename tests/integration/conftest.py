# SPDX-License-Identifier: MIT
"""Fixtures of the integration tests.  A server that a module shares is checked when the module ends."""
import os
import re

import pytest

import servers

# What a test needs that a build may lack (make TLS=0 H3=0 WS=0 REDIS=0 GRPC=0), by its file and name.
NEEDS = {
    "tls": r"test_tls.*::|\[tls\b|over_tls\[|test_(raw|unix|connect)\.py::.*(tls|alpn)|test_client(_h2)?\.py::test_https|test_playwright\.",
    "ws": r"test_ws_.*::|::test_.*websockets|test_card\[(chat|ticks)\]|test_playwright\.",
    "redis": r"test_redis\.",
    "grpc": r"test_(h3_)?grpc.*::|::test_grpc_",
    "h3": r"test_h3.*::|test_(quic|raw_quic|webtransport|playwright)\.|::test_h3_|test_events\.py::.*\[h3\b",
}
LACKS = os.environ.get("TAKO_LACKS", "").split()
#: A file with the names of the tests to run, and one to write those of the failed ones to.
ONLY = os.environ.get("TAKO_TEST_ONLY")
FAILED = os.environ.get("TAKO_TEST_FAILED")


def pytest_collection_modifyitems(config, items):
    config.left_out = {}
    kept = []
    if ONLY:
        with open(ONLY, encoding="utf-8") as f:
            wanted = set(f.read().splitlines())
        items[:] = [i for i in items if i.nodeid in wanted]
    for item in items:
        lack = next((f for f in LACKS if re.search(NEEDS[f], item.nodeid)), None)
        if lack:
            config.left_out[lack] = config.left_out.get(lack, 0) + 1
        else:
            kept.append(item)
    items[:] = kept


def pytest_runtest_logreport(report):
    """The name of a failed test, behind a "!" where no second run could excuse it: something crashed, or a
    sanitizer has spoken."""
    if FAILED and report.failed:
        grave = servers.REPORT.search(report.longreprtext) or servers.CRASH.search(report.longreprtext)
        with open(FAILED, "a", encoding="utf-8") as f:
            f.write(f"{'!' if grave else ''}{report.nodeid}\n")


def pytest_terminal_summary(terminalreporter, config):
    for lack, count in getattr(config, "left_out", {}).items():
        terminalreporter.write_line(f"without {lack} in this build: {count} tests were left out")


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    """A directory for the showcase to serve."""
    d = tmp_path_factory.mktemp("files")
    (d / "index.html").write_text("<!doctype html><title>index</title><p>index\n")
    (d / "small.txt").write_text("small file\n")
    (d / "big.bin").write_bytes(bytes(range(256)) * 4096)
    return d


@pytest.fixture(scope="module")
def showcase(files):
    with servers.showcase(files) as s:
        yield s


@pytest.fixture
def wire(showcase):
    """A fresh connection to the showcase."""
    with showcase.connect() as w:
        yield w
