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
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vmm/boundary/container_filter.h"

static struct sock_filter code[CONTAINER_FILTER_MAX];
static size_t code_count;

/* The architecture that the program compares with. */
static uint32_t native(void)
{
	return code[1].k;
}

static uint32_t run(const struct seccomp_data *data)
{
	uint32_t loaded = 0;

	for (size_t at = 0; at < code_count; at++) {
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
		case BPF_JMP | BPF_JGT | BPF_K:
			yes = loaded > op->k;
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

static void what_programs_need_is_allowed(void **state)
{
	static const int numbers[] = { SYS_read,  SYS_write, SYS_execve, SYS_mmap,  SYS_futex,
				       SYS_ioctl, SYS_clone, SYS_socket, SYS_ptrace };

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		assert_int_equal(call(numbers[i], 0, 0), SECCOMP_RET_ALLOW);
}

static void what_reaches_beyond_is_refused(void **state)
{
	static const int numbers[] = {
		SYS_mount,	 SYS_bpf,     SYS_kexec_load,	  SYS_setns,	      SYS_keyctl,
		SYS_init_module, SYS_unshare, SYS_io_uring_setup, SYS_perf_event_open
	};

	(void)state;
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		assert_int_equal(call(numbers[i], 0, 0), SECCOMP_RET_ERRNO | EPERM);
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
		cmocka_unit_test(what_reaches_beyond_is_refused),
		cmocka_unit_test(new_calls_and_clone3_are_unknown),
		cmocka_unit_test(arguments_are_looked_at),
		cmocka_unit_test(another_architecture_has_no_calls),
		cmocka_unit_test(the_kernel_takes_it),
	};

	return cmocka_run_group_tests_name("container_filter", tests, build, NULL);
}
