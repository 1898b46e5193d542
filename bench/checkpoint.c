/* SPDX-License-Identifier: Apache-2.0
 *
 * What checkpoints cost: the pause at the barrier, the time and bytes of writing one, and how
 * much slower events pass meanwhile; and whether an incremental one follows what changed or what there is.
 *
 * sbhost is driven from outside, as users run it: this program is its standard input and reads its log. A pipe
 * rather than the generator, because only so is every key there exactly once, and a set of dirty
 * keys exactly what it is said to be. Making a line takes 20 ns, so the one who is measured is sbhost.
 *
 * One run for each mode, backend and number of keys, in three parts:
 *
 *   fill    each key once, in a scattered order, and a checkpoint of that
 *   steady  keys at random, as fast as sbhost takes them. The pipe and sbhost's queue are always full, so what we get
 *           rid of is what sbhost processes, and both rates (while a checkpoint is written, and while none is)
 *           are of the same seconds of the same process.
 *   dirty   the same few keys again and again, each time with a checkpoint that holds just them: every checkpoint says
 *           how many events it counts on. It begins when the backend has made no file of its own for some seconds: what
 *           compactions still owe to the steady part is not these keys'. Not in full mode, where it would be the steady
 *           part's once more. Means beside the medians, and enough rounds, because an engine that rewrites its files now
 *           and then pays then.
 *
 * Pause, thaw (from the pause until the backends have the state of that moment) and duration (of writing, behind both) are sbhost's own
 * figures. A checkpoint is under way from its pause to its end. Bytes are what is new in the checkpoint directory, in files of a name
 * that was not there before, whatever the log says. Of these the log tells apart what was only linked, as RocksDB's
 * tables are: the backend had written them anyhow, and the checkpoint hashes and syncs them. Nothing is cached away:
 * writing ends with fsync.
 *
 * Runs are bounded: in time by --limit each, on disk by a look at the free space before each and by --keep 2.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <getopt.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SIZES_MAX 8
#define RUNS_MAX (SIZES_MAX * 4)
#define CHECKPOINTS_MAX 256
#define SAMPLES_MAX (1u << 18)
#define SAMPLE_S 0.004
#define CHUNK_LINES 512u
#define BEFORE_USER "{\"user_id\":\"user-"
#define BEFORE_AMOUNT BEFORE_USER "00000000\",\"amount\":"
#define LINE BEFORE_AMOUNT "234.50,\"timestamp\":\"2024-01-01T00:00:07Z\",\"product_id\":\"product-42\"}\n"
#define LINE_BYTES (sizeof(LINE) - 1)
#define USER_AT (sizeof(BEFORE_USER) - 1)
#define AMOUNT_AT (sizeof(BEFORE_AMOUNT) - 1)
#define USER_DIGITS 8u
#define SETTLE_S 1.0 /* of the steady part that do not count */
#define QUIET_S 3.0 /* without a new file of the backend: compactions are done */
#define LOOK_S 0.25
#define LOG_BYTES (1u << 16)

enum mode { MODE_FULL, MODE_INCREMENTAL, MODE_COUNT };
static const char *const mode_names[MODE_COUNT] = {"full", "incremental"};

enum backend { BACKEND_MEMORY, BACKEND_ROCKSDB, BACKEND_COUNT };
static const char *const backend_names[BACKEND_COUNT] = {"memory", "rocksdb"};

struct options {
	const char *sbhost;
	const char *parent;
	uint64_t sizes[SIZES_MAX];
	size_t size_count;
	bool modes[MODE_COUNT];
	bool backends[BACKEND_COUNT];
	uint64_t dirty;
	unsigned rounds;
	unsigned dirty_rounds;
	double interval_s; /* 0: chosen by us */
	const char *rocksdb_option; /* NULL: none */
	double limit_s;
	bool json;
};

struct checkpoint {
	double at; /* when its log line came */
	double pause_s;
	double thaw_s;
	double duration_s;
	uint64_t linked_bytes;
	uint64_t written_bytes; /* what else is new */
	uint64_t events;
	char kind[16];
};

/* What one part of a run showed: over its checkpoints, medians where nothing else is said. */
struct figures {
	unsigned checkpoints;
	double pause_s;
	double pause_p99_s; /* the largest, of fewer than a hundred */
	double pause_max_s;
	double thaw_s;
	double duration_s;
	double duration_mean_s;
	double written_bytes;
	double written_bytes_mean;
	double linked_bytes;
	double linked_bytes_mean;
	char kind[16]; /* of the last one */
};

struct run {
	enum mode mode;
	enum backend backend;
	uint64_t keys;
	const char *failure; /* NULL: all below is there */
	struct figures steady;
	struct figures dirty;
	double idle_rate; /* events a second while no checkpoint is written */
	double during_rate; /* while one is under way: thaw and writing */
	double whole_rate; /* of the whole part, pauses and all */
};

struct sample {
	double at;
	double events;
};

enum work { WORK_NONE, WORK_FILL, WORK_RANDOM, WORK_DIRTY };

