# What the programs here link with beside tako itself.
LIBS_mhd := libmicrohttpd
LIBS_lws := libwebsockets
LIBS_ceiling_uring := liburing
LIBS_ceiling_broadcast := liburing
