/* See sandbox.h.
 *
 * Landlock's numbers are written here, because the headers of an older system lack those of newer kernels, and the kernel is asked what it knows.
 * Seccomp names what is refused rather than what is allowed: libraries change which calls they use, and a job that dies of a new libc's
 * call at night is no gain. What matters is that neither files nor programs nor networks can be reached. */
#include "host/sandbox.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/cleanup.h"
#include "base/error.h"

/* --- Landlock --------------------------------------------------------------------------------- */

#define NR_CREATE_RULESET 444
#define NR_ADD_RULE 445
#define NR_RESTRICT_SELF 446
#define ASK_VERSION 1u
#define RULE_PATH_BENEATH 1

#define FS_EXECUTE (UINT64_C(1) << 0)
#define FS_WRITE_FILE (UINT64_C(1) << 1)
#define FS_READ_FILE (UINT64_C(1) << 2)
#define FS_READ_DIR (UINT64_C(1) << 3)
#define FS_REFER (UINT64_C(1) << 13) /* since version 2: links and renames between directories */
#define FS_TRUNCATE (UINT64_C(1) << 14) /* since 3 */
#define FS_IOCTL_DEV (UINT64_C(1) << 15) /* since 5 */
#define FS_ALL_1 (FS_REFER - 1)
#define NET_ALL UINT64_C(3) /* since 4: bind and connect, TCP */
#define SCOPE_ALL UINT64_C(3) /* since 6: abstract sockets and signals of others */

struct ruleset {
	uint64_t fs, net, scoped;
};

struct __attribute__((packed)) path_rule {
	uint64_t allowed;
	int32_t parent_fd;
};

static int landlock_version(void)
{
	return (int)syscall(NR_CREATE_RULESET, NULL, 0, ASK_VERSION);
}

/* GCOVR_EXCL_BR_START: a test meets one version of Landlock, that of its kernel */
static uint64_t handled_fs(int version)
{
	return FS_ALL_1 | (version >= 2 ? FS_REFER : 0) | (version >= 3 ? FS_TRUNCATE : 0) |
	       (version >= 5 ? FS_IOCTL_DEV : 0);
}

static int32_t create_ruleset(enum sandbox_mode mode, int version, int *ret_fd, sb_error *err)
{
	const struct ruleset ruleset = {
		.fs = handled_fs(version),
		.net = version >= 4 && mode == SANDBOX_LOCAL ? NET_ALL : 0,
		.scoped = version >= 6 ? SCOPE_ALL : 0,
	};
	const size_t size = version >= 6   ? sizeof(ruleset)
			    : version >= 4 ? offsetof(struct ruleset, scoped)
					   : offsetof(struct ruleset, net);
	/* GCOVR_EXCL_BR_STOP */

	*ret_fd = (int)syscall(NR_CREATE_RULESET, &ruleset, size, 0);
	if (*ret_fd < 0) /* GCOVR_EXCL_BR_LINE: not of a version that the kernel has just named */
		return error_set_errno(err, errno, "cannot create a Landlock ruleset");
	return SB_OK;
}

/* allowed is cut down to what the file at hand can have: a rule on a file must not speak of directories. */
static int32_t allow(int ruleset_fd, const char *path, uint64_t allowed, sb_error *err)
{
	const uint64_t of_files = FS_EXECUTE | FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE | FS_IOCTL_DEV;
	struct path_rule rule = {.parent_fd = open(path, O_PATH | O_CLOEXEC)};
	struct stat st;
	long failed;
	int sys_errno;

	if (rule.parent_fd < 0)
		return errno == ENOENT || errno == ENOTDIR || errno == EACCES
			       ? SB_OK
			       : error_set_errno(err, errno, "cannot look at %s", path);
	rule.allowed = fstat(rule.parent_fd, &st) == 0 && S_ISDIR(st.st_mode) ? allowed : allowed & of_files;
	failed = syscall(NR_ADD_RULE, ruleset_fd, RULE_PATH_BENEATH, &rule, 0);
	sys_errno = errno;
	close(rule.parent_fd);
	if (failed) /* GCOVR_EXCL_BR_LINE: not for a file that is open and rights that the kernel knows */
		return error_set_errno(err, sys_errno, "cannot add %s to the Landlock rules", path);
	return SB_OK;
}

