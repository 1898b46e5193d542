/* The items of a checkpoint, as a stream: file → outer base64 → envelope's JSON → inner base64 →
 * frames → entries. Memory is the layers' fixed buffers; only an entry or an operator's snapshot that is larger than a
 * frame makes one buffer grow, as far as its bytes really come, up to the bounds in checkpoint_private.h. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "base/slice.h"
#include "checkpoint/reader_private.h"

void item_stream_free(struct item_stream *items)
{
	if (!items)
		return;
	free(items->envelope_bytes);
	free(items->inner_bytes);
	frame_decoder_done(&items->frames);
	state_digest_done(&items->digest);
	name_set_done(&items->names);
	buffer_done(&items->large);
	free(items);
}

/* The envelope's text: StateData decoded. */
static int32_t fill_envelope(void *context, sb_slice *ret_piece, sb_error *err)
{
	struct checkpoint_reader *reader = context;
	struct item_stream *items = reader->items;
	int64_t before = items->source.at;
	sb_slice text;
	size_t len = 0, bad;

	TRY(file_source_fill(&items->source, &text, err));
	if (text.len == 0 && !base64_decode_end(&items->outer))
		return error_set(err, SB_ERR_CORRUPT, "%s is damaged: its base64 is cut off at byte %lld",
				 reader->subject, (long long)before);
	if (!base64_decode(&items->outer, text.ptr, text.len, items->envelope_bytes, &len, &bad))
		return error_set(err, SB_ERR_CORRUPT, "%s is damaged: no base64 at byte %lld", reader->subject,
				 (long long)before + (long long)bad);
	if (text.len && len == 0) /* less than a group: not the end yet */
		return fill_envelope(context, ret_piece, err);
	*ret_piece = slice_of(items->envelope_bytes, len);
	return SB_OK;
}

static int32_t start_stream(struct checkpoint_reader *reader, sb_error *err)
{
	struct item_stream *items = calloc(1, sizeof(*items));

	if (!items)
		return error_no_memory(err);
	reader->items = items;
	items->source = (struct file_source){.io = reader->io,
					     .path = reader->path,
					     .fd = reader->fd,
					     .at = reader->state_data_begin,
					     .end = reader->state_data_end,
					     .bytes = reader->bytes};
	items->envelope_bytes = malloc(BASE64_DECODED_MAX(FILE_SOURCE_BYTES));
	items->inner_bytes = malloc(BASE64_DECODED_MAX(BASE64_DECODED_MAX(FILE_SOURCE_BYTES)));
	if (!items->envelope_bytes || !items->inner_bytes)
		return error_no_memory(err);
	TRY(frame_decoder_init(&items->frames, err));
	json_pull_init(&items->pull, fill_envelope, reader, reader->envelope_subject, 0);
	state_digest_init(&items->digest, &reader->meta);
	return SB_OK;
}

/* A part of a sentence becomes the whole. */
static int32_t complete_sentence(struct item_stream *items, sb_error *err)
{
	char what[SB_ERROR_MESSAGE_BYTES];

	if (err->code == SB_ERR_CORRUPT) {
		memcpy(what, err->message, sizeof(what));
		return json_pull_fail(&items->pull, err, "%.500s", what);
	}
	if (err->code == SB_ERR_INCOMPATIBLE)
		error_prefix(err, "%s holds", items->pull.subject);
	return err->code;
}

/* More decoded bytes of the string at hand; string_ended when there are none. */
static int32_t refill_inner(struct item_stream *items, sb_error *err)
{
	sb_slice text;
	size_t bad;

	items->inner_at = items->inner_end = 0;
	while (items->inner_end == 0 && !items->string_ended) {
		TRY(json_pull_plain_piece(&items->pull, &text, err));
		items->string_ended = text.len == 0;
		if (items->string_ended && !base64_decode_end(&items->inner))
			return json_pull_fail(&items->pull, err, "base64 that is cut off");
		if (!base64_decode(&items->inner, text.ptr, text.len, items->inner_bytes, &items->inner_end, &bad))
			return json_pull_fail(&items->pull, err, "no base64");
	}
	return SB_OK;
}

