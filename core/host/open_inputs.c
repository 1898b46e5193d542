/* Opening sources and outputs, on a fresh start or where a checkpoint left them.
 *
 * Partitions are matched by name: an input that the checkpoint knows goes on at its offset, a new one begins at its
 * beginning. One that the checkpoint knows and the command line lacks is refused: leaving it out would change the result in silence. */
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "host/job_private.h"

static const char *input_name(const struct job_input *input)
{
	switch (input->kind) {
	case SOURCE_FILE:
		return input->path;
	case SOURCE_STDIN:
		return "-";
	default:
		return "generator";
	}
}

static const struct checkpoint_meta *restored_meta(const struct job *job)
{
	return job->checkpoint ? checkpoint_reader_meta(job->checkpoint) : NULL;
}

static const struct partition_meta *find_restored(const struct job *job, const char *name)
{
	const struct checkpoint_meta *meta = restored_meta(job);

	for (uint64_t i = 0; meta && i < meta->partition_count; i++)
		if (strcmp(meta->partitions[i].name, name) == 0)
			return &meta->partitions[i];
	return NULL;
}

static int32_t check_names(const struct job *job, sb_error *err)
{
	const struct job_config *config = job->config;

	for (uint64_t i = 0; i < config->input_count; i++)
		for (uint64_t k = 0; k < i; k++)
			if (strcmp(input_name(&config->inputs[i]), input_name(&config->inputs[k])) == 0)
				return error_set(err, SB_ERR_CONFIG, "input %s is named twice; name each input once",
						 input_name(&config->inputs[i]));
	return SB_OK;
}

static int32_t check_none_is_missing(const struct job *job, sb_error *err)
{
	const struct checkpoint_meta *meta = restored_meta(job);

	for (uint64_t i = 0; meta && i < meta->partition_count; i++) {
		bool found = false;

		for (uint64_t k = 0; k < job->config->input_count; k++)
			found |= strcmp(meta->partitions[i].name, input_name(&job->config->inputs[k])) == 0;
		if (!found)
			return error_set(
				err, SB_ERR_CONFIG,
				"%s was written by a job that reads %s, which is not among the inputs; name it "
				"with --input, or start over with --restore none",
				meta->id, meta->partitions[i].name);
	}
	return SB_OK;
}

static int32_t start_partition(struct job *job, struct partition *partition, sb_error *err)
{
	const struct partition_meta *saved = find_restored(job, partition->name);
	struct source_identity identity;

	partition->watermark_ms = INT64_MIN;
	if (!saved)
		return source_start(partition->source, 0, NULL, err);
	partition->offset = saved->offset;
	partition->watermark_ms = saved->watermark_ms;
	identity = (struct source_identity){
		.name = saved->name,
		.head_bytes = saved->head_bytes,
		.head_hash = saved->head_hash,
		.size = saved->size,
		.generator = {.users = saved->generator_users,
			      .rate = saved->generator_rate,
			      .seed = saved->generator_seed,
			      .count = saved->generator_count},
	};
	return source_start(partition->source, saved->offset, &identity, err);
}

static int32_t open_partition(struct job *job, const struct job_input *input, struct partition *partition,
			      sb_error *err)
{
	const struct job_config *config = job->config;
	const bool is_generator = input->kind == SOURCE_GENERATOR;
	const struct decoder_config decoder = {
		/* The generator makes JSON, whatever the format of the files beside it. */
		.format = is_generator ? FORMAT_NDJSON : config->format,
		.fields = job->operator->inputs,
		.field_count = job->operator->input_count,
		.maps = config->maps,
		.map_count = config->map_count,
		.delimiter = config->delimiter,
		.has_header = config->has_header,
	};
	struct source_config source = {
		.kind = input->kind,
		.path = input->path,
		.generator = input->generator,
		.has_header = decoder.format == FORMAT_CSV && config->has_header,
		.io = config->io,
		.clock = config->clock,
		.log = config->log,
	};

	partition->name = strdup(input_name(input));
	if (!partition->name)
		return error_no_memory(err);
	TRY(decoder_new(&decoder, &partition->decoder, err));
	source.decoder = partition->decoder;
	TRY(source_open(&source, &partition->source, err));
	return start_partition(job, partition, err);
}

int32_t open_inputs(struct job *job, sb_error *err)
{
	TRY(check_names(job, err));
	TRY(check_none_is_missing(job, err));
	job->partitions = calloc(job->config->input_count, sizeof(*job->partitions));
	if (!job->partitions)
		return error_no_memory(err);
	for (uint64_t i = 0; i < job->config->input_count; i++) {
		job->partition_count++;
		TRY(open_partition(job, &job->config->inputs[i], &job->partitions[i], err));
	}
	return SB_OK;
}

void close_inputs(struct job *job)
{
	for (uint64_t i = 0; i < job->partition_count; i++) {
		source_close(job->partitions[i].source);
		decoder_free(job->partitions[i].decoder);
		free(job->partitions[i].name);
	}
	free(job->partitions);
	job->partitions = NULL;
	job->partition_count = 0;
}

/* The length to cut back to, or -1 to begin anew. */
static int64_t restored_length(const struct job *job, const char *role, const char *path)
{
	const struct checkpoint_meta *meta = restored_meta(job);

	for (uint64_t i = 0; meta && i < meta->output_count; i++) {
		const struct output_meta *output = &meta->outputs[i];

		if (strcmp(output->role, role) != 0)
			continue;
		if (strcmp(output->path, path) == 0)
			return output->length;
		LOG(job->config->log, SB_LOG_WARN,
		    "The checkpoint counts on another file; this one gets only what comes from now on",
		    LOG_S("role", role), LOG_S("before", output->path), LOG_S("now", path));
	}
	return -1;
}

int32_t open_outputs(struct job *job, sb_error *err)
{
	const struct job_config *config = job->config;

	TRY(output_open(&job->output, config->io, "output", config->output,
			restored_length(job, "output", config->output), false, err));
	return output_open(&job->dead_letters, config->io, "dead-letter", config->dead_letters,
			   restored_length(job, "dead-letter", config->dead_letters), true, err);
}
