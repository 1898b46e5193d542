/* Hosts that a plugin may meet and ours is not: a later one, whose structs are longer, and one that offers nothing. */
#ifndef KIT_OTHER_HOST_H
#define KIT_OTHER_HOST_H

#include <stdatomic.h>
#include <stdbool.h>

#include "kit/rng.h"
#include "kit/trial.h"
#include "sb_plugin.h"

struct other_host {
	sb_host known;
	uint64_t later[8]; /* members that the plugin does not know */
	struct rng rng; /* of the services that answer now this way, now that */
	_Atomic bool withheld; /* an extension was asked for, and is not there */
};

/* newer: ABI 1.99, with a longer struct. Its clocks stand still, and it has no extension. */
void other_host_init(struct other_host *host, bool newer, uint64_t seed);

#endif
