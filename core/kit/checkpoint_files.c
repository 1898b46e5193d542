/* The files of sb.files/1: see checkpoint_files.h. */
#include "kit/checkpoint_files.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/hash.h"
#include "base/slice.h"
#include "plugin/extensions.h"

#define MUST(s, call)                                                                                                  \
	do {                                                                                                           \
		sb_error err = ERROR_INIT;                                                                             \
		if ((call) != SB_OK)                                                                                   \
			FAIL(s, "%s", err.message);                                                                    \
	} while (0)

static void join(const char *dir, const char *name, char ret_path[PATH_MAX])
{
	snprintf(ret_path, PATH_MAX, "%.3800s/%.255s", dir, name);
}

static bool is_immutable(struct subject *s, const char *name)
{
	const sb_files_ops *files = component_files(s->component);
	const int32_t answer = CALL(s->trial->witness, files, is_immutable, name);

	CHECK(s, answer == 0 || answer == 1, "is_immutable(\"%s\") is %d", name, answer);
	return answer == 1;
}

void files_create(struct subject *s, const char *name, char ret_path[PATH_MAX])
{
	const sb_files_ops *files = component_files(s->component);

	join(s->dir, name, ret_path);
	MUST(s, CALL(s->trial->witness, files, create, s->backend, ret_path, &err));
}

static void read_file(struct subject *s, const char *path, struct buffer *out)
{
	size_t len;
	int fd;

	MUST(s, io_open(&s->io, path, O_RDONLY | O_NOFOLLOW, 0, &fd, &err));
	do {
		uint8_t *room = buffer_reserve(out, 65536);

		CHECK(s, room, "out of memory");
		MUST(s, io_read(&s->io, fd, room, 65536, &len, path, &err));
		out->len += len;
	} while (len);
	io_close(&s->io, fd);
}

static void write_file(struct subject *s, const char *path, sb_slice content)
{
	int fd;

	MUST(s, io_create_new(&s->io, path, &fd, &err));
	if (content.len)
		MUST(s, io_write_all(&s->io, fd, content.ptr, content.len, path, &err));
	io_close(&s->io, fd);
}

static void copy_file(struct subject *s, const char *from, const char *to)
{
	struct buffer content = BUFFER_INIT;

	read_file(s, from, &content);
	write_file(s, to, buffer_slice(&content));
	buffer_done(&content);
}

static uint64_t list(struct subject *s, const char *dir, struct buffer *names)
{
	uint64_t count = 0;

	MUST(s, io_list(&s->io, dir, names, &count, &err));
	return count;
}

static const char *next_name(const char *name)
{
	return name + strlen(name) + 1;
}

static void put_all(struct subject *s, const char *from, const char *to, bool link)
{
	struct buffer names = BUFFER_INIT;
	uint64_t count = list(s, from, &names);
	const char *name = (const char *)names.data;

	MUST(s, io_mkdir_p(&s->io, to, &err));
	for (; count > 0; count--, name = next_name(name)) {
		char source[PATH_MAX], target[PATH_MAX];

		join(from, name, source);
		join(to, name, target);
		if (link && is_immutable(s, name))
			MUST(s, io_link(&s->io, source, target, &err));
		else
			copy_file(s, source, target);
	}
	buffer_done(&names);
}

void files_take(struct subject *s, const char *from, const char *name, char ret_path[PATH_MAX])
{
	join(s->dir, name, ret_path);
	put_all(s, from, ret_path, true);
}

void files_copy(struct subject *s, const char *from, const char *name, char ret_path[PATH_MAX])
{
	join(s->dir, name, ret_path);
	put_all(s, from, ret_path, false);
}

uint64_t files_count(struct subject *s, const char *dir)
{
	struct buffer names = BUFFER_INIT;
	const uint64_t count = list(s, dir, &names);

	buffer_done(&names);
	return count;
}

void files_remove(struct subject *s, const char *dir)
{
	MUST(s, io_remove_tree(&s->io, dir, &err));
}

static void change(struct subject *s, enum damage damage, struct buffer *content)
{
	if (damage == DAMAGE_EMPTY)
		content->len = 0;
	else if (damage == DAMAGE_CUT)
		content->len /= 2;
	else if (content->len)
		content->data[rng_below(&s->rng, content->len)] ^= (uint8_t)(1u << rng_below(&s->rng, 8));
}

void files_damage(struct subject *s, const char *dir, uint64_t number, enum damage damage)
{
	struct buffer names = BUFFER_INIT, content = BUFFER_INIT;
	char path[PATH_MAX];
	const char *name;

	list(s, dir, &names);
	name = (const char *)names.data;
	while (number-- > 0)
		name = next_name(name);
	join(dir, name, path);
	read_file(s, path, &content);
	MUST(s, io_unlink(&s->io, path, &err));
	if (damage != DAMAGE_GONE) {
		change(s, damage, &content);
		write_file(s, path, buffer_slice(&content));
	}
	buffer_done(&content);
	buffer_done(&names);
}

void files_list_immutable(struct subject *s, const char *dir, struct buffer *out)
{
	struct buffer names = BUFFER_INIT;
	uint64_t count = list(s, dir, &names);
	const char *name = (const char *)names.data;

	for (; count > 0; count--, name = next_name(name)) {
		struct buffer content = BUFFER_INIT;
		char path[PATH_MAX];

		if (!is_immutable(s, name))
			continue;
		join(dir, name, path);
		read_file(s, path, &content);
		buffer_printf(out, "%s %llu %016llx\n", name, (unsigned long long)content.len,
			      (unsigned long long)hash64_of(buffer_slice(&content)));
		buffer_done(&content);
	}
	buffer_done(&names);
}
