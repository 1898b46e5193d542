/* A storm of random operations: see storm.h.
 *
 * Keys come from a pool, so that they are overwritten, deleted and written anew; many of them
 * begin alike. Pins and iterators are held across writes, several at once, and the horizon
 * moves on, so that entries are purged while somebody looks at them. */
#include "kit/storm.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_write.h"
#include "base/slice.h"
#include "kit/iter_check.h"
#include "plugin/extensions.h"

#define BATCH_MAX 64
#define HELD_MAX 8
#define ITERS_MAX 4

struct held_pins {
	sb_pin pins[BATCH_MAX];
	uint8_t *copies[BATCH_MAX];
	uint64_t count;
};

struct storm {
	struct subject *s;
	struct rng own; /* of the step at hand */
	struct rng *rng; /* the same */
	uint64_t seed;
	uint32_t steps; /* so far */
	uint32_t batch_max;
	bool trace;
	sb_slice *keys; /* the pool; owned */
	size_t key_count;
	uint8_t *noise; /* values are pieces of it */
	size_t noise_bytes;
	struct held_pins held[HELD_MAX];
	struct iter_check *iters[ITERS_MAX];
};

/* Short alphabets make keys that begin alike and zero bytes where they hurt. */
static sb_slice new_key(const struct subject *s, struct rng *rng)
{
	static const uint8_t alphabet[] = {0x00, 0x01, 0xFF, 'a'};
	size_t len = 4 + (rng_chance(rng, 95) ? rng_below(rng, 24) : rng_below(rng, 3000));
	uint8_t *key = malloc(len);

	CHECK(s, key, "out of memory");
	rng_bytes(rng, key, len);
	if (rng_chance(rng, 50))
		for (size_t i = 4; i < len; i++)
			key[i] = alphabet[key[i] & 3];
	key[0] = 0;
	key[1] = (uint8_t)rng_below(rng, 4);
	key[2] = 0;
	key[3] = (uint8_t)rng_below(rng, 3);
	return slice_of(key, len);
}

struct storm *storm_new(struct subject *s, size_t key_count, size_t value_bytes_max)
{
	struct storm *storm = calloc(1, sizeof(*storm));

	CHECK(s, storm, "out of memory");
	storm->s = s;
	storm->seed = rng_next(&s->rng);
	storm->batch_max = BATCH_MAX;
	storm->rng = &storm->own;
	rng_init(storm->rng, storm->seed);
	storm->key_count = key_count;
	storm->keys = calloc(key_count, sizeof(storm->keys[0]));
	storm->noise_bytes = 2 * value_bytes_max;
	storm->noise = malloc(storm->noise_bytes);
	CHECK(s, storm->keys && storm->noise, "out of memory");
	for (size_t i = 0; i < key_count; i++)
		storm->keys[i] = new_key(s, storm->rng);
	rng_bytes(storm->rng, storm->noise, storm->noise_bytes);
	return storm;
}

/* A line of what a step does, when somebody wants to know. Keys as they are typed and printed elsewhere. */
static void tell(struct storm *storm, const char *what, sb_slice key, sb_slice value, int64_t expiry_ms)
{
	struct buffer text = BUFFER_INIT;

	if (!storm->trace)
		return;
	json_append_escaped_bytes(&text, slice_of(key.ptr, key.len < 40 ? key.len : 40));
	witness_trace(storm->s->trial->witness, "%s %s%s", what, buffer_text(&text) ? buffer_text(&text) : "?",
		      key.len > 40 ? "..." : "");
	if (value.ptr)
		witness_trace(storm->s->trial->witness, " (%" PRIu64 " bytes, expiry %" PRId64 ")", value.len,
			      expiry_ms);
	witness_trace(storm->s->trial->witness, "\n");
	buffer_done(&text);
}

static void tell_step(struct storm *storm, const char *what)
{
	if (storm->trace)
		witness_trace(storm->s->trial->witness, "%s\n", what);
}

