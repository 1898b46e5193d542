/* A backend that is right, but for one lie at a time, told by this test in the place of one of its functions: the kit's rule that looks there says what is
 * wrong. The zoo has one broken plugin for each rule; a rule looks at more than one thing.
 *
 * Each lie is told in a process of its own, which a verdict ends. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/error.h"
#include "base/slice.h"
#include "conformance/profiles.h"
#include "kit/rules.h"
#include "kit/write_in_place.h"
#include "plugin/extensions.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define BACKEND SB_BUILD_DIR "/tests/zoo/libgood.so"

/* A lie cares for nothing that it is asked. */
#pragma GCC diagnostic ignored "-Wunused-parameter"

/* What is told instead. */
static struct component lying;
static sb_delta_ops lying_delta;
static sb_files_ops lying_files;
static sb_inplace_ops lying_inplace;
/* What is true. */
static const struct component *honest;
static const sb_delta_ops *delta;
static const sb_files_ops *files;
static const sb_inplace_ops *inplace;

static int32_t refuse(sb_error *err)
{
	return error_set(err, SB_ERR_IO, "this is the lie of a test");
}

/* --- reading and writing ------------------------------------------------------------- */

static int variant; /* of a lie that comes in several */

static int32_t absent_pin(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_pin *pins, sb_error *err)
{
	int32_t status = honest->backend.multi_get(backend, n, keys, pins, err);

	for (uint64_t i = 0; i < n; i++) {
		if (pins[i].found)
			continue;
		if (variant == 0)
			pins[i].value.ptr = keys[i].ptr;
		else if (variant == 1)
			pins[i].value.len = 1;
		else if (variant == 2)
			pins[i].expiry_ms = 1;
		else
			pins[i].owner = pins;
	}
	return status;
}

static int32_t found_twice(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_pin *pins, sb_error *err)
{
	int32_t status = honest->backend.multi_get(backend, n, keys, pins, err);

	for (uint64_t i = 0; i < n; i++)
		pins[i].found *= 2;
	return status;
}

static int32_t failing_get(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_pin *pins, sb_error *err)
{
	return n ? refuse(err) : SB_OK;
}

static int32_t failing_write(sb_backend *backend, uint64_t n, const sb_op *ops, sb_error *err)
{
	return n ? refuse(err) : SB_OK;
}

static int32_t failing_maintain(sb_backend *backend, uint64_t budget, uint64_t *ret_purged, sb_error *err)
{
	return refuse(err);
}

static int32_t boasting_maintain(sb_backend *backend, uint64_t budget, uint64_t *ret_purged, sb_error *err)
{
	int32_t status = honest->backend.maintain(backend, budget, ret_purged, err);

	*ret_purged *= 3;
	return status;
}

/* --- iterators ------------------------------------------------------------------------ */

static int32_t failing_open(sb_backend *backend, const sb_iter_options *options, sb_iter **ret_iter, sb_error *err)
{
	return refuse(err);
}

static int32_t failing_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err)
{
	return refuse(err);
}

static int32_t generous_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err)
{
	int32_t status = honest->backend.iter_next(iter, max, entries, ret_count, err);

	*ret_count = max + 1;
	return status;
}

static int32_t unordered_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err)
{
	int32_t status = honest->backend.iter_next(iter, max, entries, ret_count, err);

	if (*ret_count > 1) {
		const sb_entry first = entries[0];

		entries[0] = entries[1];
		entries[1] = first;
	}
	return status;
}

static int32_t silent_next(sb_iter *iter, uint64_t max, sb_entry *entries, uint64_t *ret_count, sb_error *err)
{
	*ret_count = 0;
	return SB_OK;
}

/* --- figures -------------------------------------------------------------------------- */

