# HTTP/3, on QUIC.  QPACK's decoder is nghttp3's.
ifeq ($(filter 0,$(H3) $(TLS)),)
LIB_SKIP += src/transports/h3/h3_absent.c
LIB_LIBS += libnghttp3
# It fakes the packets below.
STAND_INS += tests/unit/h3_rig.c
STAND_IN_PROGS += $(wildcard tests/unit/h3_*_test.c) tests/unit/h3_test.c
else
LIB_SKIP += $(filter-out %/h3_absent.c,$(wildcard src/transports/h3/*.c))
UNIT_SKIP += tests/unit/h3_%
FUZZ_SKIP += tests/fuzz/h3_%
endif
