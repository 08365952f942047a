/*
 * Interrupt stubs, the way down to CPL 3 and back up by a gate, and the way into 64-bit mode of a further CPU.
 */
#define VECTOR_UD   6
#define VECTORS	    0x80
#define CALL_WORD   0x6c6c6163
#define USER_CODE   0x23
#define USER_DATA   0x1b
#define USER_RFLAGS 0x3202 /* IOPL 3, interrupts on */

	.section .text
	.code64

	/* Each stub in 16 bytes. Exceptions end the guest; interrupts are counted and acknowledged. */
	.balign 16
	.globl cpu_stubs
cpu_stubs:
	vector = 0
	.rept VECTORS
	.balign 16
	.if vector == VECTOR_UD
	jmp call_gate
	.elseif vector < 32
	.if vector != 8 && vector != 10 && vector != 11 && vector != 12 && vector != 13 && vector != 14 && vector != 17
	push $0
	.endif
	push $vector
	jmp exception
	.else
	lock incq cpu_interrupts + 8 * vector
	jmp acknowledge
	.endif
	vector = vector + 1
	.endr

not_a_call:
	push $0
	push $VECTOR_UD
exception:
	mov %rsp, %rdi
	and $-16, %rsp
	call cpu_exception

acknowledge:
	push %rax
	push %rcx
	push %rdx
	cmpl $0, cpu_x2apic
	jne 1f
	mov $0xfee000b0, %eax
	movl $0, (%rax)
	jmp 2f
1:	mov $0x80b, %ecx
	xor %eax, %eax
	xor %edx, %edx
	wrmsr
2:	pop %rdx
	pop %rcx
	pop %rax
	iretq

	/*
	 * RDI(RSI) at CPL 0; the result in RAX. By ud2 with a word in RAX, for there are /dev/kvm that refuse `int n`.
	 */
call_gate:
	cmp $CALL_WORD, %rax
	jne not_a_call
	addq $2, (%rsp)
	push %rcx
	push %rdx
	push %rsi
	push %rdi
	push %r8
	push %r9
	push %r10
	push %r11
	sub $8, %rsp
	mov %rdi, %rax
	mov %rsi, %rdi
	call *%rax
	add $8, %rsp
	pop %r11
	pop %r10
	pop %r9
	pop %r8
	pop %rdi
	pop %rsi
	pop %rdx
	pop %rcx
	iretq

	/* cpu_descend(function, argument, stack top, flags) */
	.globl cpu_descend
cpu_descend:
	mov $USER_DATA, %eax
	mov %eax, %ds
	mov %eax, %es
	sub $8, %rdx /* as after a call */
	push $USER_DATA
	push %rdx
	push %rcx
	push $USER_CODE
	push %rdi
	mov %rsi, %rdi
	iretq

	/* Sleeps until an interrupt, which is taken here. */
	.globl cpu_sleep
cpu_sleep:
	sti
	hlt
	cli
	ret

	/*
	 * A further CPU starts in real mode at a page below 1 MiB to which this is copied. cpu_trampoline_args: page
	 * tables, then the function to call on the stack that follows.
	 */
	.code16
	.globl cpu_trampoline
	.globl cpu_trampoline_end
	.set base, 0x90000
cpu_trampoline:
	cli
	cld
	mov %cs, %ax
	mov %ax, %ds
	lgdtl trampoline_gdt_pointer - cpu_trampoline
	mov $0x11, %eax
	mov %eax, %cr0
	ljmpl $0x18, $(base + trampoline32 - cpu_trampoline)
	.code32
trampoline32:
	mov $0x10, %eax
	mov %eax, %ds
	mov %eax, %es
	mov %eax, %ss
	mov %cr4, %eax
	or $0x20, %eax
	mov %eax, %cr4
	mov $guest_pml4, %eax
	mov %eax, %cr3
	mov $0xc0000080, %ecx
	rdmsr
	or $0x100, %eax
	wrmsr
	mov $0x80000011, %eax
	mov %eax, %cr0
	ljmp $0x08, $(base + trampoline64 - cpu_trampoline)
	.code64
trampoline64:
	mov $guest_gdt_pointer, %eax
	lgdt (%rax)
	mov $cpu_start_stack, %eax
	mov (%rax), %rsp
	mov $cpu_start_here, %eax
	call *%rax
	.balign 8
trampoline_gdt:
	.quad 0
	.quad 0x00af9b000000ffff
	.quad 0x00cf93000000ffff
	.quad 0x00cf9b000000ffff
trampoline_gdt_pointer:
	.word 31
	.long base + trampoline_gdt - cpu_trampoline
cpu_trampoline_end:

	.section .note.GNU-stack, "", @progbits
