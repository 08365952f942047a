/* A masked line remembers a raise and delivers it once when it is unmasked. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#include "vmm/irq.h"

static int set_result;
static unsigned set_count;

static int fake_msi_set(struct irq_router *router, const struct irq_line *line, uint64_t addr,
			uint32_t data)
{
	(void)router;
	(void)line;
	(void)addr;
	(void)data;
	set_count++;
	return set_result;
}

static void fake_release(struct irq_router *router, struct irq_line *line)
{
	(void)router;
	close(line->fd);
}

static const struct irq_router_ops ops = { .msi_set = fake_msi_set, .release = fake_release };

static uint64_t drain(const struct irq_line *line)
{
	uint64_t value = 0;

	return read(line->fd, &value, sizeof(value)) == sizeof(value) ? value : 0;
}

static void masked_line_remembers_one_raise_and_delivers_it_when_unmasked(void **state)
{
	struct irq_router router = { &ops };
	struct irq_line line = { .fd = eventfd(0, EFD_NONBLOCK), .masked = true };

	(void)state;
	set_count = 0;
	irq_raise(&line);
	irq_raise(&line);
	assert_int_equal(drain(&line), 0);
	assert_true(line.pending);
	assert_int_equal(irq_msi_set(&router, &line, 0xfee00000, 1, true), 0);
	assert_int_equal(set_count, 0); /* masking asks nothing of KVM */
	assert_int_equal(irq_msi_set(&router, &line, 0xfee00000, 1, false), 0);
	assert_int_equal(set_count, 1);
	assert_int_equal(drain(&line), 1);
	assert_false(line.pending);
	irq_raise(&line);
	assert_int_equal(drain(&line), 1);
	irq_release(&router, &line);
	assert_int_equal(line.fd, -1);
}

static void line_stays_masked_when_its_message_is_refused(void **state)
{
	struct irq_router router = { &ops };
	struct irq_line line = { .fd = eventfd(0, EFD_NONBLOCK), .masked = true };

	(void)state;
	set_result = -EINVAL;
	assert_int_equal(irq_msi_set(&router, &line, 0, 0, false), -EINVAL);
	set_result = 0;
	irq_raise(&line);
	assert_int_equal(drain(&line), 0);
	assert_true(line.pending);
	irq_release(&router, &line);
}

static void unconnected_line_can_be_raised_and_released(void **state)
{
	struct irq_router router = { &ops };
	struct irq_line line = IRQ_LINE_NONE;

	(void)state;
	irq_raise(&line);
	irq_release(&router, &line);
	assert_int_equal(line.fd, -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(masked_line_remembers_one_raise_and_delivers_it_when_unmasked),
		cmocka_unit_test(line_stays_masked_when_its_message_is_refused),
		cmocka_unit_test(unconnected_line_can_be_raised_and_released),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