static void start_string(struct item_stream *items)
{
	items->inner = (struct base64_decoder){0};
	items->inner_at = items->inner_end = 0;
	items->string_ended = false;
}

static int32_t take_bytes(struct item_stream *items, uint8_t *into, size_t len, sb_error *err)
{
	while (len) {
		size_t n;

		if (items->inner_at == items->inner_end) {
			TRY(refill_inner(items, err));
			if (items->string_ended)
				return json_pull_fail(&items->pull, err, "a snapshot that ends too early");
		}
		n = items->inner_end - items->inner_at;
		n = n < len ? n : len;
		memcpy(into, items->inner_bytes + items->inner_at, n);
		items->inner_at += n;
		into += n;
		len -= n;
	}
	return SB_OK;
}

static int32_t expect_end_of_string(struct item_stream *items, sb_error *err)
{
	if (items->inner_at == items->inner_end)
		TRY(refill_inner(items, err));
	if (!items->string_ended)
		return json_pull_fail(&items->pull, err, "bytes behind a snapshot's end");
	return SB_OK;
}

/* A member's name, which becomes the item's, and the beginning of its string. */
static int32_t open_member(struct item_stream *items, sb_error *err)
{
	if (memchr(items->pull.name, 0, items->pull.name_len))
		return json_pull_fail(&items->pull, err, "a name with a NUL in it");
	if (name_set_add(&items->names, items->pull.name, err) != SB_OK)
		return complete_sentence(items, err);
	memcpy(items->name, items->pull.name, items->pull.name_len + 1);
	TRY(json_read(&items->pull, JSON_STRING, err));
	start_string(items);
	return SB_OK;
}

static int32_t read_provider(struct item_stream *items, struct checkpoint_item *ret_item, sb_error *err)
{
	TRY(open_member(items, err));
	buffer_clear(&items->large);
	for (;;) {
		TRY(refill_inner(items, err));
		if (items->string_ended)
			break;
		if (items->inner_end > CHECKPOINT_PROVIDER_MAX - items->large.len)
			return json_pull_fail(&items->pull, err, "an operator's snapshot of more than %u bytes",
					      CHECKPOINT_PROVIDER_MAX);
		buffer_append(&items->large, items->inner_bytes, items->inner_end);
		TRY(buffer_check(&items->large, err));
	}
	*ret_item = (struct checkpoint_item){
		.kind = ITEM_PROVIDER, .name = items->name, .bytes = buffer_slice(&items->large)};
	return SB_OK;
}

static int32_t start_providers(struct item_stream *items, sb_error *err)
{
	TRY(json_read(&items->pull, JSON_OBJECT_BEGIN, err));
	TRY(json_read_member(&items->pull, "provider_state", err));
	TRY(json_read(&items->pull, JSON_OBJECT_BEGIN, err));
	items->stage = STAGE_PROVIDERS;
	return SB_OK;
}

static int32_t start_snapshots(struct item_stream *items, sb_error *err)
{
	TRY(json_read_member(&items->pull, "backend_snapshots", err));
	TRY(json_read(&items->pull, JSON_OBJECT_BEGIN, err));
	name_set_done(&items->names);
	items->stage = STAGE_SNAPSHOTS;
	return SB_OK;
}

static int32_t begin_snapshot(struct item_stream *items, struct checkpoint_item *ret_item, sb_error *err)
{
	TRY(open_member(items, err));
	items->frame_number = 0;
	items->snapshot_entries = 0;
	items->entries = (sb_slice){0};
	items->entries_left = 0;
	items->stage = STAGE_IN_SNAPSHOT;
	*ret_item = (struct checkpoint_item){.kind = ITEM_SNAPSHOT_BEGIN, .name = items->name};
	return SB_OK;
}

