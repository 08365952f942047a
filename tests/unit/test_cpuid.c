/* What a guest's CPUs say, from lists as KVM gives them on an Intel and on an AMD host. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "arch/x86_64/cpuid.h"

#define INDEXED KVM_CPUID_FLAG_SIGNIFCANT_INDEX

static const struct kvm_cpuid_entry2 intel[] = {
	{ 0x0, 0, 0, 0xd, 0x756e6547, 0x6c65746e, 0x49656e69, { 0 } },
	{ 0x1, 0, 0, 0x000906ea, 0x07100800, 0x77fafbff & ~0x81000000, 0xbfebfbff, { 0 } },
	{ 0x3, 0, 0, 1, 2, 3, 4, { 0 } },
	{ 0x4, 0, INDEXED, 0x1c004121, 0x01c0003f, 0x3f, 0, { 0 } },
	{ 0x4, 2, INDEXED, 0x1c004143, 0x00c0003f, 0x3ff, 0, { 0 } },
	{ 0x4, 3, INDEXED, 0x1c03c163, 0x03c0003f, 0x2fff, 6, { 0 } },
	{ 0x4, 4, INDEXED, 0, 0, 0, 0, { 0 } },
	{ 0x6, 0, 0, 0x77, 2, 9, 0, { 0 } },
	{ 0x7, 0, INDEXED, 0, 0x029c67af, 0x40000000, 0xac000400, { 0 } },
	{ 0xb, 0, INDEXED, 1, 2, 0x100, 7, { 0 } },
	{ 0xb, 1, INDEXED, 4, 12, 0x201, 7, { 0 } },
	{ 0x14, 0, INDEXED, 1, 0xf, 7, 0, { 0 } },
	{ 0x40000000, 0, 0, 0x40000001, 0x4b4d564b, 0x564b4d56, 0x4d, { 0 } },
	{ 0x40000001, 0, 0, 0x0103feff, 0, 0, 0, { 0 } },
	{ 0x80000000, 0, 0, 0x80000008, 0, 0, 0, { 0 } },
	{ 0x80000001, 0, 0, 0, 0, 0x121, 0x2c100800, { 0 } },
	{ 0x80000008, 0, 0, 0x3027, 0, 0, 0, { 0 } },
};

static const struct kvm_cpuid_entry2 amd[] = {
	{ 0x0, 0, 0, 0x10, 0x68747541, 0x444d4163, 0x69746e65, { 0 } },
	{ 0x1, 0, 0, 0x00a20f12, 0x05180800, 0x76f83203, 0x178bfbff, { 0 } },
	{ 0x80000000, 0, 0, 0x80000021, 0x68747541, 0x444d4163, 0x69746e65, { 0 } },
	{ 0x80000001, 0, 0, 0x00a20f12, 0x20000000, 0x004003f7, 0x2fd3fbff, { 0 } },
	{ 0x80000008, 0, 0, 0x3030, 0x1000000, 0x700f, 0, { 0 } },
	{ 0x8000000a, 0, 0, 1, 16, 0, 0xff, { 0 } },
	{ 0x8000001d, 0, INDEXED, 0x4121, 0x01c0003f, 0x3f, 0, { 0 } },
	{ 0x8000001d, 3, INDEXED, 0x3c163, 0x03c0003f, 0x7fff, 1, { 0 } },
	{ 0x8000001e, 0, 0, 5, 0x0102, 0x0301, 0, { 0 } },
	{ 0x8000001f, 0, 0, 3, 0, 0, 0, { 0 } },
};

static struct cpuid_table table;

static void load(const struct kvm_cpuid_entry2 *entries, size_t len)
{
	memset(&table, 0, sizeof(table));
	memcpy(table.entries, entries, len);
	table.count = (uint32_t)(len / sizeof(*entries));
}

static void apply(const struct kvm_cpuid_entry2 *entries, size_t len, unsigned cpu_count,
		  uint32_t tsc_khz)
{
	const struct cpuid_facts facts = { cpu_count, tsc_khz, true };

	load(entries, len);
	assert_int_equal(cpuid_apply(&table, &facts), 0);
}

static const struct kvm_cpuid_entry2 *leaf(uint32_t function, uint32_t index)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(&table, function, index);

	assert_non_null(e);
	return e;
}

static void topology_is_one_package_of_cores_on_intel(void **state)
{
	(void)state;
	apply(intel, sizeof(intel), 6, 0);
	assert_int_equal(leaf(1, 0)->ebx >> 16 & 0xff, 8);
	assert_true(leaf(1, 0)->edx & 1 << 28);
	/* First and second level to a core, third to the package; 8 core ids. */
	assert_int_equal(leaf(4, 0)->eax >> 14 & 0xfff, 0);
	assert_int_equal(leaf(4, 2)->eax >> 14 & 0xfff, 0);
	assert_int_equal(leaf(4, 3)->eax >> 14 & 0xfff, 7);
	assert_int_equal(leaf(4, 3)->eax >> 26, 7);
	assert_int_equal(leaf(0xb, 0)->eax, 0);
	assert_int_equal(leaf(0xb, 0)->ebx, 1);
	assert_int_equal(leaf(0xb, 0)->ecx, 0x100);
	assert_int_equal(leaf(0xb, 1)->eax, 3);
	assert_int_equal(leaf(0xb, 1)->ebx, 6);
	assert_int_equal(leaf(0xb, 1)->ecx, 0x201);
	/* AMD's fields are left alone. */
	assert_int_equal(leaf(0x80000008, 0)->ecx, 0);
	assert_int_equal(leaf(0x80000001, 0)->ecx & 2, 0);
}

