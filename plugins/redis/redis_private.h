/* SPDX-License-Identifier: Apache-2.0
 *
 * What the files of the Redis backend share.
 *
 * What lies in Redis, for one instance, whose token is drawn anew each time it is opened:
 *
 *   NAMESPACE:{TOKEN.GGGG}k<key>   an entry of key group GGGG (hexadecimal): eight bytes of expiry, then the value
 *   NAMESPACE:{TOKEN.GGGG}i        the group's keys, a sorted set: order, ranges, each key once
 *   NAMESPACE:{TOKEN.GGGG}s        the number of the last batch that changed the unit
 *   NAMESPACE:{PLACE}lock          who owns the place, which is the instance's name and a hash of its directory
 *   NAMESPACE:{PLACE}old           tokens of former owners, whose keys are to be removed
 *   NAMESPACE:{PLACE}groups.TOKEN  which key groups have keys
 *
 * What is in braces decides where a cluster puts a key, so a group's keys lie together. A unit is what one transaction can
 * change: a group in a cluster, else everything.
 */
#ifndef REDIS_PRIVATE_H
#define REDIS_PRIVATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

#include "sb_plugin.h"

/* The order of the declaration. */
enum option {
	OPTION_HOST,
	OPTION_PORT,
	OPTION_SOCKET,
	OPTION_USERNAME,
	OPTION_PASSWORD,
	OPTION_DB,
	OPTION_NAMESPACE,
	OPTION_TIMEOUT,
	OPTION_RETRIES,
	OPTION_EXPIRY_MARGIN,
	OPTION_COUNT
};

extern const sb_option *const options_declared[OPTION_COUNT];

#define GROUP_COUNT 65536u
#define GROUP_BYTES 2u /* of a key, big-endian */
#define SLOT_COUNT 16384u
#define NODES_MAX 256u
#define TOKEN_CHARS 16u
#define NAMESPACE_BYTES_MAX 63u
#define PLACE_BYTES 160u
#define EXPIRY_BYTES 8u

/* How an attempt ended. err is filled in when not DONE. */
enum outcome {
	DONE,
	AGAIN, /* it may succeed later, and doing it twice is as doing it once */
	FAILED
};

/* Commands as the server reads them, ready to be sent. */
struct wire {
	uint8_t *bytes;
	size_t len, room;
	bool no_memory;
};

struct node {
	char *host; /* NULL: the unix socket */
	int port;
	redisContext *context; /* NULL: not connected */
	struct wire wire;
	bool is_new; /* connected, but nobody has looked yet whether the place is still ours */
};

struct group {
	bool is_used;
	bool is_touched; /* by the call at hand */
	uint64_t batch; /* of the unit: the last one that was applied */
};

struct counters {
	uint64_t gets, puts, deletes, purged;
	uint64_t round_trips, retries, connects;
};

struct sb_backend {
	const sb_host *host;
	const char *instance;
	const sb_option_value *options;
	char token[TOKEN_CHARS + 1];
	char place[PLACE_BYTES]; /* "NAMESPACE:{INSTANCE.HASH}" */
	bool is_cluster;
	bool owns_place;
	bool is_broken; /* what is in Redis is not what was written: nothing is answered any more */
	bool slots_known;
	struct node *nodes[NODES_MAX]; /* the first one as the options say */
	uint32_t node_count;
	uint16_t slots[SLOT_COUNT]; /* node of each slot */
	struct group groups[GROUP_COUNT];
	uint16_t touched[GROUP_COUNT]; /* groups with is_touched */
	uint32_t touched_count;
	int64_t native_earliest_ms; /* Redis drops no key of ours by itself before */
	struct counters counters;

	/* maintain.c */
	uint8_t *sweep_key;
	uint64_t sweep_len;
	int64_t earliest_ms;
	int64_t earliest_seen_ms;
};

static inline unsigned group_of(sb_slice key)
{
	return (unsigned)key.ptr[0] << 8 | key.ptr[1];
}

static inline unsigned unit_of(const struct sb_backend *backend, unsigned group)
{
	return backend->is_cluster ? group : 0;
}

static inline void expiry_store(uint8_t *to, int64_t expiry_ms)
{
	for (unsigned i = 0; i < EXPIRY_BYTES; i++)
		to[i] = (uint8_t)((uint64_t)expiry_ms >> (8 * i));
}

static inline int64_t expiry_load(const void *from)
{
	const uint8_t *bytes = from;
	uint64_t bits = 0;

	for (unsigned i = 0; i < EXPIRY_BYTES; i++)
		bits |= (uint64_t)bytes[i] << (8 * i);
	return (int64_t)bits;
}

/* errors.c */
int32_t errors_set(sb_error *err, int32_t code, const char *format, ...) __attribute__((format(printf, 3, 4)));
enum outcome errors_reply(const struct sb_backend *backend, const char *text, sb_error *err);
enum outcome errors_connection(const struct sb_backend *backend, const struct node *node, const redisContext *context,
			       sb_error *err);
