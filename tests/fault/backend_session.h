/* A backend's life from open to close with everything that a host asks of one in between, for tests in which some of what it builds on fails: memory,
 * a library. Calls that fail say why, and a batch that failed has changed nothing: what is there at the end is what the calls that went well have left,
 * by the kit's model. */
#ifndef FAULT_BACKEND_SESSION_H
#define FAULT_BACKEND_SESSION_H

#include "kit/model.h"
#include "plugin/options.h"
#include "plugin/plugin.h"

struct backend_session {
	struct plugin *plugin;
	const struct component *component;
	struct option_set options;
	char dir[128], instance_dir[160];
	struct model model;
	unsigned failed; /* calls of the last life */
	char problem[400]; /* empty: the backend kept its promises */
};

/* Aborts on what goes wrong before anything is to fail. options: "name=value", NULL ends them; may be NULL. */
void backend_session_init(struct backend_session *session, const char *plugin, const char *const *options);
void backend_session_done(struct backend_session *session);
/* One life, on through calls that fail. calm: called when the last call that may fail has been made, before all is compared. */
void backend_session_live(struct backend_session *session, void (*calm)(void));

#endif
