/* Frames and entries: what goes in comes out; what was touched on the way does not. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"
#include "checkpoint/frame.h"

static int32_t decode(struct frame_decoder *decoder, sb_slice frame, sb_slice *ret_raw, sb_error *err)
{
	struct frame_header header;

	cr_assert_leq(frame.len, FRAME_BYTES_MAX);
	memcpy(decoder->frame, frame.ptr, frame.len);
	TRY(frame_decode_header(decoder, &header, err));
	if (FRAME_HEADER_BYTES + header.stored_len + FRAME_CHECKSUM_BYTES != frame.len)
		return error_set(err, SB_ERR_CORRUPT, "another length");
	return frame_decode_payload(decoder, &header, ret_raw, err);
}

Test(frame, gives_back_its_payload_under_every_codec)
{
	for (int codec = CODEC_NONE; codec <= CODEC_ZSTD; codec++)
		for (int shape = 0; shape < 4; shape++) {
			const bool random = shape & 1, only_structs = shape & 2;
			static const uint32_t lengths[] = {0, 1, 2, 100, 5000, FRAME_RAW_FILL};
			struct frame_encoder encoder;
			static uint8_t room[FRAME_ROOM_BYTES], packed[FRAME_ROOM_BYTES];
			struct frame_decoder decoder;
			sb_error err = ERROR_INIT;
			uint64_t state = 1;
			sb_slice raw;

			cr_assert_eq(frame_encoder_init(&encoder, codec, only_structs, &err), SB_OK);
			cr_assert_eq(frame_decoder_init(&decoder, &err), SB_OK);
			for (size_t l = 0; l < sizeof(lengths) / sizeof(lengths[0]); l++) {
				uint8_t *payload = room + FRAME_HEADER_BYTES;
				uint8_t *copy = malloc(lengths[l] + 1);
				sb_slice frame;

				for (uint32_t i = 0; i < lengths[l]; i++) {
					state = state * 6364136223846793005u + 1;
					copy[i] = payload[i] = random ? (uint8_t)(state >> 56) : (uint8_t)(i % 10);
				}
				frame = frame_encode(&encoder, room, packed, FRAME_ENTRIES, lengths[l], 3, 7);
				cr_assert_leq(frame.len, FRAME_HEADER_BYTES + lengths[l] + FRAME_CHECKSUM_BYTES);
				if (codec != CODEC_NONE && !random && lengths[l] >= 5000)
					cr_assert_lt(frame.len, lengths[l] / 4);
				cr_assert_eq(decode(&decoder, frame, &raw, &err), SB_OK, "%s", err.message);
				cr_assert(slice_equal(raw, slice_of(copy, lengths[l])));
				free(copy);
			}
			frame_encoder_done(&encoder);
			frame_decoder_done(&decoder);
		}
}

static size_t packed_len(const uint8_t *bytes, uint32_t len, bool only_structs)
{
	static uint8_t room[FRAME_ROOM_BYTES], packed[FRAME_ROOM_BYTES];
	struct frame_encoder encoder;
	sb_error err = ERROR_INIT;
	sb_slice frame;

	cr_assert_eq(frame_encoder_init(&encoder, CODEC_LZ4, only_structs, &err), SB_OK);
	memcpy(room + FRAME_HEADER_BYTES, bytes, len);
	frame = frame_encode(&encoder, room, packed, FRAME_ENTRIES, len, 1, 0);
	frame_encoder_done(&encoder);
	return frame.len;
}

/* What is quicker for structs would make of text, which repeats itself anywhere, more than it needs. */
Test(frame, text_is_packed_more_thoroughly_than_structs)
{
	static uint8_t bytes[FRAME_RAW_FILL];
	uint32_t len = 0;

	for (uint32_t i = 0; len + 128 < sizeof(bytes); i++)
		len += (uint32_t)snprintf(
			(char *)bytes + len, 128, "{\"user_id\":\"user-%u\",\"amount\":%u.%02u,\"timestamp\":%u}\n",
			i * 2654435761u % 2000000, i * 7919u % 1000, i * 31u % 100, 1700000000 + i / 1000);
	cr_assert_lt(packed_len(bytes, len, false), packed_len(bytes, len, true));
}

