# WebSocket: wslay for the protocol (Debian has no .pc of it), zlib for permessage-deflate.  WS=0: a build
# without, in which tako_ws_accept() refuses.
ifeq ($(WS),0)
# WebTransport has use for what knows origins and UTF-8.
LIB_SKIP += $(filter-out $(addprefix src/transports/ws/ws_,absent.c origin.c utf8.c),$(wildcard src/transports/ws/*.c))
UNIT_SKIP += $(wildcard tests/unit/ws_* tests/unit/sim_ws_* tests/sim/sim_ws.c) tests/unit/take_test.c
FUZZ_SKIP += $(wildcard tests/fuzz/ws_*)
else
LIB_SKIP += src/transports/ws/ws_absent.c
LIB_DEFINES += -DTAKO__WITH_WS
LIB_LIBS += -lwslay zlib
endif
