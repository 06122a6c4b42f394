/* SPDX-License-Identifier: MIT
 *
 * The intrusive list, its order seen from both ends after every operation.
 */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

#include "core/base.h"
#include "core/list.h"

struct item {
	struct tako__list link;
	char name;
};

static char name_of(const struct tako__list *l)
{
	return TAKO__CONTAINER(l, struct item, link)->name;
}

/* The names forwards; that backwards gives the same in reverse is asserted here. */
static void assert_list(const struct tako__list *head, const char *want)
{
	size_t n = strlen(want);
	size_t i = 0;

	for (const struct tako__list *l = head->next; l != head; l = l->next) {
		assert_true(i < n);
		assert_int_equal(name_of(l), want[i++]);
	}
	assert_int_equal(i, n);
	for (const struct tako__list *l = head->prev; l != head; l = l->prev)
		assert_int_equal(name_of(l), want[--i]);
	assert_int_equal(i, 0);
	assert_int_equal(tako__list_empty(head), n == 0);
}

static void make(struct item *v, const char *names)
{
	for (size_t i = 0; names[i]; i++) {
		v[i].name = names[i];
		tako__list_init(&v[i].link);
	}
}

static void test_insert_and_remove(void **state)
{
	struct tako__list head;
	struct item v[5];

	(void)state;
	make(v, "abcde");
	tako__list_init(&head);
	assert_list(&head, "");
	tako__list_push_back(&head, &v[1].link);
	tako__list_push_back(&head, &v[2].link);
	tako__list_push_front(&head, &v[0].link);
	tako__list_insert(&v[1].link, &v[4].link);
	assert_list(&head, "abec");
	tako__list_remove(&v[4].link);
	assert_list(&head, "abc");
	assert_true(tako__list_empty(&v[4].link));
	/* Again, and one that never was in a list. */
	tako__list_remove(&v[4].link);
	tako__list_remove(&v[3].link);
	assert_list(&head, "abc");
	tako__list_remove(&v[0].link);
	tako__list_remove(&v[2].link);
	assert_list(&head, "b");
	tako__list_remove(&v[1].link);
	assert_list(&head, "");
}

static void test_pop(void **state)
{
	struct tako__list head;
	struct item v[2];

	(void)state;
	make(v, "ab");
	tako__list_init(&head);
	tako__list_push_back(&head, &v[0].link);
	tako__list_push_back(&head, &v[1].link);
	assert_ptr_equal(tako__list_pop_front(&head), &v[0].link);
	assert_true(tako__list_empty(&v[0].link));
	assert_list(&head, "b");
	assert_ptr_equal(tako__list_pop_front(&head), &v[1].link);
	assert_null(tako__list_pop_front(&head));
}

static void test_splice(void **state)
{
	struct tako__list to;
	struct tako__list from;
	struct item v[4];

	(void)state;
	make(v, "abcd");
	tako__list_init(&to);
	tako__list_init(&from);
	tako__list_splice_back(&to, &from);
	assert_list(&to, "");
	tako__list_push_back(&from, &v[0].link);
	tako__list_push_back(&from, &v[1].link);
	tako__list_splice_back(&to, &from);
	assert_list(&to, "ab");
	assert_list(&from, "");
	tako__list_splice_back(&to, &from);
	assert_list(&to, "ab");
	tako__list_push_back(&from, &v[2].link);
	tako__list_push_back(&from, &v[3].link);
	tako__list_splice_back(&to, &from);
	assert_list(&to, "abcd");
	assert_list(&from, "");
}

static void test_each_survives_removal(void **state)
{
	struct tako__list head;
	struct item v[6];
	char seen[8] = "";
	size_t n = 0;

	(void)state;
	make(v, "abcdef");
	tako__list_init(&head);
	TAKO__LIST_EACH(l, &head)
	seen[n++] = name_of(l);
	assert_int_equal(n, 0);
	for (int i = 0; i < 6; i++)
		tako__list_push_back(&head, &v[i].link);
	TAKO__LIST_EACH(l, &head)
	{
		seen[n++] = name_of(l);
		if (name_of(l) != 'c' && name_of(l) != 'd') {
			tako__list_remove(l);
			memset(l, 0, sizeof(*l));
		}
	}
	assert_string_equal(seen, "abcdef");
	assert_list(&head, "cd");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_insert_and_remove),
		cmocka_unit_test(test_pop),
		cmocka_unit_test(test_splice),
		cmocka_unit_test(test_each_survives_removal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
