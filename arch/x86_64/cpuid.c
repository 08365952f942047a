/*
 * CPUID policy: KVM_GET_SUPPORTED_CPUID says what can be had, the table below what a guest shall
 * see. Bits are cleared where a feature needs something this monitor does not do, set where KVM
 * offers a thing without listing it. Topology is one package of N cores with one thread each, APIC
 * id = vCPU index.
 *
 * Intel SDM volume 2A "CPUID", AMD APM volume 3 appendix E, Linux Documentation/virt/kvm/x86/
 * cpuid.rst for 0x4000_0000 up.
 */
#include "arch/x86_64/cpuid.h"

#include <string.h>

#include <asm/kvm_para.h>

#define BIT(n)		  (1u << (n))

#define CPUID_INDEX_ANY	  UINT32_MAX

#define CPUID_KVM_TIMING  0x40000010u /* EAX: TSC kHz, EBX: APIC timer kHz */
#define CPUID_APIC_KHZ	  1000000u    /* KVM's APIC timer counts nanoseconds */

#define CPUID_CACHE_LEVEL 5 /* EAX bits 7:5 of leaves 4 and 0x8000001d */

enum cpuid_reg { EAX, EBX, ECX, EDX };

struct cpuid_rule {
	uint32_t function;
	uint32_t index;
	enum cpuid_reg reg;
	uint32_t keep; /* bits of KVM's answer that stay */
	uint32_t set;  /* bits added */
};

/* Paravirtual help that spares exits or tells a guest about lost time. Left out: asynchronous page
 * faults (two MSRs a CPU at boot; pays only where the host swaps), MSI extended destinations (not
 * with an interrupt chip in the kernel), encryption and migration hints. */
#define KVM_FEATURES_KEPT                                                                          \
	(BIT(KVM_FEATURE_CLOCKSOURCE) | BIT(KVM_FEATURE_NOP_IO_DELAY) |                            \
	 BIT(KVM_FEATURE_CLOCKSOURCE2) | BIT(KVM_FEATURE_STEAL_TIME) | BIT(KVM_FEATURE_PV_EOI) |   \
	 BIT(KVM_FEATURE_PV_UNHALT) | BIT(KVM_FEATURE_PV_TLB_FLUSH) |                              \
	 BIT(KVM_FEATURE_PV_SEND_IPI) | BIT(KVM_FEATURE_POLL_CONTROL) |                            \
	 BIT(KVM_FEATURE_PV_SCHED_YIELD) | BIT(KVM_FEATURE_CLOCKSOURCE_STABLE_BIT))

static const struct cpuid_rule cpuid_rules[] = {
	/* No VMX, SMX, EIST, TM2, PDCM: no nested machines, no power management of the host's.
	 * x2APIC comes with KVM's interrupt chip; the hypervisor bit is what makes a guest look at
	 * 0x4000_0000. */
	{ 1, 0, ECX, ~(BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(15)), BIT(21) | BIT(31) },
	/* No debug store, thermal monitor, thermal interrupt. */
	{ 1, 0, EDX, ~(BIT(21) | BIT(22) | BIT(29)), 0 },
	/* The APIC timer runs always; no frequency or energy controls. */
	{ 6, 0, EAX, BIT(2), BIT(2) },
	{ 6, 0, EBX, 0, 0 },
	{ 6, 0, ECX, 0, 0 },
	/* No SGX (needs a provisioning descriptor) and no processor trace. */
	{ 7, 0, EBX, ~(BIT(2) | BIT(25)), 0 },
	{ 7, 0, ECX, ~BIT(30), 0 },
	{ KVM_CPUID_FEATURES, 0, EAX, KVM_FEATURES_KEPT, 0 },
	/* No SVM. */
	{ 0x80000001, 0, ECX, ~BIT(2), 0 },
};

/* Leaves that are not shown: inside the range of a CPU's leaves they then read as zero. */
static const uint32_t cpuid_dropped[] = {
	0x3,	    /* serial number */
	0x5,	    /* MONITOR */
	0xb,	    /* topology: made up below */
	0x12,	    /* SGX */
	0x14,	    /* processor trace */
	0x1f,	    /* topology with dies: 0xb is enough */
	0x8000000a, /* SVM */
	0x8000001f, /* memory encryption */
};

unsigned cpuid_core_bits(unsigned cpu_count)
{
	unsigned bits = 0;

	while ((1u << bits) < cpu_count)
		bits++;
	return bits;
}

