/* Simulates the host with seeded schedules, faults and crashes, each seed in a process of its own: see README.md.
 *
 *     simulate --seeds N [--from S] [--twice] [--bug NAME]     the status is 1 when a seed diverges, or two runs of one differ
 *     simulate --seeds 1 --from S --trace                      says what happens in it, line by line
 *     simulate --self-test                                     each of the mistakes in bugs.h must be found */
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "simulation/bugs.h"
#include "simulation/life.h"
#include "simulation/system_calls.h"
#include "simulation/trace.h"

#define LIVES_MAX 12u
#define CALM_FROM 7u /* of them: from then on nothing goes wrong */
#define PATIENCE_S 60 /* for what takes milliseconds */
#define SELF_TEST_SEEDS 300u

/* What a child tells, in memory that both see. */
struct report {
	bool finished;
	uint64_t hash, points, lives, crashes, cuts, checkpoints, failures;
	char error[512];
};

struct campaign {
	uint64_t from, seeds;
	bool twice, trace, quiet;
	enum bug bug;
	struct report *report; /* shared with the children */
	struct report sum;
};

/* ---- a seed ---- */

static void add_life(struct report *report, const struct life *life, const struct life_end *end)
{
	report->lives++;
	report->points += end->points;
	report->checkpoints += end->checkpoints;
	report->failures += end->failures;
	report->crashes += end->end == SIM_CRASHED;
	report->cuts += end->end == SIM_CRASHED && life->cut != CUT_NOTHING;
}

static bool live(struct report *report, struct oracle *oracle, struct input *input, struct rng *rng, bool trace)
{
	const bool event_time = input->ttl_ms || rng_chance(rng, 50);
	struct life_end end = {0};

	for (unsigned n = 0; n < LIVES_MAX && (!end.done || end.terminated || !input_is_whole(input)); n++) {
		struct life life;
		bool fine;

		if (n > CALM_FROM || (n && rng_chance(rng, 30)))
			input_grow(input, rng, n > CALM_FROM);
		life_draw(&life, rng, n >= CALM_FROM);
		if (trace)
			life_print(&life);
		fine = life_run(&life, oracle, event_time, rng, &end);
		add_life(report, &life, &end);
		if (!fine)
			return false;
	}
	if (!end.done)
		snprintf(oracle->error, sizeof(oracle->error), "the job never comes to its end");
	return end.done;
}

static void simulate(uint64_t seed, bool trace, struct report *report)
{
	static struct input input;
	static struct oracle oracle;
	struct rng rng;

	rng_init(&rng, seed);
	trace_begin(trace);
	disk_format();
	disk_put_directory(DISK_ROOT "/out");
	disk_put_directory(DISK_ROOT "/dead");
	scheduler_set_now_ns(1000000000);
	input_init(&input, &rng);
	oracle.input = &input;
	if (!live(report, &oracle, &input, &rng, trace)) {
		snprintf(report->error, sizeof(report->error), "%s", oracle.error);
		if (trace)
			printf("--- the last run's log ---\n%s", buffer_text(system_calls_log()));
	}
	report->hash = trace_hash();
	report->finished = true;
}

/* ---- its process ---- */

/* second: the process's memory lies elsewhere, so that an order that depends on addresses would show. */
static _Noreturn void be_the_child(struct campaign *campaign, uint64_t seed, bool second)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN); /* a stop that comes when the job has stopped */
	alarm(PATIENCE_S);
	if (second && !malloc(12345 + seed % 4096 * 16))
		abort();
	bug_set(campaign->bug);
	simulate(seed, campaign->trace, campaign->report);
	fflush(stdout);
	_exit(0);
}

static void run_seed(struct campaign *campaign, uint64_t seed, bool second, struct report *ret_report)
{
	int status = 0;
	pid_t child;

	memset(campaign->report, 0, sizeof(*campaign->report));
	fflush(stdout);
	child = fork();
	if (child == 0)
		be_the_child(campaign, seed, second);
	if (child < 0 || waitpid(child, &status, 0) != child) {
		perror("simulate: cannot run a child");
		exit(2);
	}
	*ret_report = *campaign->report;
	if (!ret_report->finished)
		snprintf(ret_report->error, sizeof(ret_report->error), "the process ended with wait status %#x",
			 status);
}

