# SPDX-License-Identifier: MIT
"""test_static.py once more over HTTP/2: static files, with the same requests and the same answers."""
import os
import struct
import time

import pytest

import test_static
from h2wire import DATA, WINDOW_UPDATE, H2, H2Wire, frame, instead_of_wire
from test_static import *  # noqa: F401,F403 pylint: disable=wildcard-import,unused-wildcard-import


@pytest.fixture(autouse=True)
def over_h2(monkeypatch):
    instead_of_wire(monkeypatch, test_static)


@pytest.fixture
def w(server):
    with H2Wire(server.addr) as c:
        yield c


# They look at HTTP/1.1's own bytes.
del test_pipelined
del test_shrinking_file_does_not_look_complete
del test_shrinking_file_in_parts_does_not_look_complete
del test_replaced_file_is_sent_as_it_was
del test_growing_file_is_sent_as_long_as_announced
del test_clients_that_leave_cost_no_descriptors
del test_no_descriptor_left_for_a_part


def test_shrinking_file_costs_its_stream_only(server, growing):
    """No frame has promised what is missing: the window was used up when it went."""
    before = server.fd_count()
    more = struct.pack(">I", 1 << 20)
    with H2(server.addr) as c:
        c.updates = False
        c.ask(1, "/files/growing.bin")
        c.until(lambda f: f.kind == DATA and sum(map(len, c.responses[1].parts)) == 65535)
        os.truncate(growing, 0)
        time.sleep(0.002)           # for so long the server may take its length for what it was
        c.send(frame(WINDOW_UPDATE, 0, 0, more) + frame(WINDOW_UPDATE, 0, 1, more))
        assert c.response(1).reset == 2, "INTERNAL_ERROR"
        assert len(c.response(1).body) == 65535
        assert c.get(3, "/files/alphabet.txt").body == test_static.ALPHABET
    eventually(lambda: server.fd_count() <= before)  # noqa: F405
