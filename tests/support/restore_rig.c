/* See restore_rig.h. */
#include "support/restore_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "support/resign.h"

static struct restore_rig *present; /* an extension is asked without a context */

static void must(bool fine, const char *what)
{
	if (fine)
		return;
	fprintf(stderr, "restore rig: cannot %s\n", what);
	abort();
}

static int32_t note_batch(sb_backend *backend, uint64_t count, const sb_op *ops, sb_error *err)
{
	(void)backend;
	if (present->write_status != SB_OK)
		return error_set(err, present->write_status, "as the test wants it");
	present->writes++;
	for (uint64_t i = 0; i < count; i++)
		present->bytes += ops[i].key.len + ops[i].value.len;
	present->entries += count;
	return SB_OK;
}

static int32_t no_files(sb_backend *backend, const char *dir, sb_error *err)
{
	(void)backend, (void)dir;
	return error_set(err, SB_ERR_UNSUPPORTED, "nothing is saved");
}

static int32_t is_immutable(const char *name)
{
	(void)name;
	return present->immutable;
}

static const void *extension(const char *id)
{
	static const sb_files_ops files = {
		.struct_size = sizeof(files), .create = no_files, .is_immutable = is_immutable};

	return strcmp(id, SB_EXT_FILES) == 0 ? &files : NULL;
}

static int64_t look(struct clock *clock)
{
	struct restore_rig *rig = clock->context;

	return rig->now_ns += rig->step_ns;
}

static void make_component(struct restore_rig *rig)
{
	static char name[] = "noting", version[] = "1.0";
	static struct plugin plugin = {.name = name, .version = version};

	rig->operator_plugin = (struct plugin){.name = name, .version = version};
	rig->backend = (struct component){.plugin = &plugin,
					  .kind = SB_KIND_BACKEND,
					  .id = "memory",
					  .backend = {.write_batch = note_batch, .extension = extension}};
	rig->operator=(struct component){.plugin = &plugin, .kind = SB_KIND_OPERATOR, .id = "example-processor"};
}

static void make_job(struct restore_rig *rig)
{
	struct job *job = &rig->job;
	struct fixture fixture;
	sb_error err = ERROR_INIT;

	*job = (struct job){.config = &rig->config,
			    .refusal = JOB_FAILED,
			    .state_lock_fd = -1,
			    .backend = &rig->backend,
			    .operator= & rig->operator,
			    .operator_plugin = & rig->operator_plugin,
			    .key_groups = KEY_GROUPS_DEFAULT};
	fixture_init(&fixture, 1, 1, 0);
	job->schema = fixture.meta.schema;
	fixture.meta.schema = (struct schema){0};
	fixture_done(&fixture);
	job->tasks = calloc(RESTORE_TASKS, sizeof(*job->tasks));
	must(job->tasks, "have memory");
	for (uint32_t i = 0; i < RESTORE_TASKS; i++) {
		struct instance *instance = &rig->instances[i];

		memset(instance, 0, sizeof(*instance));
		instance->component = &rig->backend;
		snprintf(instance->name, sizeof(instance->name), "backend-%u", i);
		job->tasks[i].backend = instance;
		must(asprintf(&job->tasks[i].dir, "%s/task-%u", rig->state, i) >= 0, "have memory");
		must(io_mkdir_p(&rig->io, job->tasks[i].dir, &err) == SB_OK, "make a task's directory");
	}
	must(checkpoint_store_open(&rig->io, &rig->log, rig->checkpoints, true, true, &job->store, &err) == SB_OK,
	     "open the checkpoints");
}

static void end_job(struct job *job)
{
	checkpoint_reader_close(job->checkpoint);
	checkpoint_store_close(job->store);
	migration_free(job->migration);
	schema_done(&job->schema);
	for (uint32_t i = 0; i < RESTORE_TASKS; i++) {
		buffer_done(&job->tasks[i].provider);
		free(job->tasks[i].parts);
		free(job->tasks[i].part_ends);
		free(job->tasks[i].dir);
	}
	free(job->tasks);
}

void restore_rig_init(struct restore_rig *rig)
{
	memset(rig, 0, sizeof(*rig));
	present = rig;
	quick_io_init(&rig->io, &rig->ops);
	scratch_make(rig->dir);
	snprintf(rig->checkpoints, sizeof(rig->checkpoints), "%s/checkpoints", rig->dir);
	snprintf(rig->state, sizeof(rig->state), "%s/state", rig->dir);
	snprintf(rig->log_path, sizeof(rig->log_path), "%s/log", rig->dir);
	rig->clock = (struct clock){.wall_ns = look, .monotonic_ns = look, .context = rig};
	rig->log = (struct log){.fd = open(rig->log_path, O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600),
				.level = SB_LOG_DEBUG,
				.clock = &rig->clock};
	rig->config = (struct job_config){.io = &rig->io,
					  .clock = &rig->clock,
					  .log = &rig->log,
					  .plugin_dir = "/nowhere",
					  .state_dir = rig->state,
					  .checkpoint_dir = rig->checkpoints,
					  .parallelism = RESTORE_TASKS};
	make_component(rig);
	make_job(rig);
}

void restore_rig_done(struct restore_rig *rig)
{
	end_job(&rig->job);
	close(rig->log.fd);
	scratch_remove(rig->dir);
}

void restore_rig_renew(struct restore_rig *rig)
{
	end_job(&rig->job);
	rig->writes = rig->entries = rig->bytes = 0;
	scratch_remove(rig->state);
	must(ftruncate(rig->log.fd, 0) == 0, "begin the log anew");
	make_job(rig);
}

void restore_rig_write(struct restore_rig *rig, struct fixture *fixture)
{
	sb_error err = ERROR_INIT;

	must(fixture_write(&rig->io, rig->checkpoints, fixture, CODEC_LZ4, NULL, &err) == SB_OK, err.message);
	fixture_done(fixture);
}

void restore_rig_forge(struct restore_rig *rig, uint64_t number, const char *from, const char *to)
{
	AUTO(free_memory) uint8_t *bytes = NULL;
	char path[256];
	uint8_t *at;
	size_t len;

	snprintf(path, sizeof(path), "%s/checkpoint-%llu.json", rig->checkpoints, (unsigned long long)number);
	bytes = file_read(path, &len);
	at = bytes ? memmem(bytes, len, from, strlen(from)) : NULL;
	must(at && strlen(from) == strlen(to), "find what is to be forged");
	memcpy(at, to, strlen(to));
	resign_digest(bytes, len);
	file_write(path, bytes, len);
}

bool restore_rig_has_line(const struct restore_rig *rig, const char *message)
{
	size_t len = 0;
	AUTO(free_memory) uint8_t *text = file_read(rig->log_path, &len);

	return text && memmem(text, len, message, strlen(message));
}

int32_t restore_rig_run(struct restore_rig *rig, sb_error *err)
{
	TRY(restore_choose(&rig->job, err));
	for (uint32_t i = 0; i < rig->config.parallelism; i++)
		TRY(restore_place_files(&rig->job, i, err));
	return restore_state(&rig->job, err);
}