struct job {
	const struct options *options;
	uint64_t keys;
	double interval_s;
	double deadline;
	char dir[256];
	char checkpoint_dir[300];
	pid_t pid;
	int in;
	int log;
	/* What is sent. */
	enum work work;
	uint64_t work_at;
	uint64_t work_end;
	uint64_t seed;
	uint64_t sent_bytes;
	char chunk[CHUNK_LINES * LINE_BYTES];
	size_t chunk_len;
	size_t chunk_at;
	/* What came back. */
	char text[LOG_BYTES];
	size_t text_len;
	struct checkpoint checkpoints[CHECKPOINTS_MAX];
	size_t checkpoint_count;
	struct sample samples[SAMPLES_MAX];
	size_t sample_count;
	char **known; /* files that were there */
	size_t known_count;
	const char *failure;
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
	(void)number;
	interrupted = 1;
}

static void die(const char *what, const char *why)
{
	fprintf(stderr, "checkpoint: %s: %s\n", what, why);
	exit(1);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static uint64_t next_random(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

/* ---------------------------------------------------------------------------
 * Events
 * ------------------------------------------------------------------------- */

static uint64_t next_key(struct job *job)
{
	uint64_t i = job->work_at++;

	switch (job->work) {
	case WORK_FILL:
		return i * UINT64_C(2654435761) % job->keys; /* a prime above every number of keys: each comes once */
	case WORK_DIRTY:
		return i * (job->keys / job->options->dirty);
	default:
		return next_random(&job->seed) % job->keys;
	}
}

/* Amounts differ, so that states compress as real ones do. */
static void make_line(char *line, uint64_t key, uint64_t random)
{
	memcpy(line, LINE, LINE_BYTES);
	for (unsigned digit = USER_DIGITS; key > 0; key /= 10)
		line[USER_AT + --digit] = (char)('0' + key % 10);
	line[AMOUNT_AT] = (char)('1' + random % 9);
	line[AMOUNT_AT + 1] = (char)('0' + (random >> 8) % 10);
	line[AMOUNT_AT + 2] = (char)('0' + (random >> 16) % 10);
	line[AMOUNT_AT + 4] = (char)('0' + (random >> 24) % 10);
	line[AMOUNT_AT + 5] = (char)('0' + (random >> 32) % 10);
}

static void fill_chunk(struct job *job)
{
	char *line = job->chunk;
	unsigned lines = 0;

	for (; lines < CHUNK_LINES && job->work_at < job->work_end; lines++, line += LINE_BYTES) {
		make_line(line, next_key(job), next_random(&job->seed));
	}
	job->chunk_at = 0;
	job->chunk_len = lines * LINE_BYTES;
	if (lines == 0)
		job->work = WORK_NONE;
}

static void start_work(struct job *job, enum work work, uint64_t count)
{
	job->work = work;
	job->work_at = 0;
	job->work_end = count;
}

static uint64_t events_sent(const struct job *job)
{
	return job->sent_bytes / LINE_BYTES;
}

static bool is_sent(const struct job *job)
{
	return job->work == WORK_NONE && job->chunk_at == job->chunk_len;
}

static void send_some(struct job *job)
{
	if (job->chunk_at == job->chunk_len)
		fill_chunk(job);
	if (job->chunk_at == job->chunk_len)
		return;

	ssize_t n = write(job->in, job->chunk + job->chunk_at, job->chunk_len - job->chunk_at);

	if (n > 0) {
		job->chunk_at += (size_t)n;
		job->sent_bytes += (uint64_t)n;
	} else if (n < 0 && errno != EAGAIN && errno != EINTR) {
		job->failure = "sbhost reads no more";
	}
}

static void take_sample(struct job *job)
{
	double at = now();

	if (job->sample_count == SAMPLES_MAX ||
	    (job->sample_count && at - job->samples[job->sample_count - 1].at < SAMPLE_S))
		return;
	job->samples[job->sample_count++] =
		(struct sample){.at = at, .events = (double)job->sent_bytes / (double)LINE_BYTES};
}

/* Events sent until then. */
static double events_at(const struct job *job, double at)
{
	size_t low = 0;
	size_t high = job->sample_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (job->samples[middle].at <= at)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == 0 || low == job->sample_count)
		return job->samples[low ? low - 1 : 0].events;

	const struct sample *a = &job->samples[low - 1];
	const struct sample *b = &job->samples[low];

	return a->events + (b->events - a->events) * (at - a->at) / (b->at - a->at);
}

/* ---------------------------------------------------------------------------
 * The log, and the checkpoint directory
 * ------------------------------------------------------------------------- */

/* The number behind " name=" of a line in logfmt. */
static double log_number(const char *line, const char *name)
{
	char pattern[32];
	const char *found;

	snprintf(pattern, sizeof(pattern), " %s=", name);
	found = strstr(line, pattern);
	return found ? strtod(found + strlen(pattern), NULL) : 0;
}

static bool is_known(struct job *job, const char *path)
{
	for (size_t i = 0; i < job->known_count; i++) {
		if (strcmp(job->known[i], path) == 0)
			return true;
	}
	job->known = realloc(job->known, (job->known_count + 1) * sizeof(*job->known));
	if (!job->known)
		die("memory", "is out");
	job->known[job->known_count++] = strdup(path);
	return false;
}

/* The bytes of files that were not there the last time. */
static uint64_t count_new(struct job *job, const char *dir)
{
	DIR *stream = opendir(dir);
	uint64_t bytes = 0;

	if (!stream)
		return 0;
	for (struct dirent *entry = readdir(stream); entry; entry = readdir(stream)) {
		char path[600];
		struct stat status;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%.255s", dir, entry->d_name);
		if (lstat(path, &status) < 0)
			continue;
		if (S_ISDIR(status.st_mode))
			bytes += count_new(job, path);
		else if (!is_known(job, path))
			bytes += (uint64_t)status.st_size;
	}
	closedir(stream);
	return bytes;
}

/* Kind and number of events stand near the beginning of the file. */
static void read_head(const struct job *job, const char *line, struct checkpoint *checkpoint)
{
	char head[4096] = "";
	char path[400];
	char id[64];
	const char *found = strstr(line, " id=");
	FILE *file;

	if (!found || sscanf(found, " id=%63[a-z0-9-]", id) != 1)
		return;
	snprintf(path, sizeof(path), "%s/%s.json", job->checkpoint_dir, id);
	file = fopen(path, "r");
	if (!file)
		return;
	head[fread(head, 1, sizeof(head) - 1, file)] = '\0';
	fclose(file);
	found = strstr(head, "\"Events\":");
	if (found)
		checkpoint->events = strtoull(found + 9, NULL, 10);
	found = strstr(head, "\"Kind\":\"");
	if (found)
		sscanf(found + 8, "%15[a-z-]", checkpoint->kind);
}

static void take_checkpoint(struct job *job, const char *line)
{
	struct checkpoint *checkpoint = &job->checkpoints[job->checkpoint_count];
	uint64_t new_bytes;

	if (job->checkpoint_count == CHECKPOINTS_MAX) {
		job->failure = "too many checkpoints";
		return;
	}
	*checkpoint = (struct checkpoint){
		.at = now(),
		.pause_s = log_number(line, "pause_ms") / 1e3,
		.thaw_s = log_number(line, "thaw_ms") / 1e3,
		.duration_s = log_number(line, "duration_ms") / 1e3,
		.linked_bytes = (uint64_t)log_number(line, "bytes_linked"),
	};
	read_head(job, line, checkpoint);
	new_bytes = count_new(job, job->checkpoint_dir);
	checkpoint->written_bytes = new_bytes > checkpoint->linked_bytes ? new_bytes - checkpoint->linked_bytes : 0;
	job->checkpoint_count++;
}

static void take_line(struct job *job, const char *line)
{
	if (strstr(line, "msg=\"Checkpoint created\""))
		take_checkpoint(job, line);
	else if (strstr(line, "level=error") || strncmp(line, "sbhost", 6) == 0)
		fprintf(stderr, "%s\n", line);
}

static void read_log(struct job *job)
{
	ssize_t n = read(job->log, job->text + job->text_len, LOG_BYTES - 1 - job->text_len);
	char *line = job->text;
	char *end;

	if (n == 0)
		job->failure = "sbhost has ended";
	if (n <= 0)
		return;
	job->text_len += (size_t)n;
	job->text[job->text_len] = '\0';
	while ((end = strchr(line, '\n'))) {
		*end = '\0';
		take_line(job, line);
		line = end + 1;
	}
	job->text_len -= (size_t)(line - job->text);
	memmove(job->text, line, job->text_len + 1);
}

/* Sends, reads, and tells whether to go on. */
static bool pump(struct job *job)
{
	struct pollfd fds[] = {
		{.fd = job->log, .events = POLLIN},
		{.fd = is_sent(job) ? -1 : job->in, .events = POLLOUT},
	};

	if (interrupted)
		job->failure = "interrupted";
	else if (now() > job->deadline)
		job->failure = "over its --limit";
	if (job->failure)
		return false;
	poll(fds, 2, 2);
	if (fds[0].revents)
		read_log(job);
	if (fds[1].revents)
		send_some(job);
	take_sample(job);
	return !job->failure;
}

static const struct checkpoint *last_checkpoint(const struct job *job)
{
	return job->checkpoint_count ? &job->checkpoints[job->checkpoint_count - 1] : NULL;
}

/* Until a checkpoint counts on all that was sent. */
static bool wait_until_covered(struct job *job)
{
	while (!is_sent(job) || !last_checkpoint(job) || last_checkpoint(job)->events < events_sent(job)) {
		if (!pump(job))
			return false;
	}
	return true;
}

/* ---------------------------------------------------------------------------
 * Figures
 * ------------------------------------------------------------------------- */

static int compare(const void *a, const void *b)
{
	double left = *(const double *)a;
	double right = *(const double *)b;

	return (left > right) - (left < right);
}

static double median(double *values, size_t count)
{
	if (count == 0)
		return 0;
	qsort(values, count, sizeof(*values), compare);
	return count % 2 ? values[count / 2] : (values[count / 2 - 1] + values[count / 2]) / 2;
}

static double mean(const double *values, size_t count)
{
	double sum = 0;

	for (size_t i = 0; i < count; i++)
		sum += values[i];
	return count ? sum / (double)count : 0;
}

static void summarize(const struct checkpoint *checkpoints, size_t count, struct figures *ret_figures)
{
	double pauses[CHECKPOINTS_MAX];
	double thaws[CHECKPOINTS_MAX];
	double durations[CHECKPOINTS_MAX];
	double written[CHECKPOINTS_MAX];
	double linked[CHECKPOINTS_MAX];

	for (size_t i = 0; i < count; i++) {
		pauses[i] = checkpoints[i].pause_s;
		thaws[i] = checkpoints[i].thaw_s;
		durations[i] = checkpoints[i].duration_s;
		written[i] = (double)checkpoints[i].written_bytes;
		linked[i] = (double)checkpoints[i].linked_bytes;
	}
	*ret_figures = (struct figures){
		.checkpoints = (unsigned)count,
		.pause_s = median(pauses, count),
		.pause_p99_s = count ? pauses[(count * 99 + 99) / 100 - 1] : 0, /* they are sorted now */
		.pause_max_s = count ? pauses[count - 1] : 0,
		.thaw_s = median(thaws, count),
		.duration_s = median(durations, count),
		.duration_mean_s = mean(durations, count),
		.written_bytes = median(written, count),
		.written_bytes_mean = mean(written, count),
		.linked_bytes = median(linked, count),
		.linked_bytes_mean = mean(linked, count),
	};
	if (count)
		memcpy(ret_figures->kind, checkpoints[count - 1].kind, sizeof(ret_figures->kind));
}

/* In incremental mode a backend may write everything now and then (a chain of changes is bounded). What is
 * compared are those that are incremental, unless there is none. */
static size_t select_kind(const struct job *job, size_t first, enum mode mode, struct checkpoint *ret_selected)
{
	size_t count = 0;

	for (size_t i = first; i < job->checkpoint_count; i++) {
		if (mode == MODE_FULL || strcmp(job->checkpoints[i].kind, "full") != 0)
			ret_selected[count++] = job->checkpoints[i];
	}
	if (count)
		return count;
	for (size_t i = first; i < job->checkpoint_count; i++)
		ret_selected[count++] = job->checkpoints[i];
	return count;
}

/* Both rates between begin and end; the log line of a checkpoint comes at the end of its writing, before which
 * were the thaw and the pause. */
static void rate(const struct job *job, double begin, double end, struct run *run)
{
	double writing_s = 0;
	double writing_events = 0;
	double paused_s = 0;
	double paused_events = 0;
	double events = events_at(job, end) - events_at(job, begin);

	for (size_t i = 0; i < job->checkpoint_count; i++) {
		const struct checkpoint *c = &job->checkpoints[i];
		double written = c->at < end ? c->at : end;
		double released = c->at - c->duration_s - c->thaw_s;
		double arrived = released - c->pause_s;

		if (arrived < begin)
			arrived = begin;
		if (released < begin)
			released = begin;
		if (released > end)
			released = end;
		if (written > released) {
			writing_s += written - released;
			writing_events += events_at(job, written) - events_at(job, released);
		}
		if (released > arrived) {
			paused_s += released - arrived;
			paused_events += events_at(job, released) - events_at(job, arrived);
		}
	}

	double idle_s = end - begin - writing_s - paused_s;

	run->idle_rate = idle_s > 0 ? (events - writing_events - paused_events) / idle_s : 0;
	run->during_rate = writing_s > 0 ? writing_events / writing_s : 0;
	run->whole_rate = events / (end - begin);
}

/* ---------------------------------------------------------------------------
 * The parts of a run
 * ------------------------------------------------------------------------- */

static bool fill(struct job *job)
{
	start_work(job, WORK_FILL, job->keys);
	return wait_until_covered(job);
}

static bool run_steady(struct job *job, struct run *run)
{
	static struct checkpoint selected[CHECKPOINTS_MAX];
	size_t first = job->checkpoint_count;
	double begin = now() + SETTLE_S;

	start_work(job, WORK_RANDOM, UINT64_MAX);
	while (job->checkpoint_count < first + job->options->rounds) {
		if (!pump(job))
			return false;
	}
	rate(job, begin, last_checkpoint(job)->at, run);
	summarize(selected, select_kind(job, first, run->mode, selected), &run->steady);
	job->work = WORK_NONE;
	return wait_until_covered(job);
}

/* Until the backend makes no more files: a compaction is seen by those that it makes. */
static bool wait_until_quiet(struct job *job)
{
	char state[300];
	double quiet_since = now();
	double next_look = 0;

	snprintf(state, sizeof(state), "%s/state", job->dir);
	while (now() - quiet_since < QUIET_S) {
		if (!pump(job))
			return false;
		if (now() < next_look)
			continue;
		next_look = now() + LOOK_S;
		if (count_new(job, state) > 0)
			quiet_since = now();
	}
	return true;
}

/* If the timer cut the round in two, its checkpoints count as one. */
static bool run_round(struct job *job, struct checkpoint *ret_sum)
{
	size_t first = job->checkpoint_count;

	start_work(job, WORK_DIRTY, job->options->dirty);
	if (!wait_until_covered(job))
		return false;
	*ret_sum = job->checkpoints[first];
	for (size_t i = first + 1; i < job->checkpoint_count; i++) {
		ret_sum->pause_s += job->checkpoints[i].pause_s;
		ret_sum->thaw_s += job->checkpoints[i].thaw_s;
		ret_sum->duration_s += job->checkpoints[i].duration_s;
		ret_sum->written_bytes += job->checkpoints[i].written_bytes;
		ret_sum->linked_bytes += job->checkpoints[i].linked_bytes;
		memcpy(ret_sum->kind, job->checkpoints[i].kind, sizeof(ret_sum->kind));
	}
	return true;
}

/* A round in which everything was written says nothing about changes; another takes its place. */
static bool run_dirty(struct job *job, struct run *run)
{
	struct checkpoint rounds[CHECKPOINTS_MAX];
	unsigned count = 0;

	if (!wait_until_quiet(job))
		return false;
	for (unsigned tries = 0; count < job->options->dirty_rounds && tries < 2 * job->options->dirty_rounds;
	     tries++) {
		if (!run_round(job, &rounds[count]))
			return false;
		if (strcmp(rounds[count].kind, "full") != 0)
			count++;
	}
	summarize(rounds, count, &run->dirty);
	return true;
}

/* ---------------------------------------------------------------------------
 * A run
 * ------------------------------------------------------------------------- */

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where)
{
	(void)status;
	(void)kind;
	(void)where;
	return remove(path);
}