static int32_t read_frame(struct item_stream *items, sb_slice *ret_raw, sb_error *err)
{
	uint8_t *frame = items->frames.frame;

	TRY(take_bytes(items, frame, FRAME_HEADER_BYTES, err));
	if (frame_decode_header(&items->frames, &items->frame, err) != SB_OK)
		return complete_sentence(items, err);
	TRY(take_bytes(items, frame + FRAME_HEADER_BYTES, items->frame.stored_len + FRAME_CHECKSUM_BYTES, err));
	if (frame_decode_payload(&items->frames, &items->frame, ret_raw, err) != SB_OK)
		return complete_sentence(items, err);
	if (items->frame.number != items->frame_number++)
		return json_pull_fail(&items->pull, err, "a frame out of order");
	if ((items->frame.count != 0) != (items->frame.type == FRAME_ENTRIES || items->frame.type == FRAME_CHANGES))
		return json_pull_fail(&items->pull, err, "a frame with a wrong count");
	return SB_OK;
}

/* The rest of an entry whose first piece is first. */
static int32_t read_pieces(struct item_stream *items, sb_slice first, sb_error *err)
{
	sb_slice raw = first;

	buffer_clear(&items->large);
	for (;;) {
		if (raw.len > ENTRY_BYTES_MAX - items->large.len)
			return json_pull_fail(&items->pull, err, "an entry of more than %llu bytes",
					      (unsigned long long)ENTRY_BYTES_MAX);
		buffer_append_slice(&items->large, raw);
		TRY(buffer_check(&items->large, err));
		if (items->frame.type == FRAME_LAST_PIECE)
			break;
		TRY(read_frame(items, &raw, err));
		if (items->frame.type != FRAME_PIECE && items->frame.type != FRAME_LAST_PIECE)
			return json_pull_fail(&items->pull, err, "an entry whose pieces do not go on");
	}
	items->entries = buffer_slice(&items->large);
	items->entries_left = 1;
	return SB_OK;
}

static int32_t end_frames(struct item_stream *items, sb_slice raw, sb_error *err)
{
	uint64_t count;

	if (!varint_take(&raw, &count) || raw.len)
		return json_pull_fail(&items->pull, err, "a malformed end of a snapshot");
	if (count != items->snapshot_entries)
		return json_pull_fail(&items->pull, err, "a snapshot of %llu entries that should have %llu",
				      (unsigned long long)items->snapshot_entries, (unsigned long long)count);
	TRY(expect_end_of_string(items, err));
	items->stage = STAGE_SNAPSHOT_ENDED;
	return SB_OK;
}

/* Until there is an entry at hand, or the snapshot has ended. */
static int32_t advance_frames(struct checkpoint_reader *reader, sb_error *err)
{
	struct item_stream *items = reader->items;
	sb_slice raw;

	TRY(read_frame(items, &raw, err));
	switch (items->frame.type) {
	case FRAME_ENTRIES:
	case FRAME_CHANGES:
		if (reader->meta.file_count)
			return json_pull_fail(&items->pull, err, "entries beside files");
		if ((items->frame.type == FRAME_CHANGES) != (reader->meta.parent != NULL))
			return json_pull_fail(&items->pull, err, "a frame of the wrong kind");
		items->entries = raw;
		items->entries_left = items->frame.count;
		return SB_OK;
	case FRAME_PIECE:
		if (reader->meta.file_count)
			return json_pull_fail(&items->pull, err, "entries beside files");
		return read_pieces(items, raw, err);
	case FRAME_LAST_PIECE:
		return json_pull_fail(&items->pull, err, "a last piece without a first");
	default:
		return end_frames(items, raw, err);
	}
}

static int32_t count_entry(struct checkpoint_reader *reader, const struct snapshot_entry *entry, sb_error *err)
{
	struct item_stream *items = reader->items;

	items->snapshot_entries++;
	items->totals.entries++;
	items->totals.key_bytes += entry->user_part.len;
	items->totals.value_bytes += entry->value.len;
	if (items->totals.entries > reader->totals.entries || items->totals.key_bytes > reader->totals.key_bytes ||
	    items->totals.value_bytes > reader->totals.value_bytes)
		return json_pull_fail(&items->pull, err, "more entries than the trailer says");
	state_digest_add(&items->digest, entry);
	return SB_OK;
}

