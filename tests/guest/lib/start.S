/*
 * Two ways in, one way on: the 64-bit entry of the Linux boot protocol (RSI: boot_params) and the 32-bit entry
 * of the PVH note (EBX: start info). Both end in guest_start(kind, info) on our own page tables, GDT and stack.
 */
#define PAGE_PRESENT 1
#define PAGE_WRITE   2
#define PAGE_USER    4
#define PAGE_LARGE   0x80
#define PAGE_FLAGS   (PAGE_PRESENT | PAGE_WRITE | PAGE_USER)

#define CR0_PE	 0x1
#define CR0_PG	 0x80000000
#define CR4_PAE	 0x20
#define EFER	 0xc0000080
#define EFER_LME 0x100

	/* XEN_ELFNOTE_PHYS32_ENTRY */
	.section .note.pvh, "a", @note
	.balign 4
	.long 4, 8, 18
	.asciz "Xen"
	.quad pvh_start

	.section .text.start, "ax"
	.code32
	.globl pvh_start
pvh_start:
	cli
	cld
	mov %ebx, %esi
	mov $guest_stack_top, %esp
	/* The first 4 GiB in 2 MiB pages: one PML4 entry, four PDPT entries, four directories. */
	movl $(guest_pdpt + PAGE_FLAGS), guest_pml4
	movl $(guest_pd + PAGE_FLAGS), guest_pdpt
	movl $(guest_pd + 0x1000 + PAGE_FLAGS), guest_pdpt + 8
	movl $(guest_pd + 0x2000 + PAGE_FLAGS), guest_pdpt + 16
	movl $(guest_pd + 0x3000 + PAGE_FLAGS), guest_pdpt + 24
	mov $guest_pd, %edi
	mov $(PAGE_FLAGS | PAGE_LARGE), %eax
	mov $2048, %ecx
1:	mov %eax, (%edi)
	movl $0, 4(%edi)
	add $0x200000, %eax
	add $8, %edi
	dec %ecx
	jnz 1b
	mov $guest_pml4, %eax
	mov %eax, %cr3
	mov %cr4, %eax
	or $CR4_PAE, %eax
	mov %eax, %cr4
	mov $EFER, %ecx
	rdmsr
	or $EFER_LME, %eax
	wrmsr
	mov %cr0, %eax
	or $(CR0_PG | CR0_PE), %eax
	mov %eax, %cr0
	lgdt guest_gdt_pointer
	mov $1, %edi
	ljmp $0x08, $common_start

	.code64
	.globl _start
_start:
	cli
	cld
	lea guest_stack_top(%rip), %rsp
	movq $(guest_pdpt + PAGE_FLAGS), guest_pml4
	movq $(guest_pd + PAGE_FLAGS), guest_pdpt
	movq $(guest_pd + 0x1000 + PAGE_FLAGS), guest_pdpt + 8
	movq $(guest_pd + 0x2000 + PAGE_FLAGS), guest_pdpt + 16
	movq $(guest_pd + 0x3000 + PAGE_FLAGS), guest_pdpt + 24
	mov $guest_pd, %edi
	mov $(PAGE_FLAGS | PAGE_LARGE), %eax
	mov $2048, %ecx
1:	mov %rax, (%rdi)
	add $0x200000, %rax
	add $8, %rdi
	dec %ecx
	jnz 1b
	mov $guest_pml4, %eax
	mov %rax, %cr3
	lgdt guest_gdt_pointer
	pushq $0x08
	lea common_start(%rip), %rax
	push %rax
	xor %edi, %edi
	lretq

common_start:
	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	xor %eax, %eax
	mov %eax, %fs
	mov %eax, %gs
	mov $guest_stack_top, %esp
	mov %esi, %esi
	call guest_start
2:	hlt
	jmp 2b

	.section .data
	.balign 16
	.globl guest_gdt
guest_gdt:
	.quad 0
	.quad 0x00af9b000000ffff /* 0x08: 64-bit code, CPL 0 */
	.quad 0x00cf93000000ffff /* 0x10: data, CPL 0 */
	.quad 0x00cff3000000ffff /* 0x18: data, CPL 3 */
	.quad 0x00affb000000ffff /* 0x20: 64-bit code, CPL 3 */
	.quad 0, 0		 /* 0x28: TSS, filled in by cpu.c */
guest_gdt_end:
	.globl guest_gdt_pointer
guest_gdt_pointer:
	.word guest_gdt_end - guest_gdt - 1
	.quad guest_gdt

	.section .bss
	.balign 4096
	.globl guest_pml4
guest_pml4:
	.skip 4096
	.globl guest_pdpt
guest_pdpt:
	.skip 4096
guest_pd:
	.skip 4 * 4096
	.skip 32768
	.globl guest_stack_top
guest_stack_top:

	.section .note.GNU-stack, "", @progbits
