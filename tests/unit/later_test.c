/* SPDX-License-Identifier: MIT
 *
 * What the interface declares and this build has not: refused with a sentence, at the call.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>
#include <tako/tako.h>

static int hello(tako_req *req, tako_res *res, void *arg)
{
	(void)req, (void)arg;
	return tako_res_text(res, 200, "hi\n");
}

#ifdef TAKO__WITH_TLS
static const char tls_refusal[] =
	"TLS needs a certificate: cert_file and key_file, cert, or cert_fn";
static const int tls_code = TAKO_EINVAL;
#else
static const char tls_refusal[] = "TLS is not in this build";
static const int tls_code = TAKO_ENOTSUP;
#endif

static void tls_listener_is_refused(void **state)
{
	tako_router *router = tako_router_new();
	tako_server *srv = NULL;

	(void)state;
	tako_get(router, "/", hello, NULL);
	assert_int_equal(tako_server_new(&srv, router, NULL), 0);
	assert_int_equal(tako_server_listen(srv, tako_tls(), "127.0.0.1:0", NULL), tls_code);
	assert_string_equal(tako_last_error(), tls_refusal);
	tako_server_free(srv);
	tako_router_free(router);
}

#ifndef TAKO__WITH_WS
static void websocket_calls_are_refused(void **state)
{
	(void)state;
	assert_true(tako_ws_send(NULL, TAKO_WS_TEXT, TAKO_STR("x")) == TAKO_ENOTSUP);
	assert_int_equal(tako_ws_close(NULL, 1000, TAKO_STR("")), TAKO_ENOTSUP);
	assert_string_equal(tako_last_error(), "WebSocket is not in this build");
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(tls_listener_is_refused),
#ifndef TAKO__WITH_WS
		cmocka_unit_test(websocket_calls_are_refused),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