struct kvm_cpuid_entry2 *cpuid_find(struct cpuid_table *table, uint32_t function, uint32_t index)
{
	for (uint32_t i = 0; i < table->count; i++) {
		struct kvm_cpuid_entry2 *e = &table->entries[i];

		if (e->function == function && (index == CPUID_INDEX_ANY || e->index == index ||
						!(e->flags & KVM_CPUID_FLAG_SIGNIFCANT_INDEX)))
			return e;
	}
	return NULL;
}

static uint32_t *cpuid_reg(struct kvm_cpuid_entry2 *e, enum cpuid_reg reg)
{
	switch (reg) {
	case EAX:
		return &e->eax;
	case EBX:
		return &e->ebx;
	case ECX:
		return &e->ecx;
	case EDX:
	default:
		return &e->edx;
	}
}

static bool cpuid_is_dropped(uint32_t function)
{
	for (unsigned i = 0; i < ARRAY_SIZE(cpuid_dropped); i++)
		if (cpuid_dropped[i] == function)
			return true;
	return false;
}

static void cpuid_drop(struct cpuid_table *table)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < table->count; i++) {
		const struct kvm_cpuid_entry2 *e = &table->entries[i];

		/* All zeros is what a missing leaf reads as, and shorter lists cost KVM less. */
		if (!cpuid_is_dropped(e->function) && (e->eax | e->ebx | e->ecx | e->edx))
			table->entries[kept++] = *e;
	}
	table->count = kept;
}

/* Adds or replaces an entry. */
static int cpuid_put(struct cpuid_table *table, const struct kvm_cpuid_entry2 *entry)
{
	struct kvm_cpuid_entry2 *e = cpuid_find(table, entry->function, entry->index);

	if (!e) {
		if (table->count == CPUID_ENTRIES_MAX)
			return -E2BIG;
		e = &table->entries[table->count++];
	}
	*e = *entry;
	return 0;
}

static bool cpuid_is_intel(struct cpuid_table *table)
{
	const struct kvm_cpuid_entry2 *e = cpuid_find(table, 0, 0);

	return e && !memcmp(&e->ebx, "Genu", 4) && !memcmp(&e->edx, "ineI", 4) &&
	       !memcmp(&e->ecx, "ntel", 4);
}

/* First and second level caches belong to a core, the rest to the package. */
static void cpuid_apply_cache(struct kvm_cpuid_entry2 *e, unsigned cpu_count)
{
	unsigned level = (e->eax >> CPUID_CACHE_LEVEL) & 7;
	uint32_t sharing = level >= 3 ? BIT(cpuid_core_bits(cpu_count)) - 1 : 0;

	if (!(e->eax & 0x1f)) /* no more caches */
		return;
	e->eax = (e->eax & ~(0xfffu << 14)) | sharing << 14;
	if (e->function == 4)
		e->eax = (e->eax & ~(0x3fu << 26)) | (BIT(cpuid_core_bits(cpu_count)) - 1) << 26;
}

/* Topology fields of one of KVM's leaves. The extended ones are AMD's. */
static void cpuid_apply_topology(struct kvm_cpuid_entry2 *e, unsigned cpu_count, bool intel)
{
	if (intel && e->function >= 0x80000000)
		return;
	switch (e->function) {
	case 1: /* logical processors in EBX 23:16, meaningful with HTT */
		e->ebx = (e->ebx & ~0x00ff0000u) | BIT(cpuid_core_bits(cpu_count)) << 16;
		e->edx = (e->edx & ~BIT(28)) | (cpu_count > 1 ? BIT(28) : 0);
		break;
	case 4:
	case 0x8000001d:
		cpuid_apply_cache(e, cpu_count);
		break;
	case 0x80000001: /* CmpLegacy: the logical processors are cores */
		e->ecx = (e->ecx & ~BIT(1)) | (cpu_count > 1 ? BIT(1) : 0);
		break;
	case 0x80000008: /* ApicIdCoreIdSize, NC */
		e->ecx = (e->ecx & ~0xf0ffu) | cpuid_core_bits(cpu_count) << 12 | (cpu_count - 1);
		break;
	case 0x8000001e: /* one thread a core, one node */
		e->ebx = 0;
		e->ecx = 0;
		break;
	}
}

