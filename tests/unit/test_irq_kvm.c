/* A message that KVM refuses is not taken for one that it knows. Any /dev/kvm, or a descriptor that
 * refuses all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>

#include <cmocka.h>

#include "vmm/irq_kvm.h"

static void refused_message_is_refused_again_and_leaves_no_route(void **state)
{
	struct irq_kvm irq;
	struct irq_line line = IRQ_LINE_NONE;
	int fd = open("/dev/null", O_RDWR | O_CLOEXEC); /* every ioctl fails */
	uint32_t pins;

	(void)state;
	assert_int_equal(irq_kvm_init(&irq, fd), 0);
	pins = irq.table->nr;
	assert_int_equal(irq_msi_alloc(&irq.router, &line), 0);
	assert_true(irq_msi_set(&irq.router, &line, 0xfee00000, 33, false) < 0);
	assert_true(irq_msi_set(&irq.router, &line, 0xfee00000, 33, false) < 0);
	assert_true(line.masked);
	assert_int_equal(irq.table->nr, pins);
	irq_release(&irq.router, &line);
	irq_kvm_fini(&irq);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(refused_message_is_refused_again_and_leaves_no_route),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
