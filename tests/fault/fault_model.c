/* See fault_model.h. */
#include "fault_model.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/hash.h"
#include "base/slice.h"
#include "fault/checkpoint_fixture.h"
#include "kit/model.h"
#include "state/composed_key.h"
#include "support/rng.h"

#define KEY_BYTES 8

struct counter {
	int64_t count, sum;
};

/* What the records before the offsets make. */
struct expected {
	const struct schema *schema;
	uint32_t key_groups;
	struct model model;
	uint64_t good, bad;
	struct buffer lines; /* of the input at hand: each "key count sum different", in order */
};

void fault_input_init(struct fault_input *input, char prefix, uint32_t records, uint64_t seed, uint32_t bad_every)
{
	struct rng rng;

	*input = (struct fault_input){
		.prefix = prefix, .records = calloc(records, sizeof(struct fault_record)), .count = records};
	if (!input->records)
		abort();
	rng_init(&rng, rng_test_seed(seed));
	for (uint32_t i = 0; i < records; i++) {
		struct fault_record *record = &input->records[i];

		record->key = (uint32_t)rng_below(&rng, FAULT_KEYS);
		record->value = (int64_t)rng_below(&rng, FAULT_FORGET + 1);
		record->bad = bad_every && i % bad_every == bad_every - 1;
		if (record->bad)
			buffer_append_text(&input->text, "{\"value\":0}\n");
		else
			buffer_printf(&input->text, "{\"key\":\"%c%u\",\"value\":%" PRId64 "}\n", prefix, record->key,
				      record->value);
		record->end = (int64_t)input->text.len;
	}
	if (input->text.failed)
		abort();
}

void fault_input_done(struct fault_input *input)
{
	buffer_done(&input->text);
	free(input->records);
}

int64_t fault_input_end(const struct fault_input *input, uint32_t records)
{
	return records ? input->records[records - 1].end : 0;
}

#define DIFFER(...) return error_set(err, SB_ERR_INTERNAL, __VA_ARGS__)

static uint32_t state_id(const struct expected *expected, const char *name)
{
	for (uint32_t i = 0; i < expected->schema->count; i++)
		if (strcmp(expected->schema->states[i].name, name) == 0)
			return expected->schema->states[i].id;
	return UINT32_MAX;
}

static struct buffer compose(const struct expected *expected, const char *key, const char *sub_key)
{
	const uint32_t group = key_group_of(key_hash(slice_of_text(key)), expected->key_groups);
	struct buffer composed = BUFFER_INIT;
	uint8_t prefix[COMPOSED_PREFIX_BYTES];

	if (sub_key) {
		composed_append_raw(&composed, group, state_id(expected, "seen"), slice_of_text(key),
				    slice_of_text(sub_key));
		return composed;
	}
	composed_put_prefix(prefix, group, state_id(expected, "counter"));
	buffer_append(&composed, prefix, sizeof(prefix));
	buffer_append_slice(&composed, slice_of_text(key));
	return composed;
}

/* Adds to the numbers under a key, which begin at zero, and gives the sums. */
static void add(struct expected *expected, const char *key, const char *sub_key, int64_t *numbers, uint64_t n)
{
	AUTO(buffer_done) struct buffer composed = compose(expected, key, sub_key);
	const struct model_entry *entry = model_find(&expected->model, buffer_slice(&composed));

	for (uint64_t i = 0; entry && i < n; i++) {
		int64_t before;

		memcpy(&before, entry->value.ptr + 8 * i, 8);
		numbers[i] += before;
	}
	model_put(&expected->model, buffer_slice(&composed), slice_of(numbers, 8 * n), SB_NO_EXPIRY);
}

static unsigned different_values(struct expected *expected, const char *key)
{
	unsigned found = 0;

	for (int value = 0; value <= FAULT_FORGET; value++) {
		char text[16];

		snprintf(text, sizeof(text), "%d", value);
		AUTO(buffer_done) struct buffer composed = compose(expected, key, text);
		found += model_find(&expected->model, buffer_slice(&composed)) != NULL;
	}
	return found;
}

