/* A checkpoint's metadata as JSON; metadata_read.c reads it back.
 *
 * Members come in one order and all of them are there, so a reader asks for each by its name and
 * needs no search, no defaults and no test for doubles. Integers are exact; what JSON tools
 * would round (hashes, seeds: all 64 bits count) goes as 16 hexadecimal digits. A path that is not UTF-8 is
 * followed by its exact bytes ("NameHex"). */
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <string.h>

#include "base/clock.h"
#include "base/error.h"
#include "base/escape.h"
#include "base/json_write.h"
#include "base/number.h"
#include "base/slice.h"
#include "checkpoint/checkpoint_private.h"

const char *const metadata_kind_names[] = {[CHECKPOINT_FULL] = "full", [CHECKPOINT_INCREMENTAL] = "incremental"};
const char *const metadata_codec_names[] = {[CODEC_NONE] = "none", [CODEC_LZ4] = "lz4", [CODEC_ZSTD] = "zstd"};

const char *checkpoint_codec_name(enum checkpoint_codec codec)
{
	return metadata_codec_names[codec];
}

void hex_append(struct buffer *out, sb_slice bytes)
{
	static const char digits[] = "0123456789abcdef";

	for (uint64_t i = 0; i < bytes.len; i++) {
		buffer_append_byte(out, (uint8_t)digits[bytes.ptr[i] >> 4]);
		buffer_append_byte(out, (uint8_t)digits[bytes.ptr[i] & 15]);
	}
}

static void put_name(struct buffer *out, const char *name)
{
	buffer_append_text(out, ",\n\"");
	buffer_append_text(out, name);
	buffer_append_text(out, "\":");
}

static void put_text(struct buffer *out, const char *name, const char *text)
{
	put_name(out, name);
	if (text)
		json_append_string(out, slice_of_text(text));
	else
		buffer_append_text(out, "null");
}

/* A path: what cannot stand in JSON exactly is followed by its bytes. */
static void put_path(struct buffer *out, const char *path)
{
	sb_slice bytes = slice_of_text(path);

	json_append_string(out, bytes);
	if (utf8_is_valid(bytes))
		return;
	buffer_append_text(out, ",\"NameHex\":\"");
	hex_append(out, bytes);
	buffer_append_byte(out, '"');
}

static void put_i64(struct buffer *out, const char *name, int64_t value)
{
	put_name(out, name);
	number_append_i64(out, value);
}

static void put_u64(struct buffer *out, const char *name, uint64_t value)
{
	put_name(out, name);
	number_append_u64(out, value);
}

static void put_generator(struct buffer *out, const struct partition_meta *partition)
{
	if (partition->generator_users == 0) {
		buffer_append_text(out, "null");
		return;
	}
	buffer_printf(out, "{\"Users\":%" PRId64 ",\"Rate\":", partition->generator_users);
	number_append_f64(out, partition->generator_rate);
	buffer_printf(out, ",\"Seed\":\"%016" PRIx64 "\",\"Count\":%" PRId64 "}", partition->generator_seed,
		      partition->generator_count);
}

static void put_partition(struct buffer *out, const struct partition_meta *partition)
{
	buffer_append_text(out, "{\"Name\":");
	put_path(out, partition->name);
	buffer_append_text(out, ",\"WatermarkMs\":");
	if (partition->watermark_ms == INT64_MIN)
		buffer_append_text(out, "null");
	else
		number_append_i64(out, partition->watermark_ms);
	buffer_printf(out, ",\"HeadBytes\":%" PRId64 ",\"HeadHash\":\"%016" PRIx64 "\",\"Size\":%" PRId64,
		      partition->head_bytes, partition->head_hash, partition->size);
	buffer_append_text(out, ",\"Generator\":");
	put_generator(out, partition);
	buffer_printf(out, ",\"Finished\":%s}", partition->finished ? "true" : "false");
}

static void put_output(struct buffer *out, const struct output_meta *output)
{
	buffer_append_text(out, "{\"Role\":");
	json_append_string(out, slice_of_text(output->role));
	buffer_append_text(out, ",\"Name\":");
	put_path(out, output->path);
	buffer_printf(out, ",\"Length\":%" PRId64 "}", output->length);
}