/* A rule needs a file to stand on, and one on the directory would hold for all below it. So the file is made here, for good. */
static int32_t make_output(const char *path, sb_error *err)
{
	AUTO(free_memory) char *parent = strdup(path);
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	char *slash = parent ? strrchr(parent, '/') : NULL;
	int failed;

	if (!parent)
		return error_no_memory(err);
	if (fd < 0)
		return errno == EEXIST ? SB_OK : error_set_errno(err, errno, "cannot make %s", path);
	close(fd);
	if (slash)
		slash[slash == parent] = 0;
	fd = open(slash ? parent : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	failed = fd < 0 || fsync(fd) != 0 ? errno : 0;
	if (fd >= 0)
		close(fd);
	return failed ? error_set_errno(err, failed, "cannot sync the directory of %s", path) : SB_OK;
}

static int32_t allow_output(int ruleset_fd, const char *path, uint64_t handled, sb_error *err)
{
	TRY(make_output(path, err));
	return allow(ruleset_fd, path, (FS_WRITE_FILE | FS_READ_FILE | FS_TRUNCATE) & handled, err);
}

static int32_t allow_system(int ruleset_fd, uint64_t handled, sb_error *err)
{
	static const char *const readable[] = {"/usr", "/lib", "/lib64", "/etc", "/proc", "/sys", "/opt"};
	static const char *const devices[] = {"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"};

	for (size_t i = 0; i < sizeof(readable) / sizeof(readable[0]); i++)
		TRY(allow(ruleset_fd, readable[i], FS_READ_FILE | FS_READ_DIR, err));
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++)
		TRY(allow(ruleset_fd, devices[i], (FS_READ_FILE | FS_WRITE_FILE | FS_IOCTL_DEV) & handled, err));
	return SB_OK;
}

static int32_t add_rules(int ruleset_fd, uint64_t handled, const struct sandbox_path *paths, uint64_t count,
			 sb_error *err)
{
	TRY(allow_system(ruleset_fd, handled, err));
	for (uint64_t i = 0; i < count; i++) {
		switch (paths[i].access) {
		case SANDBOX_READ:
			TRY(allow(ruleset_fd, paths[i].path, FS_READ_FILE | FS_READ_DIR, err));
			break;
		case SANDBOX_WRITE:
			TRY(allow(ruleset_fd, paths[i].path, handled & ~(FS_EXECUTE | FS_IOCTL_DEV), err));
			break;
		case SANDBOX_OUTPUT:
			TRY(allow_output(ruleset_fd, paths[i].path, handled, err));
			break;
		}
	}
	return SB_OK;
}

static int32_t restrict_files(enum sandbox_mode mode, int version, const struct sandbox_path *paths, uint64_t count,
			      sb_error *err)
{
	int ruleset_fd;
	int32_t status;

	TRY(create_ruleset(mode, version, &ruleset_fd, err));
	status = add_rules(ruleset_fd, handled_fs(version), paths, count, err);
	/* After privileges have been given up (sandbox_enter) it does not fail. */
	if (status == SB_OK && syscall(NR_RESTRICT_SELF, ruleset_fd, 0) != 0) /* GCOVR_EXCL_BR_LINE: see above */
		status = error_set_errno(err, errno, "cannot enter the Landlock sandbox");
	close(ruleset_fd);
	return status;
}

/* --- seccomp ---------------------------------------------------------------------------------- */

#if defined(__x86_64__)
#define THIS_ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define THIS_ARCH AUDIT_ARCH_AARCH64
#else
#error "name the audit architecture of this machine"
#endif