static sb_slice any_key(struct storm *storm)
{
	/* Half of the time one of a few. */
	size_t among = rng_chance(storm->rng, 50) ? storm->key_count / 16 + 1 : storm->key_count;

	return storm->keys[rng_below(storm->rng, among)];
}

static sb_slice any_value(struct storm *storm)
{
	struct rng *rng = storm->rng;
	size_t most = storm->noise_bytes / 2;
	size_t len;

	switch (rng_below(rng, 20)) {
	case 0:
		len = 0;
		break;
	case 1:
		len = rng_below(rng, most + 1);
		break;
	case 2:
	case 3:
		len = rng_below(rng, 4096);
		break;
	case 4:
	case 5:
	case 6:
	case 7:
		len = 80; /* overwrites of equal length may be done in place */
		break;
	default:
		len = rng_below(rng, 200);
	}
	if (len > most)
		len = most;
	return slice_of(storm->noise + rng_below(rng, most), len);
}

static int64_t any_expiry(struct storm *storm)
{
	switch (rng_below(storm->rng, 10)) {
	case 0:
	case 1:
	case 2:
	case 3:
		return SB_NO_EXPIRY;
	case 4:
		return 1 + (int64_t)rng_below(storm->rng, 1000); /* long gone */
	default:
		return START_MS + (int64_t)rng_below(storm->rng, 100000);
	}
}

void storm_write(struct storm *storm)
{
	sb_op ops[BATCH_MAX];
	uint64_t n = 1 + rng_below(storm->rng, storm->batch_max);

	for (uint64_t i = 0; i < n; i++) {
		if (rng_chance(storm->rng, 25))
			ops[i] = op_delete(any_key(storm));
		else
			ops[i] = op_put(any_key(storm), any_value(storm), any_expiry(storm));
		tell(storm, ops[i].kind == SB_OP_PUT ? "put" : "delete", ops[i].key, ops[i].value, ops[i].expiry_ms);
	}
	if (component_inplace(storm->s->component) && rng_chance(storm->rng, 50))
		subject_write_in_place(storm->s, n, ops, NULL);
	else
		subject_write(storm->s, n, ops);
}

void storm_read(struct storm *storm)
{
	sb_slice keys[BATCH_MAX];
	sb_pin pins[BATCH_MAX];
	uint64_t n = rng_below(storm->rng, storm->batch_max + 1);

	for (uint64_t i = 0; i < n; i++) {
		keys[i] = any_key(storm);
		tell(storm, "get", keys[i], slice_of(NULL, 0), 0);
	}
	subject_get(storm->s, n, keys, pins);
	subject_unpin(storm->s, n, pins);
}

static void check_and_release(struct storm *storm, struct held_pins *held)
{
	for (uint64_t i = 0; i < held->count; i++) {
		CHECK(storm->s, slice_equal(held->pins[i].value, slice_of(held->copies[i], held->pins[i].value.len)),
		      "the bytes of a pin changed while it was held");
		free(held->copies[i]);
	}
	subject_unpin(storm->s, held->count, held->pins);
	held->count = 0;
}

/* Takes pins and keeps them, or lets go of those taken earlier. */
static void hold_or_release(struct storm *storm)
{
	struct held_pins *held = &storm->held[rng_below(storm->rng, HELD_MAX)];
	sb_slice keys[BATCH_MAX];
	uint64_t n = 1 + rng_below(storm->rng, storm->batch_max);

	if (held->count) {
		tell_step(storm, "release the pins that were held");
		check_and_release(storm, held);
		return;
	}
	for (uint64_t i = 0; i < n; i++) {
		keys[i] = any_key(storm);
		tell(storm, "get and hold", keys[i], slice_of(NULL, 0), 0);
	}
	subject_get(storm->s, n, keys, held->pins);
	for (uint64_t i = 0; i < n; i++) {
		sb_slice value = held->pins[i].value;

		held->copies[i] = malloc(value.len + 1);
		CHECK(storm->s, held->copies[i], "out of memory");
		if (value.len)
			memcpy(held->copies[i], value.ptr, value.len);
	}
	held->count = n;
}

