# What the programs here link with beside tako itself.
LIBS_mhd := libmicrohttpd
LIBS_lws := libwebsockets
LIBS_ceiling_uring := liburing
LIBS_ceiling_broadcast := liburing
# The client that the tests have.
$(B)/bench/load_h3: $(call obj,tests/peer/quic_peer.c tests/peer/quic_peer_tls.c)
