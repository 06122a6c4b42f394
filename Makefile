# tako: an embeddable web framework in C.
#
#   make                      libtako.a, libtako.so and every example, in build/
#   make run                  build and serve the showcase on http://127.0.0.1:8080 and with TLS
#                             on https://localhost:8443, over TCP and UDP
#   make check                build and run every test (what CI runs); SAN= for one sanitizer
#   make unit | integration   only those tests, in the build that CC= and SAN= choose
#   make hostile              the latter with bytes cut up on their way; hostile-smoke is short
#   make fuzz                 60 s of each fuzz target (FUZZ_SECONDS=); fuzz-smoke is short
#   make quic-today           does it compile with today's ngtcp2 and nghttp3, of bookworm-backports?
#   make bench                compare with other servers; installs them, starts nothing else
#   make install | uninstall  headers, libraries and tako.pc under DESTDIR and PREFIX
#   make fmt | fmt-check      clang-format over the tree, or only say what it would change
#   make lint                 clang-tidy, and cppcheck when it is there
#   make compile_commands.json, make abi-update (accept the exported names), make clean
#
# Variables: CC, CFLAGS, CPPFLAGS, LDFLAGS (yours come last and win), BUILD=build, PREFIX, DESTDIR,
# SAN=address,undefined|thread, DEBUG=1 (not optimised; with what a release must not have, as with
# SAN=), LTO=1 (release build, gcc), PGO=1 (the same, built twice: the first one is run for 15 s to learn
# what the second should be fast at), V=1 (show commands), DEPS=no (install
# nothing: only `make`, `make run`, `make check` and `make bench` ever do, see scripts/deps.sh),
# TLS=0, H3=0, WS=0, REDIS=0, GRPC=0 (a build without TLS and HTTP/3, without HTTP/3, WebSocket, the
# Redis relay, gRPC), IPSECMB=0 (QUIC without what libipsec-mb makes faster), WOLFSSL_PREFIX=/where/one/is (instead of the one
# that is found or built).

ifeq ($(origin CC),default)
CC := gcc
endif
BUILD ?= build
PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
CLANG ?= clang
PYTHON ?= /usr/bin/python3
FUZZ_SECONDS ?= 60
FMT ?= clang-format
TIDY ?= clang-tidy

.DEFAULT_GOAL := all
comma := ,
empty :=
space := $(empty) $(empty)

# Objects of different compilers, sanitizers or link modes never meet: each has its own directory.
variant := $(if $(FUZZ),fuzz) $(if $(filter gcc cc,$(notdir $(CC)))$(FUZZ),,$(notdir $(CC))) \
	$(if $(PGO),pgo$(if $(filter train,$(PGO)),-train),$(if $(LTO),lto)) $(if $(DEBUG),debug) $(if $(filter 0,$(TLS)),notls) $(if $(filter 0,$(H3)),noh3) \
	$(if $(filter 0,$(IPSECMB)),noipsecmb) $(if $(filter 0,$(WS)),nows) $(if $(filter 0,$(REDIS)),noredis) $(if $(filter 0,$(GRPC)),nogrpc) \
	$(subst $(comma),-,$(SAN))
variant := $(subst $(space),-,$(strip $(variant)))
B := $(BUILD)$(if $(variant),/$(variant))

# ---- Flags -------------------------------------------------------------------

