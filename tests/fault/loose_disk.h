/* A disk that a power cut can take everything from that has not been synced: content behind the last fsync of its file, and names that
 * were made, changed or removed since the last fsync of their directory. A kill leaves all of that to the kernel, so only this shows
 * whether the order of syncs is right.
 *
 * It is as unkind as it may be: of a directory that has not been synced, a checkpoint's name that was removed is back, and one that was made is
 * gone. Files that others make (a backend's) count as unsynced when they are linked in. One in a process; any thread. */
#ifndef FAULT_LOOSE_DISK_H
#define FAULT_LOOSE_DISK_H

#include "io/io.h"

/* The table over the system's own. Paths below scratch_dir are not looked after. */
void loose_disk_init(struct io *ret_io, const char *scratch_dir);
/* Takes what is not durable; no call of another thread comes through from then on. End the process. */
void loose_disk_cut(void);

#endif