#define X32_BIT 0x40000000u
#define REFUSE(sys_errno) (SECCOMP_RET_ERRNO | (sys_errno))
#define LOAD(member) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, member))
#define IF_EQUAL(value, then_skip, else_skip) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (value), (then_skip), (else_skip))
#define RETURN(what) BPF_STMT(BPF_RET | BPF_K, (what))

static const uint32_t refused_calls[] = {
	SYS_execve,
	SYS_execveat,
	SYS_ptrace,
	SYS_process_vm_readv,
	SYS_process_vm_writev,
	SYS_mount,
	SYS_umount2,
	SYS_pivot_root,
	SYS_chroot,
	SYS_setns,
	SYS_unshare,
	SYS_bpf,
	SYS_perf_event_open,
	SYS_kexec_load,
	SYS_init_module,
	SYS_finit_module,
	SYS_delete_module,
	SYS_add_key,
	SYS_keyctl,
	SYS_request_key,
	SYS_userfaultfd,
	SYS_io_uring_setup,
	SYS_reboot,
	SYS_swapon,
	SYS_swapoff,
	SYS_settimeofday,
	SYS_clock_settime,
	SYS_adjtimex,
	SYS_clock_adjtime,
	SYS_personality,
	SYS_acct,
	SYS_open_by_handle_at,
	SYS_setuid,
	SYS_setgid,
	SYS_setresuid,
	SYS_setresgid,
	SYS_setgroups,
	SYS_capset,
	SYS_sethostname,
	SYS_setdomainname,
	SYS_setreuid,
	SYS_setregid,
	SYS_setfsuid,
	SYS_setfsgid,
#ifdef SYS_pidfd_getfd
	SYS_pidfd_getfd,
#endif
#ifdef SYS_open_tree
	SYS_open_tree,
	SYS_move_mount,
	SYS_fsopen,
	SYS_fsconfig,
	SYS_fsmount,
	SYS_fspick,
#endif
#ifdef SYS_mount_setattr
	SYS_mount_setattr,
#endif
#ifdef SYS_kexec_file_load
	SYS_kexec_file_load,
#endif
#if defined(__x86_64__)
	SYS_fork,
	SYS_vfork,
	SYS_ioperm,
	SYS_iopl,
	SYS_modify_ldt,
#endif
};

#define FILTER_MAX (32 + 2 * sizeof(refused_calls) / sizeof(refused_calls[0]))

struct filter {
	struct sock_filter code[FILTER_MAX];
	unsigned short len;
};

static void add(struct filter *filter, struct sock_filter step)
{
	filter->code[filter->len++] = step;
}

static void refuse_call(struct filter *filter, uint32_t number, int sys_errno)
{
	add(filter, (struct sock_filter)IF_EQUAL(number, 0, 1));
	add(filter, (struct sock_filter)RETURN(REFUSE((unsigned)sys_errno)));
}

/* Threads are made with clone, and so are processes: CLONE_THREAD tells. clone3 hides its flags behind a pointer; the C library falls back. */
static void refuse_processes(struct filter *filter)
{
	refuse_call(filter, SYS_clone3, ENOSYS);
	add(filter, (struct sock_filter)IF_EQUAL(SYS_clone, 0, 4));
	add(filter, (struct sock_filter)LOAD(args[0]));
	add(filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, CLONE_THREAD, 1, 0));
	add(filter, (struct sock_filter)RETURN(REFUSE(EPERM)));
	add(filter, (struct sock_filter)RETURN(SECCOMP_RET_ALLOW));
}

/* Last, since it forgets the number. Not even Unix sockets, by which a plugin could reach who would run a program for it. What is open stays open:
 * the socket of a service manager. */
