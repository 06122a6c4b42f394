/* SPDX-License-Identifier: MIT
 *
 * What the showcase's files share: one handler for each route, and numbers out of queries.
 */
#ifndef SHOWCASE_H
#define SHOWCASE_H

#include <stdbool.h>
#include <stdint.h>

#include <tako/tako.h>

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* Put every route on `router`; `files`: the directory below /files, or NULL. */
void routes_add(tako_router *router, const char *files);

/* page.html, as it was when this program was built. */
tako_str page_html(void);

/* The certificate in these files; NULL: one for localhost, made if need be. */
int certificate_load(tako_cert **out, const char *cert_file, const char *key_file);

int inspect(tako_req *req, tako_res *res, void *arg);
int echo(tako_req *req, tako_res *res, void *arg);
int upload(tako_req *req, tako_res *res, void *arg);
int count(tako_req *req, tako_res *res, void *arg);
int stream(tako_req *req, tako_res *res, void *arg);
int chat(tako_req *req, tako_res *res, void *arg);
int ticks(tako_req *req, tako_res *res, void *arg);
int ws(tako_req *req, tako_res *res, void *arg);
int events(tako_req *req, tako_res *res, void *arg);
int session(tako_req *req, tako_res *res, void *arg);

/* What the chat and the ticks need, while a server runs.  Stopping is for after it, and what has not started. */
int talk_start(const tako_server *srv);
void talk_stop(void);

/* A decimal without sign, space or leading "+", at most `max`; false leaves *out alone. */
bool number_parse(tako_str text, uint64_t max, uint64_t *out);

/* A number that a query may set; *value holds the default before. */
struct number {
	const char *name;
	uint64_t min;
	uint64_t max;
	uint64_t *value;
};

/* Read all of them: true when each one given is right; else 400 is answered already. */
bool numbers_read(tako_req *req, tako_res *res, const struct number *numbers, size_t n);

#endif
