/* The life of an instance: it begins empty, and is alone in its world. */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"
#include "kit/subject.h"

void case_opened_anew_it_is_empty(struct subject *s)
{
	uint8_t key[64];

	for (unsigned round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 200; i++)
			subject_put(s, key_of_number(key, 1, i), slice_of(&round, sizeof(round)), SB_NO_EXPIRY);
		subject_check_all(s);
		subject_reopen(s);
		CHECK(s, s->model.count == 0, "a bug of the case");
		subject_check_key(s, key_of_number(key, 1, 7));
		subject_check_all(s);
	}
}

void case_two_instances_know_nothing_of_each_other(struct subject *s)
{
	struct subject other;
	uint8_t key[64];

	subject_init(&other, s->trial, s->rng.seed + 1);
	for (unsigned i = 0; i < 300; i++) {
		sb_slice name = key_of_number(key, 1, i);

		subject_put(s, name, slice_of_text("first"), 1);
		subject_put(i % 2 ? &other : s, name, slice_of_text("second"), 2);
		if (i % 3 == 0)
			subject_delete(&other, name);
	}
	subject_check_all(s);
	subject_check_all(&other);
	subject_done(&other);
	subject_check_all(s);
}

#define CAPACITY 256

static void check_figure(struct subject *s, const sb_stat *stat)
{
	CHECK(s, stat->name && *stat->name, "a figure has no name");
	for (const char *c = stat->name; *c; c++)
		CHECK(s, islower((unsigned char)*c) || isdigit((unsigned char)*c) || *c == '_',
		      "the name of figure %s has other characters than a-z, 0-9 and _", stat->name);
	CHECK(s, stat->unit, "figure %s has no unit, not even an empty one", stat->name);
	CHECK(s, isfinite(stat->value), "figure %s is no number", stat->name);
	CHECK(s, stat->kind == SB_METRIC_COUNTER || stat->kind == SB_METRIC_GAUGE,
	      "figure %s is neither a counter nor a gauge", stat->name);
}

void case_figures_have_names_and_fit_the_room(struct subject *s)
{
	sb_stat stats[CAPACITY + 1], marker;
	sb_error err = ERROR_INIT;
	uint64_t count = 0, again = 0;
	int32_t status = SUBJECT_CALL(s, stats, s->backend, 0, NULL, &count, &err);
	uint8_t key[64];

	if (status == SB_ERR_UNSUPPORTED)
		return;
	CHECK(s, status == SB_OK, "stats without room: status %d, %s", status, err.message);
	CHECK(s, count <= CAPACITY, "%llu figures", (unsigned long long)count);
	for (unsigned i = 0; i < 100; i++)
		subject_put(s, key_of_number(key, 1, i), slice_of_text("value"), SB_NO_EXPIRY);

	memset(stats, 0x5A, sizeof(stats));
	memset(&marker, 0x5A, sizeof(marker));
	status = SUBJECT_CALL(s, stats, s->backend, count, stats, &again, &err);
	CHECK(s, status == SB_OK && again == count, "stats: status %d, %llu figures, then %llu", status,
	      (unsigned long long)count, (unsigned long long)again);
	CHECK(s, memcmp(&stats[count], &marker, sizeof(marker)) == 0, "stats wrote beyond the room it had");
	for (uint64_t i = 0; i < count; i++) {
		check_figure(s, &stats[i]);
		for (uint64_t j = 0; j < i; j++)
			CHECK(s, strcmp(stats[i].name, stats[j].name) != 0, "two figures are called %s", stats[i].name);
	}
	if (count < 2)
		return;
	memset(stats, 0x5A, sizeof(stats));
	status = SUBJECT_CALL(s, stats, s->backend, 1, stats, &again, &err);
	CHECK(s, status == SB_OK && again == count, "stats with room for one: status %d", status);
	CHECK(s, memcmp(&stats[1], &marker, sizeof(marker)) == 0, "stats wrote beyond the room it had");
}
