/* See metadata.h. */
#include "checkpoint/metadata.h"

#include <stdlib.h>

void metadata_done(struct checkpoint_meta *meta)
{
	free(meta->parent);
	free(meta->host_version);
	free(meta->operator_id);
	free(meta->operator_version);
	free(meta->backend_id);
	free(meta->backend_version);
	free(meta->ttl_clock);
	for (uint64_t i = 0; i < meta->partition_count; i++)
		free(meta->partitions[i].name);
	free(meta->partitions);
	for (uint64_t i = 0; i < meta->output_count; i++) {
		free(meta->outputs[i].role);
		free(meta->outputs[i].path);
	}
	free(meta->outputs);
	for (uint64_t i = 0; i < meta->file_count; i++) {
		free(meta->files[i].snapshot);
		free(meta->files[i].name);
	}
	free(meta->files);
	schema_done(&meta->schema);
	*meta = (struct checkpoint_meta){0};
}