static int32_t strange_figures(sb_backend *backend, uint64_t capacity, sb_stat *stats, uint64_t *ret_count,
			       sb_error *err)
{
	static const sb_stat right = {.name = "entries", .unit = "", .kind = SB_METRIC_GAUGE};
	static unsigned asked;
	sb_stat all[2] = {right, right};

	*ret_count = 2;
	asked++;
	all[1].name = "marks";
	switch (variant) {
	case 0:
		all[1].name = NULL;
		break;
	case 1:
		all[1].name = "";
		break;
	case 2:
		all[1].name = "Marks";
		break;
	case 3:
		all[1].unit = NULL;
		break;
	case 4:
		all[1].value = NAN;
		break;
	case 5:
		all[1].kind = 9;
		break;
	case 6:
		all[1].name = "entries";
		break;
	case 7:
		*ret_count = 1000;
		break;
	case 8:
		*ret_count = asked > 1 ? 1 : 2;
		break;
	case 9:
		if (asked == 2)
			stats[2] = right;
		break;
	case 10:
		return refuse(err);
	case 11:
		return asked > 1 ? refuse(err) : SB_OK;
	case 12:
		if (asked > 2)
			return refuse(err);
		break;
	default:
		*ret_count = asked > 2 ? 1 : 2;
	}
	for (uint64_t i = 0; i < 2 && i < capacity; i++)
		stats[i] = all[i];
	return SB_OK;
}

/* --- extensions ----------------------------------------------------------------------- */

static int32_t failing_mark(sb_backend *backend, uint64_t *ret_mark, sb_error *err)
{
	return refuse(err);
}

static int32_t same_mark(sb_backend *backend, uint64_t *ret_mark, sb_error *err)
{
	static uint64_t first;
	int32_t status = delta->mark(backend, ret_mark, err);

	first = first ? first : *ret_mark;
	*ret_mark = first;
	return status;
}

static int32_t failing_changes(sb_backend *backend, uint64_t since, sb_changes **ret_changes, sb_error *err)
{
	return refuse(err);
}

static int32_t failing_changes_next(sb_changes *changes, uint64_t max, sb_op *ops, uint64_t *ret_count, sb_error *err)
{
	return refuse(err);
}

static int32_t failing_create(sb_backend *backend, const char *dir, sb_error *err)
{
	return refuse(err);
}

static int32_t empty_create(sb_backend *backend, const char *dir, sb_error *err)
{
	return mkdir(dir, 0700) == 0 ? SB_OK : refuse(err);
}

static int32_t perhaps_immutable(const char *name)
{
	return 2;
}

static int32_t strange_find(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_place *places, sb_error *err)
{
	int32_t status = inplace->find(backend, n, keys, places, err);

	if (variant == 0)
		return refuse(err);
	for (uint64_t i = 0; i < n; i++) {
		const bool found = places[i].flags & SB_PLACE_FOUND;

		if (variant == 1)
			places[i].kind = SB_OP_PUT;
		else if (variant == 2 && !found)
			places[i].value = (uint8_t *)places;
		else if (variant == 3 && !found)
			places[i].value_len = 4;
		else if (variant == 4 && !found)
			places[i].expiry_ms = 4;
		else if (variant == 5 && !found)
			places[i].flags = SB_PLACE_WRITABLE;
		else if (variant == 6 && found)
			places[i].value++;
	}
	return status;
}

static int32_t strange_write(sb_backend *backend, sb_slice key, uint64_t value_len, sb_place *place, sb_error *err)
{
	const bool found = place->flags & SB_PLACE_FOUND;
	int32_t status = inplace->write(backend, key, value_len, place, err);

	switch (variant) {
	case 0:
		return refuse(err);
	case 1:
		place->flags = SB_PLACE_FOUND;
		break;
	case 2:
		place->value_len++;
		break;
	case 3:
		place->value += 8;
		break;
	default:
		if (found && value_len)
			place->value[0] ^= 1;
	}
	return status;
}

