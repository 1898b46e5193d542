/* core/base/digits.h: the same digits as printf's. */
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/digits.h"

static void assert_digits(uint64_t value)
{
	uint8_t text[DIGITS_ROOM + 1] = {0};
	char expected[DIGITS_ROOM + 1];
	uint8_t *end = digits_put(text, value);

	snprintf(expected, sizeof(expected), "%" PRIu64, value);
	*end = 0;
	cr_assert_str_eq((const char *)text, expected);
}

Test(digits, every_number_of_few_digits_and_the_ends_of_the_others)
{
	uint64_t power = 1;

	for (uint64_t value = 0; value < 200000; value++)
		assert_digits(value);
	for (unsigned digits = 1; digits <= 20; digits++) {
		for (uint64_t near = 0; near < 20; near++) {
			assert_digits(power + near);
			assert_digits(power - near);
		}
		power *= 10;
	}
	assert_digits(UINT64_MAX);
}

Test(digits, leading_zeros_are_kept_where_the_count_is_given)
{
	static const char seven[] = "00000007";
	uint8_t text[9] = {0};

	cr_assert_eq(digits_put8(text, 1234) - text, 8);
	cr_assert_str_eq((const char *)text, "00001234");
	for (unsigned count = 1; count <= 8; count++) {
		uint8_t *end = digits_put_last(text, 7, count);

		*end = 0;
		cr_assert_eq(end - text, count);
		cr_assert_str_eq((const char *)text, &seven[8 - count]);
	}
}