static bool has_space(const struct job *job)
{
	struct statvfs status;
	uint64_t needed = job->keys * 1000 + (UINT64_C(1) << 30); /* state twice, three checkpoints, and some */

	return statvfs(job->dir, &status) == 0 && (uint64_t)status.f_bavail * status.f_frsize >= needed;
}

static _Noreturn void become_sbhost(const struct job *job, const struct run *run, int in, int log, bool has_mode)
{
	char interval[32];
	char state[300];
	const char *argv[32];
	int count = 0;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	dup2(in, STDIN_FILENO);
	dup2(log, STDERR_FILENO);
	snprintf(interval, sizeof(interval), "%.0fms", job->interval_s * 1e3);
	snprintf(state, sizeof(state), "%s/state", job->dir);
	argv[count++] = job->options->sbhost;
	argv[count++] = "run";
	argv[count++] = "--backend";
	argv[count++] = backend_names[run->backend];
	argv[count++] = "--input";
	argv[count++] = "-";
	argv[count++] = "--output";
	argv[count++] = "none";
	argv[count++] = "--state-dir";
	argv[count++] = state;
	argv[count++] = "--checkpoint-dir";
	argv[count++] = job->checkpoint_dir;
	argv[count++] = "--on-error";
	argv[count++] = "fail";
	argv[count++] = "--checkpoint-interval";
	argv[count++] = interval;
	argv[count++] = "--keep";
	argv[count++] = "2";
	argv[count++] = "--progress";
	argv[count++] = "off";
	argv[count++] = "--log-format";
	argv[count++] = "logfmt";
	if (has_mode) {
		argv[count++] = "--checkpoint-mode";
		argv[count++] = mode_names[run->mode];
	}
	if (run->backend == BACKEND_ROCKSDB && job->options->rocksdb_option) {
		argv[count++] = "--backend-opt";
		argv[count++] = job->options->rocksdb_option;
	}
	argv[count] = NULL;
	execv(job->options->sbhost, (char *const *)(uintptr_t)argv);
	dprintf(STDERR_FILENO, "sbhost cannot be started: %s\n", strerror(errno));
	_exit(127);
}

