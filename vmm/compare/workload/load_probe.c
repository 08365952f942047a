/*
 * What a boundary lets its workload see and do, found out by trying. System calls are tried with
 * arguments that can have no effect: refused means "not permitted" or "no such call", any other
 * answer means admitted. Lines are "KEY TEXT".
 */
#include "vmm/compare/workload/load.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

struct probe_call {
	const char *name;
	long number;
	long args[6];
};

#define BAD	    (-1L)
#define NEW_UTS	    0x04000000L
#define AT_PATH(at) ((long)(at))

/* The program itself stands for a path that is there and is no mount point. */
static const struct probe_call calls[] = {
	{ "mount", SYS_mount, { 0, AT_PATH("/"), 0, 0, 0 } },
	{ "umount2", SYS_umount2, { AT_PATH("/proc/self/exe"), 0 } },
	{ "pivot_root", SYS_pivot_root, { 0, 0 } },
	{ "chroot", SYS_chroot, { AT_PATH("/") } },
	{ "swapon", SYS_swapon, { 0, 0 } },
	{ "reboot", SYS_reboot, { 0, 0, 0, 0 } },
	{ "init_module", SYS_init_module, { 0, 0, 0 } },
	{ "delete_module", SYS_delete_module, { 0, 0 } },
	{ "kexec_load", SYS_kexec_load, { 0, 0, 0, BAD } },
	{ "bpf", SYS_bpf, { BAD, 0, 0 } },
	{ "perf_event_open", SYS_perf_event_open, { 0, 0, BAD, BAD, BAD } },
	{ "ptrace", SYS_ptrace, { 2, 0, 0, 0 } },
	{ "process_vm_readv", SYS_process_vm_readv, { 1, 0, 0, 0, 0, 0 } },
	{ "keyctl", SYS_keyctl, { 9999, 0, 0, 0, 0 } },
	{ "add_key", SYS_add_key, { 0, 0, 0, 0, 0 } },
	{ "userfaultfd", SYS_userfaultfd, { BAD } },
	{ "io_uring_setup", SYS_io_uring_setup, { 0, 0 } },
	{ "unshare", SYS_unshare, { NEW_UTS } },
	{ "setns", SYS_setns, { BAD, 0 } },
	{ "open_by_handle_at", SYS_open_by_handle_at, { BAD, 0, 0 } },
	{ "fanotify_init", SYS_fanotify_init, { BAD, 0 } },
	{ "settimeofday", SYS_settimeofday, { 0, 0 } },
	{ "syslog", SYS_syslog, { 3, 0, BAD } },
	{ "acct", SYS_acct, { 1 } },
};

static int call_admitted(const struct probe_call *call)
{
	const long *a = call->args;
	long ret = syscall(call->number, a[0], a[1], a[2], a[3], a[4], a[5]);

	return ret >= 0 || (errno != EPERM && errno != ENOSYS && errno != EACCES);
}

static void print_calls(void)
{
	unsigned count = sizeof(calls) / sizeof(calls[0]);
	unsigned admitted = 0;
	char refused[1024] = "", text[40] = "";

	for (unsigned i = 0; i < count; i++) {
		if (call_admitted(&calls[i])) {
			admitted++;
			continue;
		}
		load_append(refused, sizeof(refused), *refused ? " " : "");
		load_append(refused, sizeof(refused), calls[i].name);
	}
	load_append_number(text, sizeof(text), admitted);
	load_append(text, sizeof(text), " of ");
	load_append_number(text, sizeof(text), count);
	load_print_text("calls", text);
	load_print_text("calls_refused", *refused ? refused : "none");
}

/* What getdents64 gives: see its manual page. */
struct entry {
	uint64_t inode;
	int64_t next;
	uint16_t len;
	uint8_t type;
	char name[];
};

/* What is mounted over an entry may be of another type than the entry says. */
static int counts(int fd, const struct entry *entry, int devices)
{
	struct stat info;

	if (devices)
		return fstatat(fd, entry->name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
		       (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode));
	return entry->name[0] >= '1' && entry->name[0] <= '9';
}

/* Entries of DIRECTORY, counted: devices, or names that are numbers. */
static void print_entries(const char *key, const char *directory, int devices)
{
	int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	static _Alignas(8) char data[32768];
	unsigned count = 0;
	char text[24] = "";
	long len;

	if (fd < 0) {
		load_print_text(key, "none");
		return;
	}
	while ((len = syscall(SYS_getdents64, fd, data, sizeof(data))) > 0) {
		for (long at = 0; at < len;) {
			const struct entry *entry = (const struct entry *)(data + at);

			count += (unsigned)counts(fd, entry, devices);
			at += entry->len;
		}
	}
	close(fd);
	load_append_number(text, sizeof(text), count);
	load_print_text(key, text);
}

/* Whose kernel it is shows in how long it has been up: a boot's id may be made up. */
static void print_uptime(void)
{
	struct timespec up;

	clock_gettime(CLOCK_BOOTTIME, &up);
	load_print("uptime", (double)up.tv_sec + (double)up.tv_nsec / 1e9);
}

int load_probe(void)
{
	struct utsname names;

	if (uname(&names) < 0)
		load_fail("uname");
	load_print_text("kernel", names.release);
	print_uptime();
	print_entries("processes", "/proc", 0);
	print_entries("devices", "/dev", 1);
	print_calls();
	return 0;
}
