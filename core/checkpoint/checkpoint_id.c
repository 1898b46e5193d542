/* Ids: "checkpoint-" and the nanoseconds since 1970, or a number above them. See store.h. */
#include <stdio.h>
#include <string.h>

#include "base/number.h"
#include "base/slice.h"
#include "checkpoint/checkpoint_private.h"

#define PREFIX "checkpoint-"

void checkpoint_id_format(uint64_t number, char ret_id[CHECKPOINT_ID_BYTES])
{
	snprintf(ret_id, CHECKPOINT_ID_BYTES, PREFIX "%llu", (unsigned long long)number);
}

bool checkpoint_id_parse(const char *name, uint64_t *ret_number, const char **ret_rest)
{
	const char *digits = name + strlen(PREFIX);
	size_t count;

	if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
		return false;
	count = strspn(digits, "0123456789");
	if (count == 0 || digits[0] == '0' || !number_parse_u64(slice_of(digits, count), ret_number))
		return false;
	*ret_rest = digits + count;
	return true;
}

bool checkpoint_id_is_valid(const char *id)
{
	uint64_t number;
	const char *rest;

	return checkpoint_id_parse(id, &number, &rest) && *rest == 0;
}
