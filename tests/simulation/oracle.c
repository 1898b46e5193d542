/* See oracle.h. */
#include "simulation/oracle.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "simulation/disk.h"

#define OUTPUT DISK_ROOT "/out/out.ndjson"
#define DEAD_LETTERS DISK_ROOT "/dead/dead.ndjson"
#define QUARANTINE DISK_ROOT "/kept/checkpoints/quarantine"
#define LINE_BYTES 512u

static bool wrong(struct oracle *oracle, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool wrong(struct oracle *oracle, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(oracle->error, sizeof(oracle->error), format, arguments);
	va_end(arguments);
	return false;
}

/* ---- state ---- */

struct expiry_window {
	int64_t cut_ms; /* what has expired by then is not in it */
	int64_t certain_ms; /* what expires later is */
};

/* Between the two, a partition that has been read to its end has let others' time count for it, and what had expired by that may have been purged. */
static bool is_expected(bool exists, int64_t expiry_ms, bool found, const struct expiry_window *window)
{
	if (!exists || expiry_ms <= window->cut_ms)
		return !found;
	return found || expiry_ms <= window->certain_ms;
}

static bool check_key(struct oracle *oracle, const char *name, const struct key_state *expected,
		      const struct key_state *found, const struct expiry_window *window)
{
	const bool has = found->has_counter && found->expiry_ms > window->cut_ms;

	if (!is_expected(expected->has_counter, expected->expiry_ms, has, window))
		return wrong(oracle, "key %s has %s counter, which expires at %" PRId64 " (cut at %" PRId64 ")", name,
			     has ? "a" : "no", expected->expiry_ms, window->cut_ms);
	if (has &&
	    (found->count != expected->count || found->sum != expected->sum || found->expiry_ms != expected->expiry_ms))
		return wrong(oracle,
			     "key %s has count %" PRId64 " sum %" PRId64 " expiry %" PRId64 ", expected %" PRId64
			     " %" PRId64 " %" PRId64,
			     name, found->count, found->sum, found->expiry_ms, expected->count, expected->sum,
			     expected->expiry_ms);
	for (unsigned value = 0; value <= FORGET; value++) {
		const bool seen = found->times[value] && found->times_expiry_ms[value] > window->cut_ms;

		if (!is_expected(expected->times[value] != 0, expected->times_expiry_ms[value], seen, window))
			return wrong(oracle, "key %s has value %u %s, which expires at %" PRId64, name, value,
				     seen ? "still" : "no more", expected->times_expiry_ms[value]);
		if (seen && (found->times[value] != expected->times[value] ||
			     found->times_expiry_ms[value] != expected->times_expiry_ms[value]))
			return wrong(oracle, "key %s had value %u %" PRId64 " times, expected %" PRId64, name, value,
				     found->times[value], expected->times[value]);
	}
	return true;
}

static bool check_state(struct oracle *oracle, const struct cut_file *cut, unsigned partition,
			const struct partition_state *expected, const struct expiry_window *window)
{
	const struct partition_input *input = &oracle->input->partitions[partition];

	for (unsigned key = 0; key < input->keys; key++) {
		char name[16];

		snprintf(name, sizeof(name), "%c%u", input->prefix, key);
		if (!check_key(oracle, name, &expected->keys[key], &cut->state[partition][key], window))
			return false;
	}
	return cut->watermarks_ms[partition] == expected->watermark_ms ||
	       wrong(oracle, "partition %u has the watermark %" PRId64 ", expected %" PRId64, partition,
		     cut->watermarks_ms[partition], expected->watermark_ms);
}

/* ---- outputs ---- */

struct cursors {
	unsigned records[PARTITIONS_MAX]; /* before the offsets */
	unsigned next[PARTITIONS_MAX][KEYS_MAX]; /* record to look at for the next line of a key */
};

/* The next record of the key that emits; NULL: there is none. */
static const struct record *next_emitting(struct oracle *oracle, struct cursors *cursors, unsigned partition,
					  unsigned key)
{
	unsigned *next = &cursors->next[partition][key];

	while (*next < cursors->records[partition]) {
		const struct record *record = &oracle->input->partitions[partition].records[(*next)++];

		if (record->emits && record->key == key)
			return record;
	}
	return NULL;
}

static bool check_line(struct oracle *oracle, struct cursors *cursors, const char *line)
{
	const struct record *record;
	int64_t count, sum, different;
	unsigned key, partition;
	char prefix;

	if (sscanf(line, "{\"key\":\"%c%u\",\"count\":%" SCNd64 ",\"sum\":%" SCNd64 ",\"different\":%" SCNd64, &prefix,
		   &key, &count, &sum, &different) != 5)
		return wrong(oracle, "the output has the line %s", line);
	partition = (unsigned)(prefix - 'a');
	if (partition >= oracle->input->partition_count || key >= oracle->input->partitions[partition].keys)
		return wrong(oracle, "the output has a key that nobody has: %s", line);
	record = next_emitting(oracle, cursors, partition, key);
	if (!record)
		return wrong(oracle, "the output has a line too many: %s", line);
	if (record->count != count || record->sum != sum || record->different != different)
		return wrong(oracle,
			     "the output has %s, expected count %" PRId64 " sum %" PRId64 " different %" PRId64
			     " (record at %" PRId64 ")",
			     line, record->count, record->sum, record->different, record->begin);
	return true;
}

static bool is_of(const char *dead_letter, const struct partition_input *partition)
{
	char start[64];

	snprintf(start, sizeof(start), "{\"source\":\"%s\"", partition->path);
	return strncmp(dead_letter, start, strlen(start)) == 0;
}

/* The next of the partition's bad records. */
static bool check_dead_letter(struct oracle *oracle, struct cursors *cursors, const char *line)
{
	const char *offset = strstr(line, "\"offset\":");

	for (unsigned p = 0; offset && p < oracle->input->partition_count; p++) {
		const struct partition_input *partition = &oracle->input->partitions[p];
		unsigned *next = &cursors->next[p][0];

		if (!is_of(line, partition))
			continue;
		while (*next < cursors->records[p] && !partition->records[*next].bad)
			(*next)++;
		if (*next < cursors->records[p] && partition->records[(*next)++].begin == strtoll(offset + 9, NULL, 10))
			return true;
	}
	return wrong(oracle, "the dead letters have %s", line);
}

static bool check_lines(struct oracle *oracle, struct cursors *cursors, const char *path, int64_t bytes,
			bool (*check)(struct oracle *, struct cursors *, const char *))
{
	const struct buffer *content = disk_content(path);
	const char *at, *end;

	if (bytes == 0)
		return true;
	if (!content || (int64_t)content->len < bytes)
		return wrong(oracle, "%s has %zu bytes, but the checkpoint counts on %" PRId64, path,
			     content ? content->len : 0, bytes);
	at = (const char *)content->data;
	end = at + bytes;
	while (at < end) {
		const char *line_end = memchr(at, '\n', (size_t)(end - at));
		char line[LINE_BYTES];

		if (!line_end || line_end - at >= (ptrdiff_t)LINE_BYTES)
			return wrong(oracle, "%s has a line without its end within %" PRId64 " bytes", path, bytes);
		memcpy(line, at, (size_t)(line_end - at));
		line[line_end - at] = 0;
		if (!check(oracle, cursors, line))
			return false;
		at = line_end + 1;
	}
	return true;
}

static bool check_output(struct oracle *oracle, const struct cut_file *cut, const struct cursors *begin)
{
	struct cursors cursors = *begin;

	if (!check_lines(oracle, &cursors, OUTPUT, cut->output_bytes, check_line))
		return false;
	for (unsigned p = 0; p < oracle->input->partition_count; p++)
		for (unsigned key = 0; key < oracle->input->partitions[p].keys; key++)
			if (next_emitting(oracle, &cursors, p, key))
				return wrong(oracle, "the output lacks a line of key %c%u",
					     oracle->input->partitions[p].prefix, key);
	return true;
}

static bool check_dead_letters(struct oracle *oracle, const struct cut_file *cut, const struct cursors *begin)
{
	struct cursors cursors = *begin;

	if (!check_lines(oracle, &cursors, DEAD_LETTERS, cut->dead_letter_bytes, check_dead_letter))
		return false;
	for (unsigned p = 0; p < oracle->input->partition_count; p++)
		for (unsigned i = cursors.next[p][0]; i < cursors.records[p]; i++)
			if (oracle->input->partitions[p].records[i].bad)
				return wrong(oracle, "the dead letters lack the record at %" PRId64 " of partition %u",
					     oracle->input->partitions[p].records[i].begin, p);
	return true;
}

/* ---- all of it ---- */

static bool find_records(struct oracle *oracle, const struct cut_file *cut, struct cursors *cursors)
{
	for (unsigned p = 0; p < oracle->input->partition_count; p++) {
		int records = input_records_before(&oracle->input->partitions[p], cut->offsets[p]);

		if (records < 0)
			return wrong(oracle, "offset %" PRId64 " of partition %u is not the end of a record",
				     cut->offsets[p], p);
		if (cut->offsets[p] < oracle->last.offsets[p])
			return wrong(oracle,
				     "offset %" PRId64 " of partition %u, but an earlier checkpoint had %" PRId64,
				     cut->offsets[p], p, oracle->last.offsets[p]);
		cursors->records[p] = (unsigned)records;
	}
	return true;
}

static bool check_cut(struct oracle *oracle, const struct cut_file *cut)
{
	AUTO(free_memory) struct cursors *cursors = calloc(1, sizeof(*cursors));
	AUTO(free_memory) struct partition_state *states = calloc(PARTITIONS_MAX, sizeof(*states));
	struct expiry_window window = {.cut_ms = cut->cut_ms, .certain_ms = cut->cut_ms};
	uint64_t good = 0;

	if (!cursors || !states)
		abort();
	if (!find_records(oracle, cut, cursors))
		return false;
	for (unsigned p = 0; p < oracle->input->partition_count; p++) {
		model_compute(oracle->input, p, cursors->records[p], &states[p]);
		good += states[p].good;
		if (states[p].watermark_ms > window.certain_ms)
			window.certain_ms = states[p].watermark_ms;
	}
	for (unsigned p = 0; p < oracle->input->partition_count; p++)
		if (!check_state(oracle, cut, p, &states[p], &window))
			return false;
	if (cut->events != good || cut->provider_total != good)
		return wrong(oracle, "%" PRIu64 " events, and %" PRIu64 " by the operators, expected %" PRIu64,
			     cut->events, cut->provider_total, good);
	return check_output(oracle, cut, cursors) && check_dead_letters(oracle, cut, cursors);
}

static bool check_end(struct oracle *oracle, const struct cut_file *cut)
{
	const struct buffer *output = disk_content(OUTPUT);

	for (unsigned p = 0; p < oracle->input->partition_count; p++)
		if (cut->offsets[p] != input_bytes(&oracle->input->partitions[p]))
			return wrong(oracle, "the job has ended, but partition %u was read to %" PRId64 " only", p,
				     cut->offsets[p]);
	return (int64_t)(output ? output->len : 0) == cut->output_bytes ||
	       wrong(oracle, "the job has ended, and the output has %zu bytes, of which it counts on %" PRId64,
		     output ? output->len : 0, cut->output_bytes);
}

bool oracle_check(struct oracle *oracle, bool ended)
{
	AUTO(buffer_done) struct buffer names = BUFFER_INIT;
	AUTO(free_memory) struct cut_file *cut = calloc(1, sizeof(*cut));
	char error[CUT_ERROR_BYTES];
	const uint64_t newest = cut_file_newest();

	if (!cut)
		abort();
	if (newest < oracle->reported)
		return wrong(oracle, "checkpoint-%" PRIu64 " was reported, but the newest is %" PRIu64,
			     oracle->reported, newest);
	if (disk_list(QUARANTINE, &names) == 0 && names.len)
		return wrong(oracle, "%s was set aside", (char *)names.data);
	if (newest == 0)
		return !ended || wrong(oracle, "the job has ended without a checkpoint");
	if (!cut_file_read(oracle->input, newest, cut, error))
		return wrong(oracle, "checkpoint-%" PRIu64 ": %s", newest, error);
	if (!check_cut(oracle, cut) || (ended && !check_end(oracle, cut)))
		return false;
	/* One that was never reported a later power cut may take. */
	if (newest == oracle->reported)
		oracle->last = *cut;
	return true;
}
