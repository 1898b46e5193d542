/* SPDX-License-Identifier: Apache-2.0
 *
 * Iterators: page by page through the sorted sets of the groups in range. A sorted set of equal scores is in bytewise order and gives each
 * member once, which SCAN does not promise. It is not a view of a moment, and the host writes nothing meanwhile, since
 * we do not say that it may.
 *
 * A page is two round trips: keys, then values. It begins with one entry and grows while pages are small, so large values do not
 * come by the hundred. Values that Redis has dropped by itself are left out; upkeep takes their keys out of the set.
 */
#include <stdlib.h>
#include <string.h>

#include "redis_private.h"

#define PAGE_ENTRIES_MAX 256u
#define PAGE_BYTES_SMALL ((size_t)256 << 10)

struct sb_iter {
	struct sb_backend *backend;
	unsigned group; /* of the next page */
	unsigned last_group;
	bool is_inside; /* place is the last key of this group that was read, not a bound */
	bool ended;
	bool expiries_only;
	uint8_t *place; /* within the group: where the next page begins */
	size_t place_len;
	uint8_t *upper; /* within the last group */
	size_t upper_len;
	bool has_upper;
	uint32_t page_entries;

	/* The page at hand. */
	redisReply *members;
	redisReply *values[PAGE_ENTRIES_MAX];
	uint8_t *keys[PAGE_ENTRIES_MAX];
	uint32_t next;
};

/* ---------------------------------------------------------------------------
 * Opening and closing
 * ------------------------------------------------------------------------- */

static bool copy(const uint8_t *from, size_t len, uint8_t **ret_bytes)
{
	*ret_bytes = malloc(len + 1);
	if (!*ret_bytes)
		return false;
	if (len)
		memcpy(*ret_bytes, from, len);
	return true;
}

/* A bound of less than a group's two bytes is one with zeros behind. */
static void split(sb_slice bound, unsigned *ret_group, sb_slice *ret_rest)
{
	unsigned high = bound.len > 0 ? bound.ptr[0] : 0;
	unsigned low = bound.len > 1 ? bound.ptr[1] : 0;

	*ret_group = high << 8 | low;
	*ret_rest =
		bound.len > GROUP_BYTES ? (sb_slice){bound.ptr + GROUP_BYTES, bound.len - GROUP_BYTES} : (sb_slice){0};
}

int32_t iter_open(sb_backend *backend, const sb_iter_options *options, sb_iter **ret_iter, sb_error *err)
{
	sb_iter *iter = calloc(1, sizeof(*iter));
	sb_slice lower, upper = {0};

	if (!iter) {
		errors_no_memory(backend, err);
		return err->code;
	}
	iter->backend = backend;
	iter->page_entries = 1;
	iter->last_group = GROUP_COUNT - 1;
	iter->has_upper = options->upper.len > 0;
	split(options->lower, &iter->group, &lower);
	if (iter->has_upper)
		split(options->upper, &iter->last_group, &upper);
	iter->place_len = lower.len;
	iter->upper_len = upper.len;
	if (!copy(lower.ptr, lower.len, &iter->place) || !copy(upper.ptr, upper.len, &iter->upper)) {
		iter_close(iter);
		errors_no_memory(backend, err);
		return err->code;
	}
	*ret_iter = iter;
	return SB_OK;
}

void iter_want_expiries_only(sb_iter *iter)
{
	iter->expiries_only = true;
}

static void drop_page(sb_iter *iter)
{
	for (uint32_t i = 0; i < PAGE_ENTRIES_MAX; i++) {
		if (iter->values[i])
			freeReplyObject(iter->values[i]);
		free(iter->keys[i]);
		iter->values[i] = NULL;
		iter->keys[i] = NULL;
	}
	if (iter->members)
		freeReplyObject(iter->members);
	iter->members = NULL;
	iter->next = 0;
}

