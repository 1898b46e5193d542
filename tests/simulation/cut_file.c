/* See cut_file.h. */
#include "simulation/cut_file.h"

#include <cjson/cJSON.h>
#include <inttypes.h>
#include <lz4.h>
#include <nettle/sha2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>
#include <zstd.h>

#include "base/cleanup.h"
#include "simulation/backend_files.h"
#include "simulation/disk.h"

#define DIRECTORY DISK_ROOT "/kept/checkpoints"
#define DIGEST_TAIL 67u /* 64 digits, a quote, a brace, a line feed */
#define FRAME_HEAD 24u
#define FRAME_SUM 8u
#define FRAME_MAX (1u << 20)
#define PREFIX 4u /* of a composed key: group and state, two bytes each */
#define CHAIN_MAX 32u

enum frame { ENTRIES = 1, END = 4, CHANGES = 5 };

struct bytes {
	const uint8_t *at, *end;
};

struct reading {
	const struct input *input;
	struct cut_file *cut;
	char *error;
	int counter_id, seen_id;
	uint64_t entries; /* in this file */
};

static bool wrong(struct reading *r, const char *format, ...) __attribute__((format(printf, 2, 3)));

static bool wrong(struct reading *r, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(r->error, CUT_ERROR_BYTES, format, arguments);
	va_end(arguments);
	return false;
}

/* ---- base64 ---- */

static int sextet(char c)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	const char *at = c ? strchr(digits, c) : NULL;

	return at ? (int)(at - digits) : -1;
}

/* malloc'ed, with a NUL behind; NULL when it is none. */
static uint8_t *decode_base64(const char *text, size_t *ret_len)
{
	const size_t len = strlen(text);
	uint8_t *bytes = malloc(len / 4 * 3 + 1);
	uint32_t bits = 0;
	size_t n = 0;

	for (size_t i = 0; bytes && i < len && text[i] != '='; i++) {
		if (sextet(text[i]) < 0) {
			free(bytes);
			return NULL;
		}
		bits = bits << 6 | (uint32_t)sextet(text[i]);
		if (i % 4)
			bytes[n++] = (uint8_t)(bits >> (6 - 2 * (i % 4)));
	}
	if (bytes)
		bytes[n] = 0;
	*ret_len = n;
	return bytes;
}

/* ---- entries ---- */

static bool take_number(struct bytes *from, uint64_t *ret_number)
{
	uint64_t number = 0;

	for (unsigned shift = 0; from->at < from->end && shift < 64; shift += 7) {
		number |= (uint64_t)(*from->at & 127) << shift;
		if (!(*from->at++ & 128)) {
			*ret_number = number;
			return true;
		}
	}
	return false;
}

/* "b12" and, behind an end mark, the value: whose entry it is. */
static struct key_state *find_key(struct reading *r, const uint8_t *key, size_t len, unsigned *ret_value,
				  bool has_value)
{
	char text[32];
	unsigned number, value = 0;
	char prefix;
	int used = 0;

	if (len >= sizeof(text))
		return NULL;
	memcpy(text, key, len);
	text[len] = 0;
	if (has_value) {
		char *mark = memchr(text, 0, len);

		if (!mark || mark + 2 >= text + len || mark[1] != 1 || sscanf(mark + 2, "%u", &value) != 1 ||
		    value >= FORGET)
			return NULL;
	}
	if (sscanf(text, "%c%u%n", &prefix, &number, &used) != 2 || text[used] != 0 || prefix < 'a' ||
	    (unsigned)(prefix - 'a') >= r->input->partition_count || number >= r->input->partitions[prefix - 'a'].keys)
		return NULL;
	*ret_value = value;
	return &r->cut->state[prefix - 'a'][number];
}

struct entry {
	uint64_t head, group, key_len, value_len, zigzag;
	const uint8_t *key, *value;
};

static bool take_entry(struct bytes *from, struct entry *entry)
{
	entry->zigzag = 0;
	if (!take_number(from, &entry->head) || !take_number(from, &entry->group) ||
	    !take_number(from, &entry->key_len) || !take_number(from, &entry->value_len))
		return false;
	if (entry->head & 1 && !take_number(from, &entry->zigzag))
		return false;
	if (entry->key_len + entry->value_len > (uint64_t)(from->end - from->at))
		return false;
	entry->key = from->at;
	entry->value = from->at + entry->key_len;
	from->at += entry->key_len + entry->value_len;
	return true;
}