static int32_t failing_finish(sb_backend *backend, uint64_t n, const sb_slice *keys, sb_place *places, sb_error *err)
{
	return n ? refuse(err) : SB_OK;
}

static const void *lying_extension(const char *id)
{
	if (strcmp(id, SB_EXT_DELTA) == 0)
		return &lying_delta;
	if (strcmp(id, SB_EXT_FILES) == 0)
		return &lying_files;
	if (strcmp(id, SB_EXT_INPLACE) == 0)
		return &lying_inplace;
	return NULL;
}

/* --- telling them --------------------------------------------------------------------- */

#define LIE(rule, slot, function, variant, says)                                                                       \
	{                                                                                                              \
		rule, (void (**)(void)) & (slot), (void (*)(void))(function), variant, says                            \
	}
#define FIGURES "life.figures_have_names_and_fit_the_room"
#define ABSENT "values.absent_keys_are_not_found"
#define IN_PLACE "inplace.changes_in_place_are_what_is_read"
#define DELTA "checkpoints.changes_lead_from_a_mark_to_the_moment"
#define FILES "checkpoints.files_hold_what_was_there"
#define PURGE "expiry.purge_takes_only_what_is_at_or_below_the_horizon"
#define BOUNDS "iterators.iterator_bounds_are_half_open"
#define NEWER "abi.a_newer_host_is_fine"
#define COPIED "checkpoints.entries_restored_into_itself_are_the_same"
#define SAID "this is the lie of a test"