void iter_close(sb_iter *iter)
{
	drop_page(iter);
	free(iter->place);
	free(iter->upper);
	free(iter);
}

/* ---------------------------------------------------------------------------
 * A page
 * ------------------------------------------------------------------------- */

/* "[key" and "(key" are bounds with and without the key itself. */
static bool add_bound(struct wire *wire, char kind, const uint8_t *bytes, size_t len)
{
	uint8_t *text = malloc(len + 1);

	if (!text)
		return false;
	text[0] = (uint8_t)kind;
	if (len)
		memcpy(text + 1, bytes, len);
	wire_bytes(wire, (sb_slice){text, len + 1});
	free(text);
	return true;
}

static enum outcome fetch_members(sb_iter *iter, struct node *node, sb_error *err)
{
	struct sb_backend *backend = iter->backend;
	bool is_last = iter->has_upper && iter->group == iter->last_group;
	bool added = true;
	enum outcome outcome;

	wire_command(&node->wire, 7);
	wire_text(&node->wire, "ZRANGEBYLEX");
	wire_key(backend, &node->wire, backend->token, iter->group, 'i', (sb_slice){0});
	if (iter->place_len)
		added = add_bound(&node->wire, iter->is_inside ? '(' : '[', iter->place, iter->place_len);
	else
		wire_text(&node->wire, "-");
	if (is_last)
		added = added && add_bound(&node->wire, '(', iter->upper, iter->upper_len);
	else
		wire_text(&node->wire, "+");
	wire_text(&node->wire, "LIMIT");
	wire_number(&node->wire, 0);
	wire_number(&node->wire, iter->page_entries);
	if (!added)
		return errors_no_memory(backend, err);
	outcome = nodes_send(backend, err);
	return outcome == DONE ? nodes_expect_texts(backend, node, &iter->members, err) : outcome;
}

static void ask_value(const sb_iter *iter, struct node *node, sb_slice member)
{
	wire_command(&node->wire, iter->expiries_only ? 4 : 2);
	wire_text(&node->wire, iter->expiries_only ? "GETRANGE" : "GET");
	wire_key(iter->backend, &node->wire, iter->backend->token, iter->group, 'k', member);
	if (!iter->expiries_only)
		return;
	wire_number(&node->wire, 0);
	wire_number(&node->wire, EXPIRY_BYTES - 1);
}

static sb_slice member_at(const sb_iter *iter, size_t i)
{
	return (sb_slice){(const uint8_t *)iter->members->element[i]->str, iter->members->element[i]->len};
}

static enum outcome fetch_values(sb_iter *iter, struct node *node, sb_error *err)
{
	struct sb_backend *backend = iter->backend;
	enum outcome outcome;

	for (size_t i = 0; i < iter->members->elements; i++)
		ask_value(iter, node, member_at(iter, i));
	read_untouch(backend);
	read_touch(backend, unit_of(backend, iter->group));
	outcome = read_ask_whether_whole(backend, err);
	if (outcome == DONE)
		outcome = nodes_send(backend, err);
	for (size_t i = 0; outcome == DONE && i < iter->members->elements; i++)
		outcome = nodes_expect(backend, node, REDIS_REPLY_STRING, true, &iter->values[i], err);
	return outcome == DONE ? read_check_whether_whole(backend, err) : outcome;
}

static enum outcome fetch_page(struct sb_backend *backend, void *arg, sb_error *err)
{
	sb_iter *iter = arg;
	struct node *node;
	enum outcome outcome = nodes_route(backend, backend->token, iter->group, &node, err);

	drop_page(iter);
	if (outcome == DONE)
		outcome = fetch_members(iter, node, err);
	if (outcome == DONE && iter->members->elements > PAGE_ENTRIES_MAX)
		outcome = errors_unexpected(backend, "more than was asked for", err);
	return outcome == DONE ? fetch_values(iter, node, err) : outcome;
}

/* ---------------------------------------------------------------------------
 * Moving on
 * ------------------------------------------------------------------------- */

