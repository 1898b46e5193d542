/* A backend in the plainest way there is, for tests of what calls backends: a sorted array, iterators that are
 * not stable, pins that are copies (so that a sanitizer sees one that is used too late or not released).
 *
 * It watches its caller: calls on one instance that overlap are counted, and so are iterators that writes
 * have overtaken. And it fails on demand. */
#ifndef SUPPORT_PLAIN_BACKEND_H
#define SUPPORT_PLAIN_BACKEND_H

#include <stdatomic.h>

#include "kit/model.h"
#include "plugin/instance.h"

enum plain_call { PLAIN_MULTI_GET, PLAIN_WRITE_BATCH, PLAIN_ITER_OPEN, PLAIN_ITER_NEXT, PLAIN_CALLS };

/* Shared by all instances. */
struct plain_control {
	_Atomic int64_t fail_in[PLAIN_CALLS]; /* 1: the next call fails; 0: none does */
	_Atomic uint64_t calls[PLAIN_CALLS];
	_Atomic uint64_t overlapping, overtaken;
	_Atomic bool cut_values; /* reads return values without their last byte */
};

extern struct plain_control plain_control;

/* flags: SB_BACKEND_ORDERED and what else the test wants to claim. */
void plain_backend_component(struct component *ret_component, uint32_t flags);
/* The content of an instance. */
const struct model *plain_backend_model(const struct instance *instance);

#endif
