# gRPC: zlib for compressed messages.  GRPC=0: a build without, in which tako_grpc_method() refuses.
ifeq ($(GRPC),0)
LIB_SKIP += $(filter-out src/transports/grpc/grpc_absent.c,$(wildcard src/transports/grpc/*.c))
UNIT_SKIP += $(wildcard tests/unit/grpc_* tests/unit/*_grpc_*)
FUZZ_SKIP += $(wildcard tests/fuzz/grpc_*)
else
LIB_SKIP += src/transports/grpc/grpc_absent.c
LIB_DEFINES += -DTAKO__WITH_GRPC
LIB_LIBS += zlib
endif
