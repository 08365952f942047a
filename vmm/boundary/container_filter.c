/*
 * Builds the filter: a list of refused numbers, each one comparison, after the checks of the
 * architecture and the highest number. The kernel remembers for each number whether it is always
 * allowed, so that the length of the list costs the calls of a workload nothing.
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
static const unsigned refused[] = {
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
#define ERRNO(e)   (SECCOMP_RET_ERRNO | (unsigned)(e))

/* By the name that the kernel gives the processor. */
static const struct {
	const char *platform;
	unsigned audit;
} architectures[] = {
	{ "x86_64", AUDIT_ARCH_X86_64 },
	{ "aarch64", AUDIT_ARCH_AARCH64 },
};

struct builder {
	struct sock_filter *code;
	size_t count;
};

static void emit(struct builder *builder, unsigned short op, unsigned k, unsigned char yes,
		 unsigned char no)
{
	if (builder->count < CONTAINER_FILTER_MAX)
		builder->code[builder->count] = (struct sock_filter){ op, yes, no, k };
	builder->count++;
}

static void load(struct builder *builder, size_t offset)
{
	emit(builder, BPF_LD | BPF_W | BPF_ABS, (unsigned)offset, 0, 0);
}

static void give(struct builder *builder, unsigned result)
{
	emit(builder, BPF_RET | BPF_K, result, 0, 0);
}

/* RESULT when the loaded word is VALUE. */
static void give_if(struct builder *builder, unsigned value, unsigned result)
{
	emit(builder, BPF_JMP | BPF_JEQ | BPF_K, value, 0, 1);
	give(builder, result);
}

/* The low words of arguments are compared: the kernel looks at no more of those. */
static void emit_arguments(struct builder *builder)
{
	emit(builder, BPF_JMP | BPF_JEQ | BPF_K, SYS_ioctl, 0, 6);
	load(builder, ARG_LOW(1));
	give_if(builder, REQUEST_TYPE, ERRNO(EPERM));
	give_if(builder, REQUEST_PASTE, ERRNO(EPERM));
	give(builder, SECCOMP_RET_ALLOW);
	emit(builder, BPF_JMP | BPF_JEQ | BPF_K, SYS_clone, 0, 4);
	load(builder, ARG_LOW(0));
	emit(builder, BPF_JMP | BPF_JSET | BPF_K, NEW_NAMESPACES, 0, 1);
	give(builder, ERRNO(EPERM));
	give(builder, SECCOMP_RET_ALLOW);
	emit(builder, BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 0, 4);
	load(builder, ARG_LOW(0));
	give_if(builder, 40 /* AF_VSOCK: would reach the machine's host */, ERRNO(EPERM));
	give(builder, SECCOMP_RET_ALLOW);
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

	load(&builder, offsetof(struct seccomp_data, arch));
	emit(&builder, BPF_JMP | BPF_JEQ | BPF_K, this_architecture(), 1, 0);
	give(&builder, ERRNO(ENOSYS));
	load(&builder, offsetof(struct seccomp_data, nr));
	/* With it all numbers of x86's x32 set, which begin at 2^30. */
	emit(&builder, BPF_JMP | BPF_JGT | BPF_K, NEWEST, 0, 1);
	give(&builder, ERRNO(ENOSYS));
	/* Its flags are in memory, where no filter sees them: libc falls back to clone. */
	give_if(&builder, SYS_clone3, ERRNO(ENOSYS));
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
		give_if(&builder, refused[i], ERRNO(EPERM));
	emit_arguments(&builder);
	give(&builder, SECCOMP_RET_ALLOW);
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
