/* What stays in a checkpoint directory and what goes, with the reason that is told for each; which parent fits which child; and what is set aside
 * under which name. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "checkpoint/checkpoint_private.h"
#include "checkpoint/heads.h"
#include "checkpoint/store_private.h"
#include "checkpoint/sweep.h"
#include "fault/checkpoint_fixture.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static struct io io;
static struct fake_clock fake;
static char dir[128], log_path[160];
static struct log noisy;
static struct checkpoint_store *store;

static void set_up(void)
{
	sb_error err = ERROR_INIT;

	io_init_system(&io);
	fake_clock_init(&fake, 1);
	scratch_make(dir);
	snprintf(log_path, sizeof(log_path), "%s.log", dir);
	noisy = (struct log){.fd = open(log_path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600),
			     .level = SB_LOG_DEBUG,
			     .clock = &fake.clock};
	cr_assert_eq(checkpoint_store_open(&io, &noisy, dir, true, true, &store, &err), SB_OK);
}

static void tear_down(void)
{
	checkpoint_store_close(store);
	close(noisy.fd);
	unlink(log_path);
	scratch_remove(dir);
}

TestSuite(checkpoint_sweep, .init = set_up, .fini = tear_down);

static void expect_line(const char *line)
{
	size_t len = 0;
	AUTO(free_memory) uint8_t *text = file_read(log_path, &len);

	cr_assert(memmem(text, len, line, strlen(line)), "no line \"%s\" in %.*s", line, (int)len, text);
}

static void make_folder(const char *name)
{
	sb_error err = ERROR_INIT;
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	cr_assert_eq(io_mkdir_p(&io, path, &err), SB_OK, "%s", err.message);
}

static void make_file(const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file_write(path, "{", 1);
}

static bool is_there(const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return access(path, F_OK) == 0;
}

/* parent 0: a full one. */
static void write_to(const char *folder, uint64_t number, uint64_t parent, uint32_t depth)
{
	struct fixture fixture;
	sb_error err = ERROR_INIT;
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, folder);
	fixture_init(&fixture, number, number, 5);
	if (parent)
		fixture_build_on(&fixture, parent, depth);
	cr_assert_eq(fixture_write(&io, path, &fixture, CODEC_LZ4, NULL, &err), SB_OK, "%s", err.message);
	fixture_done(&fixture);
}

/* --- the plan ------------------------------------------------------------------------------ */

static const struct sweep_file *find(const struct sweep_plan *plan, const char *name)
{
	for (uint64_t i = 0; i < plan->count; i++)
		if (strcmp(plan->files[i].name, name) == 0)
			return &plan->files[i];
	cr_assert(false, "%s is not in the plan", name);
	return NULL;
}

struct expected {
	const char *name;
	bool stays;
	const char *why;
};

static void expect_plan(uint64_t keep, bool nobody_writes, const struct expected *expected, size_t count)
{
	struct sweep_plan plan = {0};
	sb_error err = ERROR_INIT;

	cr_assert_eq(sweep_plan_make(store, keep, nobody_writes, &plan, &err), SB_OK, "%s", err.message);
	cr_assert_eq(plan.count, count);
	for (size_t i = 0; i < count; i++) {
		const struct sweep_file *file = find(&plan, expected[i].name);

		cr_assert_str_eq(file->why, expected[i].why, "%s: %s", file->name, file->why);
		cr_assert_eq(file->stays, expected[i].stays, "%s", file->name);
	}
	sweep_plan_done(&plan);
}

Test(checkpoint_sweep, chains_stay_with_those_that_need_them)
{
	static const struct expected expected[] = {
		{"checkpoint-8.json", true, "the newest"},
		{"checkpoint-7.json", true, "needed by checkpoint-8"},
		{"checkpoint-6.json", true, "needed by checkpoint-8"},
		{"checkpoint-5.json", false, "older than those that are kept"},
		{"checkpoint-4.json", true, "needed by abandoned/checkpoint-9.json"},
		{"abandoned/checkpoint-9.json", true, "of a history that was left; put aside for people to look at"},
		{"LOCK", true, "the lock of the job"},
	};

	make_folder("abandoned");
	write_to(".", 4, 0, 0);
	write_to(".", 5, 0, 0);
	write_to(".", 6, 0, 0);
	write_to(".", 7, 6, 1);
	write_to(".", 8, 7, 2);
	write_to("abandoned", 9, 4, 1);
	expect_plan(1, false, expected, LENGTH(expected));
}

Test(checkpoint_sweep, what_cannot_be_restored_is_none_of_those_that_are_kept)
{
	static const struct expected expected[] = {
		{"checkpoint-4.json", true, "cannot be restored, and is newer than some that are kept"},
		{"checkpoint-3.json", true, "cannot be restored, and is newer than some that are kept"},
		{"checkpoint-2.json", true, "the newest"},
		{"checkpoint-1.json", false, "older than those that are kept"},
		{"LOCK", true, "the lock of the job"},
	};

	write_to(".", 1, 0, 0);
	write_to(".", 2, 0, 0);
	write_to(".", 3, 2, 7); /* its parent needs none: it cannot be the seventh of a chain */
	make_file("checkpoint-4.json");
	expect_plan(1, false, expected, LENGTH(expected));
}