static void start(struct job *job, const struct run *run, bool has_mode)
{
	int in[2];
	int log[2];

	if (pipe2(in, O_CLOEXEC) < 0 || pipe2(log, O_CLOEXEC) < 0)
		die("pipe", strerror(errno));
	job->pid = fork();
	if (job->pid < 0)
		die("fork", strerror(errno));
	if (job->pid == 0)
		become_sbhost(job, run, in[0], log[1], has_mode);
	close(in[0]);
	close(log[1]);
	job->in = in[1];
	job->log = log[0];
	fcntl(job->in, F_SETFL, O_NONBLOCK);
	fcntl(job->log, F_SETFL, O_NONBLOCK);
}

/* Nothing is wanted of its end, so it gets none. */
static void stop(struct job *job)
{
	if (job->pid > 0) {
		kill(job->pid, SIGKILL);
		waitpid(job->pid, NULL, 0);
		close(job->in);
		close(job->log);
	}
	nftw(job->dir, remove_one, 16, FTW_DEPTH | FTW_PHYS);
	for (size_t i = 0; i < job->known_count; i++)
		free(job->known[i]);
	free(job->known);
}

/* Long enough that between two full checkpoints there is time without one. */
static double interval_s(const struct options *options, const struct run *run)
{
	double millions = (double)run->keys / 1e6;

	if (options->interval_s > 0)
		return options->interval_s;
	if (run->mode == MODE_INCREMENTAL)
		return 3;
	return millions < 2 ? 4 : millions > 10 ? 20 : 2 * millions;
}

