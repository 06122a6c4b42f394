# SPDX-License-Identifier: MIT
"""test_static_paths.py once more over HTTP/2: paths of static files, with the same requests and the same answers."""
import pytest

import test_static_paths
from h2wire import H2Wire, instead_of_wire
from test_static_paths import *  # noqa: F401,F403 pylint: disable=wildcard-import,unused-wildcard-import


@pytest.fixture(autouse=True)
def over_h2(monkeypatch):
    instead_of_wire(monkeypatch, test_static_paths)


@pytest.fixture
def w(server):
    with H2Wire(server.addr) as c:
        yield c


# They look at HTTP/1.1's own bytes.
