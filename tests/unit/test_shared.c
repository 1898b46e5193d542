/* Files of native checkpoints in shared/: each content once, whole or not at all, whatever already lies under its name; and what is known is not read
 * again, as long as it is the file that it was. */
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"
#include "checkpoint/shared.h"
#include "fault/checkpoint_fixture.h"
#include "fault/failing_io.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define CONTENT "what a backend wrote"

static struct io io;
static char dir[128];
static struct shared shared;

static void make_folder(const char *name)
{
	sb_error err = ERROR_INIT;
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	cr_assert_eq(io_mkdir_p(&io, path, &err), SB_OK, "%s", err.message);
}

static void set_up(void)
{
	io_init_system(&io);
	scratch_make(dir);
	make_folder("made");
	make_folder("shared");
	shared_init(&shared, &io, dir);
}

static void tear_down(void)
{
	shared_done(&shared);
	scratch_remove(dir);
}

TestSuite(shared, .init = set_up, .fini = tear_down);

static const char *in(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static const char *made(const char *name, const char *content)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/made/%s", dir, name);
	file_write(path, content, strlen(content));
	return path;
}

/* Of the content; its name in shared/ is the hash. */
static struct file_meta meta_of(const char *content)
{
	static char snapshot[] = "backend-0", name[] = "a.sst";
	struct file_meta file = {.snapshot = snapshot, .name = name, .bytes = (int64_t)strlen(content)};
	uint8_t digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx context;

	sha256_init(&context);
	sha256_update(&context, strlen(content), (const uint8_t *)content);
	sha256_digest(&context, sizeof(digest), digest);
	for (size_t i = 0; i < sizeof(digest); i++)
		snprintf(file.sha256 + 2 * i, 3, "%02x", digest[i]);
	return file;
}

static const char *target_of(const char *content)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/shared/%s", dir, meta_of(content).sha256);
	return path;
}

static enum shared_how put(const char *path, bool immutable)
{
	struct file_meta file = {0};
	enum shared_how how = SHARED_REUSED;
	sb_error err = ERROR_INIT;

	cr_assert_eq(shared_put(&shared, path, immutable, &file, &how, &err), SB_OK, "%s", err.message);
	return how;
}

static void expect_content(const char *content)
{
	size_t len = 0;
	AUTO(free_memory) uint8_t *bytes = file_read(target_of(content), &len);

	cr_assert(bytes && len == strlen(content) && memcmp(bytes, content, len) == 0);
}

/* --- put ------------------------------------------------------------------------------------------- */

Test(shared, a_content_is_there_once)
{
	cr_assert_eq(put(made("a", CONTENT), true), SHARED_LINKED);
	cr_assert_eq(put(made("b", CONTENT), true), SHARED_REUSED);
	cr_assert_eq(put(made("c", CONTENT), false), SHARED_REUSED);
	cr_assert_eq(put(made("d", "another"), false), SHARED_COPIED);
	cr_assert_eq(count_names(in("shared"), ""), 2);
	expect_content(CONTENT);
	expect_content("another");
}

/* Whoever else names it can only gain. */
Test(shared, what_is_damaged_under_its_name_makes_room)
{
	file_write(target_of(CONTENT), "cut", 3);
	cr_assert_eq(put(made("a", CONTENT), true), SHARED_LINKED);
	expect_content(CONTENT);
	unlink(target_of(CONTENT));
	file_write(target_of(CONTENT), "WHAT A BACKEND WROTE", strlen(CONTENT));
	cr_assert_eq(put(made("b", CONTENT), false), SHARED_COPIED);
	expect_content(CONTENT);
	unlink(target_of(CONTENT));
	cr_assert_eq(symlink("../made/a", target_of(CONTENT)), 0);
	cr_assert_eq(put(made("c", CONTENT), false), SHARED_COPIED);
	expect_content(CONTENT);
}