static void measure(const struct options *options, bool has_mode, struct run *run)
{
	struct job *job = calloc(1, sizeof(*job));

	if (!job)
		die("memory", "is out");
	job->options = options;
	job->keys = run->keys;
	job->interval_s = interval_s(options, run);
	job->deadline = now() + options->limit_s;
	job->seed = UINT64_C(0x9e3779b97f4a7c15);
	snprintf(job->dir, sizeof(job->dir), "%.200s/bench-checkpoint-XXXXXX", options->parent);
	if (!mkdtemp(job->dir))
		die(job->dir, strerror(errno));
	snprintf(job->checkpoint_dir, sizeof(job->checkpoint_dir), "%s/checkpoints", job->dir);
	if (!has_space(job)) {
		run->failure = "too little free space on disk";
	} else {
		start(job, run, has_mode);
		if (!fill(job) || !run_steady(job, run) || (run->mode == MODE_INCREMENTAL && !run_dirty(job, run)))
			run->failure = job->failure;
	}
	stop(job);
	free(job);
}

/* ---------------------------------------------------------------------------
 * Reports
 * ------------------------------------------------------------------------- */

static const struct run *find_run(const struct run *runs, size_t count, enum mode mode, enum backend backend,
				  uint64_t keys)
{
	for (size_t i = 0; i < count; i++) {
		if (runs[i].mode == mode && runs[i].backend == backend && runs[i].keys == keys && !runs[i].failure)
			return &runs[i];
	}
	return NULL;
}