static const struct lie {
	const char *rule;
	void (**slot)(void); /* where it is told */
	void (*function)(void);
	int variant;
	const char *says;
} lies[] = {
	LIE(ABSENT, lying.backend.multi_get, absent_pin, 0, "has members that are not zero"),
	LIE(ABSENT, lying.backend.multi_get, absent_pin, 1, "has members that are not zero"),
	LIE(ABSENT, lying.backend.multi_get, absent_pin, 2, "has members that are not zero"),
	LIE(ABSENT, lying.backend.multi_get, absent_pin, 3, "has members that are not zero"),
	LIE(ABSENT, lying.backend.multi_get, found_twice, 0, "found is 2"),
	LIE(ABSENT, lying.backend.multi_get, failing_get, 0, "multi_get of"),
	LIE(ABSENT, lying.backend.write_batch, failing_write, 0, "write_batch of"),
	LIE(PURGE, lying.backend.maintain, failing_maintain, 0, "maintain: status"),
	LIE(PURGE, lying.backend.maintain, boasting_maintain, 0, "it says that it purged"),
	LIE(BOUNDS, lying.backend.iter_open, failing_open, 0, "iter_open: status"),
	LIE(BOUNDS, lying.backend.iter_next, failing_next, 0, "iter_next: status"),
	LIE(BOUNDS, lying.backend.iter_next, generous_next, 0, "entries, asked for"),
	LIE(BOUNDS, lying.backend.iter_next, unordered_next, 0, "an iterator of an ordered backend went back"),
	LIE(BOUNDS, lying.backend.iter_next, silent_next, 0, "an iterator left out"),
	LIE(NEWER, lying.backend.write_batch, failing_write, 0, "write_batch"),
	LIE(NEWER, lying.backend.multi_get, failing_get, 0, "multi_get"),
	LIE(NEWER, lying.backend.iter_open, failing_open, 0, "iter_open"),
	LIE(NEWER, lying.backend.iter_next, failing_next, 0, "iter_next"),
	LIE(NEWER, lying.backend.iter_next, silent_next, 0, "returned nothing"),
	LIE(COPIED, lying.backend.iter_open, failing_open, 0, "iter_open"),
	LIE(COPIED, lying.backend.iter_next, failing_next, 0, "iter_next"),
	LIE(FIGURES, lying.backend.stats, strange_figures, 0, "a figure has no name"),
	LIE(FIGURES, lying.backend.stats, strange_figures, 1, "a figure has no name"),
	LIE(FIGURES, lying.backend.stats, strange_figures, 2, "has other characters"),
	LIE(FIGURES, lying.backend.stats, strange_figures, 3, "has no unit"),
	LIE(FIGURES, lying.backend.stats, strange_figures, 4, "is no number"),
	LIE(FIGURES, lying.backend.stats, strange_figures, 5, "neither a counter nor a gauge"),
	LIE(FIGURES, lying.backend.stats, strange_figures, 6, "two figures are called entries"),
	LIE(FIGURES, lying.backend.stats, strange_figures, 7, "1000 figures"),
	LIE(FIGURES, lying.backend.stats, strange_figures, 8, "2 figures, then 1"),
	LIE(FIGURES, lying.backend.stats, strange_figures, 9, "stats wrote beyond the room it had"),
	LIE(FIGURES, lying.backend.stats, strange_figures, 10, "stats without room"),
	LIE(FIGURES, lying.backend.stats, strange_figures, 11, "stats: status"),
	LIE(FIGURES, lying.backend.stats, strange_figures, 12, "stats with room for one"),
	LIE(FIGURES, lying.backend.stats, strange_figures, 13, "stats with room for one"),
	LIE(DELTA, lying_delta.mark, failing_mark, 0, "mark: " SAID),
	LIE(DELTA, lying_delta.mark, same_mark, 0, "came after"),
	LIE(DELTA, lying_delta.changes_open, failing_changes, 0, "changes_open: " SAID),
	LIE(DELTA, lying_delta.changes_next, failing_changes_next, 0, "changes_next: " SAID),
	LIE(FILES, lying_files.create, failing_create, 0, SAID),
	LIE("checkpoints.damaged_files_are_survived", lying_files.create, empty_create, 0, "create made no files"),
	LIE("checkpoints.immutable_files_never_change", lying_files.is_immutable, perhaps_immutable, 0, "is 2"),
	LIE(IN_PLACE, lying_inplace.find, strange_find, 0, SAID),
	LIE(IN_PLACE, lying_inplace.find, strange_find, 1, "find has set kind"),
	LIE(IN_PLACE, lying_inplace.find, strange_find, 2, "a place that was not found says something"),
	LIE(IN_PLACE, lying_inplace.find, strange_find, 3, "a place that was not found says something"),
	LIE(IN_PLACE, lying_inplace.find, strange_find, 4, "a place that was not found says something"),
	LIE(IN_PLACE, lying_inplace.find, strange_find, 5, "a place that was not found says something"),
	LIE(IN_PLACE, lying_inplace.find, strange_find, 6, "a value is not aligned to 16"),
	LIE(IN_PLACE, lying_inplace.write, strange_write, 0, SAID),
	LIE(IN_PLACE, lying_inplace.write, strange_write, 1, "write gave a place that is not"),
	LIE(IN_PLACE, lying_inplace.write, strange_write, 2, "write gave a place that is not"),
	LIE(IN_PLACE, lying_inplace.write, strange_write, 3, "write gave a place that is not"),
	LIE(IN_PLACE, lying_inplace.write, strange_write, 4, "write has lost the bytes of an entry"),
	LIE(IN_PLACE, lying_inplace.finish, failing_finish, 0, SAID),
};

/* --- trying ---------------------------------------------------------------------------- */

static _Noreturn void end_here(const struct trial *trial)
{
	(void)trial;
	_exit(0);
}

static _Noreturn void be_the_trial(const struct trial *trial, const struct lie *lie)
{
	static struct subject s;

	subject_init(&s, trial, 1);
	honest = s.component;
	delta = component_delta(honest);
	files = component_files(honest);
	inplace = component_inplace(honest);
	lying = *honest;
	lying_delta = *delta;
	lying_files = *files;
	lying_inplace = *inplace;
	lying.backend.extension = lying_extension;
	if (lie) {
		variant = lie->variant;
		*lie->slot = lie->function;
	}
	s.component = &lying;
	s.ops = &lying.backend;
	trial->rule->check_backend(&s);
	subject_check_all(&s);
	witness_judge(trial->witness, VERDICT_PASSED, "%s", "");
	_exit(0);
}

