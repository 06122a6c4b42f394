/* SPDX-License-Identifier: MIT
 *
 * See sim_scene.h.
 */
#include "sim/sim_scene.h"

#include <stdlib.h>

static const tako_transport *transport(void)
{
	if (sim_carrier->shell)
		return sim_carrier->shell->transport();
	return sim_carrier->h2 ? tako_h2c() : tako_http1();
}

static const tako_listen_config *config(void)
{
	return sim_carrier->shell ? sim_carrier->shell->config() : NULL;
}

static tako_router *new_router(struct sim_scene *s)
{
	tako_router *router = sim_app_router(&s->app);

	if (s->files)
		tako_static(router, "/files", s->files);
	if (s->routes)
		s->routes(router);
	return router;
}

void sim_scene_begin(struct sim_scene *s, uint64_t seed, const struct sim_options *options,
                     const tako_server_config *cfg)
{
	struct sim_options drawn;
	struct sim_rand r;

	/* Its own chance, so that a choice of the test does not change the network's. */
	sim_rand_init(&r, ~seed);
	sim_options_draw(&drawn, &r);
	s->count = 0;
	s->body_bytes_max = 0;
	sim_app_begin(&s->app, seed);
	sim_server_begin(&s->server, seed, options ? options : &drawn);
	sim_server_start(&s->server, new_router(s), cfg, transport(), config());
	if (s->two)
		sim_server_beside(&s->server, new_router(s), cfg, transport(), config());
}

struct sim_script *sim_scene_client(struct sim_scene *s)
{
	struct sim_script *c = &s->clients[s->count++];

	if (s->count > SIM_CLIENTS_MAX)
		abort();
	sim_script_open(c, &s->server.sim);
	return c;
}

struct sim_script *sim_scene_talker(struct sim_scene *s, unsigned count)
{
	struct sim_script *c = sim_scene_client(s);

	sim_script_draw(c);
	if (s->body_bytes_max)
		c->body_bytes_max = s->body_bytes_max;
	for (unsigned i = 0; i < count; i++)
		sim_script_add(c);
	sim_script_add_last(c);
	return c;
}

void sim_scene_turn(struct sim_scene *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		sim_script_turn(&s->clients[i]);
		if (s->clients[i].told_end)
			sim_close(s->clients[i].peer.link);
	}
	sim_app_turn(&s->app);
	sim_server_step(&s->server);
}

static bool over(const struct sim_scene *s)
{
	for (unsigned i = 0; i < s->count; i++) {
		if (!sim_script_over(&s->clients[i]))
			return false;
	}
	return true;
}

bool sim_scene_play(struct sim_scene *s)
{
	for (unsigned i = 0; i < SIM_TURNS_MAX && !over(s); i++)
		sim_scene_turn(s);
	return over(s);
}

bool sim_scene_shake(struct sim_scene *s)
{
	bool all = false;

	for (unsigned i = 0; i < SIM_TURNS_MAX && !all; i++) {
		all = true;
		for (unsigned k = 0; k < s->count; k++)
			all = all && sim_script_ready(&s->clients[k]);
		if (!all)
			sim_scene_turn(s);
	}
	return all;
}

void sim_scene_pass(struct sim_scene *s, uint64_t ns)
{
	uint64_t until = sim_now(&s->server.sim) + ns;

	while (sim_now(&s->server.sim) < until && !s->server.over) {
		s->server.sim.alarm_ns = until;
		sim_scene_turn(s);
	}
}

bool sim_scene_run_out(struct sim_scene *s)
{
	struct sim *sim = &s->server.sim;

	for (unsigned i = 0; i < SIM_TURNS_MAX && !s->server.over; i++)
		sim_scene_turn(s);
	/* What is on its way still arrives. */
	for (unsigned i = 0; i < SIM_TURNS_MAX; i++) {
		uint64_t next;

		for (unsigned k = 0; k < s->count; k++)
			sim_script_turn(&s->clients[k]);
		next = sim_net_next(&sim->net);
		next = next < sim->alarm_ns ? next : sim->alarm_ns;
		if (next == SIM_NEVER)
			return s->server.over;
		sim_net_advance(&sim->net, next > sim_now(sim) ? next : sim_now(sim));
		sim->alarm_ns = SIM_NEVER;
	}
	return false;
}

void sim_scene_end(struct sim_scene *s)
{
	for (unsigned i = 0; i < s->count; i++)
		sim_close(s->clients[i].peer.link);
	/* Requests that are on their way may still be deferred. */
	s->app.deferred_permille = 1000;
	if (!s->server.over)
		sim_server_stop(&s->server);
	for (unsigned i = 0; i < SIM_TURNS_MAX && !s->server.over; i++)
		sim_scene_turn(s);
	/* Before memory is counted. */
	for (unsigned i = 0; i < s->count; i++)
		sim_script_free(&s->clients[i]);
	if (s->before_end)
		s->before_end();
	sim_server_end(&s->server);
	sim_app_end(&s->app);
}