static int32_t read_entry(struct checkpoint_reader *reader, struct checkpoint_item *ret_item, sb_error *err)
{
	struct item_stream *items = reader->items;
	struct snapshot_entry entry;

	if (entry_take(&items->entries, reader->meta.parent != NULL, &entry, err) != SB_OK ||
	    state_digest_check(&items->digest, &entry, err) != SB_OK)
		return complete_sentence(items, err);
	items->entries_left--;
	if (items->entries_left == 0 && items->entries.len)
		return json_pull_fail(&items->pull, err, "bytes behind a frame's last entry");
	TRY(count_entry(reader, &entry, err));
	*ret_item = (struct checkpoint_item){.kind = ITEM_ENTRY,
					     .name = items->name,
					     .state_id = entry.state_id,
					     .key_group = entry.key_group,
					     .user_part = entry.user_part,
					     .value = entry.value,
					     .expiry_ms = entry.expiry_ms,
					     .deleted = entry.deleted};
	return SB_OK;
}

static int32_t end_stream(struct checkpoint_reader *reader, struct checkpoint_item *ret_item, sb_error *err)
{
	struct item_stream *items = reader->items;
	const struct checkpoint_totals *said = &reader->totals;

	TRY(json_read(&items->pull, JSON_OBJECT_END, err));
	TRY(json_read(&items->pull, JSON_END, err));
	if (items->totals.entries != said->entries || items->totals.key_bytes != said->key_bytes ||
	    items->totals.value_bytes != said->value_bytes)
		return json_pull_fail(&items->pull, err, "%llu entries where the trailer says %llu",
				      (unsigned long long)items->totals.entries, (unsigned long long)said->entries);
	if (items->digest.sum.low != said->state_digest.low || items->digest.sum.high != said->state_digest.high)
		return json_pull_fail(&items->pull, err, "another state than the trailer's StateDigest says");
	items->stage = STAGE_DONE;
	*ret_item = (struct checkpoint_item){.kind = ITEM_END};
	return SB_OK;
}

/* Between two providers or two snapshots: *ret_more when a member follows. */
static int32_t read_separator(struct item_stream *items, bool *ret_more, sb_error *err)
{
	enum json_token token;

	TRY(json_pull_next(&items->pull, &token, err));
	*ret_more = token == JSON_MEMBER;
	return SB_OK;
}

static int32_t next_item(struct checkpoint_reader *reader, struct checkpoint_item *ret_item, sb_error *err)
{
	struct item_stream *items = reader->items;
	bool more;

	if (items->stage == STAGE_START)
		TRY(start_providers(items, err));
	if (items->stage == STAGE_PROVIDERS) {
		TRY(read_separator(items, &more, err));
		if (more)
			return read_provider(items, ret_item, err);
		TRY(start_snapshots(items, err));
	}
	if (items->stage == STAGE_IN_SNAPSHOT) {
		if (items->entries_left == 0)
			TRY(advance_frames(reader, err));
		if (items->stage == STAGE_IN_SNAPSHOT)
			return read_entry(reader, ret_item, err);
	}
	if (items->stage == STAGE_SNAPSHOT_ENDED) {
		items->stage = STAGE_SNAPSHOTS;
		*ret_item = (struct checkpoint_item){.kind = ITEM_SNAPSHOT_END, .name = items->name};
		return SB_OK;
	}
	if (items->stage == STAGE_SNAPSHOTS) {
		TRY(read_separator(items, &more, err));
		return more ? begin_snapshot(items, ret_item, err) : end_stream(reader, ret_item, err);
	}
	*ret_item = (struct checkpoint_item){.kind = ITEM_END};
	return SB_OK;
}

int32_t checkpoint_reader_next(struct checkpoint_reader *reader, struct checkpoint_item *ret_item, sb_error *err)
{
	int32_t status;

	if (reader->failure.code != SB_OK) {
		*err = reader->failure;
		return err->code;
	}
	status = reader->items ? SB_OK : start_stream(reader, err);
	if (status == SB_OK)
		status = next_item(reader, ret_item, err);
	if (status != SB_OK)
		reader->failure = *err;
	return status;
}
