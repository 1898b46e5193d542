/* A checkpoint's metadata back from JSON; metadata_json.c wrote it.
 *
 * Nothing here trusts what it reads, however right the digest is: whoever can write the file can write the digest. So each
 * length and number is held against its bound before memory is taken for it, a text that must be there is no null, and
 * what a name may hold is said where names are checked. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/clock.h"
#include "base/error.h"
#include "base/number.h"
#include "base/slice.h"
#include "checkpoint/checkpoint_private.h"

static int hex_digit(uint8_t c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

bool hex_parse_u64(sb_slice text, uint64_t *ret_value)
{
	uint64_t value = 0;

	if (text.len != 16)
		return false;
	for (unsigned i = 0; i < 16; i++) {
		int digit = hex_digit(text.ptr[i]);

		if (digit < 0)
			return false;
		value = value << 4 | (unsigned)digit;
	}
	*ret_value = value;
	return true;
}

static int32_t take_text(struct buffer *text, char **ret_text, sb_error *err)
{
	const char *content = buffer_text(text);
	char *copy = content ? strdup(content) : NULL;

	if (!copy)
		return error_no_memory(err);
	free(*ret_text);
	*ret_text = copy;
	return SB_OK;
}

static int32_t read_text(struct json_pull *pull, const char *name, char **ret_text, sb_error *err)
{
	AUTO(buffer_done) struct buffer text = BUFFER_INIT;
	enum json_token token;

	TRY(json_read_member(pull, name, err));
	TRY(json_pull_next(pull, &token, err));
	if (token == JSON_NULL)
		return SB_OK;
	if (token != JSON_STRING)
		return json_pull_fail(pull, err, "\"%s\" is neither a string nor null", name);
	TRY(json_read_rest_of_text(pull, &text, CHECKPOINT_TEXT_MAX, err));
	return take_text(&text, ret_text, err);
}

/* The same for what cannot be null. */
static int32_t read_some_text(struct json_pull *pull, const char *name, char **ret_text, sb_error *err)
{
	TRY(read_text(pull, name, ret_text, err));
	if (*ret_text)
		return SB_OK;
	json_pull_fail(pull, err, "a \"%s\" that is null", name);
	return SB_ERR_CORRUPT;
}

/* One of count names; *ret_index is which. */
static int32_t read_choice(struct json_pull *pull, const char *name, const char *const *names, unsigned count,
			   unsigned *ret_index, sb_error *err)
{
	AUTO(buffer_done) struct buffer text = BUFFER_INIT;

	TRY(json_read_member(pull, name, err));
	TRY(json_read_text(pull, &text, CHECKPOINT_TEXT_MAX, err));
	for (unsigned i = 0; i < count; i++)
		if (slice_equal_text(buffer_slice(&text), names[i])) {
			*ret_index = i;
			return SB_OK;
		}
	return json_pull_fail(pull, err, "an unknown \"%s\"", name);
}

static int32_t read_i64(struct json_pull *pull, const char *name, int64_t *ret_value, sb_error *err)
{
	TRY(json_read_member(pull, name, err));
	return json_read_i64(pull, ret_value, err);
}

static int32_t read_u64(struct json_pull *pull, const char *name, uint64_t *ret_value, sb_error *err)
{
	TRY(json_read_member(pull, name, err));
	return json_read_u64(pull, ret_value, err);
}

static int32_t read_u32(struct json_pull *pull, const char *name, uint32_t min, uint32_t max, uint32_t *ret_value,
			sb_error *err)
{
	uint64_t value;

	TRY(read_u64(pull, name, &value, err));
	if (value < min || value > max)
		return json_pull_fail(pull, err, "\"%s\" is not between %u and %u", name, min, max);
	*ret_value = (uint32_t)value;
	return SB_OK;
}

static int32_t read_hash(struct json_pull *pull, const char *name, uint64_t *ret_value, sb_error *err)
{
	AUTO(buffer_done) struct buffer text = BUFFER_INIT;

	TRY(json_read_member(pull, name, err));
	TRY(json_read_text(pull, &text, 16, err));
	if (!hex_parse_u64(buffer_slice(&text), ret_value))
		return json_pull_fail(pull, err, "\"%s\" is not 16 hexadecimal digits", name);
	return SB_OK;
}

