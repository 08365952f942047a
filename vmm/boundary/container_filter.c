/*
 * Builds the filter: after the check of the architecture a search by halves for the range of
 * numbers that a call's belongs to, and then the place where it is said what becomes of those. The
 * kernel runs it for every number there is when it is installed, to remember which are always
 * allowed: a list that is gone through from its beginning made that a twentieth of a start.
 */
#include "vmm/boundary/container_filter.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Since Linux 5.1 new calls have the same number everywhere; older headers lack some. */
#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif

/* What needs privileges over the whole machine, speaks for the kernel's insides, or reaches other
 * programs' keys and memory. */
static const unsigned short refused[] = {
	SYS_acct,
	SYS_add_key,
	SYS_adjtimex,
	SYS_bpf,
	SYS_clock_adjtime,
	SYS_clock_settime,
	SYS_delete_module,
	SYS_fanotify_init,
	SYS_finit_module,
	SYS_fsconfig,
	SYS_fsmount,
	SYS_fsopen,
	SYS_fspick,
	SYS_init_module,
	SYS_io_uring_enter,
	SYS_io_uring_register,
	SYS_io_uring_setup,
	SYS_kcmp,
	SYS_kexec_file_load,
	SYS_kexec_load,
	SYS_keyctl,
	SYS_lookup_dcookie,
	SYS_mount,
	SYS_mount_setattr,
	SYS_move_mount,
	SYS_move_pages,
	SYS_name_to_handle_at,
	SYS_nfsservctl,
	SYS_open_by_handle_at,
	SYS_open_tree,
	SYS_perf_event_open,
	SYS_pidfd_getfd,
	SYS_pivot_root,
	SYS_process_madvise,
	SYS_process_vm_readv,
	SYS_process_vm_writev,
	SYS_quotactl,
	SYS_quotactl_fd,
	SYS_reboot,
	SYS_request_key,
	SYS_setdomainname,
	SYS_sethostname,
	SYS_setns,
	SYS_settimeofday,
	SYS_swapoff,
	SYS_swapon,
	SYS_syslog,
	SYS_umount2,
	SYS_unshare,
	SYS_userfaultfd,
	SYS_vhangup,
#ifdef SYS_ioperm
	SYS_ioperm,
#endif
#ifdef SYS_iopl
	SYS_iopl,
#endif
#ifdef SYS_modify_ldt
	SYS_modify_ldt,
#endif
};

/* The newest call that this table was made with knowledge of: cachestat. */
#define NEWEST 451

/* ioctl's request for typing into a terminal, and for pasting into a console. */
#define REQUEST_TYPE  0x5412u
#define REQUEST_PASTE 0x541cu

#define NEW_NAMESPACES                                                                             \
	((unsigned)(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID |     \
		    CLONE_NEWNET | CLONE_NEWCGROUP))

#define ARG_LOW(n) ((unsigned)offsetof(struct seccomp_data, args[n]))

/* By the name that the kernel gives the processor. */
static const struct {
	const char *platform;
	unsigned audit;
} architectures[] = {
	{ "x86_64", AUDIT_ARCH_X86_64 },
	{ "aarch64", AUDIT_ARCH_AARCH64 },
};

/* What can become of a call, in the order in which the program has a place for each. */
enum action { IOCTL, CLONE, SOCKET, ALLOW, REFUSE, UNKNOWN, ACTIONS };

/* Where these places are, counted from the first. */
static const unsigned char places[ACTIONS] = {
	[IOCTL] = 0, [CLONE] = 3, [SOCKET] = 5, [ALLOW] = 7, [REFUSE] = 8, [UNKNOWN] = 9,
};

/* From this number on, up to the next range's. */
struct range {
	unsigned short first;
	unsigned char action;
};

struct builder {
	struct sock_filter *code;
	size_t count;
	size_t places_at; /* index of the first */
	struct range ranges[CONTAINER_FILTER_MAX];
	size_t range_count;
};

static void emit(struct builder *builder, unsigned short op, size_t k, size_t yes, size_t no)
{
	if (builder->count < CONTAINER_FILTER_MAX)
		builder->code[builder->count] =
			(struct sock_filter){ op, (unsigned char)yes, (unsigned char)no,
					      (unsigned)k };
	builder->count++;
}

static void load(struct builder *builder, size_t offset)
{
	emit(builder, BPF_LD | BPF_W | BPF_ABS, offset, 0, 0);
}