Test(frame, refuses_every_flipped_bit)
{
	for (int codec = CODEC_NONE; codec <= CODEC_ZSTD; codec++) {
		struct frame_encoder encoder;
		static uint8_t room[FRAME_ROOM_BYTES], packed[FRAME_ROOM_BYTES];
		struct frame_decoder decoder;
		sb_error err = ERROR_INIT;
		uint8_t bytes[256];
		sb_slice frame, raw;

		cr_assert_eq(frame_encoder_init(&encoder, codec, false, &err), SB_OK);
		cr_assert_eq(frame_decoder_init(&decoder, &err), SB_OK);
		memset(room + FRAME_HEADER_BYTES, 'x', 100);
		frame = frame_encode(&encoder, room, packed, FRAME_ENTRIES, 100, 1, 0);
		memcpy(bytes, frame.ptr, frame.len);
		for (size_t bit = 0; bit < 8 * frame.len; bit++) {
			bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
			cr_assert_eq(decode(&decoder, slice_of(bytes, frame.len), &raw, &err), SB_ERR_CORRUPT,
				     "bit %zu", bit);
			bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
		}
		frame_encoder_done(&encoder);
		frame_decoder_done(&decoder);
	}
}

static void seal(uint8_t *frame, size_t covered)
{
	uint64_t checksum = hash64_of(slice_of(frame, covered));

	for (int i = 0; i < 8; i++)
		frame[covered + (size_t)i] = (uint8_t)(checksum >> 8 * i);
}

Test(frame, says_that_a_sealed_frame_of_an_unknown_type_needs_a_newer_program)
{
	struct frame_encoder encoder;
	static uint8_t room[FRAME_ROOM_BYTES], packed[FRAME_ROOM_BYTES];
	struct frame_decoder decoder;
	sb_error err = ERROR_INIT;
	uint8_t bytes[64];
	sb_slice frame, raw;

	cr_assert_eq(frame_encoder_init(&encoder, CODEC_NONE, false, &err), SB_OK);
	cr_assert_eq(frame_decoder_init(&decoder, &err), SB_OK);
	frame = frame_encode(&encoder, room, packed, FRAME_ENTRIES, 0, 0, 0);
	memcpy(bytes, frame.ptr, frame.len);
	bytes[0] = FRAME_CHANGES + 1;
	seal(bytes, FRAME_HEADER_BYTES);
	cr_assert_eq(decode(&decoder, slice_of(bytes, frame.len), &raw, &err), SB_ERR_INCOMPATIBLE);
	frame_encoder_done(&encoder);
	frame_decoder_done(&decoder);
}

Test(frame, refuses_a_sealed_frame_that_unpacks_to_another_length_than_it_says)
{
	for (int codec = CODEC_LZ4; codec <= CODEC_ZSTD; codec++)
		for (int change = -1; change <= 1; change += 2) {
			struct frame_encoder encoder;
			static uint8_t room[FRAME_ROOM_BYTES], packed[FRAME_ROOM_BYTES];
			struct frame_decoder decoder;
			sb_error err = ERROR_INIT;
			uint8_t bytes[4096];
			sb_slice frame, raw;

			cr_assert_eq(frame_encoder_init(&encoder, codec, false, &err), SB_OK);
			cr_assert_eq(frame_decoder_init(&decoder, &err), SB_OK);
			memset(room + FRAME_HEADER_BYTES, 'x', 1000);
			frame = frame_encode(&encoder, room, packed, FRAME_ENTRIES, 1000, 1, 0);
			memcpy(bytes, frame.ptr, frame.len);
			bytes[4] = (uint8_t)(bytes[4] + change);
			seal(bytes, frame.len - FRAME_CHECKSUM_BYTES);
			cr_assert_eq(decode(&decoder, slice_of(bytes, frame.len), &raw, &err), SB_ERR_CORRUPT);
			frame_encoder_done(&encoder);
			frame_decoder_done(&decoder);
		}
}