Test(shared, what_is_no_regular_file_is_not_taken)
{
	struct file_meta file = meta_of(CONTENT);
	enum shared_how how;
	sb_error err = ERROR_INIT;

	cr_assert_eq(shared_put(&shared, in("made"), true, &file, &how, &err), SB_ERR_INTERNAL);
	cr_assert_eq(shared_put(&shared, in("absent"), true, &file, &how, &err), SB_ERR_INTERNAL);
	cr_assert(strstr(err.message, "absent, which a backend made for a checkpoint, is no regular file"), "%s",
		  err.message);
	cr_assert_eq(mkfifo(target_of(CONTENT), 0600), 0);
	cr_assert_eq(shared_take(&io, dir, &file, false, in("taken"), &err), SB_ERR_CORRUPT, "and nobody waits");
	cr_assert(strstr(err.message, "is no regular file"), "%s", err.message);
	cr_assert_neq(access(in("taken"), F_OK), 0);
}

static int link_errno;

static int refuse_link(struct io *failing, const char *from, const char *to)
{
	(void)failing, (void)from, (void)to;
	errno = link_errno;
	return -1;
}

Test(shared, what_cannot_be_linked_is_copied)
{
	static const struct {
		int sys_errno;
		bool copied;
	} cases[] = {{EXDEV, true}, {EPERM, true}, {EMLINK, true}, {EOPNOTSUPP, true}, {EIO, false}};
	struct io_ops ops = *io.ops;
	struct io refusing = {.ops = &ops};

	ops.link = refuse_link;
	shared.io = &refusing;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		struct file_meta file = meta_of(CONTENT);
		enum shared_how how = SHARED_REUSED;
		sb_error err = ERROR_INIT;

		link_errno = cases[i].sys_errno;
		cr_assert_eq(shared_put(&shared, made("a", CONTENT), true, &file, &how, &err) == SB_OK,
			     cases[i].copied);
		cr_assert(!cases[i].copied || how == SHARED_COPIED);
		if (!cases[i].copied)
			file_write(target_of(CONTENT), CONTENT, strlen(CONTENT));
		cr_assert_eq(shared_take(&refusing, dir, &file, true, in("taken"), &err) == SB_OK, cases[i].copied);
		cr_assert_eq(access(in("taken"), F_OK) == 0, cases[i].copied);
		unlink(in("taken"));
		unlink(target_of(CONTENT));
	}
}

/* --- known ------------------------------------------------------------------------------------------- */

static unsigned reads;
static dev_t other_device;

static ssize_t count_read(struct io *counting, int fd, void *bytes, size_t len)
{
	(void)counting;
	reads++;
	return read(fd, bytes, len);
}

static int stat_elsewhere(struct io *counting, const char *path, struct stat *ret)
{
	int result = lstat(path, ret);

	(void)counting;
	ret->st_dev += other_device;
	return result;
}

static void append_to_made(void)
{
	made("a", CONTENT " and more");
}

static void touch_made(void)
{
	const struct timespec times[] = {{.tv_sec = 1}, {.tv_sec = 1}};

	cr_assert_eq(utimensat(AT_FDCWD, in("made/a"), times, 0), 0);
}

static void replace_made(void)
{
	cr_assert_eq(rename(made("b", CONTENT), in("made/a")), 0);
}

static void move_made(void)
{
	other_device = 1;
}

static void leave_made(void)
{
}

static void remove_target(void)
{
	unlink(target_of(CONTENT));
}

static void cut_target(void)
{
	unlink(target_of(CONTENT));
	file_write(target_of(CONTENT), "cut", 3);
}

static void link_target(void)
{
	unlink(target_of(CONTENT));
	cr_assert_eq(symlink("../made/a", target_of(CONTENT)), 0);
}

/* A checkpoint that has been committed knows its files; the next one reads them again only if they, or what lies in shared/, have changed. */
Test(shared, what_is_known_is_not_read_again_while_it_is_what_it_was)
{
	static const struct {
		void (*change)(void);
		bool read;
	} cases[] = {{leave_made, false}, {append_to_made, true}, {touch_made, true}, {replace_made, true},
		     {move_made, true},	  {remove_target, true},  {cut_target, true}, {link_target, true}};
	struct io_ops ops = *io.ops;
	struct io counting = {.ops = &ops};

	ops.read = count_read;
	ops.lstat = stat_elsewhere;
	for (size_t i = 0; i < LENGTH(cases); i++) {
		shared_done(&shared);
		shared_init(&shared, &counting, dir);
		other_device = 0;
		unlink(target_of(CONTENT));
		unlink(in("made/a"));
		shared_begin(&shared);
		put(made("a", CONTENT), true);
		shared_commit(&shared);
		shared_begin(&shared);
		cases[i].change();
		reads = 0;
		put(in("made/a"), true);
		cr_assert_eq(reads > 0, cases[i].read, "case %zu", i);
	}
}

