# Sessions, over HTTP/3 and over QUIC alone.
ifeq ($(filter 0,$(H3) $(TLS)),)
LIB_SKIP += src/transports/wt/wt_absent.c
# As those of HTTP/3: with packets that are faked.
STAND_IN_PROGS += tests/unit/wt_h3_test.c
else
LIB_SKIP += $(filter-out %/wt_absent.c,$(wildcard src/transports/wt/*.c))
UNIT_SKIP += tests/unit/wt_%
FUZZ_SKIP += tests/fuzz/wt_%
endif