static int32_t parse_hex_path(struct json_pull *pull, const struct buffer *hex, struct buffer *bytes, sb_error *err)
{
	buffer_clear(bytes);
	for (size_t i = 0; i < hex->len; i += 2) {
		int high = hex_digit(hex->data[i]);
		int low = i + 1 < hex->len ? hex_digit(hex->data[i + 1]) : -1;

		if (high < 0 || low < 0 || high + low == 0)
			return json_pull_fail(pull, err, "a malformed \"NameHex\"");
		buffer_append_byte(bytes, (uint8_t)(high << 4 | low));
	}
	return buffer_check(bytes, err);
}

/* "Name", perhaps "NameHex", and then the member called next, whose name is read here. */
static int32_t read_path(struct json_pull *pull, char **ret_path, const char *next, sb_error *err)
{
	AUTO(buffer_done) struct buffer text = BUFFER_INIT;
	AUTO(buffer_done) struct buffer bytes = BUFFER_INIT;

	TRY(json_read_member(pull, "Name", err));
	TRY(json_read_text(pull, &text, CHECKPOINT_TEXT_MAX, err));
	TRY(take_text(&text, ret_path, err));
	TRY(json_read(pull, JSON_MEMBER, err));
	if (json_pull_is_named(pull, "NameHex")) {
		TRY(json_read_text(pull, &text, 2 * CHECKPOINT_TEXT_MAX, err));
		TRY(parse_hex_path(pull, &text, &bytes, err));
		TRY(take_text(&bytes, ret_path, err));
		return json_read_member(pull, next, err);
	}
	if (!json_pull_is_named(pull, next))
		return json_pull_fail(pull, err, "member \"%.64s\" where \"%s\" should be", pull->name, next);
	return SB_OK;
}

/* All digits at their places; that the fields are in range is proven by writing the time anew and comparing. */
static int32_t parse_timestamp(struct json_pull *pull, const char *text, int64_t *ret_ns, sb_error *err)
{
	AUTO(buffer_done) struct buffer again = BUFFER_INIT;
	int year, month, day, hour, minute, second, length = 0;
	int64_t nanos, seconds;

	if (sscanf(text, "%4d-%2d-%2dT%2d:%2d:%2d.%9" SCNd64 "Z%n", &year, &month, &day, &hour, &minute, &second,
		   &nanos, &length) != 7 ||
	    length != 30 || text[length] || month < 1 || month > 12 || day < 1)
		return json_pull_fail(pull, err, "a malformed \"Timestamp\"");
	seconds =
		time_days_from_civil(year, (unsigned)month, (unsigned)day) * 86400 + hour * 3600 + minute * 60 + second;
	if (__builtin_mul_overflow(seconds, INT64_C(1000000000), ret_ns) ||
	    __builtin_add_overflow(*ret_ns, nanos, ret_ns))
		return json_pull_fail(pull, err, "a malformed \"Timestamp\"");
	time_append_rfc3339(&again, *ret_ns, 9);
	TRY(buffer_check(&again, err)); /* that memory is out says nothing about the file */
	return slice_equal_text(buffer_slice(&again), text) ? SB_OK
							    : json_pull_fail(pull, err, "a malformed \"Timestamp\"");
}

static int32_t read_id_and_time(struct json_pull *pull, struct checkpoint_meta *meta, sb_error *err)
{
	AUTO(free_memory) char *id = NULL;
	AUTO(free_memory) char *time = NULL;

	TRY(json_read(pull, JSON_OBJECT_BEGIN, err));
	TRY(read_some_text(pull, "ID", &id, err));
	if (!checkpoint_id_is_valid(id))
		return json_pull_fail(pull, err, "an \"ID\" that is none");
	memcpy(meta->id, id, strlen(id) + 1);
	TRY(read_some_text(pull, "Timestamp", &time, err));
	return parse_timestamp(pull, time, &meta->timestamp_ns, err);
}

static int32_t grow(void **array, uint64_t count, size_t size, sb_error *err)
{
	void *larger;

	if (count & (count - 1))
		return SB_OK; /* room for the next power of two is there */
	larger = reallocarray(*array, count ? 2 * count : 1, size);
	if (!larger)
		return error_no_memory(err);
	memset((uint8_t *)larger + count * size, 0, (count ? count : 1) * size);
	*array = larger;
	return SB_OK;
}

