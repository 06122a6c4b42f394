/* SPDX-License-Identifier: MIT
 *
 * The page, put together and into the program by the assembler: one document in one program, with
 * nothing to install beside it.
 */
#include "showcase.h"

/* clang-format off */
#define TEXT(s) ".ascii \"" s "\"\n"
#define FILE_OF(name) ".incbin \"" name "\"\n"

__asm__(".pushsection .rodata\n"
	".globl showcase_page, showcase_page_bytes\n"
	"showcase_page:\n"
	FILE_OF("page_head.html")
	TEXT("<style>")
	FILE_OF("page.css")
	TEXT("</style>")
	FILE_OF("page.html")
	TEXT("<script>")
	FILE_OF("page_lib.js")
	TEXT("</script><script>")
	FILE_OF("page_cards.js")
	TEXT("</script><script>")
	FILE_OF("page_live.js")
	TEXT("</script></body></html>\\n")
	"1:\n"
	".balign 8\n"
	"showcase_page_bytes:\n"
	".quad 1b - showcase_page\n"
	".popsection\n");
/* clang-format on */

extern const char showcase_page[];
extern const uint64_t showcase_page_bytes;

tako_str page_html(void)
{
	return (tako_str){showcase_page, showcase_page_bytes};
}
