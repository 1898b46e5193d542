/* The files of sb.files/1 in the hands of the host: made, linked or copied, and damaged. */
#ifndef KIT_CHECKPOINT_FILES_H
#define KIT_CHECKPOINT_FILES_H

#include "kit/subject.h"

enum damage { DAMAGE_CUT, DAMAGE_EMPTY, DAMAGE_FLIPPED, DAMAGE_GONE };

/* Lets the backend make its files in a new directory of that name below the subject's; its path. */
void files_create(struct subject *s, const char *name, char ret_path[PATH_MAX]);
/* As a restore does: what is immutable is linked, the rest copied. */
void files_take(struct subject *s, const char *from, const char *name, char ret_path[PATH_MAX]);
/* All copied. */
void files_copy(struct subject *s, const char *from, const char *name, char ret_path[PATH_MAX]);
uint64_t files_count(struct subject *s, const char *dir);
/* Does that to the file of that number. */
void files_damage(struct subject *s, const char *dir, uint64_t number, enum damage damage);
void files_remove(struct subject *s, const char *dir);
/* Names and hashes of those that are immutable. */
void files_list_immutable(struct subject *s, const char *dir, struct buffer *out);

#endif
