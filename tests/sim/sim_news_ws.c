/* SPDX-License-Identifier: MIT
 *
 * Streams of sim_news.h that are WebSockets: the server's side of one, and what its client hears.
 */
#include "sim/sim_news.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "sim/sim_ws_frame.h"

enum { WORD_BYTES = 32 };

/* ---- The server's side --------------------------------------------------------------------- */

static void on_open(tako_ws *ws, void *arg)
{
	struct sim_stream *s = arg;

	s->ws = ws;
	if (s->held)
		s->handle = tako_ws_hold(ws);
	(void)tako_ws_send(ws, TAKO_WS_TEXT, TAKO_STR("hello"));
	sim_news_opened(s);
}

static void on_message(tako_ws *ws, int kind, tako_str msg, void *arg)
{
	(void)ws, (void)kind, (void)msg;
	sim_news_publish(((struct sim_stream *)arg)->news);
}

static void on_close(tako_ws *ws, int code, void *arg)
{
	struct sim_stream *s = arg;

	assert_ptr_equal(ws, s->ws);
	s->code = code;
	sim_news_closed(s);
	/* A handle keeps the exchange, which counts as answered when it ends. */
	if (s->news->quiet || sim_rand_chance(&s->news->rand, 500))
		sim_news_let_go(s);
}

int sim_news_socket(tako_req *req, tako_res *res, void *news)
{
	int rc;
	struct sim_stream *s = sim_news_asked(news, req, res, &rc);

	s->ws_cfg.size = sizeof s->ws_cfg;
	s->ws_cfg.on_open = on_open;
	s->ws_cfg.on_message = on_message;
	s->ws_cfg.on_close = on_close;
	return rc < 0 ? rc : tako_ws_accept(req, res, &s->ws_cfg, s);
}

/* Whether it is taken is known when it runs; each runs once, in order, also when nobody is there any more. */
static void say_post(tako_ws *ws, void *arg)
{
	struct sim_stream *s = arg;
	char text[WORD_BYTES];

	assert_true(s->pending > 0);
	s->pending--;
	assert_ptr_equal(ws, s->ws);
	snprintf(text, sizeof text, "post %u", s->posts);
	if (ws && tako_ws_send(ws, TAKO_WS_TEXT, tako_str_z(text)) >= 0)
		s->posts++;
}

void sim_news_post_socket(struct sim_stream *s)
{
	int rc = tako_ws_post(s->handle, say_post, s);

	assert_true(rc == 0 || rc == TAKO_ENOMEM);
	s->pending += rc == 0;
}

/* ---- What its client hears ------------------------------------------------------------------- */

static void on_message_heard(struct sim_stream *s, const struct sim_ws_frame *f)
{
	char word[WORD_BYTES] = "";
	const struct sim_item *item;

	assert_true(f->first & SIM_WS_FIN);
	memcpy(word, f->p, f->n < WORD_BYTES - 1 ? f->n : WORD_BYTES - 1);
	if (!strcmp(word, "hello")) {
		assert_false(s->greeted);
		s->greeted = true;
	} else if (!strncmp(word, "post ", 5)) {
		sim_news_got_post(s, word);
	} else {
		item = sim_news_item(s, word);
		assert_int_equal(f->first & 0x7f, item->binary ? SIM_WS_BINARY : SIM_WS_TEXT);
		assert_int_equal(item->raw_n, f->n);
		assert_memory_equal(item->raw, f->p, f->n);
	}
}

void sim_news_hear_socket(struct sim_stream *s, const char *p, size_t n)
{
	struct sim_ws_frame f;

	while (sim_ws_frame_next(&p, &n, &f)) {
		/* RFC 6455 section 5.5.1: it is the last. */
		assert_int_equal(s->close_code, 0);
		if ((f.first & 0x0f) == SIM_WS_CLOSE)
			s->close_code = sim_ws_frame_code(&f);
		else if ((f.first & 0x0f) <= SIM_WS_BINARY)
			on_message_heard(s, &f);
	}
}
