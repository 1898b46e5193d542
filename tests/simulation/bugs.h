/* Mistakes that the simulation can make on the host's behalf, in its own answers and not in the host, to show that it would notice the like. */
#ifndef SIMULATION_BUGS_H
#define SIMULATION_BUGS_H

#include <stdbool.h>
#include <stdint.h>

struct source;

enum bug {
	BUG_NONE,
	BUG_NO_MUTEX, /* no lock keeps anybody out */
	BUG_LOST_WAKE, /* a signal on a condition gets lost */
	BUG_LOST_TELL, /* a write that wakes the reader or the controlling thread gets lost */
	BUG_LATE_POSITIONS, /* a checkpoint has the positions of when it is written */
	BUG_NO_FILE_SYNC, /* a checkpoint gets its name before its content is on the disk */
	BUG_NO_DIRECTORY_SYNC, /* its name is not on the disk when it is reported */
	BUG_NO_SHARED_SYNC, /* a file that it names is not on the disk */
	BUG_NO_SHARED_DIRECTORY_SYNC, /* such a file's name is not */
	BUG_NO_HOLD, /* a backend is written to before it has made its files */
	BUG_NO_OUTPUT_SYNC, /* it counts on output that is not on the disk */
	BUG_NO_TRUNCATE, /* an output keeps what was written behind the checkpoint */
	BUG_NO_RENAME, /* it never gets its name */
	BUG_LOST_WRITE, /* some bytes of an output */
	BUG_COUNT
};

void bug_set(enum bug bug);
bool bug_is_set(enum bug bug);
/* By its name, as on the command line; BUG_COUNT: there is none. */
enum bug bug_named(const char *name);
const char *bug_name(enum bug bug);

/* For BUG_LATE_POSITIONS: how far each source has been read, in this run. */
void bug_begin_run(void);
void bug_note_record(const struct source *source, int64_t next_offset);

#endif
