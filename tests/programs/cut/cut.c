/* SPDX-License-Identifier: MIT
 *
 * Linked into a second build of each example, so that TAKO_TEST_KNOBS cuts up what it receives and sends as it
 * does for the programs beside this: an example has no settings of its own for that, nor shall it.  Takes the
 * place of the library's import of a config (ld --wrap), which every way to make a server goes through.
 */
#include "core/server.h"
#include "programs/program.h"

int __real_tako__config_import(tako_server_config *out, const tako_server_config *cfg);
int __wrap_tako__config_import(tako_server_config *out, const tako_server_config *cfg);

int __wrap_tako__config_import(tako_server_config *out, const tako_server_config *cfg)
{
	int rc = __real_tako__config_import(out, cfg);

	if (rc == 0)
		program_cut(out);
	return rc;
}