/* How far a jump is from the instruction to be emitted to ACTION's place. */
static size_t way(const struct builder *builder, enum action action)
{
	return builder->places_at + places[action] - builder->count - 1;
}

static void find_ranges(struct builder *builder)
{
	unsigned char actions[NEWEST + 2];

	memset(actions, ALLOW, sizeof(actions));
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		actions[refused[i]] = REFUSE;
	/* Its flags are in memory, where no filter sees them: libc falls back to clone. */
	actions[SYS_clone3] = UNKNOWN;
	actions[SYS_ioctl] = IOCTL;
	actions[SYS_clone] = CLONE;
	actions[SYS_socket] = SOCKET;
	/* With it all numbers of x86's x32 set, which begin at 2^30. */
	actions[NEWEST + 1] = UNKNOWN;
	for (unsigned number = 0; number < sizeof(actions); number++) {
		if (number == 0 || actions[number] != actions[number - 1])
			builder->ranges[builder->range_count++] =
				(struct range){ (unsigned short)number, actions[number] };
	}
}

/*
 * Halves COUNT ranges, two or more, until one is left: a comparison fewer than there are ranges,
 * the lower half's before the upper's.
 */
static void emit_search(struct builder *builder, const struct range *ranges, size_t count)
{
	size_t lower = count / 2, upper = count - lower;

	emit(builder, BPF_JMP | BPF_JGE | BPF_K, ranges[lower].first,
	     upper > 1 ? lower - 1 : way(builder, ranges[lower].action),
	     lower > 1 ? 0 : way(builder, ranges[0].action));
	if (lower > 1)
		emit_search(builder, ranges, lower);
	if (upper > 1)
		emit_search(builder, ranges + lower, upper);
}

/* The low words of arguments are compared: the kernel looks at no more of those. */
static void emit_places(struct builder *builder)
{
	load(builder, ARG_LOW(1)); /* IOCTL */
	emit(builder, BPF_JMP | BPF_JEQ | BPF_K, REQUEST_TYPE, way(builder, REFUSE), 0);
	emit(builder, BPF_JMP | BPF_JEQ | BPF_K, REQUEST_PASTE, way(builder, REFUSE),
	     way(builder, ALLOW));
	load(builder, ARG_LOW(0)); /* CLONE */
	emit(builder, BPF_JMP | BPF_JSET | BPF_K, NEW_NAMESPACES, way(builder, REFUSE),
	     way(builder, ALLOW));
	load(builder, ARG_LOW(0)); /* SOCKET */
	emit(builder, BPF_JMP | BPF_JEQ | BPF_K, 40 /* AF_VSOCK: would reach the machine's host */,
	     way(builder, REFUSE), 0);
	emit(builder, BPF_RET | BPF_K, SECCOMP_RET_ALLOW, 0, 0);
	emit(builder, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM, 0, 0);
	emit(builder, BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS, 0, 0);
}

/* 0, which is no architecture, when it has no name here: then every call fails. */
static unsigned this_architecture(void)
{
	/* NOLINTNEXTLINE(performance-no-int-to-ptr): the kernel's vector holds numbers */
	const char *platform = (const char *)getauxval(AT_PLATFORM);

	for (size_t i = 0; platform && i < sizeof(architectures) / sizeof(architectures[0]); i++) {
		if (strcmp(platform, architectures[i].platform) == 0)
			return architectures[i].audit;
	}
	return 0;
}

size_t container_filter_build(struct sock_filter *code)
{
	struct builder builder = { .code = code };

	find_ranges(&builder);
	builder.places_at = 3 + builder.range_count - 1;
	load(&builder, offsetof(struct seccomp_data, arch));
	emit(&builder, BPF_JMP | BPF_JEQ | BPF_K, this_architecture(), 0, way(&builder, UNKNOWN));
	load(&builder, offsetof(struct seccomp_data, nr));
	emit_search(&builder, builder.ranges, builder.range_count);
	emit_places(&builder);
	return builder.count;
}

int container_filter_install(void)
{
	struct sock_filter code[CONTAINER_FILTER_MAX];
	size_t count = container_filter_build(code);
	struct sock_fprog program = { .len = (unsigned short)count, .filter = code };

	if (count > CONTAINER_FILTER_MAX)
		return -E2BIG;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0) < 0 ? -errno : 0;
}
