/* Shared by the contents' files: contents.c (choice, full ones), contents_delta.c (chains), contents_native.c (files). */
#ifndef CHECKPOINT_CONTENTS_PRIVATE_H
#define CHECKPOINT_CONTENTS_PRIVATE_H

#include "checkpoint/checkpoint_private.h"
#include "checkpoint/contents.h"
#include "checkpoint/store_private.h"

struct delta_contents;
struct native_contents;

struct checkpoint_contents {
	struct checkpoint_contents_config config;
	struct checkpoint_reader *reader;
	struct delta_contents *delta; /* with a parent */
	struct native_contents *native; /* with files */
};

/* *ret_delta is set as soon as there is something to close. */
int32_t delta_contents_open(struct checkpoint_contents *contents, struct delta_contents **ret_delta, sb_error *err);
void delta_contents_close(struct delta_contents *delta);
int32_t delta_contents_next(struct delta_contents *delta, struct checkpoint_item *ret_item, sb_error *err);

int32_t native_contents_open(struct checkpoint_contents *contents, struct native_contents **ret_native, sb_error *err);
void native_contents_close(struct native_contents *native);
int32_t native_contents_next(struct native_contents *native, struct checkpoint_item *ret_item, sb_error *err);

static inline bool item_has_expired(const struct checkpoint_item *item, int64_t cut_ms)
{
	return item->expiry_ms != SB_NO_EXPIRY && item->expiry_ms <= cut_ms;
}

#endif