static double ratio(double a, double b)
{
	return b > 0 ? a / b : 0;
}

static void print_steady(const struct run *runs, size_t count)
{
	printf("While all keys change at random. Million events a second: idle, no checkpoint is under way; writing, one is;\n"
	       "whole, over all, pauses included. Ratios are to idle.\n"
	       "%-12s %-12s %-8s %9s %5s %9s %9s %9s %8s %8s %10s %9s %6s %7s %6s %6s %6s\n",
	       "mode", "kind", "backend", "keys", "count", "pause ms", "p99 ms", "max ms", "thaw ms", "write ms",
	       "written MB", "linked MB", "idle", "writing", "ratio", "whole", "ratio");
	for (size_t i = 0; i < count; i++) {
		const struct run *run = &runs[i];

		printf("%-12s %-12s %-8s %9" PRIu64 " ", mode_names[run->mode], run->steady.kind,
		       backend_names[run->backend], run->keys);
		if (run->failure) {
			printf("%s\n", run->failure);
			continue;
		}
		printf("%5u %9.3f %9.3f %9.3f %8.0f %8.0f %10.1f %9.1f %6.3f %7.3f %6.2f %6.3f %6.2f\n",
		       run->steady.checkpoints, run->steady.pause_s * 1e3, run->steady.pause_p99_s * 1e3,
		       run->steady.pause_max_s * 1e3, run->steady.thaw_s * 1e3, run->steady.duration_s * 1e3,
		       run->steady.written_bytes / 1e6, run->steady.linked_bytes / 1e6, run->idle_rate / 1e6,
		       run->during_rate / 1e6, ratio(run->during_rate, run->idle_rate), run->whole_rate / 1e6,
		       ratio(run->whole_rate, run->idle_rate));
	}
}

