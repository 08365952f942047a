/*
 * The first vCPU at a kernel's entry.
 *
 * 64-bit entry (Linux boot protocol, "64-bit boot protocol"): long mode, paging on with the first
 * 4 GiB mapped one to one, flat segments 0x10 (code) and 0x18 (data), RSI = boot_params, interrupts
 * off. PVH entry (Xen "x86/HVM direct boot ABI"): 32-bit protected mode, paging off, EBX = start
 * info. Other vCPUs are left as KVM resets them, waiting for INIT and SIPI.
 *
 * Called on the main thread, or on the vCPU's own, before it runs.
 */
#include <assert.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/kvm.h>

#include "arch/arch.h"
#include "arch/x86_64/layout.h"
#include "vmm/log.h"

#define CR0_PE		 (1ULL << 0)
#define CR0_ET		 (1ULL << 4)
#define CR0_NE		 (1ULL << 5)
#define CR0_PG		 (1ULL << 31)
#define CR4_PAE		 (1ULL << 5)
#define EFER_LME	 (1ULL << 8)
#define EFER_LMA	 (1ULL << 10)
#define RFLAGS_FIXED	 (1ULL << 1)

#define PTE_PRESENT	 (1ULL << 0)
#define PTE_WRITABLE	 (1ULL << 1)
#define PTE_LARGE	 (1ULL << 7)
#define PAGE_LEN	 0x1000ULL
#define PTES_PER_PAGE	 512ULL
#define LARGE_PAGE_SHIFT 21
#define MAPPED_GIB	 4ULL

#define SELECTOR_CODE	 0x10
#define SELECTOR_DATA	 0x18
#define SELECTOR_TSS	 0x20

#define SEGMENT_CODE	 0xb /* executable, readable, accessed */
#define SEGMENT_DATA	 0x3 /* writable, accessed */
#define SEGMENT_TSS_BUSY 0xb

/* A segment descriptor of the table in memory for SEG (Intel SDM volume 3, 3.4.5). */
static uint64_t entry_descriptor(const struct kvm_segment *seg)
{
	uint64_t limit = seg->g ? seg->limit >> 12 : seg->limit;

	return (limit & 0xffff) | (seg->base & 0xffffff) << 16 | (uint64_t)seg->type << 40 |
	       (uint64_t)seg->s << 44 | (uint64_t)seg->dpl << 45 | (uint64_t)seg->present << 47 |
	       (limit >> 16 & 0xf) << 48 | (uint64_t)seg->l << 53 | (uint64_t)seg->db << 54 |
	       (uint64_t)seg->g << 55 | (seg->base >> 24 & 0xff) << 56;
}

static void entry_set_segments(struct kvm_sregs *sregs, bool long_mode)
{
	const struct kvm_segment data = {
		.limit = 0xffffffff,
		.selector = SELECTOR_DATA,
		.type = SEGMENT_DATA,
		.present = 1,
		.db = 1,
		.s = 1,
		.g = 1,
	};

	sregs->ds = sregs->es = sregs->fs = sregs->gs = sregs->ss = data;
	sregs->cs = data;
	sregs->cs.selector = SELECTOR_CODE;
	sregs->cs.type = SEGMENT_CODE;
	sregs->cs.db = !long_mode;
	sregs->cs.l = long_mode;
	sregs->tr = (struct kvm_segment){
		.limit = 0x67, .selector = SELECTOR_TSS, .type = SEGMENT_TSS_BUSY, .present = 1
	};
	sregs->ldt = (struct kvm_segment){ .unusable = 1 };
}

static int entry_write_gdt(struct guest_mem *mem, struct kvm_sregs *sregs)
{
	/* A 64-bit task segment takes two slots. */
	const uint64_t gdt[] = { 0,
				 0,
				 entry_descriptor(&sregs->cs),
				 entry_descriptor(&sregs->ds),
				 entry_descriptor(&sregs->tr),
				 0 };

	sregs->gdt = (struct kvm_dtable){ .base = LAYOUT_GDT_GPA, .limit = sizeof(gdt) - 1 };
	sregs->idt = (struct kvm_dtable){ 0 };
	return guest_mem_write(mem, LAYOUT_GDT_GPA, gdt, sizeof(gdt));
}

