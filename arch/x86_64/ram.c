/*
 * Where memory goes on x86-64: from 0 up to the hole that PCI, the interrupt chips and KVM's own
 * pages need below 4 GiB, the rest from 4 GiB. Pure; called once at the start of a machine.
 */
#include "arch/arch.h"
#include "arch/x86_64/layout.h"
#include "vmm/log.h"

#define RAM_ALIGN   (2ULL << 20)
#define RAM_LEN_MIN (16ULL << 20)
/* A KVM memory slot holds at most 2^31 - 1 pages; the second range has to fit in one. */
#define RAM_LEN_MAX (4ULL << 40)

int arch_ram_layout(uint64_t memory_len, struct arch_ram_layout *out)
{
	if (memory_len < RAM_LEN_MIN || memory_len > RAM_LEN_MAX || memory_len % RAM_ALIGN) {
		log_err("memory of %llu bytes: must be a multiple of 2M from 16M to 4096G",
			(unsigned long long)memory_len);
		return -EINVAL;
	}
	*out = (struct arch_ram_layout){ .range_count = 1 };
	out->ranges[0].len = memory_len;
	if (memory_len > LAYOUT_HOLE_GPA) {
		out->ranges[0].len = LAYOUT_HOLE_GPA;
		out->ranges[1].gpa = LAYOUT_HIGH_RAM_GPA;
		out->ranges[1].len = memory_len - LAYOUT_HOLE_GPA;
		out->range_count = 2;
	}
	return 0;
}
