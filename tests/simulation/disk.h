/* A disk in memory, with a memory of what of it is durable.
 *
 * Content is durable as far as the last fsync of its file, a name as of the last fsync of its directory; all else a power cut may take, in
 * any combination (CUT_SOME), or takes (CUT_ALL). A kill takes nothing: what the kernel has, it keeps. After an fsync that failed, what was not durable by then
 * never will be, whatever later ones say, as on Linux.
 *
 * Paths begin with DISK_ROOT, which is the one directory that is always there. One thread at a time. */
#ifndef SIMULATION_DISK_H
#define SIMULATION_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/buffer.h"
#include "kit/rng.h"

#define DISK_ROOT "/sim"

enum disk_cut { CUT_NOTHING, CUT_ALL, CUT_SOME };

struct node;

void disk_format(void);
/* All descriptors and locks are gone; and what was not durable, as cut says. */
void disk_stop(enum disk_cut cut, struct rng *rng);

/* The shapes of the system's calls: -1 (or NULL) and errno. */
int disk_open(const char *path, int flags);
int disk_close(int fd);
ssize_t disk_pread(int fd, void *bytes, size_t len, off_t offset);
ssize_t disk_read(int fd, void *bytes, size_t len);
ssize_t disk_write(int fd, const void *bytes, size_t len);
int disk_fsync(int fd);
/* What a failed one leaves. */
void disk_spoil(int fd);
int disk_truncate(int fd, off_t len);
off_t disk_seek(int fd, off_t offset, int whence);
int disk_fstat(int fd, struct stat *ret);
int disk_stat(const char *path, struct stat *ret);
int disk_rename(const char *from, const char *to, bool replace);
int disk_link(const char *from, const char *to);
int disk_unlink(const char *path);
int disk_rmdir(const char *path);
int disk_mkdir(const char *path);
int disk_lock(int fd);
int disk_list(const char *path, struct buffer *names);

bool disk_has_path(const char *path);
/* The path that an open descriptor was opened by; NULL: none of ours. */
const char *disk_path_of(int fd);
/* For those who look at what is left: the content, or NULL. Borrowed until the next change. */
const struct buffer *disk_content(const char *path);
/* Durable, as it was before there was a host: a file, and a directory. */
void disk_put(const char *path, const void *bytes, size_t len);
void disk_put_directory(const char *path);

#endif