Test(frame, varints_have_one_form)
{
	static const uint64_t values[] = {0, 1, 127, 128, 16383, 16384, UINT32_MAX, INT64_MAX, UINT64_MAX};
	static const struct {
		const char *bytes;
		size_t len;
	} wrong[] = {{"", 0},
		     {"\x80", 1},
		     {"\x80\x00", 2},
		     {"\xff\x80\x00", 3},
		     {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10},
		     {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11}};
	uint8_t bytes[VARINT_BYTES_MAX];
	uint64_t value;

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		sb_slice from = slice_of(bytes, varint_put(bytes, values[i]));

		cr_assert(varint_take(&from, &value) && value == values[i] && from.len == 0);
	}
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		sb_slice from = slice_of(wrong[i].bytes, wrong[i].len);

		cr_assert(!varint_take(&from, &value), "case %zu", i);
	}
}

/* Numbers of one byte each: state and flags, key group, lengths of the key and the value, perhaps an expiry. */
Test(frame, entries_that_cannot_be_are_refused_with_what_is_wrong)
{
	static const struct {
		const char *bytes;
		size_t len;
		bool changes;
		const char *sentence;
	} wrong[] = {
		{"\x00\x00\x80", 3, false, "whose numbers are malformed"},
		{"\x02\x00\x00\x00", 4, false, "an impossible state or key group"}, /* a deletion among entries */
		{"\x80\x80\x01\x00\x00\x00", 6, false, "an impossible state or key group"},
		{"\x00\xff\xff\x7f\x00\x00", 6, false, "an impossible state or key group"},
		{"\x01\x00\x00\x00", 4, false, "a malformed expiry"},
		{"\x01\x00\x00\x00\x00", 5, false, "a malformed expiry"}, /* none, though its flag is set */
		{"\x03\x00\x00\x00\x02", 5, true, "a deletion with a value or an expiry"},
		{"\x02\x00\x00\x01v", 5, true, "a deletion with a value or an expiry"},
		{"\x00\x00\x02\x00k", 5, false, "longer than its frame"},
		{"\x00\x00\x01\x01k", 5, false, "longer than its frame"},
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		sb_slice from = slice_of(wrong[i].bytes, wrong[i].len);
		struct snapshot_entry entry;
		sb_error err = ERROR_INIT;

		cr_assert_eq(entry_take(&from, wrong[i].changes, &entry, &err), SB_ERR_CORRUPT, "case %zu", i);
		cr_assert(strstr(err.message, wrong[i].sentence), "case %zu: %s", i, err.message);
		cr_assert_eq(from.len, wrong[i].len, "nothing is taken");
	}
}

Test(frame, a_deletion_is_an_entry_among_changes)
{
	sb_slice from = slice_of("\x02\x00\x01\x00k", 5);
	struct snapshot_entry entry;
	sb_error err = ERROR_INIT;

	cr_assert_eq(entry_take(&from, true, &entry, &err), SB_OK, "%s", err.message);
	cr_assert(entry.deleted && entry.user_part.len == 1 && entry.value.len == 0 && from.len == 0);
}

Test(frame, entries_keep_every_expiry_and_length)
{
	static const int64_t expiries[] = {0, 1, -1, INT64_MAX, INT64_MIN, 1699564823123};

	for (size_t i = 0; i < sizeof(expiries) / sizeof(expiries[0]); i++) {
		uint8_t bytes[ENTRY_HEAD_BYTES_MAX + 16];
		struct snapshot_entry entry = {.state_id = SCHEMA_STATES_MAX - 1,
					       .key_group = KEY_GROUPS_MAX - 1,
					       .user_part = slice_of("key", 3),
					       .value = slice_of("value", 5),
					       .expiry_ms = expiries[i]};
		struct snapshot_entry got;
		size_t head = entry_put_head(bytes, &entry);
		sb_error err = ERROR_INIT;
		sb_slice from;

		memcpy(bytes + head, "keyvalue", 8);
		for (size_t cut = 0; cut < head + 8; cut++) {
			from = slice_of(bytes, cut);
			cr_assert_eq(entry_take(&from, false, &got, &err), SB_ERR_CORRUPT);
		}
		from = slice_of(bytes, head + 8);
		cr_assert_eq(entry_take(&from, false, &got, &err), SB_OK);
		cr_assert(from.len == 0 && got.state_id == entry.state_id && got.key_group == entry.key_group);
		cr_assert(slice_equal(got.user_part, entry.user_part) && slice_equal(got.value, entry.value));
		cr_assert_eq(got.expiry_ms, expiries[i]);
	}
}