static void put_offsets(struct buffer *out, const struct checkpoint_meta *meta)
{
	put_name(out, "Offsets");
	for (uint64_t i = 0; i < meta->partition_count; i++)
		buffer_printf(out, "%c\"%" PRIu64 "\":%" PRId64, i ? ',' : '{', i, meta->partitions[i].offset);
	buffer_append_text(out, meta->partition_count ? "}" : "{}");
}

static void put_file(struct buffer *out, const struct file_meta *file, bool first)
{
	buffer_append_text(out, first ? "{\"Snapshot\":" : ",{\"Snapshot\":");
	json_append_string(out, slice_of_text(file->snapshot));
	buffer_append_text(out, ",\"Name\":");
	json_append_string(out, slice_of_text(file->name));
	buffer_printf(out, ",\"Bytes\":%" PRId64 ",\"SHA256\":\"%s\"}", file->bytes, file->sha256);
}

static void put_lists(struct buffer *out, const struct checkpoint_meta *meta)
{
	put_name(out, "Partitions");
	buffer_append_byte(out, '[');
	for (uint64_t i = 0; i < meta->partition_count; i++) {
		if (i)
			buffer_append_byte(out, ',');
		put_partition(out, &meta->partitions[i]);
	}
	buffer_append_byte(out, ']');
	put_name(out, "Outputs");
	buffer_append_byte(out, '[');
	for (uint64_t i = 0; i < meta->output_count; i++) {
		if (i)
			buffer_append_byte(out, ',');
		put_output(out, &meta->outputs[i]);
	}
	buffer_append_byte(out, ']');
	put_name(out, "States");
	schema_to_json(&meta->schema, out);
	put_name(out, "Files");
	buffer_append_byte(out, '[');
	for (uint64_t i = 0; i < meta->file_count; i++)
		put_file(out, &meta->files[i], i == 0);
	buffer_append_byte(out, ']');
}

/* One name, so that nothing that a checkpoint says can lead out of the directory that its files are put into; and one that
 * can be shown: no backend has a use for control characters, but who forges a checkpoint might. */
static bool is_file_name(const char *name)
{
	return name[0] && strcmp(name, ".") != 0 && strcmp(name, "..") != 0 && strlen(name) <= NAME_MAX &&
	       !strchr(name, '/') && escape_is_visible(slice_of_text(name), false);
}

bool metadata_is_sha256(const char *text)
{
	return strlen(text) == CHECKPOINT_SHA256_HEX && strspn(text, "0123456789abcdef") == CHECKPOINT_SHA256_HEX;
}

/* By snapshot, then by name: doubles would be neighbours, and are refused with all that is out of order. */
static int compare_files(const struct file_meta *a, const struct file_meta *b)
{
	int order = strcmp(a->snapshot, b->snapshot);

	return order ? order : strcmp(a->name, b->name);
}

const char *metadata_file_fault(const struct checkpoint_meta *meta, uint64_t index)
{
	const struct file_meta *file = &meta->files[index];

	if (!file->snapshot || strncmp(file->snapshot, "backend-", 8) != 0 || !is_file_name(file->snapshot))
		return "a file of no snapshot";
	if (!file->name || !is_file_name(file->name))
		return "a file whose name is none";
	if (file->bytes < 0 || !metadata_is_sha256(file->sha256))
		return "a file of impossible size or hash";
	if (index && compare_files(&meta->files[index - 1], file) >= 0)
		return "files that are doubled or out of order";
	return NULL;
}

bool metadata_kind_fits(const struct checkpoint_meta *meta)
{
	if ((meta->parent != NULL) != (meta->depth != 0) || meta->depth > CHECKPOINT_DEPTH_MAX)
		return false;
	if (meta->kind == CHECKPOINT_FULL)
		return !meta->parent && meta->file_count == 0;
	return (meta->parent != NULL) != (meta->file_count != 0);
}

