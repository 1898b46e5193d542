/* See fault_rig.h. */
#include "fault_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "fault/checkpoint_fixture.h"

#define FILE_RECORDS 60u
#define FILE_RECORDS_BEFORE 30u /* when the ground is made */
#define STREAM_RECORDS 120u
#define STREAM_RECORDS_BEFORE (4 * FAULT_PORTION)
#define KEEP_GROUND 20u /* all */
#define KEEP 2u

static void must(int32_t status, const sb_error *err)
{
	if (status == SB_OK)
		return;
	fprintf(stderr, "fault rig: %s\n", err->message);
	abort();
}

bool fault_mode_get(unsigned index, struct fault_mode *ret_mode)
{
	static const struct fault_mode modes[FAULT_MODES] = {
		{.name = "memory-full", .backend = SB_PLUGIN_DIR "/libmemory_backend.so", .full = true},
		{.name = "memory-delta", .backend = SB_PLUGIN_DIR "/libmemory_backend.so"},
		{.name = "filing-native", .backend = SB_TEST_PLUGIN_DIR "/libfiling_backend.so"},
		{.name = "rocksdb-full", .backend = SB_PLUGIN_DIR "/librocksdb_backend.so", .full = true, .slow = true},
		{.name = "rocksdb-native", .backend = SB_PLUGIN_DIR "/librocksdb_backend.so", .slow = true},
	};

	if (index >= FAULT_MODES || (!SB_HAVE_ROCKSDB && strstr(modes[index].name, "rocksdb")))
		return false;
	*ret_mode = modes[index];
	return true;
}

#define SLOW 10u

uint64_t fault_step(const struct fault_mode *mode, uint64_t cases, uint64_t short_form)
{
	const char *wanted = getenv("SBHOST_FAULTS");
	uint64_t step = 1;

	if (!wanted)
		step = 1 + cases / short_form;
	else if (strcmp(wanted, "whole") != 0)
		step = strtoull(wanted, NULL, 10);
	if (mode->slow)
		step *= wanted ? SLOW : 4; /* the short form is short already */
	return step ? step : 1;
}

static void write_input(const struct fault_rig *rig, const char *dir, uint32_t records)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/" FAULT_FILE, dir);
	file_write(path, rig->file.text.data, (size_t)fault_input_end(&rig->file, records));
}

struct fault_job fault_rig_job(const struct fault_rig *rig)
{
	return (struct fault_job){
		.mode = &rig->mode, .dir = rig->run, .file = &rig->file, .stream = &rig->stream, .keep = KEEP};
}

static void make_directory(const char *path)
{
	sb_error err = ERROR_INIT;
	struct io io;

	io_init_system(&io);
	must(io_mkdir_p(&io, path, &err), &err);
}

static void make_ground(struct fault_rig *rig)
{
	struct fault_job job = fault_rig_job(rig);
	struct fault_outcome outcome;

	make_directory(rig->ground);
	write_input(rig, rig->ground, FILE_RECORDS_BEFORE);
	job.dir = rig->ground;
	job.stream_end = STREAM_RECORDS_BEFORE;
	job.keep = KEEP_GROUND;
	job.compare = true;
	fault_job_run(&job, &outcome);
	if (outcome.wait_status || outcome.end != JOB_DONE || outcome.differs.code != SB_OK) {
		fprintf(stderr, "fault rig: no ground of %s: %s%s\n%s", rig->mode.name, outcome.error.message,
			outcome.differs.message, (char *)outcome.log.data);
		abort();
	}
	fault_outcome_done(&outcome);
}

/* What the backend left there is scratch, and need not be copied. */
static void empty_live_directory(const struct fault_rig *rig)
{
	sb_error err = ERROR_INIT;
	char path[256];
	struct io io;

	io_init_system(&io);
	snprintf(path, sizeof(path), "%s/" FAULT_STATE, rig->ground);
	must(io_empty_dir(&io, path, ".sbhost", &err), &err);
}

static void look_at(const struct fault_rig *rig, struct io *io, struct checkpoint_store *store,
		    const struct checkpoint_ref *ref, struct fault_past *ret_past)
{
	AUTO(free_memory) char *path = checkpoint_store_path(store, ref->id);
	struct checkpoint_reader *reader;
	sb_error err = ERROR_INIT;
	const struct checkpoint_meta *meta;

	must(path ? SB_OK : error_no_memory(&err), &err);
	must(checkpoint_reader_open(io, path, &reader, &err), &err);
	meta = checkpoint_reader_meta(reader);
	*ret_past = (struct fault_past){.number = ref->number};
	memcpy(ret_past->id, meta->id, sizeof(ret_past->id));
	for (uint64_t i = 0; i < meta->partition_count; i++)
		while (strcmp(meta->partitions[i].name, "-") == 0 &&
		       fault_input_end(&rig->stream, ret_past->stream_records) < meta->partitions[i].offset)
			ret_past->stream_records++;
	checkpoint_reader_close(reader);
}

static void look_at_ground(struct fault_rig *rig)
{
	AUTO(free_memory) struct checkpoint_ref *refs = NULL;
	struct checkpoint_store *store;
	sb_error err = ERROR_INIT;
	char path[256];
	uint64_t count;
	struct io io;

	io_init_system(&io);
	snprintf(path, sizeof(path), "%s/" FAULT_CHECKPOINTS, rig->ground);
	must(checkpoint_store_open(&io, &silent_log, path, false, false, &store, &err), &err);
	must(checkpoint_store_list(store, &refs, &count, &err), &err);
	if (count < 4)
		abort();
	look_at(rig, &io, store, &refs[0], &rig->newest);
	look_at(rig, &io, store, &refs[1], &rig->older);
	checkpoint_store_close(store);
}

void fault_rig_init(struct fault_rig *rig, const struct fault_mode *mode)
{
	*rig = (struct fault_rig){.mode = *mode};
	scratch_make(rig->dir);
	snprintf(rig->ground, sizeof(rig->ground), "%s/ground", rig->dir);
	snprintf(rig->run, sizeof(rig->run), "%s/run", rig->dir);
	fault_input_init(&rig->file, 'f', FILE_RECORDS, 1, 10);
	fault_input_init(&rig->stream, 's', STREAM_RECORDS, 2, 0);
	make_ground(rig);
	empty_live_directory(rig);
	look_at_ground(rig);
}

void fault_rig_done(struct fault_rig *rig)
{
	scratch_remove(rig->dir);
	fault_input_done(&rig->file);
	fault_input_done(&rig->stream);
}

void fault_rig_reset(struct fault_rig *rig, bool fresh)
{
	scratch_remove(rig->run);
	if (fresh)
		make_directory(rig->run);
	else
		scratch_copy(rig->ground, rig->run);
	write_input(rig, rig->run, FILE_RECORDS);
}