static void topology_is_one_package_of_cores_on_amd(void **state)
{
	(void)state;
	apply(amd, sizeof(amd), 4, 0);
	assert_int_equal(leaf(0x80000008, 0)->ecx & 0xff, 3);
	assert_int_equal(leaf(0x80000008, 0)->ecx >> 12, 2);
	assert_int_equal(leaf(0x80000001, 0)->ecx & 2, 2);
	assert_int_equal(leaf(0x8000001d, 0)->eax >> 14 & 0xfff, 0);
	assert_int_equal(leaf(0x8000001d, 3)->eax >> 14 & 0xfff, 3);
	assert_int_equal(leaf(0x8000001d, 3)->eax >> 26, 0);
	cpuid_set_apic_id(&table, 3);
	assert_int_equal(leaf(0x8000001e, 0)->eax, 3);
	assert_int_equal(leaf(0x8000001e, 0)->ebx, 3);
	assert_int_equal(leaf(0x8000001e, 0)->ecx, 0);
}

static void one_cpu_has_no_siblings(void **state)
{
	(void)state;
	apply(intel, sizeof(intel), 1, 0);
	assert_int_equal(leaf(1, 0)->edx & 1 << 28, 0);
	assert_int_equal(leaf(1, 0)->ebx >> 16 & 0xff, 1);
	assert_int_equal(leaf(0xb, 1)->eax, 0);
	assert_int_equal(leaf(0xb, 1)->ebx, 1);
	assert_int_equal(leaf(4, 3)->eax >> 26, 0);
}

static void apic_id_is_in_every_leaf_that_has_one(void **state)
{
	(void)state;
	apply(intel, sizeof(intel), 64, 0);
	assert_int_equal(leaf(1, 0)->ebx >> 24, 0);
	cpuid_set_apic_id(&table, 63);
	assert_int_equal(leaf(1, 0)->ebx >> 24, 63);
	assert_int_equal(leaf(1, 0)->ebx & 0xffff, 0x0800);
	for (uint32_t i = 0; i < 3; i++)
		assert_int_equal(leaf(0xb, i)->edx, 63);
}

static void features_that_need_more_than_we_do_are_hidden(void **state)
{
	(void)state;
	apply(intel, sizeof(intel), 2, 0);
	assert_int_equal(leaf(1, 0)->ecx & (1 << 5 | 1 << 6 | 1 << 7 | 1 << 8 | 1 << 15), 0);
	assert_int_equal(leaf(6, 0)->eax, 4);
	assert_int_equal(leaf(6, 0)->ecx, 0);
	assert_int_equal(leaf(7, 0)->ebx & (1 << 2 | 1 << 25), 0);
	assert_int_equal(leaf(7, 0)->ecx & 1 << 30, 0);
	assert_null(cpuid_find(&table, 3, 0));
	assert_null(cpuid_find(&table, 0x14, 0));
	apply(amd, sizeof(amd), 2, 0);
	assert_int_equal(leaf(0x80000001, 0)->ecx & 4, 0);
	assert_null(cpuid_find(&table, 0x8000000a, 0));
	assert_null(cpuid_find(&table, 0x8000001f, 0));
}

