/* SPDX-License-Identifier: MIT
 *
 * The response side of an exchange, for the rest of core.
 */
#ifndef TAKO_CORE_RES_H
#define TAKO_CORE_RES_H

#include "core/exchange.h"

/* The answer of last resort: "404 Not Found" as text. */
int tako__res_builtin(struct tako__exchange *x, int status);

/* Before an error takes the place of a response: drop what described that one's content. */
void tako__res_forget(struct tako__exchange *x, int status);

/* 0 if the head can still be decided; TAKO_ECLOSED, TAKO_ESTATE. */
int tako__res_answerable(const struct tako__exchange *x);

/* Reason phrase of a status code (RFC 9110 section 15), "" if it has none. */
const char *tako__status_text(int status);

/* Answer 200 in one piece that x's trailers, of which there is one at least, follow.  As
 * tako_res_send(). */
int tako__res_send_trailed(struct tako__exchange *x, const char *type, tako_str body);

/* An op with who waits for it, lent to the protocol.  Keeps the exchange until done. */
struct tako__lent {
	struct tako_send op;
	struct tako__exchange *x;
	void (*done)(void *arg);
	void *arg;
};

/* Lend a range of a file as the whole response; fd is closed when done. */
int tako__res_lend_file(struct tako__exchange *x, int fd, uint64_t offset, uint64_t n);
/* Write part of a response whose bytes outlive it. */
int tako__res_lend(struct tako__exchange *x, tako_str data, void (*done)(void *arg), void *arg);

#endif /* TAKO_CORE_RES_H */