static int32_t read_offsets(struct json_pull *pull, struct checkpoint_meta *meta, sb_error *err)
{
	enum json_token token;
	char expected[24];

	TRY(json_read_member(pull, "Offsets", err));
	TRY(json_read(pull, JSON_OBJECT_BEGIN, err));
	for (;;) {
		TRY(json_pull_next(pull, &token, err));
		if (token == JSON_OBJECT_END)
			return SB_OK;
		snprintf(expected, sizeof(expected), "%" PRIu64, meta->partition_count);
		if (!json_pull_is_named(pull, expected))
			return json_pull_fail(pull, err, "offset \"%.64s\" where \"%s\" should be", pull->name,
					      expected);
		if (meta->partition_count == CHECKPOINT_NAMES_MAX)
			return json_pull_fail(pull, err, "more than %u \"Offsets\"", CHECKPOINT_NAMES_MAX);
		TRY(grow((void **)&meta->partitions, meta->partition_count, sizeof(*meta->partitions), err));
		meta->partition_count++;
		TRY(json_read_i64(pull, &meta->partitions[meta->partition_count - 1].offset, err));
	}
}

static int32_t read_generator(struct json_pull *pull, struct partition_meta *partition, sb_error *err)
{
	enum json_token token;

	TRY(json_read_member(pull, "Generator", err));
	TRY(json_pull_next(pull, &token, err));
	if (token == JSON_NULL)
		return SB_OK;
	if (token != JSON_OBJECT_BEGIN)
		return json_pull_fail(pull, err, "a \"Generator\" that is neither an object nor null");
	TRY(read_i64(pull, "Users", &partition->generator_users, err));
	TRY(json_read_member(pull, "Rate", err));
	TRY(json_read_f64(pull, &partition->generator_rate, err));
	TRY(read_hash(pull, "Seed", &partition->generator_seed, err));
	TRY(read_i64(pull, "Count", &partition->generator_count, err));
	if (partition->generator_users == 0)
		return json_pull_fail(pull, err, "a generator without users");
	return json_read(pull, JSON_OBJECT_END, err);
}

static int32_t read_watermark(struct json_pull *pull, int64_t *ret_ms, sb_error *err)
{
	enum json_token token;

	TRY(json_pull_next(pull, &token, err));
	*ret_ms = INT64_MIN;
	if (token == JSON_NULL)
		return SB_OK;
	if (token != JSON_NUMBER || !number_parse_i64(slice_of(pull->number, pull->number_len), ret_ms))
		return json_pull_fail(pull, err, "a \"WatermarkMs\" that is neither an integer nor null");
	return SB_OK;
}

static int32_t read_partition(struct json_pull *pull, struct partition_meta *partition, sb_error *err)
{
	TRY(read_path(pull, &partition->name, "WatermarkMs", err));
	TRY(read_watermark(pull, &partition->watermark_ms, err));
	TRY(read_i64(pull, "HeadBytes", &partition->head_bytes, err));
	TRY(read_hash(pull, "HeadHash", &partition->head_hash, err));
	TRY(read_i64(pull, "Size", &partition->size, err));
	TRY(read_generator(pull, partition, err));
	TRY(json_read_member(pull, "Finished", err));
	TRY(json_read_bool(pull, &partition->finished, err));
	return json_read(pull, JSON_OBJECT_END, err);
}

static int32_t read_partitions(struct json_pull *pull, struct checkpoint_meta *meta, sb_error *err)
{
	TRY(json_read_member(pull, "Partitions", err));
	TRY(json_read(pull, JSON_ARRAY_BEGIN, err));
	for (uint64_t i = 0; i < meta->partition_count; i++) {
		TRY(json_read(pull, JSON_OBJECT_BEGIN, err));
		TRY(read_partition(pull, &meta->partitions[i], err));
	}
	return json_read(pull, JSON_ARRAY_END, err);
}

