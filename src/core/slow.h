/* SPDX-License-Identifier: MIT
 *
 * When a peer is too slow, in the words of the config: the least rate, and a transfer that does not get on.
 */
#ifndef TAKO_CORE_SLOW_H
#define TAKO_CORE_SLOW_H

#include <tako/server.h>

#include "core/clock.h"

/* Are so many bytes in that time less than min_rate_bytes, once min_rate_grace_ms have passed? */
static inline bool tako__below_rate(const tako_server_config *cfg, uint64_t bytes,
                                    uint64_t elapsed_ns)
{
	return cfg->min_rate_bytes != TAKO_OFF &&
	       elapsed_ns > tako__ms_ns(cfg->min_rate_grace_ms) &&
	       tako__per_second(bytes, elapsed_ns) < cfg->min_rate_bytes;
}

/* What a stream has sent since its peer's windows hold it up. */
struct tako__stall {
	uint64_t since_ns;
	uint64_t since_bytes;
	uint64_t progress_ns;
	uint64_t progress_bytes;
};

static inline void tako__stall_begin(struct tako__stall *t, uint64_t sent_bytes, uint64_t now_ns)
{
	*t = (struct tako__stall){now_ns, sent_bytes, now_ns, sent_bytes};
}

/* Nothing for write_timeout_ms, or too little: a window that opens by a byte at a time holds memory as
 * one that does not open. */
static inline bool tako__stall_too_long(struct tako__stall *t, const tako_server_config *cfg,
                                        uint64_t sent_bytes, uint64_t now_ns)
{
	if (sent_bytes != t->progress_bytes) {
		t->progress_bytes = sent_bytes;
		t->progress_ns = now_ns;
	}
	return now_ns - t->progress_ns >= tako__ms_ns(cfg->write_timeout_ms) ||
	       tako__below_rate(cfg, sent_bytes - t->since_bytes, now_ns - t->since_ns);
}

#endif /* TAKO_CORE_SLOW_H */
