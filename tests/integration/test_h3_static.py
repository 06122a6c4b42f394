# SPDX-License-Identifier: MIT
"""test_static.py once more over HTTP/3: static files, with the same requests and the same answers."""
import pytest

import test_static
from h3wire import H3Wire, instead_of_wire, listening  # noqa: F401 pylint: disable=unused-import
from test_static import *  # noqa: F401,F403 pylint: disable=wildcard-import,unused-wildcard-import


@pytest.fixture(autouse=True)
def over_h3(monkeypatch):
    instead_of_wire(monkeypatch, test_static)


@pytest.fixture
def w(server):
    with H3Wire(server.addr) as c:
        yield c


# They look at HTTP/1.1's own bytes.
del test_pipelined
del test_shrinking_file_does_not_look_complete
del test_shrinking_file_in_parts_does_not_look_complete
del test_replaced_file_is_sent_as_it_was
del test_growing_file_is_sent_as_long_as_announced
del test_clients_that_leave_cost_no_descriptors
del test_no_descriptor_left_for_a_part
