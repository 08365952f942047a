/* A vCPU starts where and how the boot protocols say. Needs a /dev/kvm of any kind; skips without.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>

#include <linux/kvm.h>

#include <cmocka.h>

#include "arch/arch.h"
#include "arch/x86_64/layout.h"
#include "tests/support/skip.h"

#define CODE_GPA 0x200000ULL
#define INFO_GPA 0x7000ULL
#define RAM_LEN	 (16ULL << 20)

struct machine {
	int kvm_fd;
	int vm_fd;
	int vcpu_fd;
	struct guest_mem mem;
	struct arch_cpu_model *model;
	struct kvm_run *run;
	size_t run_len;
};

static int setup(void **state)
{
	struct machine *m = calloc(1, sizeof(*m));
	struct kvm_userspace_memory_region slot = { .memory_size = RAM_LEN };

	*state = m;
	m->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (m->kvm_fd < 0)
		return 0;
	m->vm_fd = ioctl(m->kvm_fd, KVM_CREATE_VM, 0);
	if (guest_mem_add(&m->mem, 0, RAM_LEN))
		return -1;
	slot.userspace_addr = (uintptr_t)m->mem.regions[0].host;
	if (ioctl(m->vm_fd, KVM_SET_USER_MEMORY_REGION, &slot) ||
	    arch_vm_init(m->kvm_fd, m->vm_fd) || arch_cpu_model_create(&m->model, m->kvm_fd, 2) ||
	    arch_cpu_model_complete(m->model, m->vm_fd))
		return -1;
	m->vcpu_fd = ioctl(m->vm_fd, KVM_CREATE_VCPU, 0);
	m->run_len = (size_t)ioctl(m->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
	m->run = mmap(NULL, m->run_len, PROT_READ | PROT_WRITE, MAP_SHARED, m->vcpu_fd, 0);
	return m->run == MAP_FAILED || arch_vcpu_init(m->model, m->vcpu_fd, 0) ? -1 : 0;
}

static int teardown(void **state)
{
	struct machine *m = *state;

	if (m->kvm_fd >= 0) {
		munmap(m->run, m->run_len);
		close(m->vcpu_fd);
		close(m->vm_fd);
		close(m->kvm_fd);
		arch_cpu_model_destroy(m->model);
		guest_mem_fini(&m->mem);
	}
	free(m);
	return 0;
}

/* Runs CODE from the entry until it exits; the value it wrote to a port. */
static uint32_t run(struct machine *m, enum arch_entry entry, const uint8_t *code, size_t len)
{
	const struct arch_boot boot = { .entry = entry,
					.entry_gpa = CODE_GPA,
					.info_gpa = INFO_GPA };
	uint32_t value = 0;

	assert_int_equal(guest_mem_write(&m->mem, CODE_GPA, code, len), 0);
	assert_int_equal(arch_vcpu_set_entry(&m->mem, m->vcpu_fd, 0, &boot), 0);
	assert_int_equal(ioctl(m->vcpu_fd, KVM_RUN, 0), 0);
	assert_int_equal(m->run->exit_reason, KVM_EXIT_IO);
	memcpy(&value, (uint8_t *)m->run + m->run->io.data_offset, m->run->io.size);
	return value;
}

static void long_mode_entry_has_boot_params_in_rsi_and_a_stack(void **state)
{
	struct machine *m = *state;
	/* push rsi; pop rax; out 0xf4, eax */
	static const uint8_t code[] = { 0x56, 0x58, 0xe7, 0xf4 };
	struct kvm_sregs sregs;

	if (m->kvm_fd < 0)
		skip_because("no /dev/kvm");
	assert_int_equal(run(m, ARCH_ENTRY_ELF, code, sizeof(code)), INFO_GPA);
	assert_int_equal(ioctl(m->vcpu_fd, KVM_GET_SREGS, &sregs), 0);
	assert_int_equal(sregs.efer & 0x500, 0x500);
	assert_true(sregs.cs.l);
	assert_int_equal(sregs.cs.selector, 0x10);
	assert_int_equal(sregs.ds.selector, 0x18);
}

static void long_mode_entry_runs_64_bit_code_with_the_segments_of_its_table(void **state)
{
	struct machine *m = *state;
	/* mov eax, 0x18; mov ds, eax; mov ss, eax; mov rax, 1 << 32; shr rax, 32; out 0xf4, eax */
	static const uint8_t code[] = { 0xb8, 0x18, 0,	  0,	0,    0x8e, 0xd8, 0x8e, 0xd0,
					0x48, 0xb8, 0,	  0,	0,    0,    1,	  0,	0,
					0,    0x48, 0xc1, 0xe8, 0x20, 0xe7, 0xf4 };

	if (m->kvm_fd < 0)
		skip_because("no /dev/kvm");
	assert_int_equal(run(m, ARCH_ENTRY_BZIMAGE, code, sizeof(code)), 1);
}

