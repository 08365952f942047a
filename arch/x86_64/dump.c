/*
 * A stopped vCPU as text, for the report of an internal error: what KVM says about it, registers,
 * and the bytes at the instruction pointer. Called on the vCPU's own thread, or any when it does
 * not run.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include <linux/kvm.h>

#include "arch/arch.h"

#define INSTRUCTION_LEN_MAX 15
#define PAGE_LEN	    0x1000u

struct dump {
	char *buf;
	size_t len;
	size_t used;
};

static void dump_add(struct dump *d, const char *fmt, ...) PRINTF_LIKE(2, 3);

static void dump_add(struct dump *d, const char *fmt, ...)
{
	va_list args;
	int n;

	if (d->used + 1 >= d->len)
		return;
	va_start(args, fmt);
	n = vsnprintf(d->buf + d->used, d->len - d->used, fmt, args);
	va_end(args);
	if (n > 0)
		d->used += (size_t)n < d->len - d->used ? (size_t)n : d->len - d->used - 1;
}

static void dump_bytes(struct dump *d, const uint8_t *bytes, size_t len)
{
	for (size_t i = 0; i < len; i++)
		dump_add(d, " %02x", bytes[i]);
	dump_add(d, "\n");
}

static void dump_emulation_failure(struct dump *d, const struct kvm_run *run)
{
	const uint64_t insn_words = 2; /* instruction size and its bytes */
	unsigned len = run->emulation_failure.insn_size;

	dump_add(d, " (emulation failed)\n");
	if (run->internal.ndata < 1 + insn_words ||
	    !(run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES))
		return;
	if (len > sizeof(run->emulation_failure.insn_bytes))
		len = sizeof(run->emulation_failure.insn_bytes);
	dump_add(d, "instruction:");
	dump_bytes(d, run->emulation_failure.insn_bytes, len);
}

static void dump_run(struct dump *d, const struct kvm_run *run)
{
	unsigned ndata;

	switch (run->exit_reason) {
	case KVM_EXIT_INTERNAL_ERROR:
		dump_add(d, "KVM internal error, suberror %u", run->internal.suberror);
		if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION) {
			dump_emulation_failure(d, run);
			return;
		}
		dump_add(d, ", data");
		ndata = run->internal.ndata;
		if (ndata > ARRAY_SIZE(run->internal.data))
			ndata = ARRAY_SIZE(run->internal.data);
		for (unsigned i = 0; i < ndata; i++)
			dump_add(d, " %#llx", run->internal.data[i]);
		dump_add(d, "\n");
		return;
	case KVM_EXIT_FAIL_ENTRY:
		dump_add(d, "KVM could not enter the guest, hardware reason %#llx\n",
			 run->fail_entry.hardware_entry_failure_reason);
		return;
	default:
		dump_add(d, "KVM exit reason %u\n", run->exit_reason);
	}
}

static void dump_segment(struct dump *d, const char *name, const struct kvm_segment *seg)
{
	dump_add(d, "%s %04x base %016llx limit %08x type %x s %u dpl %u p %u l %u db %u g %u\n",
		 name, seg->selector, seg->base, seg->limit, seg->type, seg->s, seg->dpl,
		 seg->present, seg->l, seg->db, seg->g);
}

static void dump_regs(struct dump *d, const struct kvm_regs *r)
{
	dump_add(d, "rip %016llx rflags %08llx\n", r->rip, r->rflags);
	dump_add(d, "rax %016llx rbx %016llx rcx %016llx rdx %016llx\n", r->rax, r->rbx, r->rcx,
		 r->rdx);
	dump_add(d, "rsi %016llx rdi %016llx rbp %016llx rsp %016llx\n", r->rsi, r->rdi, r->rbp,
		 r->rsp);
	dump_add(d, "r8  %016llx r9  %016llx r10 %016llx r11 %016llx\n", r->r8, r->r9, r->r10,
		 r->r11);
	dump_add(d, "r12 %016llx r13 %016llx r14 %016llx r15 %016llx\n", r->r12, r->r13, r->r14,
		 r->r15);
}

static void dump_sregs(struct dump *d, const struct kvm_sregs *s)
{
	dump_add(d, "cr0 %llx cr2 %llx cr3 %llx cr4 %llx cr8 %llx efer %llx apic base %llx\n",
		 s->cr0, s->cr2, s->cr3, s->cr4, s->cr8, s->efer, s->apic_base);
	dump_segment(d, "cs", &s->cs);
	dump_segment(d, "ss", &s->ss);
	dump_segment(d, "ds", &s->ds);
	dump_segment(d, "fs", &s->fs);
	dump_segment(d, "gs", &s->gs);
	dump_segment(d, "tr", &s->tr);
	dump_add(d, "gdt %llx limit %x idt %llx limit %x\n", s->gdt.base, s->gdt.limit, s->idt.base,
		 s->idt.limit);
}

/* Copies what can be reached at linear address LINEAR, page by page; returns how much. */
static size_t dump_fetch(int vcpu_fd, const struct guest_mem *mem, uint64_t linear, uint8_t *bytes,
			 size_t len)
{
	size_t done = 0;

	while (done < len) {
		struct kvm_translation tr = { .linear_address = linear + done };
		size_t run = PAGE_LEN - (size_t)((linear + done) % PAGE_LEN);

		if (run > len - done)
			run = len - done;
		if (ioctl(vcpu_fd, KVM_TRANSLATE, &tr) || !tr.valid ||
		    guest_mem_read(mem, tr.physical_address, bytes + done, run))
			break;
		done += run;
	}
	return done;
}

void arch_vcpu_dump(int vcpu_fd, const struct guest_mem *mem, const struct kvm_run *run, char *buf,
		    size_t buf_len)
{
	struct dump d = { .buf = buf, .len = buf_len };
	uint8_t bytes[INSTRUCTION_LEN_MAX];
	struct kvm_sregs sregs;
	struct kvm_regs regs;
	size_t len;

	if (!buf_len)
		return;
	buf[0] = '\0';
	dump_run(&d, run);
	if (ioctl(vcpu_fd, KVM_GET_REGS, &regs) || ioctl(vcpu_fd, KVM_GET_SREGS, &sregs)) {
		dump_add(&d, "registers: %s\n", strerror(errno));
		return;
	}
	dump_regs(&d, &regs);
	dump_sregs(&d, &sregs);
	len = dump_fetch(vcpu_fd, mem, (sregs.cs.l ? 0 : sregs.cs.base) + regs.rip, bytes,
			 sizeof(bytes));
	dump_add(&d, len ? "at rip:" : "at rip: nothing mapped");
	dump_bytes(&d, bytes, len);
}
