/* Commands as they are typed, one of whose allocations fails, and as well all behind it: they end with a sentence and a status that is not 0, or do
 * exactly what they do with memory enough. Each is tried with each of its allocations, of which a long command has too many: then with fewer and fewer.
 *
 * What "plugin check" forks counts along: there, memory that is out is one more thing that a rule says. */
#include <criterion/criterion.h>
#include <ctype.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/buffer.h"
#include "base/cleanup.h"
#include "base/error.h"
#include "cli/command.h"
#include "fault/checkpoint_fixture.h"
#include "fault/fault_job.h"
#include "fault/starve.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define WORDS_MAX 14
#define DENSE 150u /* so many allocations are all tried */
#define ALLOCATIONS_MAX 1000000

#define OLDER "checkpoint-1000000000000000001"
#define NEWER "checkpoint-1000000000000000002"
#define LIST_BACKEND SB_TEST_PLUGIN_DIR "/liblist_backend.so"
#define EMPTY_BACKEND SB_TEST_PLUGIN_DIR "/libgood_backend.so" /* keeps nothing */
#define ABSENT_KEYS "values.absent_keys_are_not_found"
#define RANDOM "random.random_operations_agree_with_the_model"

struct line {
	int (*run)(int argc, char **argv);
	const char *words[WORDS_MAX]; /* NULL ends them */
	const char *made; /* removed before each attempt; may be NULL */
	int status; /* with memory enough */
	bool varies; /* prints figures that are others each time */
	bool is_long; /* has allocations beyond counting, and takes its time: some are tried */
};

static const struct line lines[] = {
	{.run = command_checkpoint, .words = {"checkpoint", "list"}},
	{.run = command_checkpoint, .words = {"checkpoint", "list", "--json", "--verify"}},
	{.run = command_checkpoint, .words = {"checkpoint", "inspect"}},
	{.run = command_checkpoint, .words = {"checkpoint", "inspect", "--json", OLDER, "--samples", "2"}},
	{.run = command_checkpoint, .words = {"checkpoint", "verify", "--all"}},
	{.run = command_checkpoint, .words = {"checkpoint", "verify", "--json"}},
	{.run = command_checkpoint, .words = {"checkpoint", "diff", OLDER, NEWER}},
	{.run = command_checkpoint, .words = {"checkpoint", "diff", "--json", OLDER, NEWER, "--memory", "64KiB"}},
	{.run = command_checkpoint, .words = {"checkpoint", "export", "latest", "out.json"}, .made = "out.json"},
	{.run = command_checkpoint,
	 .words = {"checkpoint", "export", "--json", "--compression", "zstd", OLDER, "out.json"},
	 .made = "out.json"},
	{.run = command_checkpoint,
	 .words = {"checkpoint", "import", "taken.json", "--checkpoint-dir", "other"},
	 .made = "other",
	 .varies = true},
	{.run = command_checkpoint, .words = {"checkpoint", "prune", "--dry-run", "--keep", "1"}},
	{.run = command_checkpoint, .words = {"checkpoint", "prune", "--json", "--keep", "1", "--dry-run"}},
	{.run = command_state, .words = {"state", "scan", "--prefix", "user-1", "--limit", "5"}},
	{.run = command_state, .words = {"state", "export", "--state", "notes"}},
	{.run = command_state, .words = {"state", "get", "user-1"}},
	{.run = command_plugin, .words = {"plugin", "info", "memory", "--plugin-dir", SB_PLUGIN_DIR}},
	{.run = command_plugin,
	 .words = {"plugin", "info", "example-processor", "--json", "--plugin-dir", SB_PLUGIN_DIR}},
	{.run = command_plugin, .words = {"plugin", "list", "--plugin-dir", SB_PLUGIN_DIR}, .varies = true},
	{.run = command_plugin,
	 .words = {"plugin", "new", "fresh-one", "--lang", "c++", "--kind", "operator"},
	 .made = "fresh-one"},
	{.run = command_plugin, .words = {"plugin", "check", LIST_BACKEND, "--filter", ABSENT_KEYS}, .varies = true},
	{.run = command_plugin,
	 .words = {"plugin", "check", "--json", EMPTY_BACKEND, "--filter", ABSENT_KEYS},
	 .status = 4,
	 .varies = true},
	{.run = command_plugin,
	 .words = {"plugin", "check", "example-processor", "--plugin-dir", SB_PLUGIN_DIR, "--filter", "split"},
	 .varies = true},
	{.run = command_bench,
	 .words = {"bench", "--keys", "1000", "--duration", "1ms", "--backend", LIST_BACKEND, "--plugin-dir", "/"},
	 .made = "sbhost-bench",
	 .varies = true},
	{.run = command_bench,
	 .words = {"bench", "--keys", "1000", "--duration", "1ms", "--backend", SB_PLUGIN_DIR "/libmemory_backend.so",
		   "--json", "--plugin-dir", "/"},
	 .made = "sbhost-bench",
	 .varies = true},
};

