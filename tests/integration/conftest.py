# SPDX-License-Identifier: MIT
"""Fixtures of the integration tests.  A server that a module shares is checked when the module ends."""
import pytest

import servers


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