/* Against the full checkpoint of the same size, and against the first size with the same dirty keys. */
static void print_dirty(const struct options *options, const struct run *runs, size_t count)
{
	bool titled = false;

	for (size_t i = 0; i < count; i++) {
		const struct run *run = &runs[i];
		const struct run *full = find_run(runs, count, MODE_FULL, run->backend, run->keys);
		const struct run *first = find_run(runs, count, MODE_INCREMENTAL, run->backend, options->sizes[0]);

		if (run->failure || run->mode != MODE_INCREMENTAL)
			continue;
		if (!titled)
			printf("\nThe same %" PRIu64
			       " keys changed, incremental (ratios are of means; 0: nothing to compare "
			       "with)\n%-8s %9s %6s %9s %9s %8s %10s %8s %9s %8s %15s %18s %17s %9s %12s\n",
			       options->dirty, "backend", "keys", "rounds", "pause ms", "write ms", "mean",
			       "written MB", "mean", "linked MB", "mean", "time/first size", "written/first size",
			       "linked/first size", "time/full", "written/full");
		titled = true;
		printf("%-8s %9" PRIu64
		       " %6u %9.1f %9.0f %8.0f %10.2f %8.2f %9.1f %8.1f %15.2f %18.2f %17.2f %9.3f %12.3f\n",
		       backend_names[run->backend], run->keys, run->dirty.checkpoints, run->dirty.pause_s * 1e3,
		       run->dirty.duration_s * 1e3, run->dirty.duration_mean_s * 1e3, run->dirty.written_bytes / 1e6,
		       run->dirty.written_bytes_mean / 1e6, run->dirty.linked_bytes / 1e6,
		       run->dirty.linked_bytes_mean / 1e6,
		       first ? ratio(run->dirty.duration_mean_s, first->dirty.duration_mean_s) : 0,
		       first ? ratio(run->dirty.written_bytes_mean, first->dirty.written_bytes_mean) : 0,
		       first ? ratio(run->dirty.linked_bytes_mean, first->dirty.linked_bytes_mean) : 0,
		       full ? ratio(run->dirty.duration_mean_s, full->steady.duration_mean_s) : 0,
		       full ? ratio(run->dirty.written_bytes_mean, full->steady.written_bytes_mean) : 0);
	}
}

static void print_json_figures(const char *name, const struct figures *figures)
{
	printf("\"%s\":{\"kind\":\"%s\",\"checkpoints\":%u,\"pause_ms\":%.3f,\"pause_p99_ms\":%.3f,\"pause_max_ms\":%.3f,\"thaw_ms\":%.1f,\"duration_ms\":%.1f,\"duration_mean_ms\":%.1f,"
	       "\"written_bytes\":%.0f,\"written_bytes_mean\":%.0f,\"linked_bytes\":%.0f,\"linked_bytes_mean\":%.0f}",
	       name, figures->kind, figures->checkpoints, figures->pause_s * 1e3, figures->pause_p99_s * 1e3,
	       figures->pause_max_s * 1e3, figures->thaw_s * 1e3, figures->duration_s * 1e3,
	       figures->duration_mean_s * 1e3, figures->written_bytes, figures->written_bytes_mean,
	       figures->linked_bytes, figures->linked_bytes_mean);
}

static void print_json(const struct options *options, const struct run *runs, size_t count)
{
	printf("{\"dirty_keys\":%" PRIu64 ",\"runs\":[", options->dirty);
	for (size_t i = 0; i < count; i++) {
		const struct run *run = &runs[i];

		printf("%s\n{\"mode\":\"%s\",\"backend\":\"%s\",\"keys\":%" PRIu64 ",", i ? "," : "",
		       mode_names[run->mode], backend_names[run->backend], run->keys);
		if (run->failure) {
			printf("\"failure\":\"%s\"}", run->failure);
			continue;
		}
		print_json_figures("steady", &run->steady);
		printf(",\"events_per_s\":{\"idle\":%.0f,\"writing\":%.0f,\"whole\":%.0f,\"ratio\":%.3f}",
		       run->idle_rate, run->during_rate, run->whole_rate, ratio(run->during_rate, run->idle_rate));
		if (run->mode == MODE_INCREMENTAL) {
			printf(",");
			print_json_figures("dirty", &run->dirty);
		}
		printf("}");
	}
	printf("\n]}\n");
}

/* ---------------------------------------------------------------------------
 * The command line
 * ------------------------------------------------------------------------- */

static const char usage[] =
	"Usage: checkpoint [OPTION...]\n"
	"  --keys LIST       numbers of keys (1000000,10000000; at most 99999999)\n"
	"  --backends LIST   memory,rocksdb\n"
	"  --modes LIST      full,incremental\n"
	"  --dirty N         keys that change between two checkpoints in the last part (100000)\n"
	"  --rounds N        checkpoints in the steady part (3)\n"
	"  --interval S      seconds between them (by default long enough that there is time without one)\n"
	"  --dirty-rounds N  in the last part (8)\n"
	"  --rocksdb-opt K=V an option of that backend\n"
	"  --limit SECONDS   for each run (600)\n"
	"  --dir DIR         where the files go (TMPDIR, else /tmp): about 1 KB a key, removed at the end\n"
	"  --sbhost PATH     the one beside this program\n"
	"  --json            figures as JSON\n";

static void choose(const char *list, const char *const *names, size_t count, bool *ret_chosen)
{
	char copy[128];
	char *rest = copy;

	snprintf(copy, sizeof(copy), "%s", list);
	memset(ret_chosen, 0, count * sizeof(*ret_chosen));
	for (char *name = strsep(&rest, ","); name; name = strsep(&rest, ",")) {
		size_t i = 0;

		while (i < count && strcmp(names[i], name) != 0)
			i++;
		if (i == count)
			die(name, "is none of the names");
		ret_chosen[i] = true;
	}
}

static uint64_t parse_count(const char *text, uint64_t max)
{
	char *end;
	uint64_t number = strtoull(text, &end, 10);

	if (*end || end == text || number == 0 || number > max)
		die(text, "is no number that fits here");
	return number;
}

