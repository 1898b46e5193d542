/* The process that a plugin runs in, looked at from within: what it takes from it, and what it must leave alone. */
#ifndef KIT_PROCESS_H
#define KIT_PROCESS_H

#include <limits.h>
#include <signal.h>

#include "kit/trial.h"

struct process_state {
	uint64_t threads, descriptors;
	uint64_t heap_bytes; /* handed out by malloc; 0 where that cannot be told, as under the address sanitizer */
	uint64_t mapped_bytes;
	uint64_t printed_bytes; /* on its standard streams */
	char directory[PATH_MAX];
	char locale[256];
	mode_t umask;
	struct sigaction signals[_NSIG];
};

/* This program is built with the address or thread sanitizer. */
bool process_is_instrumented(void);
void process_look(const struct trial *trial, struct process_state *ret_state);
/* Fails when anything but threads, descriptors and memory differs. */
void process_must_be_alike(const struct trial *trial, const struct process_state *before);

/* Calls round(arg) several times, and fails when threads, descriptors or memory grow each time: what is taken once and kept
 * is no leak, what is taken again each time is one. what ("open and close") is for the sentence. */
enum process_leak { LEAK_MEMORY, LEAK_DESCRIPTORS, LEAK_THREADS };
void process_must_not_grow(const struct trial *trial, enum process_leak leak, const char *what,
			   void (*round)(void *arg), void *arg);

#endif