enum outcome errors_unexpected(const struct sb_backend *backend, const char *what, sb_error *err);
enum outcome errors_no_memory(const struct sb_backend *backend, sb_error *err);
/* From now on every call fails. */
enum outcome errors_break(struct sb_backend *backend, const char *why, sb_error *err);

/* wire.c: a command is begun with the number of its arguments, which follow. */
void wire_command(struct wire *wire, unsigned arguments);
void wire_text(struct wire *wire, const char *text);
void wire_bytes(struct wire *wire, sb_slice bytes);
void wire_number(struct wire *wire, int64_t number);
void wire_value(struct wire *wire, int64_t expiry_ms, sb_slice value);
/* kind is 'k', 'i' or 's'; member is empty but for 'k'. */
void wire_key(const struct sb_backend *backend, struct wire *wire, const char *token, unsigned group, char kind,
	      sb_slice member);
/* A key of the place, and what is appended to it. */
void wire_place(const struct sb_backend *backend, struct wire *wire, const char *name, const char *suffix);
void wire_done(struct wire *wire);

/* nodes.c */
enum outcome nodes_open(struct sb_backend *backend, sb_error *err);
void nodes_close(struct sb_backend *backend);
/* The connected node of a group of that token. */
enum outcome nodes_route(struct sb_backend *backend, const char *token, unsigned group, struct node **ret_node,
			 sb_error *err);
enum outcome nodes_of_place(struct sb_backend *backend, struct node **ret_node, sb_error *err);
/* Sends what all wires hold. */
enum outcome nodes_send(struct sb_backend *backend, sb_error *err);
/* The next reply, also when it is an error; to be freed. */
enum outcome nodes_take(struct sb_backend *backend, struct node *node, redisReply **ret_reply, sb_error *err);
/* The next reply, of that type (or nil, if may_be_nil). */
enum outcome nodes_expect(struct sb_backend *backend, struct node *node, int type, bool may_be_nil,
			  redisReply **ret_reply, sb_error *err);
/* The next reply, an array of strings. */
enum outcome nodes_expect_texts(struct sb_backend *backend, struct node *node, redisReply **ret_reply, sb_error *err);
/* The next reply, whatever it is, but for an error. */
enum outcome nodes_skip(struct sb_backend *backend, struct node *node, sb_error *err);
/* Asks a node for its cluster's slots when they are needed again. */
void nodes_forget_slots(struct sb_backend *backend);
/* After a failed attempt: whoever still owes replies is disconnected. */
void nodes_reset(struct sb_backend *backend);

typedef enum outcome (*attempt_fn)(struct sb_backend *backend, void *arg, sb_error *err);
/* Attempts, pauses, attempts again, as often as the options say; holds the place each time if asked to. */
int32_t nodes_attempt(struct sb_backend *backend, bool hold_place, attempt_fn attempt, void *arg, sb_error *err);

/* lock.c */
enum outcome lock_hold(struct sb_backend *backend, sb_error *err);
enum outcome lock_register_groups(struct sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err);
enum outcome lock_remove_old(struct sb_backend *backend, void *unused, sb_error *err);
enum outcome lock_release(struct sb_backend *backend, void *unused, sb_error *err);

/* read.c */
void read_touch(struct sb_backend *backend, unsigned unit);
void read_untouch(struct sb_backend *backend);
/* Behind reads, before they are sent: asks each touched unit for its batch, and each node for the time. */
enum outcome read_ask_whether_whole(struct sb_backend *backend, sb_error *err);
enum outcome read_check_whether_whole(struct sb_backend *backend, sb_error *err);
enum outcome read_check_batch(struct sb_backend *backend, unsigned unit, const redisReply *reply, bool may_be_next,
			      sb_error *err);
enum outcome read_server_time(struct sb_backend *backend, struct node *node, int64_t *ret_ms, sb_error *err);
int32_t read_multi_get(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_pin *pins, sb_error *err);
void read_unpin(sb_backend *backend, uint64_t n, sb_pin *pins);

/* write.c */
int32_t write_batch(sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err);

/* iter.c */
int32_t iter_open(sb_backend *backend, const sb_iter_options *options, sb_iter **ret_iter, sb_error *err);
int32_t iter_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err);
void iter_close(sb_iter *iter);
/* Values are not fetched; a key that Redis dropped comes with the expiry INT64_MIN. */
void iter_want_expiries_only(sb_iter *iter);

/* maintain.c */
int32_t maintain_run(sb_backend *backend, uint64_t budget, uint64_t *ret_purged, sb_error *err);
void maintain_saw_put(struct sb_backend *backend, int64_t expiry_ms);
int32_t maintain_stats(sb_backend *backend, uint64_t capacity, sb_stat *stats, uint64_t *ret_count, sb_error *err);

/* backend.c */
int32_t backend_open(const sb_backend_config *config, sb_backend **ret_backend, sb_error *err);
void backend_close(sb_backend *backend);

#endif /* REDIS_PRIVATE_H */