static bool apply_entry(struct reading *r, const struct entry *entry)
{
	const int id = (int)(entry->head >> 2);
	const bool deleted = entry->head & 2;
	const int64_t expiry_ms = entry->head & 1 ? (int64_t)(entry->zigzag >> 1 ^ (0 - (entry->zigzag & 1))) : NEVER;
	unsigned value;
	struct key_state *key = find_key(r, entry->key, entry->key_len, &value, id == r->seen_id);

	r->entries++;
	if (!key || (id != r->counter_id && id != r->seen_id))
		return wrong(r, "an entry of state %d that nobody has written, %.*s", id, (int)entry->key_len,
			     (const char *)entry->key);
	if (!deleted && entry->value_len != (id == r->counter_id ? 16 : 8))
		return wrong(r, "a value of %" PRIu64 " bytes", entry->value_len);
	if (id == r->counter_id) {
		key->has_counter = !deleted;
		key->expiry_ms = expiry_ms;
		if (!deleted) {
			memcpy(&key->count, entry->value, 8);
			memcpy(&key->sum, entry->value + 8, 8);
		}
		return true;
	}
	key->times[value] = 0;
	if (!deleted)
		memcpy(&key->times[value], entry->value, 8);
	key->times_expiry_ms[value] = expiry_ms;
	return true;
}

static bool apply_frame(struct reading *r, const uint8_t *payload, size_t len, uint32_t count)
{
	struct bytes from = {payload, payload + len};
	struct entry entry;

	for (uint32_t i = 0; i < count; i++) {
		if (!take_entry(&from, &entry))
			return wrong(r, "a malformed entry");
		if (!apply_entry(r, &entry))
			return false;
	}
	return from.at == from.end || wrong(r, "bytes behind the entries of a frame");
}

/* ---- files ---- */

/* A bucket of backend_files.c: its keys are composed ones, with group and state in front. */
static bool read_bucket(struct reading *r, const struct buffer *file)
{
	const uint8_t *at = file->data, *end = at + file->len;

	while (at < end) {
		struct backend_files_head head;
		struct entry entry;

		if ((size_t)(end - at) < sizeof(head))
			return wrong(r, "a bucket is cut off");
		memcpy(&head, at, sizeof(head));
		at += sizeof(head);
		if (head.key_bytes < PREFIX || (uint64_t)head.key_bytes + head.value_bytes > (uint64_t)(end - at))
			return wrong(r, "an entry of a bucket is cut off");
		entry = (struct entry){
			.head = (uint64_t)(at[2] << 8 | at[3]) << 2 | (head.expiry_ms != SB_NO_EXPIRY),
			.key = at + PREFIX,
			.key_len = head.key_bytes - PREFIX,
			.value = at + head.key_bytes,
			.value_len = head.value_bytes,
			.zigzag = (uint64_t)head.expiry_ms << 1,
		};
		at += (size_t)head.key_bytes + head.value_bytes;
		if (!apply_entry(r, &entry))
			return false;
	}
	return true;
}