/* What a writer is given is checked as far as a reader would refuse it. */
static int32_t check_meta(const struct checkpoint_meta *meta, sb_error *err)
{
	if (!checkpoint_id_is_valid(meta->id))
		return error_set(err, SB_ERR_INVALID, "%s is no checkpoint id", meta->id);
	if (!metadata_kind_fits(meta) || (meta->parent && !checkpoint_id_is_valid(meta->parent)))
		return error_set(err, SB_ERR_INVALID, "kind, parent, depth and files of %s do not fit", meta->id);
	for (uint64_t i = 0; i < meta->file_count; i++)
		if (metadata_file_fault(meta, i))
			return error_set(err, SB_ERR_INVALID, "%s has %s", meta->id, metadata_file_fault(meta, i));
	if (!meta->operator_id || !meta->ttl_clock)
		return error_set(err, SB_ERR_INVALID, "%s names no operator, or no clock", meta->id);
	if (meta->partition_count > CHECKPOINT_NAMES_MAX)
		return error_set(err, SB_ERR_CONFIG, "%" PRIu64 " inputs, more than %u: use fewer",
				 meta->partition_count, CHECKPOINT_NAMES_MAX);
	if (meta->key_groups < 1 || meta->key_groups > KEY_GROUPS_MAX || meta->tasks < 1 ||
	    meta->tasks > meta->key_groups)
		return error_set(err, SB_ERR_INVALID, "%u tasks with %u key groups", meta->tasks, meta->key_groups);
	for (uint64_t i = 0; i < meta->partition_count; i++)
		if (!meta->partitions[i].name || !isfinite(meta->partitions[i].generator_rate))
			return error_set(err, SB_ERR_INVALID, "partition %" PRIu64 " has no name or no finite rate", i);
	for (uint64_t i = 0; i < meta->output_count; i++)
		if (!meta->outputs[i].role || !meta->outputs[i].path || meta->outputs[i].length < 0)
			return error_set(err, SB_ERR_INVALID, "output %" PRIu64 " has no role, path or length", i);
	return SB_OK;
}

int32_t metadata_write_header(const struct checkpoint_meta *meta, enum checkpoint_codec codec, struct buffer *out,
			      sb_error *err)
{
	TRY(check_meta(meta, err));
	buffer_append_text(out, "{\"ID\":");
	json_append_string(out, slice_of_text(meta->id));
	put_name(out, "Timestamp");
	buffer_append_byte(out, '"');
	time_append_rfc3339(out, meta->timestamp_ns, 9);
	buffer_append_byte(out, '"');
	put_offsets(out, meta);
	put_u64(out, "FormatVersion", CHECKPOINT_FORMAT_VERSION);
	put_text(out, "Kind", metadata_kind_names[meta->kind]);
	put_text(out, "Parent", meta->parent);
	put_u64(out, "Depth", meta->depth);
	put_text(out, "HostVersion", meta->host_version);
	put_text(out, "Operator", meta->operator_id);
	put_text(out, "OperatorVersion", meta->operator_version);
	put_text(out, "Backend", meta->backend_id);
	put_text(out, "BackendVersion", meta->backend_version);
	put_u64(out, "KeyGroups", meta->key_groups);
	put_u64(out, "Tasks", meta->tasks);
	put_text(out, "TTLClock", meta->ttl_clock);
	put_i64(out, "CutMs", meta->cut_ms);
	put_u64(out, "Events", meta->events);
	put_lists(out, meta);
	put_text(out, "Codec", metadata_codec_names[codec]);
	put_name(out, "StateData");
	buffer_append_byte(out, '"');
	TRY(buffer_check(out, err));
	if (out->len > CHECKPOINT_HEADER_MAX)
		return error_set(err, SB_ERR_CONFIG,
				 "the checkpoint's header has %zu bytes, more than %u: use fewer input files", out->len,
				 CHECKPOINT_HEADER_MAX);
	return SB_OK;
}

void metadata_write_trailer(const struct checkpoint_totals *totals, struct buffer *out)
{
	buffer_append_byte(out, '"');
	put_u64(out, "Entries", totals->entries);
	put_u64(out, "KeyBytes", totals->key_bytes);
	put_u64(out, "ValueBytes", totals->value_bytes);
	put_u64(out, "StateDataBytes", totals->state_data_bytes);
	put_name(out, "StateDigest");
	buffer_printf(out, "\"%016" PRIx64 "%016" PRIx64 "\",\n", totals->state_digest.high, totals->state_digest.low);
	buffer_append_text(out, CHECKPOINT_DIGEST_PREFIX);
}
