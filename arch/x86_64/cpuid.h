/*
 * What CPUID says in a guest: KVM's supported leaves through a table of our own. Pure functions;
 * KVM is asked in cpu.c.
 */
#ifndef ARCH_X86_64_CPUID_H
#define ARCH_X86_64_CPUID_H

#include <stdbool.h>
#include <stdint.h>

#include <linux/kvm.h>

#include "vmm/err.h"

#define CPUID_ENTRIES_MAX 256

/* Laid out as struct kvm_cpuid2 followed by its entries, so that its address is what KVM takes. */
struct cpuid_table {
	uint32_t count;
	uint32_t padding;
	struct kvm_cpuid_entry2 entries[CPUID_ENTRIES_MAX];
};

/* What the rules need to know beside KVM's leaves. */
struct cpuid_facts {
	unsigned cpu_count; /* 1 to ARCH_CPUS_MAX */
	uint32_t tsc_khz;   /* 0: unknown */
	bool tsc_deadline;  /* KVM has the TSC-deadline timer */
};

/* Turns what KVM supports into what the machine's CPUs show; vCPU 0's APIC id is filled in.
 * Returns 0, or -E2BIG when no room for the topology leaves is left. */
int cpuid_apply(struct cpuid_table *table, const struct cpuid_facts *facts) MUST_CHECK;

/* Puts APIC_ID into every leaf that holds one. */
void cpuid_set_apic_id(struct cpuid_table *table, uint32_t apic_id);

/* The entry of FUNCTION and INDEX; NULL when there is none. */
struct kvm_cpuid_entry2 *cpuid_find(struct cpuid_table *table, uint32_t function, uint32_t index);

/* Bits an APIC id needs for CPU_COUNT cores. */
unsigned cpuid_core_bits(unsigned cpu_count);

#endif