Test(shared, many_files_are_known_and_one_that_is_gone_is_not)
{
	struct file_meta file = meta_of(CONTENT);
	sb_error err = ERROR_INIT;
	char name[32];

	shared_begin(&shared);
	for (int i = 0; i < 70; i++) {
		snprintf(name, sizeof(name), "%d", i);
		cr_assert_eq(put(made(name, name), true), SHARED_LINKED);
	}
	shared_commit(&shared);
	cr_assert_eq(shared.known_count, 70);
	cr_assert_eq(shared_know(&shared, in("absent"), file.sha256, &err), SB_OK);
	cr_assert_eq(shared.known_count, 70);
	cr_assert_eq(shared_know(&shared, made("a", CONTENT), file.sha256, &err), SB_OK);
	cr_assert_eq(shared.known_count, 71);
}

/* --- take ---------------------------------------------------------------------------------------------- */

Test(shared, what_is_taken_is_what_its_name_says)
{
	struct file_meta file = meta_of(CONTENT);
	sb_error err = ERROR_INIT;

	file_write(target_of(CONTENT), "WHAT A BACKEND WROTE", strlen(CONTENT));
	cr_assert_eq(shared_take(&io, dir, &file, false, in("taken"), &err), SB_ERR_CORRUPT);
	cr_assert(strstr(err.message, "its content is not what its name says"), "%s", err.message);
	unlink(in("taken"));
	file_write(in("taken"), "somebody's", 10);
	cr_assert_eq(shared_take(&io, dir, &file, false, in("taken"), &err), SB_ERR_IO);
	cr_assert_eq(err.sys_errno, EEXIST);
	cr_assert_eq(access(in("taken"), F_OK), 0, "what was there stays");
}

Test(shared, a_disk_that_is_full_leaves_nothing_of_a_large_file)
{
	AUTO(free_memory) char *content = calloc(1, 3u << 20);
	struct failing_io failing;
	struct file_meta file;
	sb_error err = ERROR_INIT;

	memset(content, 'x', (3u << 20) - 1);
	file = meta_of(content);
	file_write(target_of(content), content, strlen(content));
	failing_io_init(&failing);
	failing_io_arm(&failing, 1, ENOSPC);
	failing.mask = IO_ONLY(IO_CALL_WRITE);
	cr_assert_eq(shared_take(&failing.io, dir, &file, false, in("taken"), &err), SB_ERR_NO_SPACE);
	cr_assert_neq(access(in("taken"), F_OK), 0);
	cr_assert_eq(shared_take(&io, dir, &file, false, in("taken"), &err), SB_OK, "%s", err.message);
}

/* --- check ----------------------------------------------------------------------------------------------- */

static void expect_check(bool hash, int32_t status, const char *sentence)
{
	struct file_meta file = meta_of(CONTENT);
	const struct checkpoint_meta meta = {.id = "checkpoint-1", .files = &file, .file_count = 1};
	sb_error err = ERROR_INIT;

	cr_assert_eq(shared_check(&io, dir, &meta, hash, NULL, &err), status, "%s", err.message);
	cr_assert(strstr(err.message, sentence), "%s", err.message);
}

Test(shared, a_checkpoint_has_its_files_or_is_damaged)
{
	expect_check(false, SB_ERR_CORRUPT, "its file a.sst of backend-0 is missing");
	put(made("a", CONTENT), false);
	expect_check(true, SB_OK, "");
	file_write(target_of(CONTENT), "WHAT A BACKEND WROTE", strlen(CONTENT));
	expect_check(false, SB_OK, "");
	expect_check(true, SB_ERR_CORRUPT, "its file a.sst of backend-0 has another content");
	file_write(target_of(CONTENT), "cut", 3);
	expect_check(false, SB_ERR_CORRUPT, "its file a.sst of backend-0 has not 20 bytes");
	unlink(target_of(CONTENT));
	cr_assert_eq(mkfifo(target_of(CONTENT), 0600), 0);
	expect_check(true, SB_ERR_CORRUPT, "has not 20 bytes");
}