static bool note_place(sb_iter *iter)
{
	sb_slice last = member_at(iter, iter->members->elements - 1);
	uint8_t *place;

	if (!copy(last.ptr, last.len, &place))
		return false;
	free(iter->place);
	iter->place = place;
	iter->place_len = last.len;
	iter->is_inside = true;
	return true;
}

static void next_group(sb_iter *iter)
{
	iter->is_inside = false;
	iter->place_len = 0;
	iter->ended = iter->group == iter->last_group;
	iter->group++;
}

static void adapt_page(sb_iter *iter)
{
	size_t bytes = 0;

	for (size_t i = 0; i < iter->members->elements; i++)
		bytes += iter->members->element[i]->len + (iter->values[i] ? iter->values[i]->len : 0);
	if (bytes < PAGE_BYTES_SMALL)
		iter->page_entries =
			2 * iter->page_entries < PAGE_ENTRIES_MAX ? 2 * iter->page_entries : PAGE_ENTRIES_MAX;
	else
		iter->page_entries = iter->page_entries / 4 + 1;
}

/* To a page with entries, or the end. */
static int32_t turn_page(sb_iter *iter, sb_error *err)
{
	drop_page(iter);
	while (!iter->ended) {
		int32_t status;

		if (!iter->backend->groups[iter->group].is_used) {
			next_group(iter);
			continue;
		}
		status = nodes_attempt(iter->backend, true, fetch_page, iter, err);
		if (status != SB_OK) {
			drop_page(iter); /* of which some is missing */
			return status;
		}
		if (iter->members->elements == 0) {
			next_group(iter);
			continue;
		}
		adapt_page(iter);
		if (note_place(iter))
			return SB_OK;
		errors_no_memory(iter->backend, err);
		return err->code;
	}
	drop_page(iter);
	return SB_OK;
}

/* False when there is no such entry any more. */
static bool is_there(const sb_iter *iter, const redisReply *value)
{
	return iter->expiries_only || value->type == REDIS_REPLY_STRING;
}

static int32_t take_entry(sb_iter *iter, uint32_t i, sb_entry *ret_entry, sb_error *err)
{
	sb_slice member = member_at(iter, i);
	const redisReply *value = iter->values[i];
	uint8_t *key = malloc(GROUP_BYTES + member.len);

	if (!key) {
		errors_no_memory(iter->backend, err);
		return err->code;
	}
	key[0] = (uint8_t)(iter->group >> 8);
	key[1] = (uint8_t)iter->group;
	memcpy(key + GROUP_BYTES, member.ptr, member.len);
	iter->keys[i] = key;
	*ret_entry = (sb_entry){.key = {key, GROUP_BYTES + member.len}, .expiry_ms = INT64_MIN};
	if (value->type != REDIS_REPLY_STRING || (iter->expiries_only && value->len == 0))
		return SB_OK;
	if (value->len < EXPIRY_BYTES) {
		errors_unexpected(iter->backend, "a value without an expiry", err);
		return err->code;
	}
	ret_entry->expiry_ms = expiry_load(value->str);
	ret_entry->value = (sb_slice){(const uint8_t *)value->str + EXPIRY_BYTES, value->len - EXPIRY_BYTES};
	return SB_OK;
}

int32_t iter_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err)
{
	uint64_t count = 0;

	do {
		if (!iter->members || iter->next == iter->members->elements) {
			int32_t status = turn_page(iter, err);

			if (status != SB_OK)
				return status;
		}
		for (; iter->members && iter->next < iter->members->elements && count < max; iter->next++) {
			int32_t status;

			if (!is_there(iter, iter->values[iter->next]))
				continue;
			status = take_entry(iter, iter->next, &entries[count], err);
			if (status != SB_OK)
				return status;
			count++;
		}
	} while (count == 0 && !(iter->ended && !iter->members));
	*ret_count = count;
	return SB_OK;
}
