# Topics between processes over Redis, by hiredis.  REDIS=0: a build without, in which tako_redis_new()
# refuses.
ifeq ($(REDIS),0)
LIB_SKIP += $(filter-out src/transports/redis/redis_absent.c,$(wildcard src/transports/redis/*.c))
UNIT_SKIP += tests/unit/redis_test.c
else
LIB_SKIP += src/transports/redis/redis_absent.c
LIB_LIBS += hiredis
endif