/* Leaf 0xb: level 0 a thread, level 1 the cores of the package, then the end. */
static int cpuid_put_leaf_b(struct cpuid_table *table, unsigned cpu_count)
{
	const struct kvm_cpuid_entry2 levels[] = {
		{ .index = 0, .eax = 0, .ebx = 1, .ecx = 1 << 8 },
		{ .index = 1,
		  .eax = cpuid_core_bits(cpu_count),
		  .ebx = cpu_count,
		  .ecx = 2 << 8 | 1 },
		{ .index = 2, .ecx = 2 },
	};

	for (unsigned i = 0; i < ARRAY_SIZE(levels); i++) {
		struct kvm_cpuid_entry2 e = levels[i];
		int ret;

		e.function = 0xb;
		e.flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
		ret = cpuid_put(table, &e);
		if (ret)
			return ret;
	}
	return 0;
}

/*
 * The TSC's frequency, for guests that do without kvmclock. Linux multiplies crystal kHz by the
 * numerator in 32 bits, and takes the crystal for the APIC timer's clock, which is 1 GHz here; so
 * leaf 0x15 can only say whole MHz, and is left out otherwise. Only Intel has these leaves.
 */
static int cpuid_put_timing(struct cpuid_table *table, uint32_t tsc_khz)
{
	const struct kvm_cpuid_entry2 timing = { .function = CPUID_KVM_TIMING,
						 .eax = tsc_khz,
						 .ebx = CPUID_APIC_KHZ };
	const struct kvm_cpuid_entry2 crystal = {
		.function = 0x15, .eax = 1000, .ebx = tsc_khz / 1000, .ecx = 1000000000
	};
	const struct kvm_cpuid_entry2 mhz = { .function = 0x16,
					      .eax = (tsc_khz + 500) / 1000,
					      .ebx = (tsc_khz + 500) / 1000,
					      .ecx = 100 };
	struct kvm_cpuid_entry2 *e;
	int ret;

	e = cpuid_find(table, KVM_CPUID_SIGNATURE, 0);
	if (e) {
		e->eax = CPUID_KVM_TIMING;
		ret = cpuid_put(table, &timing);
		if (ret)
			return ret;
	}
	if (!cpuid_is_intel(table))
		return 0;
	e = cpuid_find(table, 0, 0);
	if (e->eax < 0x16)
		e->eax = 0x16;
	ret = cpuid_put(table, &mhz);
	if (!ret && tsc_khz % 1000 == 0)
		ret = cpuid_put(table, &crystal);
	return ret;
}

int cpuid_apply(struct cpuid_table *table, const struct cpuid_facts *facts)
{
	bool intel = cpuid_is_intel(table);
	struct kvm_cpuid_entry2 *e;
	int ret;

	cpuid_drop(table);
	for (unsigned i = 0; i < ARRAY_SIZE(cpuid_rules); i++) {
		const struct cpuid_rule *rule = &cpuid_rules[i];

		e = cpuid_find(table, rule->function, rule->index);
		if (e) {
			uint32_t *reg = cpuid_reg(e, rule->reg);

			*reg = (*reg & rule->keep) | rule->set;
		}
	}
	/* KVM lists the TSC-deadline timer as an extension only, before Linux 6.13. */
	e = cpuid_find(table, 1, 0);
	if (e)
		e->ecx = (e->ecx & ~BIT(24)) | (facts->tsc_deadline ? BIT(24) : 0);
	for (uint32_t i = 0; i < table->count; i++)
		cpuid_apply_topology(&table->entries[i], facts->cpu_count, intel);
	e = cpuid_find(table, 0, 0);
	if (e && e->eax >= 0xb) {
		ret = cpuid_put_leaf_b(table, facts->cpu_count);
		if (ret)
			return ret;
	}
	if (facts->tsc_khz) {
		ret = cpuid_put_timing(table, facts->tsc_khz);
		if (ret)
			return ret;
	}
	cpuid_set_apic_id(table, 0);
	return 0;
}

void cpuid_set_apic_id(struct cpuid_table *table, uint32_t apic_id)
{
	for (uint32_t i = 0; i < table->count; i++) {
		struct kvm_cpuid_entry2 *e = &table->entries[i];

		switch (e->function) {
		case 1:
			e->ebx = (e->ebx & 0x00ffffff) | apic_id << 24;
			break;
		case 0xb:
			e->edx = apic_id;
			break;
		case 0x8000001e:
			e->eax = apic_id;
			e->ebx = (e->ebx & ~0xffu) | (apic_id & 0xff);
			break;
		}
	}
}
