# SPDX-License-Identifier: MIT
"""test_static_paths.py once more over HTTP/3: paths of static files, with the same requests and the same answers."""
import pytest

import servers
import test_static_paths
from h3wire import H3Wire, instead_of_wire, listening  # noqa: F401 pylint: disable=unused-import
from test_static_paths import *  # noqa: F401,F403 pylint: disable=wildcard-import,unused-wildcard-import


@pytest.fixture(autouse=True)
def over_h3(monkeypatch):
    instead_of_wire(monkeypatch, test_static_paths)


@pytest.fixture
def w(server):
    with H3Wire(server.addr) as c:
        yield c


# How a path is opened is not HTTP's: on one kind of kernel.
@pytest.fixture(scope="module")
def server(tree):  # noqa: F811
    with servers.launch("static", f"dir={tree}") as s:
        s.has_openat2 = True
        yield s