static void refuse_sockets(struct filter *filter, enum sandbox_mode mode)
{
	if (mode == SANDBOX_LOCAL) {
		refuse_call(filter, SYS_socket, EACCES);
		add(filter, (struct sock_filter)RETURN(SECCOMP_RET_ALLOW));
		return;
	}
	add(filter, (struct sock_filter)IF_EQUAL(SYS_socket, 1, 0));
	add(filter, (struct sock_filter)RETURN(SECCOMP_RET_ALLOW));
	add(filter, (struct sock_filter)LOAD(args[0]));
	add(filter, (struct sock_filter)IF_EQUAL(AF_UNIX, 3, 0));
	add(filter, (struct sock_filter)IF_EQUAL(AF_INET, 2, 0));
	add(filter, (struct sock_filter)IF_EQUAL(AF_INET6, 1, 0));
	add(filter, (struct sock_filter)RETURN(REFUSE(EACCES)));
	add(filter, (struct sock_filter)RETURN(SECCOMP_RET_ALLOW));
}

static int32_t restrict_calls(enum sandbox_mode mode, sb_error *err)
{
	struct filter filter = {.len = 0};
	struct sock_fprog program;

	add(&filter, (struct sock_filter)LOAD(arch));
	add(&filter, (struct sock_filter)IF_EQUAL(THIS_ARCH, 1, 0));
	add(&filter, (struct sock_filter)RETURN(REFUSE(ENOSYS)));
	add(&filter, (struct sock_filter)LOAD(nr));
	add(&filter, (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, X32_BIT, 0, 1));
	add(&filter, (struct sock_filter)RETURN(REFUSE(ENOSYS)));
	for (size_t i = 0; i < sizeof(refused_calls) / sizeof(refused_calls[0]); i++)
		refuse_call(&filter, refused_calls[i], EPERM);
	refuse_processes(&filter);
	refuse_sockets(&filter, mode);
	program = (struct sock_fprog){.len = filter.len, .filter = filter.code};
	/* A kernel with Landlock has it. */
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0) /* GCOVR_EXCL_BR_LINE: see above */
		return error_set_errno(err, errno, "cannot install the seccomp filter of --sandbox");
	return SB_OK;
}

/* --- both ------------------------------------------------------------------------------------- */

/* A thread that is there already would stay outside. */
static int32_t check_alone(sb_error *err)
{
	DIR *tasks = opendir("/proc/self/task");
	int threads = 0;

	if (!tasks) /* GCOVR_EXCL_BR_LINE: no test can take /proc away */
		return error_set_errno(err, errno, "cannot count threads in /proc/self/task");
	for (const struct dirent *entry = readdir(tasks); entry; entry = readdir(tasks))
		threads += entry->d_name[0] != '.';
	closedir(tasks);
	if (threads != 1)
		return error_set(err, SB_ERR_UNSUPPORTED,
				 "a plugin started %d thread(s) while it was loaded, which --sandbox could not hold: "
				 "mend the plugin, or run without --sandbox",
				 threads - 1);
	return SB_OK;
}

int32_t sandbox_enter(enum sandbox_mode mode, const struct sandbox_path *paths, uint64_t count, const struct log *log,
		      sb_error *err)
{
	const int version = landlock_version();

	if (mode == SANDBOX_OFF)
		return SB_OK;
	if (version < 1) /* GCOVR_EXCL_BR_LINE: as of handled_fs */
		return error_set(
			err, SB_ERR_UNSUPPORTED,
			"this kernel has no Landlock, or it is turned off, and --sandbox needs it: run without "
			"--sandbox, or on Linux 5.13 or later with landlock among its security modules");
	TRY(check_alone(err));
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) /* GCOVR_EXCL_BR_LINE: it never fails */
		return error_set_errno(err, errno, "cannot give up new privileges for --sandbox");
	TRY(restrict_files(mode, version, paths, count, err));
	TRY(restrict_calls(mode, err)); /* GCOVR_EXCL_BR_LINE: see there */
	if (version < 3) /* GCOVR_EXCL_BR_LINE: as of handled_fs */
		LOG(log, SB_LOG_WARN, "This kernel's Landlock does not hold truncation of files that may be read",
		    LOG_I("landlock", version));
	LOG(log, SB_LOG_INFO, "Sandbox entered", LOG_I("landlock", version),
	    LOG_S("network", mode == SANDBOX_NET ? "allowed" : "refused"));
	return SB_OK;
}