static int32_t read_outputs(struct json_pull *pull, struct checkpoint_meta *meta, sb_error *err)
{
	struct output_meta *output;
	enum json_token token;

	TRY(json_read_member(pull, "Outputs", err));
	TRY(json_read(pull, JSON_ARRAY_BEGIN, err));
	for (;;) {
		TRY(json_pull_next(pull, &token, err));
		if (token == JSON_ARRAY_END)
			return SB_OK;
		if (token != JSON_OBJECT_BEGIN)
			return json_pull_fail(pull, err, "an output that is no object");
		TRY(grow((void **)&meta->outputs, meta->output_count, sizeof(*meta->outputs), err));
		output = &meta->outputs[meta->output_count++];
		TRY(read_some_text(pull, "Role", &output->role, err));
		TRY(read_path(pull, &output->path, "Length", err));
		TRY(json_read_i64(pull, &output->length, err));
		if (output->length < 0)
			return json_pull_fail(pull, err, "an output of a negative \"Length\"");
		TRY(json_read(pull, JSON_OBJECT_END, err));
	}
}

static int32_t read_schema(struct json_pull *pull, struct checkpoint_meta *meta, sb_error *err)
{
	AUTO(buffer_done) struct buffer json = BUFFER_INIT;

	TRY(json_read_member(pull, "States", err));
	TRY(json_read_value(pull, &json, err));
	if (schema_from_json(buffer_slice(&json), &meta->schema, err) != SB_OK)
		return error_prefix(err, "%s is damaged", pull->subject);
	return SB_OK;
}

static int32_t read_file(struct json_pull *pull, struct checkpoint_meta *meta, sb_error *err)
{
	AUTO(free_memory) char *hash = NULL;
	struct file_meta *file;
	const char *fault;

	TRY(grow((void **)&meta->files, meta->file_count, sizeof(*meta->files), err));
	file = &meta->files[meta->file_count++];
	TRY(read_some_text(pull, "Snapshot", &file->snapshot, err));
	TRY(read_some_text(pull, "Name", &file->name, err));
	TRY(read_i64(pull, "Bytes", &file->bytes, err));
	TRY(read_some_text(pull, "SHA256", &hash, err));
	if (metadata_is_sha256(hash))
		memcpy(file->sha256, hash, sizeof(file->sha256));
	fault = metadata_file_fault(meta, meta->file_count - 1);
	if (fault)
		return json_pull_fail(pull, err, "%s", fault);
	return json_read(pull, JSON_OBJECT_END, err);
}

static int32_t read_files(struct json_pull *pull, struct checkpoint_meta *meta, sb_error *err)
{
	enum json_token token;

	TRY(json_read_member(pull, "Files", err));
	TRY(json_read(pull, JSON_ARRAY_BEGIN, err));
	for (;;) {
		TRY(json_pull_next(pull, &token, err));
		if (token == JSON_ARRAY_END)
			return SB_OK;
		if (token != JSON_OBJECT_BEGIN)
			return json_pull_fail(pull, err, "a file that is no object");
		TRY(read_file(pull, meta, err));
	}
}

static int32_t read_job(struct json_pull *pull, struct checkpoint_meta *meta, sb_error *err)
{
	unsigned kind = 0;

	TRY(read_choice(pull, "Kind", metadata_kind_names, 2, &kind, err));
	meta->kind = (enum checkpoint_kind)kind;
	TRY(read_text(pull, "Parent", &meta->parent, err));
	if (meta->parent && !checkpoint_id_is_valid(meta->parent))
		return json_pull_fail(pull, err, "a \"Parent\" that is no id");
	TRY(read_u32(pull, "Depth", 0, CHECKPOINT_DEPTH_MAX, &meta->depth, err));
	TRY(read_text(pull, "HostVersion", &meta->host_version, err));
	TRY(read_some_text(pull, "Operator", &meta->operator_id, err));
	TRY(read_text(pull, "OperatorVersion", &meta->operator_version, err));
	TRY(read_text(pull, "Backend", &meta->backend_id, err));
	TRY(read_text(pull, "BackendVersion", &meta->backend_version, err));
	TRY(read_u32(pull, "KeyGroups", 1, KEY_GROUPS_MAX, &meta->key_groups, err));
	TRY(read_u32(pull, "Tasks", 1, meta->key_groups, &meta->tasks, err));
	TRY(read_some_text(pull, "TTLClock", &meta->ttl_clock, err));
	TRY(read_i64(pull, "CutMs", &meta->cut_ms, err));
	return read_u64(pull, "Events", &meta->events, err);
}

