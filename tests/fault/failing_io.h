/* A struct io that counts its calls and fails, or cuts short, the Nth: "what if exactly this one went wrong?",
 * asked for every N in turn.
 *
 *   struct failing_io failing;
 *   failing_io_init(&failing);
 *   for (uint64_t n = 1;; n++) {
 *           failing_io_arm(&failing, n, ENOSPC);
 *           ... the operation, with &failing.io ...
 *           if (!failing.hit)
 *                   break;         // it makes fewer than n calls: all have been tried
 *   }
 *
 * An armed fault leaves by itself when it has hit, unless it is sticky. Arm it while nobody calls; calls may come
 * from several threads. */
#ifndef FAULT_FAILING_IO_H
#define FAULT_FAILING_IO_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "io/io.h"

enum io_call {
	IO_CALL_OPEN,
	IO_CALL_CLOSE,
	IO_CALL_READ,
	IO_CALL_PREAD,
	IO_CALL_WRITE,
	IO_CALL_FSYNC,
	IO_CALL_WRITE_BACK,
	IO_CALL_FTRUNCATE,
	IO_CALL_LSEEK,
	IO_CALL_FSTAT,
	IO_CALL_LSTAT,
	IO_CALL_STAT,
	IO_CALL_REALPATH,
	IO_CALL_RENAME,
	IO_CALL_LINK,
	IO_CALL_UNLINK,
	IO_CALL_RMDIR,
	IO_CALL_MKDIR,
	IO_CALL_FLOCK,
	IO_CALL_LIST,
	IO_CALL_COUNT,
};

#define IO_ANY_CALL (~0u)
#define IO_ONLY(call) (1u << (call))

/* Instead of an errno. */
#define FAIL_SHORT                                                                                                     \
	(-1) /* read, pread and write do half of what was asked (one byte at least); other calls are left alone */
#define FAIL_KILL (-2) /* the process ends at once, _exit(FAILING_IO_KILL_STATUS), before the call is made */
#define FAIL_AFTER (1 << 16) /* added to an errno: the call is made, and then reported as failed */

#define FAILING_IO_KILL_STATUS 77
#define FAILING_IO_FDS 4096

struct failing_io {
	struct io io; /* hand out &failing.io */
	struct io system;
	pthread_mutex_t mutex; /* guards the counters, hit and inside */
	void (*before_kill)(void); /* NULL: nothing */
	const char *under; /* a path: was the call that is hit on it or below, by name or by descriptor? */
	bool only_under; /* no other calls count */
	bool inside[FAILING_IO_FDS]; /* descriptors that were opened there */
	uint32_t mask; /* IO_ONLY(...) | ...: the calls that count */
	uint64_t calls; /* counted so far, since it was armed */
	uint64_t fail_at; /* 1: the first; 0: none */
	int failure;
	bool sticky; /* every counted call from then on */
	bool hit, hit_inside; /* it has happened; under that path */
	enum io_call hit_call;
	uint64_t count[IO_CALL_COUNT]; /* calls of each kind, of all kinds, since it was armed */
};

/* Passes everything on. */
void failing_io_init(struct failing_io *failing);
/* The nth call from now fails with failure: an errno or one of FAIL_*. Resets the counters; mask goes back to
 * IO_ANY_CALL and
 * sticky to false: set them afterwards. */
void failing_io_arm(struct failing_io *failing, uint64_t nth, int failure);
void failing_io_disarm(struct failing_io *failing);
/* "fsync", for messages. */
const char *failing_io_call_name(enum io_call call);

#endif
