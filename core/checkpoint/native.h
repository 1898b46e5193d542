/* Writing the files of a native checkpoint: the coordinator's part that deals with sb.files/1. */
#ifndef CHECKPOINT_NATIVE_H
#define CHECKPOINT_NATIVE_H

#include "checkpoint/coordinator.h"

/* Lets every backend make its files, releases the writes, puts the files into shared/ (durable) and lists them in cut->meta. */
int32_t native_write(const struct coordinator_config *config, struct checkpoint_cut *cut,
		     struct checkpoint_result *result);
/* Removes what is temporary, and, when the checkpoint is there, remembers its files. The writes are released in any case. */
void native_end(const struct coordinator_config *config, struct checkpoint_cut *cut,
		const struct checkpoint_result *result);

#endif