static void hash(const uint8_t *bytes, size_t len, char ret_hex[2 * SHA256_DIGEST_SIZE + 1])
{
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx sha256;

	sha256_init(&sha256);
	sha256_update(&sha256, len, bytes);
	sha256_digest(&sha256, sizeof(digest), digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(ret_hex + 2 * i, 3, "%02x", digest[i]);
}

static bool read_shared(struct reading *r, const char *name, const char *sha256)
{
	char hex[2 * SHA256_DIGEST_SIZE + 1], path[160];
	const struct buffer *file;

	snprintf(path, sizeof(path), DIRECTORY "/shared/%.64s", sha256);
	file = disk_content(path);
	if (!file)
		return wrong(r, "its file %s (%s) is missing", name, path);
	hash(file->data, file->len, hex);
	if (strcmp(hex, sha256) != 0)
		return wrong(r, "its file %s (%s) has another content of %zu bytes", name, path, file->len);
	return !backend_files_is_immutable(name) || read_bucket(r, file);
}

/* ---- frames ---- */

static bool unpack(unsigned codec, const uint8_t *stored, uint32_t stored_len, uint8_t *raw, uint32_t raw_len)
{
	if (codec == 1)
		return LZ4_decompress_safe((const char *)stored, (char *)raw, (int)stored_len, (int)raw_len) ==
		       (int)raw_len;
	if (codec == 2)
		return ZSTD_decompress(raw, raw_len, stored, stored_len) == raw_len;
	memcpy(raw, stored, raw_len);
	return codec == 0 && raw_len == stored_len;
}

static uint32_t number_at(const uint8_t *at)
{
	uint32_t number;

	memcpy(&number, at, sizeof(number));
	return number;
}

static bool read_snapshot(struct reading *r, const uint8_t *at, size_t len, uint8_t *raw)
{
	const uint8_t *end = at + len;
	bool ended = false;

	while (end - at >= (ptrdiff_t)(FRAME_HEAD + FRAME_SUM)) {
		const uint32_t raw_len = number_at(at + 4), stored_len = number_at(at + 8), count = number_at(at + 12);
		uint64_t sum;

		if (raw_len > FRAME_MAX || stored_len > FRAME_MAX ||
		    end - at < (ptrdiff_t)(FRAME_HEAD + stored_len + FRAME_SUM))
			return wrong(r, "a frame that is too long");
		memcpy(&sum, at + FRAME_HEAD + stored_len, sizeof(sum));
		if (XXH3_64bits(at, FRAME_HEAD + stored_len) != sum)
			return wrong(r, "a frame with a wrong checksum");
		if (!unpack(at[1], at + FRAME_HEAD, stored_len, raw, raw_len))
			return wrong(r, "a frame that cannot be unpacked");
		if ((at[0] == ENTRIES || at[0] == CHANGES) && !apply_frame(r, raw, raw_len, count))
			return false;
		ended = at[0] == END;
		at += FRAME_HEAD + stored_len + FRAME_SUM;
	}
	return (ended && at == end) || wrong(r, "a snapshot without its end");
}

/* ---- the file ---- */

static cJSON *member(const cJSON *object, const char *name)
{
	return cJSON_GetObjectItemCaseSensitive(object, name);
}

static int64_t number_of(const cJSON *object, const char *name)
{
	const cJSON *item = member(object, name);

	return item && cJSON_IsNumber(item) ? (int64_t)item->valuedouble : INT64_MIN;
}

static const char *text_of(const cJSON *object, const char *name)
{
	const char *text = cJSON_GetStringValue(member(object, name));

	return text ? text : "";
}

static bool read_partition(struct reading *r, const cJSON *file, unsigned i)
{
	char index[8];

	snprintf(index, sizeof(index), "%u", i);
	r->cut->offsets[i] = number_of(member(file, "Offsets"), index);
	r->cut->watermarks_ms[i] = number_of(cJSON_GetArrayItem(member(file, "Partitions"), (int)i), "WatermarkMs");
	return r->cut->offsets[i] >= 0 || wrong(r, "no offset of partition %u", i);
}

static bool read_head(struct reading *r, const cJSON *file)
{
	const cJSON *item;

	r->cut->cut_ms = number_of(file, "CutMs");
	r->cut->events = (uint64_t)number_of(file, "Events");
	r->cut->output_bytes = r->cut->dead_letter_bytes = 0;
	r->counter_id = r->seen_id = -1;
	for (unsigned i = 0; i < r->input->partition_count; i++)
		if (!read_partition(r, file, i))
			return false;
	cJSON_ArrayForEach(item, member(file, "Outputs"))
	{
		if (strcmp(text_of(item, "Role"), "output") == 0)
			r->cut->output_bytes = number_of(item, "Length");
		else
			r->cut->dead_letter_bytes = number_of(item, "Length");
	}
	cJSON_ArrayForEach(item, member(file, "States"))
	{
		if (strcmp(text_of(item, "name"), "counter") == 0)
			r->counter_id = (int)number_of(item, "id");
		else
			r->seen_id = (int)number_of(item, "id");
	}
	return true;
}

static bool read_parts(struct reading *r, const cJSON *envelope)
{
	AUTO(free_memory) uint8_t *raw = malloc(FRAME_MAX);
	const cJSON *item;

	r->cut->provider_total = 0;
	cJSON_ArrayForEach(item, member(envelope, "provider_state"))
	{
		size_t len = 0;
		AUTO(free_memory) uint8_t *bytes = decode_base64(cJSON_GetStringValue(item), &len);
		uint64_t total;

		if (!bytes || len != sizeof(total))
			return wrong(r, "an operator's part of %zu bytes", len);
		memcpy(&total, bytes, sizeof(total));
		r->cut->provider_total += total;
	}
	cJSON_ArrayForEach(item, member(envelope, "backend_snapshots"))
	{
		size_t len = 0;
		AUTO(free_memory) uint8_t *bytes = decode_base64(cJSON_GetStringValue(item), &len);

		if (!bytes || !raw || !read_snapshot(r, bytes, len, raw))
			return bytes ? false : wrong(r, "a snapshot that is no base64");
	}
	return true;
}

static bool read_members(struct reading *r, const cJSON *file, const char *id)
{
	size_t len;
	AUTO(free_memory) uint8_t *text = decode_base64(text_of(file, "StateData"), &len);
	const cJSON *item;
	cJSON *envelope = text ? cJSON_ParseWithLength((const char *)text, len) : NULL;
	bool fine;

	if (!envelope)
		return wrong(r, "its StateData is no base64 of JSON");
	r->entries = 0;
	fine = strcmp(text_of(file, "ID"), id) == 0 || wrong(r, "its ID is %s", text_of(file, "ID"));
	fine = fine && read_head(r, file) && read_parts(r, envelope);
	if (fine && r->entries != (uint64_t)number_of(file, "Entries"))
		fine = wrong(r, "%" PRIu64 " entries, but it says %" PRId64, r->entries, number_of(file, "Entries"));
	cJSON_ArrayForEach(item, member(file, "Files")) fine =
		fine && read_shared(r, text_of(item, "Name"), text_of(item, "SHA256"));
	cJSON_Delete(envelope);
	return fine;
}

static bool has_right_digest(const struct buffer *text)
{
	char hex[2 * SHA256_DIGEST_SIZE + 1];

	if (text->len < DIGEST_TAIL || memcmp(text->data + text->len - 3, "\"}\n", 3) != 0)
		return false;
	hash(text->data, text->len - DIGEST_TAIL, hex);
	return memcmp(hex, text->data + text->len - DIGEST_TAIL, sizeof(hex) - 1) == 0;
}

/* Parents first: what is newer has the last word. */
static bool read_file(struct reading *r, const char *id, unsigned depth)
{
	const struct buffer *text;
	const char *parent;
	char path[128];
	cJSON *file;
	bool fine;

	snprintf(path, sizeof(path), DIRECTORY "/%s.json", id);
	text = disk_content(path);
	if (!text)
		return wrong(r, "it is missing");
	if (!has_right_digest(text))
		return wrong(r, "its digest is not that of its %zu bytes", text->len);
	file = cJSON_ParseWithLength((const char *)text->data, text->len);
	if (!file)
		return wrong(r, "it is no JSON");
	parent = text_of(file, "Parent");
	fine = !*parent || (depth < CHAIN_MAX && read_file(r, parent, depth + 1)) ||
	       wrong(r, "of its parent %s, %.*s", parent, 200, r->error);
	fine = fine && read_members(r, file, id);
	cJSON_Delete(file);
	return fine;
}

uint64_t cut_file_newest(void)
{
	AUTO(buffer_done) struct buffer names = BUFFER_INIT;
	uint64_t newest = 0;

	if (disk_list(DIRECTORY, &names) != 0)
		return 0;
	for (size_t i = 0; i < names.len; i += strlen((char *)names.data + i) + 1) {
		uint64_t number;
		int used = 0;

		if (sscanf((char *)names.data + i, "checkpoint-%" SCNu64 ".json%n", &number, &used) == 1 && used &&
		    names.data[i + (size_t)used] == 0 && number > newest)
			newest = number;
	}
	return newest;
}

bool cut_file_read(const struct input *input, uint64_t number, struct cut_file *ret_cut, char error[CUT_ERROR_BYTES])
{
	struct reading reading = {.input = input, .cut = ret_cut, .error = error};
	char id[48];

	memset(ret_cut, 0, sizeof(*ret_cut));
	ret_cut->number = number;
	snprintf(id, sizeof(id), "checkpoint-%" PRIu64, number);
	return read_file(&reading, id, 0);
}