WARN := -Wall -Wextra -Wpedantic -Wconversion -Wshadow -Wvla -Werror
OPT := -O2 -g
ifdef DEBUG
OPT := -O0 -g
endif
ifdef SAN
OPT := -O1 -g1 -fno-omit-frame-pointer -fsanitize=$(SAN) -fno-sanitize-recover=all
# gcc's TSan does not follow fences and says so; the fences are right, so they are not the error.
WARN += $(if $(filter thread,$(SAN)),$(if $(filter gcc cc,$(notdir $(CC))),-Wno-tsan))
endif
ifdef FUZZ
override CC := $(CLANG)
OPT := -O1 -g -fno-omit-frame-pointer -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=all
endif
ifneq ($(LTO)$(filter-out train,$(PGO)),)
OPT := -O2 -g -flto=auto -ffat-lto-objects
AR := gcc-ar
endif
# PGO=train is the first of the two builds, for scripts/pgo-train.sh; what that notes of an object has the
# name that -dumpdir gives it, the same in both.  What was not trained is compiled as ever, and not for size
# (-fprofile-partial-training).  What has learnt that a copy is small on average makes it with x86's string
# instructions, which take longer to start than libc's memcpy() takes for a kilobyte.
ifdef PGO
ifneq ($(findstring clang,$(CC))$(SAN)$(DEBUG)$(FUZZ),)
$(error PGO=1 is a release build by gcc: without CC=clang, SAN=, DEBUG= and FUZZ=)
endif
TRAIN := $(BUILD)/$(patsubst pgo%,pgo-train%,$(variant:pgo-train%=pgo%))
PROFILE := $(abspath $(TRAIN))/profile
OPT := $(if $(filter train,$(PGO)),-O2 -g -fprofile-generate=$(PROFILE) -fprofile-update=prefer-atomic,\
	$(OPT) -fprofile-use=$(PROFILE) -fprofile-partial-training -Wno-missing-profile \
	$(if $(filter x86_64%,$(shell $(CC) -dumpmachine)),-mmemcpy-strategy=libcall:-1:noalign))
endif

# Of the same size whichever libraries are found: some of them ask for it.
ALL_CPPFLAGS = -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Iinclude -Isrc $(LIB_DEFINES) $(EXTRA) $(LIB_CFLAGS) $(CPPFLAGS)
ALL_CFLAGS = -std=c11 $(WARN) $(OPT) -fPIC -fvisibility=hidden -pthread $(CFLAGS)
ALL_LDFLAGS = $(OPT) -pthread -Wl,-z,relro,-z,now $(LDFLAGS)
# Unresolved names in the shared library are errors, except that sanitizers leave theirs to the program.
SO_LDFLAGS := -shared -Wl,--version-script=src/tako.map $(if $(SAN)$(FUZZ),,-Wl,-z,defs)

# A list of libraries may mix pkg-config names and flags: "nettle libcjson -lm".
pkg_names = $(filter-out -%,$(1))
pkg_cflags = $(if $(pkg_names),$(shell pkg-config --cflags $(pkg_names)))
pkg_libs = $(filter -%,$(1)) $(if $(pkg_names),$(shell pkg-config --libs $(pkg_names)))

# ---- What there is to build --------------------------------------------------

VERSION := $(shell sed -n 's/^.define TAKO_VERSION "\(.*\)"/\1/p' include/tako/base.h)
SONAME := libtako.so.$(firstword $(subst ., ,$(VERSION)))

# A transport or runtime that needs a library says so in a module.mk in its directory, with
#   LIB_LIBS += libnghttp2          what to compile and link with (also goes into tako.pc)
#   LIB_SKIP += src/transports/h2/% leave these sources out
#   LIB_DEFINES += -DTAKO__WITH_H2  say that the feature is in the build
# A library that was built for tako alone is part of it: LIB_ARCHIVES is linked into libtako.so,
# LIB_OBJECTS are its members, which join libtako.a.  So that a program may have another copy of it,
# its names were changed, and in the objects of RENAMED_SRCS they are changed as the list RENAMES says.
LIB_LIBS :=
LIB_SKIP :=
LIB_DEFINES :=
LIB_ARCHIVES :=
LIB_OBJECTS :=
UNIT_SKIP :=
PROGRAM_SKIP :=
FUZZ_SKIP :=
BENCH_SKIP :=
RENAMED_SRCS :=
STAND_INS :=
STAND_IN_PROGS :=
RENAMED_CFLAGS :=
RENAMES :=
include $(wildcard src/transports/*/module.mk src/runtime-*/module.mk)
LIB_CFLAGS = $(call pkg_cflags,$(LIB_LIBS))