static sb_slice any_bound(struct storm *storm)
{
	sb_slice key = any_key(storm);

	switch (rng_below(storm->rng, 4)) {
	case 0:
		return slice_of(NULL, 0);
	case 1:
		return slice_of(key.ptr, 2); /* a key group */
	case 2:
		return slice_of(key.ptr, 4); /* a state */
	default:
		return key;
	}
}

/* Opens an iterator, or reads on in one. */
static void iterate(struct storm *storm)
{
	struct iter_check **slot = &storm->iters[rng_below(storm->rng, ITERS_MAX)];
	uint64_t most = 1 + rng_below(storm->rng, ITER_CHECK_STEP_MAX);
	bool more;

	tell_step(storm, *slot ? "read on in an iterator" : "open an iterator and read from it");
	if (!*slot) {
		sb_slice lower = any_bound(storm), upper = any_bound(storm);

		if (lower.len && upper.len && slice_compare(lower, upper) > 0) {
			sb_slice swap = lower;

			lower = upper;
			upper = swap;
		}
		*slot = malloc(sizeof(**slot));
		CHECK(storm->s, *slot, "out of memory");
		iter_check_open(*slot, storm->s, lower, upper);
	}
	do {
		more = iter_check_step(*slot, most);
	} while (more && !subject_is_stable(storm->s));
	if (!more || rng_chance(storm->rng, 2)) {
		iter_check_close(*slot);
		free(*slot);
		*slot = NULL;
	}
}

static void maintain(struct storm *storm)
{
	struct subject *s = storm->s;
	int64_t horizon = atomic_load(&s->horizon_ms);

	tell_step(storm, "upkeep");
	if (rng_chance(storm->rng, 30))
		subject_set_horizon(s,
				    (horizon < START_MS ? START_MS : horizon) + (int64_t)rng_below(storm->rng, 2000));
	s->clock.now_ns += (int64_t)rng_below(storm->rng, 3000000000);
	subject_maintain(s);
}

static void step(struct storm *storm, uint32_t number)
{
	uint64_t dice;

	rng_init(storm->rng, storm->seed + UINT64_C(0xD1B54A32D192ED03) * (number + 1));
	dice = rng_below(storm->rng, 100);
	if (dice < 40)
		storm_write(storm);
	else if (dice < 65)
		storm_read(storm);
	else if (dice < 80)
		hold_or_release(storm);
	else if (dice < 98)
		iterate(storm);
	else
		maintain(storm);
}

void storm_run(struct storm *storm, uint32_t steps)
{
	while (steps-- > 0)
		step(storm, storm->steps++);
}

void storm_run_plan(struct storm *storm, const struct plan *plan, uint32_t steps)
{
	const uint32_t count = plan->given ? plan->step_count : steps;
	struct witness *witness = storm->s->trial->witness;

	if (plan->given && plan->batch)
		storm->batch_max = plan->batch;
	storm->trace = plan->trace;
	for (uint32_t i = 0; i < count; i++) {
		witness->step = plan->given ? plan->steps[i] : i;
		step(storm, witness->step);
	}
}

void storm_free(struct storm *storm)
{
	for (unsigned i = 0; i < HELD_MAX; i++)
		check_and_release(storm, &storm->held[i]);
	for (unsigned i = 0; i < ITERS_MAX; i++) {
		if (storm->iters[i]) {
			iter_check_close(storm->iters[i]);
			free(storm->iters[i]);
		}
	}
	for (size_t i = 0; i < storm->key_count; i++)
		free((void *)storm->keys[i].ptr);
	free(storm->keys);
	free(storm->noise);
	free(storm);
}