static void replay_one(struct expected *expected, char prefix, const struct fault_record *record)
{
	int64_t counter[] = {1, record->value}, times[] = {1};
	char key[KEY_BYTES], value[16];

	snprintf(key, sizeof(key), "%c%u", prefix, record->key);
	snprintf(value, sizeof(value), "%" PRId64, record->value);
	if (record->value == FAULT_FORGET) {
		AUTO(buffer_done) struct buffer composed = compose(expected, key, NULL);

		model_delete(&expected->model, buffer_slice(&composed));
		return;
	}
	add(expected, key, NULL, counter, 2);
	add(expected, key, value, times, 1);
	buffer_printf(&expected->lines, "%s %" PRId64 " %" PRId64 " %u\n", key, counter[0], counter[1],
		      different_values(expected, key));
}

static int32_t replay(struct expected *expected, const struct fault_input *input, int64_t offset, sb_error *err)
{
	uint32_t i;

	for (i = 0; i < input->count && input->records[i].end <= offset; i++) {
		expected->bad += input->records[i].bad;
		expected->good += !input->records[i].bad;
		if (!input->records[i].bad)
			replay_one(expected, input->prefix, &input->records[i]);
	}
	if (fault_input_end(input, i) != offset)
		DIFFER("offset %" PRId64 " of input %c lies within a record", offset, input->prefix);
	return SB_OK;
}

static int32_t compare_entry(struct expected *expected, const struct checkpoint_item *item, sb_error *err)
{
	AUTO(buffer_done) struct buffer composed = BUFFER_INIT;
	uint8_t prefix[COMPOSED_PREFIX_BYTES];
	struct model_entry *entry;

	composed_put_prefix(prefix, item->key_group, item->state_id);
	buffer_append(&composed, prefix, sizeof(prefix));
	buffer_append_slice(&composed, item->user_part);
	entry = model_find(&expected->model, buffer_slice(&composed));
	if (!entry)
		DIFFER("an entry too many, of key %.*s", (int)item->user_part.len, (const char *)item->user_part.ptr);
	if (entry->seen)
		DIFFER("an entry twice");
	entry->seen = true;
	if (!slice_equal(entry->value, item->value) || item->expiry_ms != SB_NO_EXPIRY)
		DIFFER("another value of key %.*s", (int)item->user_part.len, (const char *)item->user_part.ptr);
	return SB_OK;
}

static int32_t compare_state(struct expected *expected, struct checkpoint_contents *contents, sb_error *err)
{
	uint64_t entries = 0, parts = 0, part;
	struct checkpoint_item item;

	do {
		TRY(checkpoint_contents_next(contents, &item, err));
		if (item.kind == ITEM_PROVIDER) {
			if (item.bytes.len != sizeof(part))
				DIFFER("an operator's part of another length");
			memcpy(&part, item.bytes.ptr, sizeof(part));
			parts += part;
		}
		if (item.kind == ITEM_ENTRY)
			TRY(compare_entry(expected, &item, err));
		entries += item.kind == ITEM_ENTRY;
	} while (item.kind != ITEM_END);
	if (entries != expected->model.count)
		DIFFER("%" PRIu64 " entries instead of %zu", entries, expected->model.count);
	if (parts != expected->good)
		DIFFER("the operators have counted %" PRIu64 " events instead of %" PRIu64, parts, expected->good);
	return SB_OK;
}

/* The lines of one input's keys, as replay_one writes them: those of one key keep their order. */
static int32_t lines_of(const char *text, char prefix, struct buffer *ret_lines, sb_error *err)
{
	for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
		char key[KEY_BYTES];
		long long count, sum;
		unsigned different;

		if (!strchr(line, '\n') ||
		    sscanf(line, "{\"key\":\"%7[^\"]\",\"count\":%lld,\"sum\":%lld,\"different\":%u,", key, &count,
			   &sum, &different) != 4)
			DIFFER("a torn line of output");
		if (key[0] == prefix)
			buffer_printf(ret_lines, "%s %lld %lld %u\n", key, count, sum, different);
	}
	return SB_OK;
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted, so that two tasks may have written in any order: a counter never stands still, so within a key, but for deletions, order shows
 * in the numbers. */
