/* The ABI's promises about growth: a plugin works under a host that is newer than itself, and under one that has nothing to
 * offer. The subject's own instance is closed meanwhile, since some plugins can have only one. */
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/slice.h"
#include "kit/iter_check.h"
#include "kit/other_host.h"
#include "kit/subject.h"

/* Structs of a later minor version: ours, and members behind it that no plugin of 1.0 can know. */
struct later_config {
	sb_backend_config known;
	uint64_t later[8];
};

struct later_iter_options {
	sb_iter_options known;
	uint64_t later[8];
};

struct later_error {
	sb_error known;
	uint64_t later[8];
};

/* Who has asked for an extension that these hosts lack, and cannot do without, says so: the ABI's other way out. */
static void open_under(struct subject *s, const struct other_host *host, uint32_t config_size, sb_error *err)
{
	struct later_config config = {
		.known = {.struct_size = config_size,
			  .host = &host->known,
			  .instance = "backend-0",
			  .dir = s->instance_dir,
			  .options = s->options.values,
			  .option_count = s->options.count},
	};
	sb_error made = ERROR_INIT;
	int32_t status;

	snprintf(s->instance_dir, sizeof(s->instance_dir), "%.3900s/instance-%u", s->dir, s->opened++);
	if (io_mkdir_p(&s->io, s->instance_dir, &made) != SB_OK)
		FAIL(s, "%s", made.message);
	memset(config.later, 0xDB, sizeof(config.later));
	status = SUBJECT_CALL(s, open, &config.known, &s->backend, err);
	if (status == SB_ERR_UNSUPPORTED && err->message[0] && atomic_load(&host->withheld))
		trial_skip(s->trial, "it needs an extension of its host: %s", err->message);
	CHECK(s, status == SB_OK, "open: status %d, %s", status, err->message);
}

static void close_by_hand(struct subject *s)
{
	sb_error err = ERROR_INIT;

	SUBJECT_CALL_VOID(s, close, s->backend);
	s->backend = NULL;
	if (io_remove_tree(&s->io, s->instance_dir, &err) != SB_OK)
		FAIL(s, "%s", err.message);
}

static void write_some(struct subject *s, unsigned count)
{
	uint8_t key[64];

	for (unsigned i = 0; i < count; i++)
		subject_put(s, key_of_number(key, i % 5, i), slice_of(&i, sizeof(i)),
			    i % 3 ? SB_NO_EXPIRY : START_MS + i);
}

/* Every callback that takes a struct is given a longer one. */
static void use_with_later_structs(struct subject *s, sb_error *err)
{
	struct later_iter_options options = {.known = {.struct_size = sizeof(options)}};
	uint8_t bytes[64];
	sb_slice key = key_of_number(bytes, 0, 0);
	sb_op op = op_put(key, slice_of_text("value"), SB_NO_EXPIRY);
	sb_entry entry;
	uint64_t count;
	sb_iter *iter;
	sb_pin pin;

	memset(options.later, 0xDB, sizeof(options.later));
	CHECK(s, SUBJECT_CALL(s, write_batch, s->backend, 1, &op, err) == SB_OK, "write_batch: %s", err->message);
	model_apply(&s->model, 1, &op);
	CHECK(s, SUBJECT_CALL(s, multi_get, s->backend, 1, &key, &pin, err) == SB_OK, "multi_get: %s", err->message);
	CHECK(s, pin.found == 1, "what was written is not found");
	SUBJECT_CALL_VOID(s, unpin, s->backend, 1, &pin);
	CHECK(s, SUBJECT_CALL(s, iter_open, s->backend, &options.known, &iter, err) == SB_OK, "iter_open: %s",
	      err->message);
	CHECK(s, SUBJECT_CALL(s, iter_next, iter, 1, &entry, &count, err) == SB_OK, "iter_next: %s", err->message);
	CHECK(s, count == 1, "an iterator over what was written returned nothing");
	SUBJECT_CALL_VOID(s, iter_close, iter);
}

void case_a_newer_host_is_fine(struct subject *s)
{
	struct later_error err = {.known = {.struct_size = sizeof(err)}};
	struct other_host host;

	memset(err.later, 0xDB, sizeof(err.later));
	subject_close(s);
	other_host_init(&host, true, s->trial->seed);
	open_under(s, &host, sizeof(struct later_config), &err.known);
	use_with_later_structs(s, &err.known);
	write_some(s, 200);
	subject_check_all(s);
	close_by_hand(s);
	for (unsigned i = 0; i < sizeof(err.later) / sizeof(err.later[0]); i++)
		CHECK(s, err.later[i] == UINT64_C(0xDBDBDBDBDBDBDBDB), "it wrote beyond the sb_error that it knows");
	model_clear(&s->model);
	subject_open(s);
}

void case_a_host_that_offers_nothing_is_enough(struct subject *s)
{
	subject_close(s);
	for (unsigned round = 0; round < 8; round++) {
		sb_error err = ERROR_INIT;
		struct other_host host;

		other_host_init(&host, false, rng_next(&s->rng));
		open_under(s, &host, sizeof(sb_backend_config), &err);
		write_some(s, 100);
		subject_maintain(s);
		subject_check_all(s);
		close_by_hand(s);
		model_clear(&s->model);
	}
	subject_open(s);
}

void case_unknown_extensions_are_absent(struct subject *s)
{
	static const char *const ids[] = {"sb.nothing/1", "sb.files/99", "sb.delta/99", "sb.files", "x", ""};

	if (!s->ops->extension)
		return;
	for (unsigned i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
		const unsigned slot = witness_enter(s->trial->witness, "extension");
		const void *table = s->ops->extension(ids[i]);

		witness_leave(s->trial->witness, slot);
		CHECK(s, !table, "it answers to the extension \"%s\", which nobody has defined", ids[i]);
	}
}
