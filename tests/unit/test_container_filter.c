/*
 * The filter of system calls, interpreted here as the kernel would. Each name says what must
 * happen.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <linux/audit.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/boundary/container_filter.h"

static struct sock_filter code[CONTAINER_FILTER_MAX];
static size_t code_count;
static unsigned steps; /* of the last run */

/* The architecture that the program compares with. */
static uint32_t native(void)
{
	return code[1].k;
}

static uint32_t run(const struct seccomp_data *data)
{
	uint32_t loaded = 0;

	steps = 0;
	for (size_t at = 0; at < code_count; at++, steps++) {
		const struct sock_filter *op = &code[at];
		int yes = -1;

		switch (op->code) {
		case BPF_LD | BPF_W | BPF_ABS:
			assert_true(op->k + 4 <= sizeof(*data));
			memcpy(&loaded, (const char *)data + op->k, sizeof(loaded));
			break;
		case BPF_JMP | BPF_JEQ | BPF_K:
			yes = loaded == op->k;
			break;
		case BPF_JMP | BPF_JGE | BPF_K:
			yes = loaded >= op->k;
			break;
		case BPF_JMP | BPF_JSET | BPF_K:
			yes = (loaded & op->k) != 0;
			break;
		case BPF_RET | BPF_K:
			return op->k;
		default:
			fail_msg("instruction %zu has code %x", at, op->code);
		}
		if (yes >= 0)
			at += yes ? op->jt : op->jf;
	}
	fail_msg("ran off the end");
	return 0;
}

static uint32_t call(int number, uint64_t first, uint64_t second)
{
	struct seccomp_data data = { .nr = number, .arch = native(), .args = { first, second } };

	return run(&data);
}

static int build(void **state)
{
	(void)state;
	code_count = container_filter_build(code);
	return code_count <= CONTAINER_FILTER_MAX ? 0 : -1;
}

/* All that the module refuses, in an order of its own. */
static const int refused[] = {
	SYS_mount,
	SYS_umount2,
	SYS_pivot_root,
	SYS_move_mount,
	SYS_mount_setattr,
	SYS_open_tree,
	SYS_fsopen,
	SYS_fsconfig,
	SYS_fsmount,
	SYS_fspick,
	SYS_quotactl,
	443 /* quotactl_fd */,
	SYS_swapon,
	SYS_swapoff,
	SYS_fanotify_init,
	SYS_lookup_dcookie,
	SYS_name_to_handle_at,
	SYS_open_by_handle_at,
	SYS_nfsservctl,
	SYS_setns,
	SYS_unshare,
	SYS_sethostname,
	SYS_setdomainname,
	SYS_reboot,
	SYS_kexec_load,
	SYS_kexec_file_load,
	SYS_init_module,
	SYS_finit_module,
	SYS_delete_module,
	SYS_bpf,
	SYS_perf_event_open,
	SYS_userfaultfd,
	SYS_io_uring_setup,
	SYS_io_uring_enter,
	SYS_io_uring_register,
	SYS_kcmp,
	SYS_pidfd_getfd,
	SYS_process_vm_readv,
	SYS_process_vm_writev,
	SYS_process_madvise,
	SYS_move_pages,
	SYS_add_key,
	SYS_request_key,
	SYS_keyctl,
	SYS_acct,
	SYS_syslog,
	SYS_vhangup,
	SYS_settimeofday,
	SYS_adjtimex,
	SYS_clock_settime,
	SYS_clock_adjtime,
#ifdef SYS_iopl
	SYS_iopl,
	SYS_ioperm,
	SYS_modify_ldt,
#endif
};

static bool is_refused(int number)
{
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		if (refused[i] == number)
			return true;
	}
	return false;
}

static void what_programs_need_is_allowed(void **state)
{
	static const int numbers[] = { SYS_read,  SYS_write, SYS_execve, SYS_mmap,  SYS_futex,
				       SYS_ioctl, SYS_clone, SYS_socket, SYS_ptrace };

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		assert_int_equal(call(numbers[i], 0, 0), SECCOMP_RET_ALLOW);
}

static void what_reaches_beyond_is_refused_and_nothing_else(void **state)
{
	(void)state;
	for (int number = 0; number < 452; number++) {
		uint32_t wanted = number == SYS_clone3 ? SECCOMP_RET_ERRNO | ENOSYS
				  : is_refused(number) ? SECCOMP_RET_ERRNO | EPERM
						       : SECCOMP_RET_ALLOW;

		if (call(number, 0, 0) != wanted)
			fail_msg("call %d gives %x", number, call(number, 0, 0));
	}
	for (int number = 452; number < 1024; number++)
		assert_int_equal(call(number, 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
}

static void new_calls_and_clone3_are_unknown(void **state)
{
	(void)state;
	assert_int_equal(call(SYS_clone3, 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
	assert_int_equal(call(10000, 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
	assert_int_equal(call(0x40000000, 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
	assert_int_equal(call(-1, 0, 0), SECCOMP_RET_ERRNO | ENOSYS);
}

static void arguments_are_looked_at(void **state)
{
	(void)state;
	assert_int_equal(call(SYS_clone, CLONE_NEWUSER, 0), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(call(SYS_clone, CLONE_VM | CLONE_FILES, 0), SECCOMP_RET_ALLOW);
	assert_int_equal(call(SYS_ioctl, 0, 0x5412), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(call(SYS_ioctl, 0, UINT64_C(0x100005412)), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(call(SYS_ioctl, 0, 0x5413), SECCOMP_RET_ALLOW);
	assert_int_equal(call(SYS_socket, 40, 0), SECCOMP_RET_ERRNO | EPERM);
	assert_int_equal(call(SYS_socket, 2, 0), SECCOMP_RET_ALLOW);
}

/* The kernel runs it once for each of them, when it is installed. */
static void no_call_takes_long(void **state)
{
	(void)state;
	for (int number = 0; number < 1024; number++) {
		call(number, 0, 0);
		assert_in_range(steps, 4, 16);
	}
}

static void another_architecture_has_no_calls(void **state)
{
	struct seccomp_data data = { .nr = SYS_read, .arch = AUDIT_ARCH_I386 };

	(void)state;
	assert_int_equal(run(&data), SECCOMP_RET_ERRNO | ENOSYS);
}

static void the_kernel_takes_it(void **state)
{
	int status;
	pid_t pid = fork();

	(void)state;
	if (pid == 0) {
		if (container_filter_install() < 0)
			_exit(2);
		_exit(syscall(SYS_unshare, 0) == 0 || errno != EPERM);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_programs_need_is_allowed),
		cmocka_unit_test(what_reaches_beyond_is_refused_and_nothing_else),
		cmocka_unit_test(new_calls_and_clone3_are_unknown),
		cmocka_unit_test(arguments_are_looked_at),
		cmocka_unit_test(no_call_takes_long),
		cmocka_unit_test(another_architecture_has_no_calls),
		cmocka_unit_test(the_kernel_takes_it),
	};

	return cmocka_run_group_tests_name("container_filter", tests, build, NULL);
}