LIB_SRCS := $(filter-out $(LIB_SKIP),$(sort $(wildcard src/*.c src/*/*.c src/*/*/*.c)))
UNIT_SRCS := $(filter-out $(UNIT_SKIP),$(sort $(wildcard tests/unit/*_test.c)))
# Fakes and helpers shared by tests: an archive, so that each test links only what it names.
SUPPORT_SRCS := $(filter-out $(UNIT_SRCS) $(UNIT_SKIP) $(STAND_INS),$(sort $(wildcard tests/unit/*.c tests/sim/*.c tests/peer/*.c)))
PROGRAM_SRCS := $(filter-out $(PROGRAM_SKIP),$(sort $(wildcard tests/programs/*.c)))
FUZZ_SRCS := $(filter-out $(FUZZ_SKIP),$(sort $(wildcard tests/fuzz/*.c)))
BENCH_SRCS := $(filter-out $(BENCH_SKIP),$(sort $(wildcard bench/*.c)))
EXAMPLE_SRCS := $(sort $(wildcard examples/*.c))
EXAMPLE_DIRS := $(sort $(patsubst examples/%/,%,$(dir $(wildcard examples/*/*.c))))
EXAMPLE_DIR_SRCS := $(sort $(wildcard examples/*/*.c))

obj = $(patsubst %.c,$(B)/obj/%.o,$(1))
UNIT_PROGS := $(UNIT_SRCS:%.c=$(B)/%)
# Servers that the integration tests drive, each with knobs that no example has.
TEST_PROGS := $(PROGRAM_SRCS:%.c=$(B)/%)
# Written against somebody else's library, where that is there.
WITH_GRPC := $(shell pkg-config --exists grpc++ 2>/dev/null && echo yes)
PEER_PROGS := $(if $(WITH_GRPC),$(B)/tests/programs/grpc_client)
# Another QUIC, where Debian's package of it is there: without its modules, which come over the network.
GO_PATH := /usr/share/gocode
WITH_QUICGO := $(if $(filter 0,$(H3) $(TLS)),,$(if $(wildcard $(GO_PATH)/src/github.com/lucas-clemente/quic-go),$(shell command -v go)))
GO_PROGS := $(if $(WITH_QUICGO),$(B)/tests/programs/quicgo_client)
PEER_BENCH := $(if $(WITH_GRPC),$(B)/bench/grpc_cpp)
FUZZ_PROGS := $(FUZZ_SRCS:%.c=$(B)/%)
BENCH_PROGS := $(BENCH_SRCS:%.c=$(B)/%)
EXAMPLE_PROGS := $(EXAMPLE_SRCS:%.c=$(B)/%) $(EXAMPLE_DIRS:%=$(B)/examples/%)
# Each of them once more, for tests with bytes cut up on their way.
CUT_SRC := tests/programs/cut/cut.c
CUT_PROGS := $(EXAMPLE_PROGS:$(B)/examples/%=$(B)/cut/%)
ALL_SRCS := $(STAND_INS) $(LIB_SRCS) $(EXAMPLE_SRCS) $(EXAMPLE_DIR_SRCS) $(UNIT_SRCS) $(SUPPORT_SRCS) \
	$(PROGRAM_SRCS) $(FUZZ_SRCS) $(BENCH_SRCS) $(CUT_SRC)
OBJS := $(call obj,$(ALL_SRCS))

# ---- Building ----------------------------------------------------------------

MAKEFLAGS += --no-builtin-rules
.SUFFIXES:
.DELETE_ON_ERROR:
.SECONDARY:
.PHONY: all lib examples training-programs \
	unit-programs test-programs bench-programs fuzz-programs run-fuzz run check \
	unit integration hostile hostile-smoke cut-programs \
	headers abi seams install-test quic-today docs-test valgrind fuzz fuzz-smoke bench install uninstall fmt \
	fmt-check \
	lint abi-update clean help FORCE
all: lib examples

Q := $(if $(V),,@)
say = @$(if $(V),:,printf '  %-7s %s\n' $(1) '$(2)')

lib: $(B)/libtako.a $(B)/libtako.so $(B)/tako.pc
examples: $(EXAMPLE_PROGS)
unit-programs: $(UNIT_PROGS)
test-programs: $(TEST_PROGS) $(PEER_PROGS) $(GO_PROGS)
bench-programs: $(BENCH_PROGS) $(PEER_BENCH)
fuzz-programs: $(FUZZ_PROGS)

# Tools and libraries come first, but asking dpkg once per checkout is enough for a plain build.
$(BUILD)/.deps: scripts/deps.sh
	@mkdir -p $(@D)
	$(if $(filter no,$(DEPS)),,@scripts/deps.sh build)
	@touch $@

# What is private to a file stays out: it would come and go with the first target that asks.
# Rewritten only when they differ, so that other flags or a removed file rebuild what they must; and at
# once, under a name that is only ours before: a make of the same build may run beside this one.
pid := $(shell echo $$PPID)
settle = cmp -s $@ $@.$(pid) && rm $@.$(pid) || mv $@.$(pid) $@
$(B)/.flags: FORCE
	@$(shell mkdir -p $(@D))$(file >$@.$(pid),$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(ALL_LDFLAGS))
	@$(settle)
$(B)/.sources: FORCE
	@$(shell mkdir -p $(@D))$(file >$@.$(pid),$(LIB_SRCS) $(SUPPORT_SRCS) $(EXAMPLE_DIR_SRCS))
	@$(settle)

$(B)/obj/%.o: %.c $(B)/.flags | $(BUILD)/.deps
	$(call say,CC,$<)
	@mkdir -p $(@D)
	$(Q)$(CC) $(ALL_CPPFLAGS) $(ALL_CFLAGS) $(if $(PGO),-dumpdir $(@D:$(B)/%=%)/) -MMD -MP -c -o $@ $<
	$(if $(RENAME),$(Q)objcopy --redefine-syms=$(RENAME) $@)

# Of other sources it would be no profile.
ifneq ($(filter-out train,$(PGO)),)
$(OBJS): $(B)/.profile
$(B)/.profile: $(LIB_SRCS) $(EXAMPLE_DIR_SRCS) $(wildcard include/tako/*.h include/tako/*/*.h src/*/*.h src/*/*/*.h) \
		scripts/pgo-train.sh $(B)/.flags | $(BUILD)/.deps
	$(if $(filter no,$(DEPS)),,@scripts/deps.sh pgo)
	@$(MAKE) --no-print-directory PGO=train training-programs
	$(call say,TRAIN,$(TRAIN))
	@TAKO_LACKS='$(lacks)' scripts/pgo-train.sh '$(TRAIN)'
	@touch $@
endif
training-programs: $(B)/examples/showcase $(B)/examples/ws $(B)/bench/load $(B)/bench/load_ws

# Names are changed in machine code, which is all that these may therefore be.
$(call obj,$(RENAMED_SRCS)): private RENAME = $(RENAMES)
$(call obj,$(RENAMED_SRCS)): private EXTRA = $(RENAMED_CFLAGS) -Itests
$(call obj,$(RENAMED_SRCS)): private OPT := $(OPT) $(if $(filter -flto%,$(OPT)),-fno-lto)
$(call obj,$(RENAMED_SRCS)): $(RENAMES)

$(B)/libtako.a: $(call obj,$(LIB_SRCS)) $(LIB_OBJECTS) $(B)/.sources
	$(call say,AR,$@)
	@rm -f $@
	$(Q)$(AR) rcs $@ $(filter %.o,$^)

$(B)/libtako.so.$(VERSION): $(call obj,$(LIB_SRCS)) $(LIB_ARCHIVES) src/tako.map $(B)/.sources
	$(call say,LD,$@)
	$(Q)$(CC) $(SO_LDFLAGS) $(ALL_LDFLAGS) -Wl,-soname,$(SONAME) -o $@ $(filter %.o %.a,$^) \
		$(call pkg_libs,$(LIB_LIBS))
$(B)/libtako.so: $(B)/libtako.so.$(VERSION)
	@ln -sf $(<F) $(B)/$(SONAME)
	@ln -sf $(SONAME) $@

make_pc = sed -e 's|@PREFIX@|$(PREFIX)|; s|@VERSION@|$(VERSION)|' \
	-e 's|@LIBDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(LIBDIR))|' \
	-e 's|@INCLUDEDIR@|$(patsubst $(PREFIX)/%,$${prefix}/%,$(INCLUDEDIR))|' \
	-e 's|@REQUIRES@|$(call pkg_names,$(LIB_LIBS))|' \
	-e 's|@LIBS@|$(filter -%,$(LIB_LIBS))|' src/tako.pc.in
$(B)/tako.pc: src/tako.pc.in $(B)/.flags include/tako/base.h FORCE
	@$(make_pc) >$@.$(pid)
	@$(settle)

# One program from one file, or from all files of one directory; $(1) holds its own libraries.
link = $(Q)mkdir -p $(@D) && $(CC) $(ALL_LDFLAGS) -o $@ $(filter %.o,$^) $(filter %.a,$^) \
	$(call pkg_libs,$(1) $(LIB_LIBS)) $(2)

$(B)/libtest.a: $(call obj,$(SUPPORT_SRCS)) $(B)/.sources
	@rm -f $@
	$(Q)$(AR) rcs $@ $(filter %.o,$^)
$(UNIT_PROGS): $(B)/%: $(B)/obj/%.o $(B)/libtest.a $(B)/libtako.a
	$(call say,LD,$@)
	$(call link,-lcmocka)
$(B)/obj/tests/%.o: private EXTRA = -Itests
# What stands in for a part of the library is linked by name, lest another test get it in that part's place.
$(STAND_IN_PROGS:%.c=$(B)/%): $(call obj,$(STAND_INS))

$(FUZZ_PROGS): $(B)/%: $(B)/obj/%.o $(B)/libtako.a
	$(call say,LD,$@)
	$(call link,,-fsanitize=fuzzer)

# bench/module.mk may say LIBS_<program> := libmicrohttpd.
-include bench/module.mk
$(BENCH_PROGS): $(B)/bench/%: $(B)/obj/bench/%.o $(B)/libtako.a
	$(call say,LD,$@)
	$(call link,$(LIBS_$*))
$(call obj,$(filter-out $(RENAMED_SRCS),$(BENCH_SRCS))): private EXTRA = $(call pkg_cflags,$(LIBS_$(*F)))

$(EXAMPLE_SRCS:%.c=$(B)/%): $(B)/%: $(B)/obj/%.o $(B)/libtako.a
	$(call say,LD,$@)
	$(call link)
cut_link = $(call link,$(1),-Wl$(comma)--wrap=tako__config_import)
$(EXAMPLE_SRCS:examples/%.c=$(B)/cut/%): $(B)/cut/%: $(B)/obj/examples/%.o $(call obj,$(CUT_SRC)) $(B)/libtako.a
	$(call say,LD,$@)
	$(call cut_link)
$(TEST_PROGS): $(B)/%: $(B)/obj/%.o $(B)/libtest.a $(B)/libtako.a
	$(call say,LD,$@)
	$(call link)

$(PEER_PROGS) $(PEER_BENCH): $(B)/%: %.cc
	$(call say,CXX,$<)
	$(Q)mkdir -p $(@D) && $(CXX) -std=c++17 $(if $(filter bench/%,$*),-O2) $$(pkg-config --cflags grpc++) -o $@ $< $$(pkg-config --libs grpc++)

$(GO_PROGS): $(B)/%: %.go
	$(call say,GO,$<)
	$(Q)mkdir -p $(@D) && GO111MODULE=off GOPATH=$(GO_PATH) GOCACHE='$(abspath $(BUILD))/deps/gocache' GOFLAGS= go build -o $@ $<

# examples/<dir>/module.mk may say LIBS := nettle libcjson; what is not C there (a page to embed) is
# taken for a prerequisite of the objects, beside which its rules may put what they make.
define example_dir
LIBS :=
-include examples/$(1)/module.mk
LIBS_$(1) := $$(LIBS)
$(call obj,$(wildcard examples/$(1)/*.c)): private EXTRA = -Iexamples/$(1) -I$(B)/obj/examples/$(1) $$(call pkg_cflags,$$(LIBS_$(1)))
$(call obj,$(wildcard examples/$(1)/*.c)): \
	$(filter-out %.c %.h,$(wildcard examples/$(1)/*.*))
$(B)/examples/$(1): $(call obj,$(wildcard examples/$(1)/*.c)) $(B)/libtako.a $(B)/.sources
	$$(call say,LD,$$@)
	$$(call link,$$(LIBS_$(1)) $(if $(filter -flto%,$(OPT)),-Wa$$(comma)-Iexamples/$(1)))
$(B)/cut/$(1): $(call obj,$(wildcard examples/$(1)/*.c) $(CUT_SRC)) $(B)/libtako.a $(B)/.sources
	$$(call say,LD,$$@)
	$$(call cut_link,$$(LIBS_$(1)))
endef
$(foreach d,$(EXAMPLE_DIRS),$(eval $(call example_dir,$(d))))

-include $(OBJS:.o=.d)

# ---- Running -----------------------------------------------------------------

run: $(B)/examples/showcase
	@exec $(B)/examples/showcase --http 127.0.0.1:8080 $(if $(filter 0,$(TLS)),,--tls 127.0.0.1:8443) \
		$(if $(filter 0,$(TLS) $(H3)),,--h3 127.0.0.1:8443) \
		--files examples $(ARGS)

# ---- Tests -------------------------------------------------------------------

# Everything, in order and in bounded time: the phases are in the script.
check:
	+@exec env MAKE='$(MAKE)' BUILD='$(BUILD)' SAN='$(SAN)' CLANG='$(CLANG)' DEPS='$(DEPS)' \
		scripts/check.sh

unit: unit-programs
	@SAN='$(SAN)' scripts/run-unit.sh $(UNIT_PROGS)

# What a build without a feature leaves out, for tests/integration/conftest.py.
lacks := $(strip $(if $(filter 0,$(TLS)),tls) $(if $(filter 0,$(H3) $(TLS)),h3) $(if $(filter 0,$(WS)),ws) $(if $(filter 0,$(REDIS)),redis) $(if $(filter 0,$(GRPC)),grpc))

# PYTEST_ARGS="tests/integration/test_x.py -k name" for some of them.
integration: all test-programs
	@SAN='$(SAN)' TAKO_LACKS='$(lacks)' PYTHON='$(PYTHON)' scripts/run-integration.sh '$(abspath $(B))' $(PYTEST_ARGS)
# The same with bytes cut up on their way; hostile-smoke is short.
cut-programs: $(CUT_PROGS)
hostile hostile-smoke: all test-programs cut-programs
	@SAN='$(SAN)' TAKO_LACKS='$(lacks)' PYTHON='$(PYTHON)' scripts/run-hostile.sh '$(abspath $(B))' \
		$(if $(filter hostile-smoke,$@),smoke,$(PYTEST_ARGS))

headers:
	@tests/headers/check.sh
seams:
	@scripts/check-seams.sh
abi: lib
	@tests/abi/check.sh $(B)/libtako.so
abi-update: lib
	@tests/abi/check.sh $(B)/libtako.so --update
# By the headers of another version, which come over the network.
quic-today: lib
	@CC='$(CC)' scripts/quic-today.sh '$(BUILD)' -std=c11 $(WARN) $(ALL_CPPFLAGS) $(RENAMED_CFLAGS) -Itests
install-test: lib
	@CC='$(CC)' tests/install/check.sh '$(MAKE)' '$(BUILD)'
docs-test: lib
	@CC='$(CC)' $(PYTHON) tests/docs/check.py $(B)
valgrind: examples
	@$(PYTHON) scripts/valgrind.py $(EXAMPLE_PROGS)

# With clang, in a build of their own.
fuzz fuzz-smoke: FUZZ_DEPS = $(if $(filter no,$(DEPS)),,scripts/deps.sh fuzz)
fuzz:
	@$(FUZZ_DEPS)
	@$(MAKE) --no-print-directory FUZZ=1 SAN= LTO= run-fuzz
fuzz-smoke:
	@$(FUZZ_DEPS)
	@TAKO_FUZZ_SEED=1 $(MAKE) --no-print-directory FUZZ=1 SAN= LTO= FUZZ_SECONDS=3 run-fuzz
run-fuzz: fuzz-programs
	@SAN=address scripts/run-fuzz.sh $(FUZZ_SECONDS) $(FUZZ_PROGS)

bench:
	$(if $(filter no,$(DEPS)),,@scripts/deps.sh bench)
	@$(MAKE) --no-print-directory $(if $(LTO),LTO,PGO)=1 run-bench
run-bench: all bench-programs
	@$(PYTHON) bench/run.py --build '$(abspath $(B))' $(BENCH_ARGS)

# ---- Installing --------------------------------------------------------------

HEADERS := $(sort $(patsubst include/%,%,$(wildcard include/tako/*.h include/tako/*/*.h)))

