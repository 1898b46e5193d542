/* libFuzzer on the ABI: one sequence of operations for two backends, memory and LMDB (another hash, another tree, another language of
 * errors), and the same answers from both. Three bytes are an operation; the keys are few, so that they meet. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/slice.h"
#include "io/io.h"
#include "plugin/instance.h"
#include "plugin/options.h"
#include "plugin/plugin.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define KEYS 64u
#define BATCH_MAX 16u

struct side {
	struct plugin *plugin;
	const struct component *component;
	struct option_set options;
	struct instance *instance;
	const char *dir;
};

static struct io io;
static struct clock clock_;
static struct log log_ = {.fd = -1};
static _Atomic int64_t horizon_ms = INT64_MIN;
static struct side sides[2] = {{.dir = "./fuzz_abi.memory"}, {.dir = "./fuzz_abi.lmdb"}};

static void must(int32_t status)
{
	if (status != SB_OK)
		abort();
}

static void load(struct side *side, const char *name)
{
	sb_error err = ERROR_INIT;

	must(plugin_load(&io, name, SB_PLUGIN_DIR, &side->plugin, &err));
	must(plugin_find_component(side->plugin, SB_KIND_BACKEND, &side->component, &err));
	must(option_set_parse(side->component, "--opt", NULL, 0, &side->options, &err));
}

static void open_side(struct side *side)
{
	const struct plugin_env env = {.log = &log_, .clock = &clock_, .horizon_ms = &horizon_ms};
	sb_error err = ERROR_INIT;

	must(io_mkdir_p(&io, side->dir, &err));
	must(instance_open_backend(side->component, "backend-0", side->dir, 0, &side->options, &env, &side->instance,
				   &err));
}

static void close_side(struct side *side)
{
	sb_error err = ERROR_INIT;

	instance_close(side->instance);
	must(io_remove_tree(&io, side->dir, &err));
}

static sb_slice key_of(uint8_t number, uint8_t bytes[8])
{
	const uint8_t key[8] = {0, (uint8_t)(number % 4), 0, 1, (uint8_t)(number % KEYS), 0, 0xff, number};

	memcpy(bytes, key, 8);
	return slice_of(bytes, 5u + number % 4);
}

struct batch {
	uint8_t keys[BATCH_MAX][8];
	uint8_t values[BATCH_MAX][300];
	sb_op ops[BATCH_MAX];
	uint64_t count;
};

static void add(struct batch *batch, const uint8_t operation[3])
{
	sb_op *op = &batch->ops[batch->count];
	uint8_t *value = batch->values[batch->count];

	memset(value, operation[2], sizeof(batch->values[0]));
	*op = (sb_op){.key = key_of(operation[1], batch->keys[batch->count]),
		      .value = slice_of(value, operation[2]),
		      .expiry_ms = operation[2] & 1 ? operation[2] : SB_NO_EXPIRY,
		      .kind = operation[0] & 1 ? SB_OP_PUT : SB_OP_DELETE};
	batch->count++;
}

static void write_both(struct batch *batch)
{
	sb_error err = ERROR_INIT;

	for (int i = 0; i < 2; i++) {
		const sb_backend_ops *ops = &sides[i].component->backend;

		must(ops->write_batch(sides[i].instance->backend, batch->count, batch->ops, &err));
	}
	batch->count = 0;
}

static void compare_pins(const sb_pin *a, const sb_pin *b)
{
	if (a->found != b->found || a->expiry_ms != b->expiry_ms || !slice_equal(a->value, b->value))
		abort();
}

static void read_both(uint8_t number)
{
	uint8_t bytes[2][8];
	const sb_slice keys[] = {key_of(number, bytes[0]), key_of((uint8_t)(number * 7), bytes[1])};
	sb_pin pins[2][2];
	sb_error err = ERROR_INIT;

	for (int i = 0; i < 2; i++)
		must(sides[i].component->backend.multi_get(sides[i].instance->backend, 2, keys, pins[i], &err));
	compare_pins(&pins[0][0], &pins[1][0]);
	compare_pins(&pins[0][1], &pins[1][1]);
	for (int i = 0; i < 2; i++)
		sides[i].component->backend.unpin(sides[i].instance->backend, 2, pins[i]);
}

/* A digest that does not care for the order, since only one of the two has one. */
static uint64_t sum_of(const struct side *side, const sb_iter_options *range, struct batch *batch)
{
	const sb_backend_ops *ops = &side->component->backend;
	sb_error err = ERROR_INIT;
	sb_entry entries[7];
	uint64_t sum = 0, n;
	sb_iter *iter;

	must(ops->iter_open(side->instance->backend, range, &iter, &err));
	if (batch && batch->count) /* what comes after is not in it */
		must(ops->write_batch(side->instance->backend, batch->count, batch->ops, &err));
	do {
		must(ops->iter_next(iter, 7, entries, &n, &err));
		for (uint64_t i = 0; i < n; i++) {
			uint64_t hash = UINT64_C(0xcbf29ce484222325);

			for (uint64_t at = 0; at < entries[i].key.len; at++)
				hash = (hash ^ entries[i].key.ptr[at]) * UINT64_C(0x100000001b3);
			for (uint64_t at = 0; at < entries[i].value.len; at++)
				hash = (hash ^ entries[i].value.ptr[at]) * UINT64_C(0x100000001b3);
			sum += hash ^ (uint64_t)entries[i].expiry_ms;
		}
	} while (n);
	ops->iter_close(iter);
	return sum;
}

static void walk_both(const uint8_t operation[3], struct batch *batch)
{
	const uint8_t lower[] = {0, (uint8_t)(operation[1] % 4)}, upper[] = {0, (uint8_t)(operation[2] % 5)};
	const sb_iter_options range = {.struct_size = sizeof(range),
				       .flags = operation[0] & 8 ? SB_ITER_SHORT : 0,
				       .lower = slice_of(lower, operation[1] & 128 ? 2 : 0),
				       .upper = slice_of(upper, operation[2] & 128 ? 2 : 0)};

	if (sum_of(&sides[0], &range, batch) != sum_of(&sides[1], &range, batch))
		abort();
	batch->count = 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct batch batch;
	const uint8_t all[] = {0, 0, 0};

	if (!sides[0].plugin) {
		umask(077);
		io_init_system(&io);
		clock_init_system(&clock_);
		load(&sides[0], "memory");
		load(&sides[1], "lmdb");
	}
	batch.count = 0;
	for (int i = 0; i < 2; i++)
		open_side(&sides[i]);
	for (; size >= 3; size -= 3, data += 3) {
		switch (data[0] >> 5) {
		case 0:
			walk_both(data, &batch);
			break;
		case 1:
			read_both(data[1]);
			break;
		case 2:
			write_both(&batch);
			break;
		default:
			add(&batch, data);
			if (batch.count == BATCH_MAX)
				write_both(&batch);
		}
	}
	walk_both(all, &batch);
	for (int i = 0; i < 2; i++)
		close_side(&sides[i]);
	return 0;
}
