/* Every flipped bit and every truncation of a checkpoint directory, in every mode of checkpoints: of the checkpoints themselves, of the
 * files in shared/, of the lock; and bits in the frames of checkpoints, with every checksum and digest made to fit. The next start restores exactly what was there, or an older checkpoint exactly, with a loud line, or
 * refuses; it never goes on from a wrong state, and a damage that the newest does not need costs nothing.
 *
 * In a normal run some positions are tried, with SBHOST_FAULTS=whole (scripts/fault-campaign) every byte. */
#include <criterion/criterion.h>
#include <criterion/parameterized.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "fault/checkpoint_fixture.h"
#include "fault/fault_rig.h"
#include "support/resign.h"

#define SHORT_FORM 45u /* cases of each mode */

enum way { CHANGED, CUT, FORGED, WAYS };

struct damage {
	char file[128]; /* below the working directory */
	uint64_t at;
	enum way way;
};

struct campaign {
	struct fault_rig rig;
	uint64_t bytes, step, turn; /* of all files; of the positions tried */
	uint64_t cases, equal, older, refused;
};

static const char *describe(const struct campaign *c, const struct damage *damage, const struct fault_outcome *outcome)
{
	static const char *const ways[] = {"changed", "cut", "forged"};
	static char text[4096];

	snprintf(text, sizeof(text), "%s: %s %s at byte %" PRIu64 "; %s\n%s", c->rig.mode.name, damage->file,
		 ways[damage->way], damage->at, outcome->error.message,
		 outcome->log.len ? (char *)outcome->log.data : "");
	return text;
}

static void flip_bit(void *context, uint8_t *bytes, size_t len)
{
	const uint64_t at = *(const uint64_t *)context;

	bytes[at % len] ^= (uint8_t)(1u << at / len % 8);
}

static void do_damage(const struct campaign *c, const struct damage *damage)
{
	AUTO(free_memory) uint8_t *bytes = NULL;
	char path[512];
	size_t len;

	snprintf(path, sizeof(path), "%s/%s", c->rig.run, damage->file);
	bytes = file_read(path, &len);
	cr_assert(bytes && damage->at < len);
	if (damage->way == CUT) {
		len = damage->at;
	} else if (damage->way == CHANGED) {
		bytes[damage->at] ^= (uint8_t)(1u << damage->at % 8);
	} else {
		uint64_t at = damage->at;

		resign_change_frames(bytes, len, flip_bit, &at);
		resign_checkpoint(bytes, len);
	}
	file_write(path, bytes, len);
}

/* A job that starts from the damaged directory, and ends well or not at all. */
static void check(struct campaign *c, const struct damage *damage, const struct fault_outcome *outcome)
{
	const uint64_t restored = fault_logged_id(outcome, "Restoring from checkpoint ");

	cr_assert_eq(outcome->wait_status, 0, "it crashed: %s", describe(c, damage, outcome));
	cr_assert(!outcome->has_leaks, "leaks: %s", describe(c, damage, outcome));
	if (outcome->end != JOB_DONE) {
		c->refused++;
		cr_assert_gt(strlen(outcome->error.message), 20, "%s", describe(c, damage, outcome));
		return;
	}
	cr_assert_eq(outcome->differs.code, SB_OK, "%s: %s", outcome->differs.message, describe(c, damage, outcome));
	cr_assert_neq(restored, 0, "it began anew: %s", describe(c, damage, outcome));
	if (restored == c->rig.newest.number) {
		c->equal++;
		return;
	}
	c->older++;
	cr_assert_lt(restored, c->rig.newest.number);
	cr_assert(strstr((char *)outcome->log.data, "Damaged checkpoint passed over"), "%s",
		  describe(c, damage, outcome));
}

static void try_one(struct campaign *c, const struct damage *damage)
{
	struct fault_job job = fault_rig_job(&c->rig);
	struct fault_outcome outcome;

	fault_rig_reset(&c->rig, false);
	do_damage(c, damage);
	job.compare = true;
	fault_job_run(&job, &outcome);
	check(c, damage, &outcome);
	c->cases++;
	fault_outcome_done(&outcome);
}

static void try_file(struct campaign *c, const char *file, uint64_t len)
{
	struct damage damage = {.at = 0};

	snprintf(damage.file, sizeof(damage.file), "%s", file);
	for (; damage.at < len; damage.at++) {
		for (int way = 0; way < WAYS; way++) {
			damage.way = (enum way)way;
			/* Every so manieth of them; which ones goes on from file to file. */
			if (c->turn++ % c->step == 0)
				try_one(c, &damage);
		}
	}
}

static void count_file(struct campaign *c, const char *file, uint64_t len)
{
	(void)file;
	c->bytes += len;
}

typedef void visit_fn(struct campaign *c, const char *file, uint64_t len);