install: lib
	install -d $(patsubst %,'$(DESTDIR)$(INCLUDEDIR)/%',$(sort $(dir $(HEADERS)))) \
		'$(DESTDIR)$(LIBDIR)/pkgconfig'
	$(Q)for h in $(HEADERS); do \
		install -m 644 include/$$h '$(DESTDIR)$(INCLUDEDIR)/'$$h || exit; done
	install -m 644 $(B)/libtako.a '$(DESTDIR)$(LIBDIR)'
	install -m 755 $(B)/libtako.so.$(VERSION) '$(DESTDIR)$(LIBDIR)'
	ln -sf libtako.so.$(VERSION) '$(DESTDIR)$(LIBDIR)/$(SONAME)'
	ln -sf $(SONAME) '$(DESTDIR)$(LIBDIR)/libtako.so'
	$(make_pc) >'$(DESTDIR)$(LIBDIR)/pkgconfig/tako.pc'

uninstall:
	rm -f $(patsubst %,'$(DESTDIR)$(INCLUDEDIR)/%',$(HEADERS)) \
		$(patsubst %,'$(DESTDIR)$(LIBDIR)/%',libtako.a libtako.so $(SONAME) libtako.so.$(VERSION) \
			pkgconfig/tako.pc)
	-rmdir $(patsubst %,'$(DESTDIR)$(INCLUDEDIR)/%',tako/sys tako)