static int32_t read_header(struct json_pull *pull, struct checkpoint_meta *meta, uint64_t *newer, sb_error *err)
{
	unsigned codec = 0;

	TRY(read_id_and_time(pull, meta, err));
	TRY(read_offsets(pull, meta, err));
	TRY(read_u64(pull, "FormatVersion", newer, err));
	if (*newer > CHECKPOINT_FORMAT_VERSION)
		return SB_OK;
	if (*newer == 0)
		return json_pull_fail(pull, err, "a \"FormatVersion\" of 0");
	*newer = 0;
	TRY(read_job(pull, meta, err));
	TRY(read_partitions(pull, meta, err));
	TRY(read_outputs(pull, meta, err));
	TRY(read_schema(pull, meta, err));
	TRY(read_files(pull, meta, err));
	if (!metadata_kind_fits(meta))
		return json_pull_fail(pull, err, "a \"Kind\" that does not fit \"Parent\", \"Depth\" and \"Files\"");
	TRY(read_choice(pull, "Codec", metadata_codec_names, 3, &codec, err));
	TRY(json_read_member(pull, "StateData", err));
	return json_read(pull, JSON_STRING, err);
}

int32_t metadata_read_header(struct json_pull *pull, struct checkpoint_meta *ret_meta, uint64_t *ret_newer,
			     sb_error *err)
{
	struct checkpoint_meta meta = {0};
	uint64_t newer = 0;
	int32_t status = read_header(pull, &meta, &newer, err);

	if (status != SB_OK) {
		metadata_done(&meta);
		return status;
	}
	*ret_meta = meta;
	*ret_newer = newer;
	return SB_OK;
}

static int32_t read_hash128(struct json_pull *pull, struct hash128 *ret_hash, sb_error *err)
{
	AUTO(buffer_done) struct buffer text = BUFFER_INIT;

	TRY(json_read_member(pull, "StateDigest", err));
	TRY(json_read_text(pull, &text, 32, err));
	if (text.len != 32 || !hex_parse_u64(slice_of(text.data, 16), &ret_hash->high) ||
	    !hex_parse_u64(slice_of(text.data + 16, 16), &ret_hash->low))
		return json_pull_fail(pull, err, "\"StateDigest\" is not 32 hexadecimal digits");
	return SB_OK;
}

static int32_t read_digest(struct json_pull *pull, char ret_digest[CHECKPOINT_DIGEST_HEX + 1], sb_error *err)
{
	static const char prefix[] = "sha256:";
	AUTO(buffer_done) struct buffer text = BUFFER_INIT;

	TRY(json_read_member(pull, "Digest", err));
	TRY(json_read_text(pull, &text, strlen(prefix) + CHECKPOINT_DIGEST_HEX, err));
	if (text.len != strlen(prefix) + CHECKPOINT_DIGEST_HEX || memcmp(text.data, prefix, strlen(prefix)) != 0)
		return json_pull_fail(pull, err, "\"Digest\" is not sha256 and 64 hexadecimal digits");
	memcpy(ret_digest, text.data + strlen(prefix), CHECKPOINT_DIGEST_HEX);
	ret_digest[CHECKPOINT_DIGEST_HEX] = 0;
	return SB_OK;
}

int32_t metadata_read_trailer(struct json_pull *pull, struct checkpoint_totals *ret_totals,
			      char ret_digest[CHECKPOINT_DIGEST_HEX + 1], sb_error *err)
{
	struct checkpoint_totals totals;

	TRY(read_u64(pull, "Entries", &totals.entries, err));
	TRY(read_u64(pull, "KeyBytes", &totals.key_bytes, err));
	TRY(read_u64(pull, "ValueBytes", &totals.value_bytes, err));
	TRY(read_u64(pull, "StateDataBytes", &totals.state_data_bytes, err));
	TRY(read_hash128(pull, &totals.state_digest, err));
	TRY(read_digest(pull, ret_digest, err));
	TRY(json_read(pull, JSON_OBJECT_END, err));
	TRY(json_read(pull, JSON_END, err));
	*ret_totals = totals;
	return SB_OK;
}
