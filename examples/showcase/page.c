/* SPDX-License-Identifier: MIT
 *
 * The page, put into the program by the assembler: one file to copy, nothing to install.
 */
#include "showcase.h"

/* clang-format off */
__asm__(".pushsection .rodata\n"
	".globl showcase_page, showcase_page_end\n"
	"showcase_page:\n"
	".incbin \"page.html\"\n"
	"showcase_page_end:\n"
	".byte 0\n"
	".popsection\n");
/* clang-format on */

extern const char showcase_page[];
extern const char showcase_page_end[];

tako_str page_html(void)
{
	return (tako_str){showcase_page, (size_t)(showcase_page_end - showcase_page)};
}