# ---- The tree ----------------------------------------------------------------

ALL_FILES := $(ALL_SRCS) $(wildcard include/tako/*.h include/tako/*/*.h src/*/*.h src/*/*/*.h \
	examples/*/*.h tests/*/*.h bench/*.h)
fmt:
	$(FMT) -i $(ALL_FILES)
fmt-check:
	@$(FMT) --dry-run -Werror $(ALL_FILES)

compile_commands.json: FORCE
	$(file >$@,[)$(foreach s,$(ALL_SRCS),$(file >>$@,$(call compile_command,$(s))))$(file >>$@,])
	@sed -i 'x; 1d; $$!{p;d}; s/,$$//; p; x' $@
json = $(subst ",\",$(subst \,\\,$(1)))
compile_command = {"directory":"$(call json,$(CURDIR))","file":"$(1)","command":"$(call json,$(CC) \
	$(call command_flags,$(1)) $(ALL_CPPFLAGS) $(ALL_CFLAGS) -c $(1))"},
command_flags = $(if $(filter $(RENAMED_SRCS),$(1)),$(RENAMED_CFLAGS) -Itests) $(if $(filter tests/%,$(1)),-Itests) $(if $(filter $(EXAMPLE_DIR_SRCS),$(1)),-I$(dir $(1)) -I$(B)/obj/$(dir $(1)))

# clang-tidy wants clang's view of the flags, and a CPU's worth of files at a time.  Unit tests are left
# to the sanitizers: half of what they do is what it warns of.
lint: compile_commands.json
	@printf '%s\n' $(LIB_SRCS) $(EXAMPLE_SRCS) $(EXAMPLE_DIR_SRCS) $(PROGRAM_SRCS) $(BENCH_SRCS) | xargs -P $$(nproc) -n 4 $(TIDY) --quiet -p .
	@if command -v cppcheck >/dev/null; then cppcheck --quiet --std=c11 --error-exitcode=1 \
		--enable=warning,portability --inline-suppr --suppress=missingIncludeSystem \
		--suppress=pointerOutOfBoundsCond \
		-j $$(nproc) -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -Iinclude -Isrc src examples bench; fi

clean:
	rm -rf $(BUILD) compile_commands.json

help:
	@sed -n '/^#/!q; s/^#//; s/^ //; p' Makefile