static void long_mode_entry_maps_all_of_the_first_4_gib(void **state)
{
	struct machine *m = *state;
	/* mov eax, 0xfee00030 (APIC version); mov eax, [rax]; out 0xf4, eax */
	static const uint8_t code[] = { 0xb8, 0x30, 0, 0xe0, 0xfe, 0x8b, 0x00, 0xe7, 0xf4 };

	if (m->kvm_fd < 0)
		skip_because("no /dev/kvm");
	assert_in_range(run(m, ARCH_ENTRY_ELF, code, sizeof(code)) & 0xff, 0x10, 0x1f);
}

static void pvh_entry_is_flat_32_bit_with_start_info_in_ebx(void **state)
{
	struct machine *m = *state;
	/* mov eax, ebx; inc eax (a REX prefix in 64-bit code); out 0xf4, eax */
	static const uint8_t code[] = { 0x89, 0xd8, 0x40, 0xe7, 0xf4 };
	struct kvm_sregs sregs;

	if (m->kvm_fd < 0)
		skip_because("no /dev/kvm");
	assert_int_equal(run(m, ARCH_ENTRY_PVH, code, sizeof(code)), INFO_GPA + 1);
	assert_int_equal(ioctl(m->vcpu_fd, KVM_GET_SREGS, &sregs), 0);
	assert_int_equal(sregs.cr0 & 0x80000001, 1);
	assert_int_equal(sregs.efer, 0);
}

static void other_vcpus_are_left_to_wait(void **state)
{
	struct machine *m = *state;
	const struct arch_boot boot = { .entry = ARCH_ENTRY_ELF, .entry_gpa = CODE_GPA };
	struct kvm_mp_state mp;
	int fd;

	if (m->kvm_fd < 0)
		skip_because("no /dev/kvm");
	fd = ioctl(m->vm_fd, KVM_CREATE_VCPU, 1);
	assert_true(fd >= 0);
	assert_int_equal(arch_vcpu_init(m->model, fd, 1), 0);
	assert_int_equal(arch_vcpu_set_entry(&m->mem, fd, 1, &boot), 0);
	assert_int_equal(ioctl(fd, KVM_GET_MP_STATE, &mp), 0);
	assert_int_equal(mp.mp_state, KVM_MP_STATE_UNINITIALIZED);
	close(fd);
}

static void dump_says_registers_and_the_bytes_at_rip(void **state)
{
	struct machine *m = *state;
	/* out 0xf4, eax; 1: jmp 1b */
	static const uint8_t code[] = { 0xe7, 0xf4, 0xeb, 0xfe };
	char text[4096], shorter[64];

	if (m->kvm_fd < 0)
		skip_because("no /dev/kvm");
	run(m, ARCH_ENTRY_ELF, code, sizeof(code));
	memset(m->run, 0, sizeof(*m->run));
	m->run->exit_reason = KVM_EXIT_INTERNAL_ERROR;
	m->run->emulation_failure.suberror = KVM_INTERNAL_ERROR_EMULATION;
	m->run->emulation_failure.ndata = 3;
	m->run->emulation_failure.flags = KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES;
	m->run->emulation_failure.insn_size = 200; /* more than there is room for */
	m->run->emulation_failure.insn_bytes[0] = 0xcc;
	arch_vcpu_dump(m->vcpu_fd, &m->mem, m->run, text, sizeof(text));
	assert_non_null(strstr(text, "suberror 1 (emulation failed)"));
	assert_non_null(strstr(text, "instruction: cc 00"));
	assert_non_null(strstr(text, "rip 000000000020000"));
	assert_non_null(strstr(text, "cr3 9000"));
	assert_non_null(strstr(text, "eb fe"));
	memset(shorter, 'x', sizeof(shorter));
	arch_vcpu_dump(m->vcpu_fd, &m->mem, m->run, shorter, 32);
	assert_int_equal(strlen(shorter), 31);
	assert_int_equal(shorter[32], 'x');
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(long_mode_entry_has_boot_params_in_rsi_and_a_stack),
		TEST(long_mode_entry_runs_64_bit_code_with_the_segments_of_its_table),
		TEST(long_mode_entry_maps_all_of_the_first_4_gib),
		TEST(pvh_entry_is_flat_32_bit_with_start_info_in_ebx),
		TEST(other_vcpus_are_left_to_wait),
		TEST(dump_says_registers_and_the_bytes_at_rip),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
