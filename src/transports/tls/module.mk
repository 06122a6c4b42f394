# TLS by wolfSSL: the machine's if it is good enough, else one that scripts/wolfssl.sh builds, once,
# below $(BUILD)/deps.  TLS=0: a build without, in which tako_tls() refuses.
ifeq ($(TLS),0)
LIB_SKIP += $(filter-out src/transports/tls/tls_absent.c,$(wildcard src/transports/tls/*.c))
UNIT_SKIP += tests/unit/tls_% tests/unit/sim_tls_test.c tests/sim/sim_tls.c
FUZZ_SKIP += tests/fuzz/tls_%
BENCH_SKIP += bench/ceiling_tls.c
else
LIB_SKIP += src/transports/tls/tls_absent.c
LIB_DEFINES += -DTAKO__WITH_TLS
# Secrets go to $SSLKEYLOGFILE in a debug build; a release build does not know the name.
ifneq ($(DEBUG)$(SAN),)
LIB_DEFINES += -DTAKO__TLS_KEYLOG
else
LIB_SKIP += src/transports/tls/tls_keylog.c
endif

WOLFSSL_MK := $(BUILD)/deps/wolfssl$(subst /,_,$(WOLFSSL_PREFIX)).mk
# What builds nothing needs no library.
ifneq ($(if $(MAKECMDGOALS),$(filter-out clean help fmt fmt-check seams headers uninstall,$(MAKECMDGOALS)),all),)
include $(WOLFSSL_MK)
endif
$(WOLFSSL_MK): scripts/wolfssl.sh scripts/wolfssl-probe.c | $(BUILD)/.deps
	@CC='$(CC)' WOLFSSL_PREFIX='$(WOLFSSL_PREFIX)' scripts/wolfssl.sh $@ $(BUILD)/deps

LIB_LIBS += $(WOLFSSL_LIBS)
LIB_DEFINES += $(if $(WOLFSSL_ARCHIVE),-DTAKO__TLS_VENDORED)
LIB_ARCHIVES += $(WOLFSSL_ARCHIVE)
LIB_OBJECTS += $(WOLFSSL_OBJECTS)
# What sees wolfSSL's headers, and so its names: see RENAMES in the Makefile.
RENAMED_SRCS += $(wildcard src/transports/tls/*.c tests/unit/tls_*.c tests/sim/sim_tls.c \
	tests/fuzz/tls_*.c bench/*_tls.c)
RENAMES := $(WOLFSSL_NAMES)
RENAMED_CFLAGS := $(WOLFSSL_CFLAGS)
endif
