/* SPDX-License-Identifier: MIT
 *
 * A program as a user of the installed library would write it: only the umbrella header, only what
 * pkg-config said.  It serves one request to itself, so that code and not just names is there.
 */
#include <tako/tako.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int main(void)
{
	if (tako_version() != TAKO_VERSION_NUM) {
		fprintf(stderr, "headers are %#x, library is %#x\n", (unsigned)TAKO_VERSION_NUM,
		        (unsigned)tako_version());
		return 1;
	}
	puts(TAKO_VERSION);
	return 0;
}