Test(checkpoint_sweep, temporaries_go_when_nobody_can_be_at_them)
{
	char reader[64];
	const struct expected expected[] = {
		{"checkpoint-5.json.tmp", true, "being written"},
		{"tmp-checkpoint-5-backend-0", false, "left by something that was interrupted"},
		{"tmp-read-2147483647-backend-0", false, "left by something that was interrupted"},
		{"tmp-read-nobody", false, "left by something that was interrupted"},
		{reader, true, "in use by a tool that reads"},
		{"shared/tmp-1", false, "left by an interrupted checkpoint"},
		{"shared/notes", true, "no file of ours"},
		{"quarantine/checkpoint-3.json", true, "was damaged; put aside for people to look at"},
		{"notes", true, "no file of ours"},
		{"LOCK", true, "the lock of the job"},
	};

	snprintf(reader, sizeof(reader), "tmp-read-%d-backend-0", (int)getpid());
	make_file("checkpoint-5.json.tmp");
	make_folder("tmp-checkpoint-5-backend-0");
	make_folder("tmp-read-2147483647-backend-0");
	make_folder("tmp-read-nobody");
	make_folder(reader);
	make_folder("shared");
	make_file("shared/tmp-1");
	make_file("shared/notes");
	make_folder("quarantine");
	make_file("quarantine/checkpoint-3.json");
	make_file("notes");
	expect_plan(1, false, expected, LENGTH(expected));
}

Test(checkpoint_sweep, what_an_interrupted_checkpoint_left_is_told_when_it_goes)
{
	sb_error err = ERROR_INIT;
	uint64_t removed;

	write_to(".", 5, 0, 0);
	make_file("checkpoint-4.json.tmp");
	cr_assert_eq(checkpoint_store_collect(store, 1, &removed, &err), SB_OK);
	cr_assert(removed == 0 && !is_there("checkpoint-4.json.tmp"));
	expect_line("INFO  Removed what an interrupted checkpoint left  file=checkpoint-4.json.tmp");
}

/* --- heads ------------------------------------------------------------------------------------ */

Test(checkpoint_sweep, a_chain_that_leads_to_the_future_is_damaged)
{
	struct checkpoint_heads heads;
	sb_error err = ERROR_INIT;
	uint64_t links;

	write_to(".", 2, 3, 1);
	make_file("checkpoint-3.json"); /* cannot be read, so nothing else says that it is the younger */
	cr_assert_eq(checkpoint_heads_open(store, &heads, &err), SB_OK);
	cr_assert_eq(checkpoint_heads_check(&heads, 1, &links, &err), SB_ERR_CORRUPT);
	cr_assert(strstr(err.message, "checkpoint-2 is damaged: checkpoint-3 cannot be its parent"), "%s", err.message);
	checkpoint_heads_close(&heads);
}

/* --- parents and children ------------------------------------------------------------------------ */

static void give_tasks(struct fixture *child)
{
	child->meta.tasks++;
}

static void give_groups(struct fixture *child)
{
	child->meta.key_groups = 64;
}

static void give_depth(struct fixture *child)
{
	child->meta.depth = 2;
}

static void give_operator(struct fixture *child)
{
	child->meta.operator_id[0] = 'E';
}

static void give_clock(struct fixture *child)
{
	free(child->meta.ttl_clock);
	child->meta.ttl_clock = strdup("event");
}

static void give_number(struct fixture *child)
{
	strcpy(child->meta.id, "checkpoint-6");
}

static void give_schema(struct fixture *child)
{
	child->meta.schema.states[0].ttl_ms++;
}

static void give_nothing(struct fixture *child)
{
	(void)child;
}

/* A parent is the checkpoint that it was: what cannot have changed between the two has not. */
Test(checkpoint_sweep, a_parent_that_does_not_fit_is_told)
{
	static const struct {
		void (*give)(struct fixture *child);
		bool native; /* the parent has files, and nobody builds on those */
		int32_t status;
	} cases[] = {
		{give_nothing, false, SB_OK},	      {give_nothing, true, SB_ERR_CORRUPT},
		{give_tasks, false, SB_ERR_CORRUPT},  {give_groups, false, SB_ERR_CORRUPT},
		{give_depth, false, SB_ERR_CORRUPT},  {give_operator, false, SB_ERR_CORRUPT},
		{give_clock, false, SB_ERR_CORRUPT},  {give_number, false, SB_ERR_CORRUPT},
		{give_schema, false, SB_ERR_CORRUPT},
	};

	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct fixture parent, child;
		sb_error err = ERROR_INIT;

		fixture_init(&parent, 6, 1, 0);
		fixture_init(&child, 7, 1, 0);
		fixture_build_on(&child, 6, 1);
		cases[i].give(&child);
		parent.meta.file_count = cases[i].native;
		cr_assert_eq(chain_check_fit(&parent.meta, &child.meta, &err), cases[i].status, "case %zu", i);
		if (cases[i].status != SB_OK)
			cr_assert(strstr(err.message, "needs checkpoint-6, which is not the checkpoint that it was"),
				  "%s", err.message);
		parent.meta.file_count = 0;
		fixture_done(&parent);
		fixture_done(&child);
	}
}

