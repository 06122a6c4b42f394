# QUIC by ngtcp2, and wolfSSL through ngtcp2's helper for it, both of which scripts/wolfssl.sh builds with
# wolfSSL where that is built, as no distribution packages the helper.  H3=0, and TLS=0: a build without, and so without HTTP/3.
H3 := $(if $(filter 0,$(TLS)),0,$(H3))
ifeq ($(H3),0)
LIB_SKIP += src/transports/quic/%
UNIT_SKIP += tests/unit/quic_% tests/peer/%
FUZZ_SKIP += tests/fuzz/quic_%
PROGRAM_SKIP += tests/programs/quic.c tests/programs/h3_client.c tests/programs/raw_client.c tests/programs/wt.c
BENCH_SKIP += bench/load_h3.c
else
LIB_DEFINES += -DTAKO__WITH_QUIC
# The TLS folder's module.mk says how it is made, and reads it too, whichever of them comes first.
WOLFSSL_MK := $(BUILD)/deps/wolfssl$(subst /,_,$(WOLFSSL_PREFIX)).mk
ifneq ($(if $(MAKECMDGOALS),$(filter-out clean help fmt fmt-check seams headers uninstall,$(MAKECMDGOALS)),all),)
include $(WOLFSSL_MK)
# Not of a list that an earlier version of the script made, which is made anew.
ifneq ($(and $(WOLFSSL_CFLAGS),$(filter-out undefined,$(flavor NGTCP2_LIBS)),$(if $(NGTCP2_HELPER_LIBS)$(NGTCP2_HELPER_ARCHIVE),,none)),)
$(error this wolfSSL comes without libngtcp2_crypto_wolfssl: H3=0 builds without HTTP/3)
endif
endif
# Packets are encrypted by Intel's library where it runs, of which only the header is needed here: see quic_gcm.h.  IPSECMB=0: without.
ifneq ($(IPSECMB),0)
LIB_DEFINES += $(shell printf '\043include <intel-ipsec-mb.h>\n\043if !defined __x86_64__ || IMB_VERSION_NUM < 0x10300\n\043error\n\043endif\n' \
	| $(CC) $(CPPFLAGS) -E -xc - >/dev/null 2>&1 && echo -DTAKO__WITH_IPSECMB)
endif
LIB_LIBS += $(NGTCP2_LIBS) $(NGTCP2_HELPER_LIBS)
LIB_ARCHIVES += $(NGTCP2_HELPER_ARCHIVE)
LIB_OBJECTS += $(NGTCP2_HELPER_OBJECTS)
# What sees the names that were changed: see RENAMES in the Makefile.
RENAMED_SRCS += $(wildcard src/transports/quic/*.c tests/unit/quic_*.c tests/unit/wt_raw_test.c tests/peer/*.c \
	tests/fuzz/quic_*.c tests/programs/h3_client.c tests/programs/raw_client.c bench/load_h3.c)
endif