static const struct line long_line = {
	.run = command_plugin,
	.words = {"plugin", "check", LIST_BACKEND, "--filter", RANDOM},
	.varies = true,
	.is_long = true,
};

static char dir[128];
static int streams[2]; /* files in memory in the place of standard output and standard error */

/* --- running one --------------------------------------------------------------------- */

/* And what has more behind that name, but not where an export is written first: that is gone even when there is no memory to look
 * into it. */
static void remove_made(const char *name)
{
	DIR *here = name ? opendir(".") : NULL;
	const struct dirent *entry;
	sb_error err = ERROR_INIT;
	struct io io;

	io_init_system(&io);
	while (here && (entry = readdir(here)) != NULL) {
		if (strncmp(entry->d_name, name, strlen(name)) != 0)
			continue;
		cr_assert_neq(entry->d_name[strlen(name)], '.', "%s was left behind", entry->d_name);
		if (unlink(entry->d_name) != 0)
			cr_assert_eq(io_remove_tree(&io, entry->d_name, &err), SB_OK, "%s", err.message);
	}
	if (here)
		closedir(here);
}

/* What one of the two streams has taken since it was last emptied. */
static char *take_text(int fd)
{
	const off_t len = lseek(fd, 0, SEEK_END);
	char *text = calloc((size_t)len + 1, 1);

	cr_assert(text && pread(fd, text, (size_t)len, 0) == len);
	return text;
}

static int run(const struct line *line)
{
	char *argv[WORDS_MAX + 1] = {NULL}; /* which a parser may put into another order */
	int argc = 0, status;

	for (int i = 0; i < 2; i++)
		cr_assert(ftruncate(streams[i], 0) == 0 && lseek(streams[i], 0, SEEK_SET) == 0);
	while (argc < WORDS_MAX && line->words[argc]) {
		argv[argc] = (char *)line->words[argc];
		argc++;
	}
	status = line->run(argc, argv);
	fflush(stdout);
	fflush(stderr);
	return status;
}

static void name_line(const struct line *line, char *ret_name, size_t size)
{
	size_t at = 0;

	for (int i = 0; i < WORDS_MAX && line->words[i]; i++)
		at += (size_t)snprintf(ret_name + at, size - at, "%s ", line->words[i]);
}

/* The text without its numbers, which are ages and the like. */
static void drop_digits(char *text)
{
	char *to = text;

	for (const char *from = text; *from; from++)
		if (!isdigit((unsigned char)*from))
			*to++ = *from;
	*to = 0;
}