static void add_report(struct report *sum, const struct report *report)
{
	sum->points += report->points;
	sum->lives += report->lives;
	sum->crashes += report->crashes;
	sum->cuts += report->cuts;
	sum->checkpoints += report->checkpoints;
	sum->failures += report->failures;
	sum->hash = sum->hash * 31 + report->hash;
}

static bool try_seed(struct campaign *campaign, uint64_t seed)
{
	struct report first, second;

	run_seed(campaign, seed, false, &first);
	add_report(&campaign->sum, &first);
	if (!*first.error && campaign->twice) {
		run_seed(campaign, seed, true, &second);
		if (second.hash != first.hash)
			snprintf(first.error, sizeof(first.error),
				 "two runs differ: %016" PRIx64 " and %016" PRIx64 " %.300s", first.hash, second.hash,
				 second.error);
	}
	if (*first.error && !campaign->quiet)
		printf("seed %" PRIu64 ": %s\n    again: simulate --seeds 1 --from %" PRIu64 " --trace%s%s\n", seed,
		       first.error, seed, campaign->bug ? " --bug " : "", campaign->bug ? bug_name(campaign->bug) : "");
	return !*first.error;
}

/* ---- many of them ---- */

static uint64_t try_all(struct campaign *campaign)
{
	uint64_t diverged = 0;

	for (uint64_t seed = campaign->from; seed < campaign->from + campaign->seeds; seed++)
		diverged += !try_seed(campaign, seed);
	printf("%" PRIu64 " seeds%s, %" PRIu64 " diverged: %" PRIu64 " runs, %" PRIu64 " crashes (%" PRIu64
	       " with the power), %" PRIu64 " calls that failed, %" PRIu64 " checkpoints, %" PRIu64
	       " points, hash %016" PRIx64 "\n",
	       campaign->seeds, campaign->twice ? " twice" : "", diverged, campaign->sum.lives, campaign->sum.crashes,
	       campaign->sum.cuts, campaign->sum.failures, campaign->sum.checkpoints, campaign->sum.points,
	       campaign->sum.hash);
	return diverged;
}

static bool finds(struct campaign *campaign, enum bug bug)
{
	campaign->bug = bug;
	for (uint64_t seed = campaign->from; seed < campaign->from + SELF_TEST_SEEDS; seed++)
		if (!try_seed(campaign, seed)) {
			printf("%s: found by seed %" PRIu64 "\n", bug_name(bug), seed);
			return true;
		}
	printf("%s: NOT found by %u seeds\n", bug_name(bug), SELF_TEST_SEEDS);
	return false;
}

static int self_test(struct campaign *campaign)
{
	bool all = true;

	campaign->quiet = true;
	for (enum bug bug = BUG_NONE + 1; bug < BUG_COUNT; bug++)
		all &= finds(campaign, bug);
	campaign->bug = BUG_NONE;
	campaign->quiet = false;
	return all ? 0 : 1;
}

static int usage(void)
{
	fprintf(stderr, "usage: simulate [--seeds N] [--from S] [--twice] [--trace] [--bug NAME] [--self-test]\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct campaign campaign = {
		.from = 1,
		.report = mmap(NULL, sizeof(struct report), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0)};
	bool test = false;
	int status = 0;

	for (int i = 1; i < argc; i++) {
		const char *value = i + 1 < argc ? argv[i + 1] : NULL;

		if (strcmp(argv[i], "--twice") == 0)
			campaign.twice = true;
		else if (strcmp(argv[i], "--trace") == 0)
			campaign.trace = true;
		else if (strcmp(argv[i], "--self-test") == 0)
			test = true;
		else if (value && strcmp(argv[i], "--seeds") == 0)
			campaign.seeds = strtoull(argv[++i], NULL, 10);
		else if (value && strcmp(argv[i], "--from") == 0)
			campaign.from = strtoull(argv[++i], NULL, 10);
		else if (value && strcmp(argv[i], "--bug") == 0 && bug_named(value) != BUG_COUNT)
			campaign.bug = bug_named(argv[++i]);
		else
			return usage();
	}
	if (campaign.report == MAP_FAILED || (!test && campaign.seeds == 0))
		return usage();
	if (test)
		status = self_test(&campaign);
	if (campaign.seeds && try_all(&campaign))
		status = 1;
	return status;
}