static void visit(struct campaign *c, const char *dir, visit_fn *each)
{
	AUTO(buffer_done) struct buffer names = BUFFER_INIT;
	sb_error err = ERROR_INIT;
	char path[512], file[128];
	uint64_t count;
	struct io io;

	io_init_system(&io);
	snprintf(path, sizeof(path), "%s/%s", c->rig.ground, dir);
	cr_assert_eq(io_list(&io, path, &names, &count, &err), SB_OK, "%s", err.message);
	for (size_t i = 0; i < names.len; i += strlen((char *)names.data + i) + 1) {
		struct stat st;
		bool exists;

		snprintf(file, sizeof(file), "%s/%s", dir, (char *)names.data + i);
		snprintf(path, sizeof(path), "%s/%s", c->rig.ground, file);
		cr_assert_eq(io_lstat(&io, path, &st, &exists, &err), SB_OK);
		if (S_ISDIR(st.st_mode))
			visit(c, file, each);
		else
			each(c, file, (uint64_t)st.st_size);
	}
}

ParameterizedTestParameters(job_damage, a_damaged_byte_never_gives_a_wrong_state)
{
	static unsigned modes[FAULT_MODES];
	struct fault_mode mode;
	size_t count = 0;

	for (unsigned m = 0; m < FAULT_MODES; m++)
		if (fault_mode_get(m, &mode))
			modes[count++] = m;
	return cr_make_param_array(unsigned, modes, count);
}

ParameterizedTest(unsigned *index, job_damage, a_damaged_byte_never_gives_a_wrong_state)
{
	struct campaign c = {0};
	struct fault_mode mode;

	cr_assert(fault_mode_get(*index, &mode));
	fault_rig_init(&c.rig, &mode);
	visit(&c, FAULT_CHECKPOINTS, count_file);
	c.step = fault_step(&mode, WAYS * c.bytes, SHORT_FORM);
	c.step += c.step > 1 && c.step % WAYS == 0; /* all ways in turn */
	visit(&c, FAULT_CHECKPOINTS, try_file);
	cr_assert(c.equal && c.older);
	printf("damage: %-15s %6" PRIu64 " bytes, %6" PRIu64 " cases: %" PRIu64 " restored the newest, %" PRIu64
	       " an older one, %" PRIu64 " refused\n",
	       mode.name, c.bytes, c.cases, c.equal, c.older, c.refused);
	fflush(stdout);
	fault_rig_done(&c.rig);
}

/* --- what a crash leaves lying about ---------------------------------------------- */

static void put(const struct campaign *c, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/" FAULT_CHECKPOINTS "/%s", c->rig.run, name);
	file_write(path, "{\"ID\":", 6);
}

static void make_folder(const struct campaign *c, const char *name)
{
	sb_error err = ERROR_INIT;
	char path[512];
	struct io io;

	io_init_system(&io);
	snprintf(path, sizeof(path), "%s/" FAULT_CHECKPOINTS "/%s", c->rig.run, name);
	cr_assert_eq(io_mkdir_p(&io, path, &err), SB_OK);
}

static bool is_there(const struct campaign *c, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/" FAULT_CHECKPOINTS "/%s", c->rig.run, name);
	return access(path, F_OK) == 0;
}

Test(job_damage, litter_of_a_crash_is_cleared_up_and_nothing_else)
{
	static const char unnamed[] = "shared/0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
	struct fault_mode mode;

	for (unsigned m = 0; fault_mode_get(m, &mode) && !mode.slow; m++) {
		struct damage none = {.file = "litter"};
		struct campaign c = {0};
		struct fault_outcome outcome;
		struct fault_job job;

		fault_rig_init(&c.rig, &mode);
		fault_rig_reset(&c.rig, false);
		make_folder(&c, "shared");
		make_folder(&c, "tmp-checkpoint-1-backend-0/deep");
		put(&c, "tmp-checkpoint-1-backend-0/deep/file");
		put(&c, "checkpoint-1.json.tmp");
		put(&c, "shared/tmp-1");
		put(&c, unnamed);
		put(&c, "notes.txt");
		put(&c, "shared/notes.txt");
		job = fault_rig_job(&c.rig);
		job.compare = true;
		fault_job_run(&job, &outcome);
		check(&c, &none, &outcome);
		cr_assert_eq(c.equal, 1);
		cr_assert(!is_there(&c, "tmp-checkpoint-1-backend-0") && !is_there(&c, "checkpoint-1.json.tmp") &&
			  !is_there(&c, "shared/tmp-1") && !is_there(&c, unnamed));
		cr_assert(is_there(&c, "notes.txt") && is_there(&c, "shared/notes.txt"));
		fault_outcome_done(&outcome);
		fault_rig_done(&c.rig);
	}
}