/* lie NULL: the truth. */
static void try_one(const char *rule, const struct lie *lie, struct witness *witness)
{
	char dir[] = "/tmp/sbhost-lies-XXXXXX";
	sb_error err = ERROR_INIT;
	struct io io;
	const struct trial trial = {.rule = rule_find(rule),
				    .plugin = BACKEND,
				    .plugin_dir = SB_PLUGIN_DIR,
				    .seed = 1,
				    .dir = dir,
				    .io = &io,
				    .witness = witness,
				    .end = end_here};
	pid_t child;

	cr_assert_not_null(trial.rule, "%s", rule);
	io_init_system(&io);
	witness_clear(witness);
	cr_assert_not_null(mkdtemp(dir));
	child = fork();
	cr_assert_geq(child, 0);
	if (child == 0)
		be_the_trial(&trial, lie);
	cr_assert_eq(waitpid(child, NULL, 0), child);
	cr_assert_eq(io_remove_tree(&io, dir, &err), SB_OK, "%s", err.message);
}

Test(kit_lies, each_lie_is_found_out_by_the_rule_that_looks_there)
{
	struct witness *witness = witness_new();

	for (size_t i = 0; i < LENGTH(lies); i++) {
		const struct lie *lie = &lies[i];

		if (i == 0 || lie->rule != lies[i - 1].rule) {
			try_one(lie->rule, NULL, witness);
			cr_expect_eq(atomic_load(&witness->verdict), VERDICT_PASSED, "%s, without a lie: %s", lie->rule,
				     witness->sentence);
		}
		try_one(lie->rule, lie, witness);
		cr_expect_eq(atomic_load(&witness->verdict), VERDICT_FAILED, "lie %zu, %s: %s", i, lie->rule,
			     lie->says);
		cr_expect_not_null(strstr(witness->sentence, lie->says), "lie %zu, %s: \"%s\" instead of \"%s\"", i,
				   lie->rule, witness->sentence, lie->says);
	}
	witness_free(witness);
}

static const char *judged(int32_t status, const sb_error *err)
{
	static struct witness *witness;
	struct io io;
	const struct trial trial = {
		.io = &io, .witness = witness ? witness : (witness = witness_new()), .end = end_here};
	pid_t child;

	witness_clear(witness);
	child = fork();
	cr_assert_geq(child, 0);
	if (child == 0) {
		subject_check_error(&trial, "open", status, err);
		_exit(0);
	}
	cr_assert_eq(waitpid(child, NULL, 0), child);
	return witness->sentence;
}

Test(kit_lies, failure_is_a_status_that_exists_the_same_in_the_error_and_one_sentence)
{
	sb_error err = ERROR_INIT;

	error_set(&err, SB_ERR_IO, "it went wrong");
	cr_expect_str_eq(judged(SB_ERR_IO, &err), "");
	cr_expect_str_eq(judged(7, &err), "open failed with status 7, which does not exist");
	cr_expect_str_eq(judged(-9999, &err), "open failed with status -9999, which does not exist");
	cr_expect_not_null(strstr(judged(SB_ERR_BUSY, &err), "into the error"));
	memcpy(err.message, "it went wrong\nand on", sizeof("it went wrong\nand on"));
	cr_expect_not_null(strstr(judged(SB_ERR_IO, &err), "did not say why in one sentence"));
	err.message[0] = 0;
	cr_expect_not_null(strstr(judged(SB_ERR_IO, &err), "did not say why in one sentence"));
	memset(err.message, 'x', sizeof(err.message));
	cr_expect_not_null(strstr(judged(SB_ERR_IO, &err), "did not say why in one sentence"));
}