static void sort_lines(struct buffer *lines)
{
	AUTO(buffer_done) struct buffer sorted = BUFFER_INIT;
	AUTO(free_memory) const char **list = NULL;
	size_t count = 0;
	char *rest = (char *)buffer_text(lines), *line;

	list = calloc(lines->len + 1, sizeof(*list));
	if (!list || !rest)
		abort();
	while ((line = strsep(&rest, "\n")) && rest)
		list[count++] = line;
	qsort(list, count, sizeof(*list), compare_lines);
	for (size_t i = 0; i < count; i++)
		buffer_printf(&sorted, "%s\n", list[i]);
	buffer_done(lines);
	*lines = sorted;
	sorted = (struct buffer)BUFFER_INIT;
}

static int32_t compare_output(struct expected *expected, const char *text, char prefix, sb_error *err)
{
	AUTO(buffer_done) struct buffer lines = BUFFER_INIT;

	TRY(lines_of(text, prefix, &lines, err));
	sort_lines(&lines);
	sort_lines(&expected->lines);
	if (!slice_equal(buffer_slice(&lines), buffer_slice(&expected->lines)))
		DIFFER("the output of input %c is not that of the records before its offset", prefix);
	buffer_clear(&expected->lines);
	return SB_OK;
}

/* The first bytes that the checkpoint counts on, as text; malloc'ed. */
static int32_t read_output(const struct checkpoint_meta *meta, const char *role, char **ret_text, sb_error *err)
{
	for (uint64_t i = 0; i < meta->output_count; i++) {
		const struct output_meta *output = &meta->outputs[i];
		size_t len = 0;

		if (strcmp(output->role, role) != 0)
			continue;
		*ret_text = (char *)file_read(output->path, &len);
		if ((int64_t)len != output->length) {
			free(TAKE(*ret_text));
			DIFFER("%s has %zu bytes, and the newest checkpoint counts %" PRId64, output->path, len,
			       output->length);
		}
		if (!*ret_text) /* never written to, so not made */
			*ret_text = calloc(1, 1);
		(*ret_text)[output->length] = 0;
		return SB_OK;
	}
	DIFFER("the checkpoint does not mention %s", role);
}

static int32_t compare_dead_letters(const struct expected *expected, const struct checkpoint_meta *meta, sb_error *err)
{
	AUTO(free_memory) char *text = NULL;
	uint64_t lines = 0;

	TRY(read_output(meta, "dead-letter", &text, err));
	for (const char *at = text; (at = strchr(at, '\n')); at++)
		lines++;
	if (lines != expected->bad)
		DIFFER("%" PRIu64 " dead letters instead of %" PRIu64, lines, expected->bad);
	return SB_OK;
}

static int64_t offset_of(const struct checkpoint_meta *meta, const char *name)
{
	for (uint64_t i = 0; i < meta->partition_count; i++)
		if (strcmp(meta->partitions[i].name, name) == 0)
			return meta->partitions[i].offset;
	return -1;
}

static int32_t compare(struct expected *expected, const struct fault_input *file, const struct fault_input *stream,
		       struct checkpoint_contents *contents, sb_error *err)
{
	const struct checkpoint_meta *meta = checkpoint_contents_meta(contents);
	AUTO(free_memory) char *output = NULL;

	TRY(read_output(meta, "output", &output, err));
	TRY(replay(expected, file, offset_of(meta, FAULT_FILE), err));
	TRY(compare_output(expected, output, file->prefix, err));
	TRY(replay(expected, stream, offset_of(meta, "-"), err));
	TRY(compare_output(expected, output, stream->prefix, err));
	TRY(compare_dead_letters(expected, meta, err));
	if (meta->events != expected->good)
		DIFFER("the checkpoint counts %" PRIu64 " events instead of %" PRIu64, meta->events, expected->good);
	return compare_state(expected, contents, err);
}

int32_t fault_compare(const struct fault_input *file, const struct fault_input *stream,
		      struct checkpoint_contents *contents, sb_error *err)
{
	const struct checkpoint_meta *meta = checkpoint_contents_meta(contents);
	struct expected expected = {.schema = &meta->schema, .key_groups = meta->key_groups};
	int32_t status;

	model_init(&expected.model);
	status = compare(&expected, file, stream, contents, err);
	model_done(&expected.model);
	buffer_done(&expected.lines);
	return status == SB_OK ? SB_OK : error_prefix(err, "%s", meta->id);
}