static void hypervisor_x2apic_and_deadline_timer_are_shown(void **state)
{
	const struct cpuid_facts no_deadline = { .cpu_count = 1 };

	(void)state;
	apply(intel, sizeof(intel), 1, 0);
	assert_int_equal(leaf(1, 0)->ecx & (1u << 31 | 1 << 24 | 1 << 21),
			 1u << 31 | 1 << 24 | 1 << 21);
	load(intel, sizeof(intel));
	assert_int_equal(cpuid_apply(&table, &no_deadline), 0);
	assert_int_equal(leaf(1, 0)->ecx & 1 << 24, 0);
}

static void kvm_features_that_spare_exits_stay_and_page_fault_ones_go(void **state)
{
	(void)state;
	apply(intel, sizeof(intel), 1, 0);
	assert_int_equal(leaf(0x40000001, 0)->eax, 0x01003aeb);
	assert_int_equal(leaf(0x40000000, 0)->eax, 0x40000001);
}

static void known_tsc_frequency_is_told_exactly_or_not_at_all(void **state)
{
	(void)state;
	apply(intel, sizeof(intel), 1, 2400000);
	assert_int_equal(leaf(0x40000000, 0)->eax, 0x40000010);
	assert_int_equal(leaf(0x40000010, 0)->eax, 2400000);
	assert_int_equal(leaf(0x40000010, 0)->ebx, 1000000);
	assert_int_equal(leaf(0, 0)->eax, 0x16);
	assert_int_equal(leaf(0x16, 0)->eax, 2400);
	/* TSC = crystal * EBX / EAX */
	assert_int_equal((uint64_t)leaf(0x15, 0)->ecx * leaf(0x15, 0)->ebx / leaf(0x15, 0)->eax,
			 2400000000);
	apply(intel, sizeof(intel), 1, 2399999);
	assert_null(cpuid_find(&table, 0x15, 0));
	assert_int_equal(leaf(0x16, 0)->eax, 2400);
	apply(amd, sizeof(amd), 1, 2400000);
	assert_null(cpuid_find(&table, 0x15, 0));
	assert_int_equal(leaf(0, 0)->eax, 0x10);
}

static void leaves_of_zeros_are_left_out(void **state)
{
	(void)state;
	apply(intel, sizeof(intel), 1, 0);
	assert_null(cpuid_find(&table, 4, 4));
}

/* A list with ROOM entries free, nothing in it that is left out. */
static void load_nearly_full(uint32_t room)
{
	load(intel, sizeof(intel[0]));
	while (table.count < CPUID_ENTRIES_MAX - room) {
		table.entries[table.count] = (struct kvm_cpuid_entry2){
			.function = 0xd, .index = table.count, .flags = INDEXED, .eax = 1
		};
		table.count++;
	}
}

static void a_full_list_is_refused_not_overrun(void **state)
{
	/* Three for the topology, two for the frequency. */
	const struct cpuid_facts facts = { .cpu_count = 1, .tsc_khz = 1000000 };

	(void)state;
	for (uint32_t room = 0; room < 5; room++) {
		load_nearly_full(room);
		assert_int_equal(cpuid_apply(&table, &facts), -E2BIG);
		assert_int_equal(table.count, CPUID_ENTRIES_MAX);
	}
	load_nearly_full(5);
	table.entries[0].eax = 0xb;
	assert_int_equal(cpuid_apply(&table, &facts), 0);
	assert_int_equal(table.count, CPUID_ENTRIES_MAX);
}

static void core_bits_round_up(void **state)
{
	(void)state;
	assert_int_equal(cpuid_core_bits(1), 0);
	assert_int_equal(cpuid_core_bits(2), 1);
	assert_int_equal(cpuid_core_bits(3), 2);
	assert_int_equal(cpuid_core_bits(64), 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(topology_is_one_package_of_cores_on_intel),
		cmocka_unit_test(topology_is_one_package_of_cores_on_amd),
		cmocka_unit_test(one_cpu_has_no_siblings),
		cmocka_unit_test(apic_id_is_in_every_leaf_that_has_one),
		cmocka_unit_test(features_that_need_more_than_we_do_are_hidden),
		cmocka_unit_test(hypervisor_x2apic_and_deadline_timer_are_shown),
		cmocka_unit_test(kvm_features_that_spare_exits_stay_and_page_fault_ones_go),
		cmocka_unit_test(known_tsc_frequency_is_told_exactly_or_not_at_all),
		cmocka_unit_test(leaves_of_zeros_are_left_out),
		cmocka_unit_test(a_full_list_is_refused_not_overrun),
		cmocka_unit_test(core_bits_round_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