static void parse_sizes(const char *list, struct options *options)
{
	char copy[128];
	char *rest = copy;

	snprintf(copy, sizeof(copy), "%s", list);
	options->size_count = 0;
	for (char *size = strsep(&rest, ","); size; size = strsep(&rest, ",")) {
		if (options->size_count == SIZES_MAX)
			die(list, "are too many numbers");
		options->sizes[options->size_count++] = parse_count(size, 99999999);
	}
}

static void parse(int argc, char **argv, struct options *options)
{
	static const struct option known[] = {
		{"keys", required_argument, NULL, 'k'},
		{"backends", required_argument, NULL, 'b'},
		{"modes", required_argument, NULL, 'm'},
		{"dirty", required_argument, NULL, 'd'},
		{"rounds", required_argument, NULL, 'r'},
		{"interval", required_argument, NULL, 'i'},
		{"dirty-rounds", required_argument, NULL, 'R'},
		{"rocksdb-opt", required_argument, NULL, 'o'},
		{"limit", required_argument, NULL, 'l'},
		{"dir", required_argument, NULL, 'D'},
		{"sbhost", required_argument, NULL, 's'},
		{"json", no_argument, NULL, 'j'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	int letter;

	while ((letter = getopt_long(argc, argv, "", known, NULL)) != -1) {
		switch (letter) {
		case 'k':
			parse_sizes(optarg, options);
			break;
		case 'b':
			choose(optarg, backend_names, BACKEND_COUNT, options->backends);
			break;
		case 'm':
			choose(optarg, mode_names, MODE_COUNT, options->modes);
			break;
		case 'd':
			options->dirty = parse_count(optarg, 99999999);
			break;
		case 'r':
			options->rounds = (unsigned)parse_count(optarg, 150);
			break;
		case 'i':
			options->interval_s = (double)parse_count(optarg, 3600);
			break;
		case 'R':
			options->dirty_rounds = (unsigned)parse_count(optarg, 40);
			break;
		case 'o':
			options->rocksdb_option = optarg;
			break;
		case 'l':
			options->limit_s = (double)parse_count(optarg, 86400);
			break;
		case 'D':
			options->parent = optarg;
			break;
		case 's':
			options->sbhost = optarg;
			break;
		case 'j':
			options->json = true;
			break;
		default:
			fputs(usage, letter == 'h' ? stdout : stderr);
			exit(letter == 'h' ? 0 : 2);
		}
	}
	for (size_t i = 0; i < options->size_count; i++) {
		if (options->sizes[i] < options->dirty)
			die("--dirty", "is more than there are keys");
	}
}

/* A host that knows no modes writes full checkpoints. */
static bool knows_modes(const struct options *options)
{
	char command[4300];
	char line[256];
	bool found = false;
	FILE *help;

	snprintf(command, sizeof(command), "'%s' run --help", options->sbhost);
	help = popen(command, "r");
	if (!help)
		die(options->sbhost, strerror(errno));
	while (fgets(line, sizeof(line), help))
		found |= strstr(line, "--checkpoint-mode") != NULL;
	if (pclose(help) != 0)
		die(options->sbhost, "does not run; name it with --sbhost");
	return found;
}

int main(int argc, char **argv)
{
	static struct run runs[RUNS_MAX];
	const char *temporary = getenv("TMPDIR");
	struct options options = {
		.sbhost = SB_PLUGIN_DIR "/../sbhost",
		.parent = temporary ? temporary : "/tmp",
		.sizes = {1000000, 10000000},
		.size_count = 2,
		.modes = {true, true},
		.backends = {true, true},
		.dirty = 100000,
		.rounds = 3,
		.dirty_rounds = 8,
		.limit_s = 600,
	};
	size_t count = 0;
	size_t failures = 0;

	parse(argc, argv, &options);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGINT, on_signal);
	signal(SIGTERM, on_signal);

	bool has_mode = knows_modes(&options);

	if (!has_mode && options.modes[MODE_INCREMENTAL]) {
		fprintf(stderr, "checkpoint: this sbhost has no --checkpoint-mode, so only full ones are measured\n");
		options.modes[MODE_INCREMENTAL] = false;
	}
	for (size_t size = 0; size < options.size_count; size++) {
		for (int variant = 0; variant < MODE_COUNT * BACKEND_COUNT && !interrupted; variant++) {
			struct run *run = &runs[count];

			*run = (struct run){.mode = variant % MODE_COUNT,
					    .backend = variant / MODE_COUNT,
					    .keys = options.sizes[size]};
			if (!options.modes[run->mode] || !options.backends[run->backend])
				continue;
			measure(&options, has_mode, run);
			failures += run->failure != NULL;
			count++;
		}
	}
	if (options.json) {
		print_json(&options, runs, count);
	} else {
		print_steady(runs, count);
		print_dirty(&options, runs, count);
	}
	return failures ? 1 : 0;
}