static void check_attempt(const struct line *line, uint64_t nth, int status, const char *expected)
{
	AUTO(free_memory) char *out = take_text(streams[0]);
	AUTO(free_memory) char *said = take_text(streams[1]);
	char name[512];

	name_line(line, name, sizeof(name));
	drop_digits(out);
	cr_assert(status >= EXIT_DONE && status <= EXIT_IN_USE, "%s, allocation %llu: status %d", name,
		  (unsigned long long)nth, status);
	if (status == line->status && !line->varies)
		cr_assert_str_eq(out, expected, "%s, allocation %llu: ended well with\n%s", name,
				 (unsigned long long)nth, out);
	else if (status != line->status && status != EXIT_PLUGIN_REFUSED)
		cr_assert(strncmp(said, "sbhost", 6) == 0, "%s, allocation %llu: status %d and \"%s\"", name,
			  (unsigned long long)nth, status, said);
	else
		cr_assert(*said || *out, "%s, allocation %llu: status %d without a word", name, (unsigned long long)nth,
			  status);
}

static void starve_line(const struct line *line, bool sticky)
{
	AUTO(free_memory) char *expected = NULL;
	uint64_t nth = 1;
	char name[512];
	int status;

	name_line(line, name, sizeof(name));
	remove_made(line->made);
	status = run(line);
	expected = take_text(streams[0]);
	cr_assert_eq(status, line->status, "%s: %d", name, status);
	drop_digits(expected);
	for (;; nth += line->is_long ? 1 + nth / 2 : nth < DENSE ? 1 : nth / 4) {
		remove_made(line->made);
		starve_arm(nth, sticky);
		status = run(line);
		starve_disarm();
		check_attempt(line, nth, status, expected);
		if (!starve_hit())
			break;
		cr_assert_lt(nth, ALLOCATIONS_MAX, "%s", name);
	}
	cr_assert_eq(status, line->status, "%s: without a fault: %d", name, status);
	cr_assert(!fault_has_leaks(), "%s leaks", name);
	cr_assert_gt(nth, 5, "%s", name);
	remove_made(line->made);
}

/* --- the ground ---------------------------------------------------------------------- */

static void write_checkpoint(const char *where, uint64_t number, uint64_t seed, uint64_t entries)
{
	struct checkpoint_totals totals;
	struct fixture fixture;
	sb_error err = ERROR_INIT;
	struct io io;

	io_init_system(&io);
	fixture_init(&fixture, number, seed, entries);
	cr_assert_eq(io_mkdir_p(&io, where, &err), SB_OK, "%s", err.message);
	cr_assert_eq(fixture_write(&io, where, &fixture, CODEC_LZ4, &totals, &err), SB_OK, "%s", err.message);
	fixture_done(&fixture);
}

static void set_up(void)
{
	scratch_make(dir);
	cr_assert_eq(chdir(dir), 0);
	cr_assert_eq(setenv("TMPDIR", dir, 1), 0);
	write_checkpoint("checkpoints", UINT64_C(1000000000000000001), 1, 60);
	write_checkpoint("checkpoints", UINT64_C(1000000000000000002), 2, 70);
	write_checkpoint("source", UINT64_C(1000000000000000003), 3, 40);
	cr_assert_eq(rename("source/checkpoint-1000000000000000003.json", "taken.json"), 0);
	for (int i = 0; i < 2; i++) {
		streams[i] = memfd_create("stream", MFD_CLOEXEC);
		fflush(i ? stderr : stdout);
		cr_assert(streams[i] >= 0 && dup2(streams[i], i ? STDERR_FILENO : STDOUT_FILENO) >= 0);
	}
}

static void tear_down(void)
{
	cr_assert_eq(chdir("/"), 0);
	scratch_remove(dir);
}

TestSuite(command_starved, .init = set_up, .fini = tear_down);

Test(command_starved, command_without_memory_ends_with_a_sentence_or_well)
{
	for (size_t i = 0; i < LENGTH(lines); i++) {
		starve_line(&lines[i], false);
		starve_line(&lines[i], true);
	}
}

Test(command_starved, rule_that_runs_out_of_memory_says_so)
{
	starve_line(&long_line, false);
}