/* The nearest that is missing, or damaged, is what the sentence is about. */
Test(checkpoint_sweep, a_chain_that_is_broken_is_passed_over_as_a_whole)
{
	struct checkpoint_reader *reader;
	sb_error err = ERROR_INIT;
	uint64_t damaged;

	write_to(".", 1, 0, 0);
	write_to(".", 3, 2, 1);
	cr_assert_eq(checkpoint_store_verify(store, "checkpoint-3", &err), SB_ERR_CORRUPT);
	cr_assert(strstr(err.message, "it builds on others, of which one cannot be used"), "%s", err.message);
	cr_assert(strstr(err.message, "checkpoint-3 needs checkpoint-2, which is not in"), "%s", err.message);
	cr_assert_eq(checkpoint_store_open_newest(store, NULL, false, &reader, &damaged, &err), SB_OK);
	cr_assert_str_eq(checkpoint_reader_meta(reader)->id, "checkpoint-1");
	checkpoint_reader_close(reader);
	expect_line("ERROR Damaged checkpoint passed over  id=checkpoint-3");
	make_file("checkpoint-2.json");
	cr_assert_eq(checkpoint_store_verify(store, "checkpoint-3", &err), SB_ERR_CORRUPT);
	cr_assert(strstr(err.message, "it builds on others"), "%s", err.message);
}

/* --- set aside -------------------------------------------------------------------------------------- */

Test(checkpoint_sweep, a_hundred_namesakes_are_enough)
{
	struct sweep_plan plan = {0};
	sb_error err = ERROR_INIT;
	char name[64];

	make_folder("quarantine");
	make_file("quarantine/checkpoint-1.json");
	for (int i = 1; i < 99; i++) {
		snprintf(name, sizeof(name), "quarantine/checkpoint-1.json.%d", i);
		make_file(name);
	}
	write_to(".", 1, 0, 0);
	cr_assert_eq(checkpoint_store_quarantine(store, "checkpoint-1", &err), SB_OK, "%s", err.message);
	cr_assert(is_there("quarantine/checkpoint-1.json.99") && !is_there("checkpoint-1.json"));
	write_to(".", 1, 0, 0);
	cr_assert_eq(checkpoint_store_quarantine(store, "checkpoint-1", &err), SB_ERR_IO);
	cr_assert(err.sys_errno == EEXIST && is_there("checkpoint-1.json"));
	cr_assert_eq(sweep_plan_make(store, 1, true, &plan, &err), SB_OK, "%s", err.message);
	cr_assert_eq(plan.count, 102, "a checkpoint, the lock, and those set aside");
	sweep_plan_done(&plan);
}

Test(checkpoint_sweep, what_is_no_id_has_nothing_that_is_newer)
{
	sb_error err = ERROR_INIT;
	uint64_t count = 99;

	write_to(".", 1, 0, 0);
	cr_assert_eq(checkpoint_store_abandon_newer(store, "latest", &count, &err), SB_ERR_INVALID);
	cr_assert(strstr(err.message, "latest is no id of a checkpoint"), "%s", err.message);
	cr_assert(count == 99 && is_there("checkpoint-1.json"));
}

Test(checkpoint_sweep, an_empty_quarantine_is_no_sign_of_anything)
{
	make_folder("quarantine");
	cr_assert(!checkpoint_store_has_quarantine(store));
	make_file("quarantine/checkpoint-1.json.4");
	cr_assert(checkpoint_store_has_quarantine(store));
}

/* A copy is another file: the backend's next checkpoint would not find it by its inode. */
Test(checkpoint_sweep, a_file_that_was_linked_is_known_when_somebody_asks_for_it)
{
	static const struct {
		bool link, know;
		uint64_t known;
	} cases[] = {{true, true, 1}, {true, false, 0}, {false, true, 0}};
	struct file_meta file = {.sha256 = "021fb596db81e6d02bf3d2586ee3981fe519f275c0ac9ca76bbcf2ebb4097d96"};

	make_folder("shared");
	make_file("shared/021fb596db81e6d02bf3d2586ee3981fe519f275c0ac9ca76bbcf2ebb4097d96");
	for (size_t i = 0; i < LENGTH(cases); i++) {
		sb_error err = ERROR_INIT;
		char path[256];

		shared_done(&store->shared);
		shared_init(&store->shared, &io, store->dir);
		snprintf(path, sizeof(path), "%s/taken-%zu", dir, i);
		cr_assert_eq(checkpoint_store_take_file(store, &file, cases[i].link, cases[i].know, path, &err), SB_OK,
			     "%s", err.message);
		cr_assert_eq(store->shared.known_count, cases[i].known, "case %zu", i);
	}
}