/* One PML4, one PDPT, and a page directory of 2 MiB pages for each GiB. */
static int entry_write_page_tables(struct guest_mem *mem)
{
	uint64_t *pml4 = guest_mem_ptr(mem, LAYOUT_PAGE_TABLES_GPA, LAYOUT_PAGE_TABLES_LEN);
	const gpa_t pdpt_gpa = LAYOUT_PAGE_TABLES_GPA + PAGE_LEN;
	const gpa_t directories_gpa = pdpt_gpa + PAGE_LEN;
	uint64_t *pdpt, *directories;

	static_assert(LAYOUT_PAGE_TABLES_LEN == (2 + MAPPED_GIB) * PAGE_LEN, "room for the tables");
	if (!pml4)
		return -EFAULT;
	pdpt = pml4 + PTES_PER_PAGE;
	directories = pdpt + PTES_PER_PAGE;
	memset(pml4, 0, 2 * PAGE_LEN);
	pml4[0] = pdpt_gpa | PTE_PRESENT | PTE_WRITABLE;
	for (uint64_t i = 0; i < MAPPED_GIB; i++)
		pdpt[i] = (directories_gpa + i * PAGE_LEN) | PTE_PRESENT | PTE_WRITABLE;
	for (uint64_t i = 0; i < MAPPED_GIB * PTES_PER_PAGE; i++)
		directories[i] = i << LARGE_PAGE_SHIFT | PTE_PRESENT | PTE_WRITABLE | PTE_LARGE;
	return 0;
}

static int entry_set_sregs(struct guest_mem *mem, int vcpu_fd, bool long_mode)
{
	struct kvm_sregs sregs;
	int ret = 0;

	if (ioctl(vcpu_fd, KVM_GET_SREGS, &sregs))
		return log_errno(errno, "KVM_GET_SREGS");
	sregs.cr0 = CR0_PE | CR0_ET | CR0_NE;
	sregs.cr4 = 0;
	sregs.efer = 0;
	entry_set_segments(&sregs, long_mode);
	ret = entry_write_gdt(mem, &sregs);
	if (!ret && long_mode) {
		ret = entry_write_page_tables(mem);
		sregs.cr0 |= CR0_PG;
		sregs.cr3 = LAYOUT_PAGE_TABLES_GPA;
		sregs.cr4 = CR4_PAE;
		sregs.efer = EFER_LME | EFER_LMA;
	}
	if (ret)
		return log_errno(ret, "boot tables at 0x%llx", LAYOUT_GDT_GPA);
	if (ioctl(vcpu_fd, KVM_SET_SREGS, &sregs))
		return log_errno(errno, "KVM_SET_SREGS");
	return 0;
}

int arch_vcpu_set_entry(struct guest_mem *mem, int vcpu_fd, unsigned index,
			const struct arch_boot *boot)
{
	bool long_mode = boot->entry != ARCH_ENTRY_PVH;
	struct kvm_regs regs = { .rip = boot->entry_gpa, .rflags = RFLAGS_FIXED };
	int ret;

	if (index)
		return 0;
	ret = entry_set_sregs(mem, vcpu_fd, long_mode);
	if (ret)
		return ret;
	if (long_mode)
		regs.rsi = boot->info_gpa;
	else
		regs.rbx = boot->info_gpa;
	/* Neither protocol promises a stack; one page of it costs nothing. */
	regs.rsp = LAYOUT_BOOT_STACK_TOP_GPA;
	if (ioctl(vcpu_fd, KVM_SET_REGS, &regs))
		return log_errno(errno, "KVM_SET_REGS");
	return 0;
}
