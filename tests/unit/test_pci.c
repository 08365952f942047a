/* Configuration space as guests read and write it, by the bus and by the read-only slot. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>
#include <linux/pci_regs.h>

#include "devices/pci.h"

#define ECAM	   0xe0000000ull
#define WINDOW	   0xc0000000ull
#define WINDOW_LEN 0x100000ull
#define BAR_LEN	   0x4000u

struct fake_function {
	struct pci_function fn;
	pthread_mutex_t lock;
	unsigned reads, writes, moves, config_writes, resets;
	uint64_t at; /* as bar_moved said */
};

struct env {
	struct bus bus;
	struct pci_host *host;
	struct fake_function fakes[2];
};

static struct fake_function *from_fn(struct pci_function *fn)
{
	return container_of(fn, struct fake_function, fn);
}

static uint64_t fake_read(struct pci_function *fn, unsigned index, uint64_t offset, unsigned width)
{
	(void)index;
	(void)width;
	from_fn(fn)->reads++;
	return 0x1000 + offset;
}

static void fake_write(struct pci_function *fn, unsigned index, uint64_t offset, unsigned width,
		       uint64_t value)
{
	(void)index;
	(void)offset;
	(void)width;
	(void)value;
	from_fn(fn)->writes++;
}

static void fake_moved(struct pci_function *fn, unsigned index, uint64_t old, uint64_t new)
{
	struct fake_function *fake = from_fn(fn);

	if (index)
		return;
	assert_int_equal(old, fake->at);
	fake->at = new;
	fake->moves++;
}

static void fake_config_written(struct pci_function *fn, unsigned offset, unsigned len)
{
	(void)offset;
	(void)len;
	from_fn(fn)->config_writes++;
}

static void fake_reset(struct pci_function *fn)
{
	from_fn(fn)->resets++;
}

static const struct pci_function_ops fake_ops = {
	.name = "fake",
	.bar_read = fake_read,
	.bar_write = fake_write,
	.bar_moved = fake_moved,
	.config_written = fake_config_written,
	.reset = fake_reset,
};

static const struct pci_ids fake_ids = {
	.vendor = 0x1234,
	.device = 0x5678,
	.subsystem_vendor = 0x9abc,
	.subsystem = 0xdef0,
	.class_code = 0x010203,
	.revision = 4,
};

static int add_fake(struct env *env, struct fake_function *fake)
{
	int ret;

	memset(fake, 0, sizeof(*fake));
	pthread_mutex_init(&fake->lock, NULL);
	fake->fn.ops = &fake_ops;
	fake->fn.lock = &fake->lock;
	ret = pci_add(env->host, &fake->fn, &fake_ids);
	return ret < 0 ? ret : pci_add_bar(&fake->fn, 0, BAR_LEN);
}

static int setup(void **state)
{
	struct env *env = calloc(1, sizeof(*env));
	int ret;

	*state = env;
	if (bus_init(&env->bus, NULL, NULL) < 0)
		return -1;
	ret = pci_host_create(&env->host, &env->bus, ECAM, WINDOW, WINDOW_LEN);
	for (unsigned i = 0; i < 2 && ret == 0; i++)
		ret = add_fake(env, &env->fakes[i]);
	return ret;
}

static int teardown(void **state)
{
	struct env *env = *state;

	for (unsigned i = 0; i < 2; i++)
		pci_remove(&env->fakes[i].fn);
	pci_host_destroy(env->host);
	assert_int_equal(env->bus.range_count, 0);
	bus_fini(&env->bus);
	free(env);
	return 0;
}

static uint32_t cfg_read(struct env *env, unsigned slot, unsigned reg, unsigned width)
{
	const uint8_t *ecam = pci_host_ecam(env->host);
	uint64_t offset = slot * 0x8000ull + reg;
	uint32_t value = 0, direct = 0;

	/* Trapped and untrapped reads agree. */
	assert_true(bus_read(&env->bus, ECAM + offset, width, &value));
	memcpy(&direct, ecam + offset, width);
	assert_int_equal(value, direct);
	return value;
}

static void cfg_write(struct env *env, unsigned slot, unsigned reg, unsigned width, uint32_t value)
{
	assert_true(bus_write(&env->bus, ECAM + slot * 0x8000ull + reg, width, &value));
}

static bool answers(struct env *env, uint64_t addr)
{
	uint32_t value = 0;

	bus_read(&env->bus, addr, 4, &value);
	return value != UINT32_MAX;
}

static uint64_t bar_addr(struct env *env, unsigned slot)
{
	return cfg_read(env, slot, PCI_BASE_ADDRESS_0, 4) & 0xfffffff0;
}

static void absent_devices_read_as_all_ones_and_other_functions_as_nothing(void **state)
{
	struct env *env = *state;
	const uint32_t *ecam = pci_host_ecam(env->host);

	for (unsigned devfn = 0; devfn < 256; devfn++) {
		bool present = devfn == 0 || devfn == 8 || devfn == 16;
		uint32_t wanted = devfn % 8 ? 0 : UINT32_MAX;

		for (unsigned i = 0; i < 1024; i++)
			if (!present)
				assert_int_equal(ecam[devfn * 1024 + i], wanted);
		if (present) {
			assert_int_not_equal(ecam[devfn * 1024], UINT32_MAX);
			/* Nothing says that there are more. */
			assert_int_equal(cfg_read(env, devfn / 8, PCI_HEADER_TYPE, 1), 0);
		}
	}
	assert_int_equal(cfg_read(env, 31, 0, 4), UINT32_MAX);
}

static void ids_and_class_are_where_they_belong(void **state)
{
	struct env *env = *state;

	assert_int_equal(cfg_read(env, 0, PCI_CLASS_REVISION, 4) >> 8, 0x060000);
	assert_int_equal(cfg_read(env, 1, PCI_VENDOR_ID, 2), 0x1234);
	assert_int_equal(cfg_read(env, 1, PCI_DEVICE_ID, 2), 0x5678);
	assert_int_equal(cfg_read(env, 1, PCI_CLASS_REVISION, 4), 0x01020304);
	assert_int_equal(cfg_read(env, 1, PCI_SUBSYSTEM_VENDOR_ID, 4), 0xdef09abc);
	assert_int_equal(cfg_read(env, 1, PCI_HEADER_TYPE, 1), 0);
	assert_int_equal(cfg_read(env, 1, 0x100, 4), 0); /* no extended capabilities */
}

static void absent_functions_take_no_writes(void **state)
{
	struct env *env = *state;
	const uint32_t *ecam = pci_host_ecam(env->host);

	for (uint64_t offset = 0; offset < PCI_ECAM_LEN; offset += 0x1000) {
		uint32_t value = 0x12345678;

		if (offset == 0 || offset == 0x8000 || offset == 0x10000)
			continue;
		bus_write(&env->bus, ECAM + offset, 4, &value);
		assert_int_equal(ecam[offset / 4], offset % 0x8000 ? 0 : UINT32_MAX);
	}
}

static void read_only_bits_stay(void **state)
{
	struct env *env = *state;
	uint8_t before[256];

	for (unsigned i = 0; i < 256; i++)
		before[i] = (uint8_t)cfg_read(env, 1, i, 1);
	for (unsigned i = 0; i < 256; i++) {
		bool writable = i == PCI_COMMAND || i == PCI_COMMAND + 1 ||
				i == PCI_CACHE_LINE_SIZE || i == PCI_INTERRUPT_LINE ||
				(i >= PCI_BASE_ADDRESS_0 && i < PCI_BASE_ADDRESS_1);

		cfg_write(env, 1, i, 1, 0xff);
		if (!writable)
			assert_int_equal(cfg_read(env, 1, i, 1), before[i]);
	}
	assert_int_equal(cfg_read(env, 1, PCI_COMMAND, 2),
			 PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_INTX_DISABLE);
}

static void wrong_widths_and_alignments_write_nothing(void **state)
{
	struct env *env = *state;
	uint64_t ones = UINT64_MAX;

	cfg_write(env, 1, PCI_COMMAND + 1, 2, 0xffff);
	cfg_write(env, 1, PCI_CACHE_LINE_SIZE - 1, 4, UINT32_MAX);
	bus_write(&env->bus, ECAM + 0x8000, 8, &ones);
	assert_int_equal(cfg_read(env, 1, PCI_COMMAND, 2), 0);
	assert_int_equal(cfg_read(env, 1, PCI_CACHE_LINE_SIZE, 1), 0);
}

static void bars_are_assigned_apart_and_answer_once_decoding_is_on(void **state)
{
	struct env *env = *state;
	uint64_t a = bar_addr(env, 1), b = bar_addr(env, 2);

	assert_true(a >= WINDOW && a % BAR_LEN == 0 && b % BAR_LEN == 0 && a != b);
	assert_false(answers(env, a));
	cfg_write(env, 1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_true(answers(env, a));
	assert_false(answers(env, b));
	bus_write(&env->bus, a, 4, &a);
	bus_write(&env->bus, b, 4, &b);
	assert_int_equal(env->fakes[0].writes, 1);
	assert_int_equal(env->fakes[1].writes, 0);
	cfg_write(env, 1, PCI_COMMAND, 2, 0);
	assert_false(answers(env, a));
}

static void sizing_tells_the_length_and_moves_nothing(void **state)
{
	struct env *env = *state;
	uint64_t a = bar_addr(env, 1);

	cfg_write(env, 1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	for (unsigned bar = 0; bar < 6; bar++) {
		cfg_write(env, 1, PCI_BASE_ADDRESS_0 + 4 * bar, 4, UINT32_MAX);
		assert_int_equal(cfg_read(env, 1, PCI_BASE_ADDRESS_0 + 4 * bar, 4),
				 bar ? 0 : ~(BAR_LEN - 1));
	}
	cfg_write(env, 1, PCI_ROM_ADDRESS, 4, UINT32_MAX);
	assert_int_equal(cfg_read(env, 1, PCI_ROM_ADDRESS, 4), 0);
	assert_false(answers(env, a));
	cfg_write(env, 1, PCI_BASE_ADDRESS_0, 4, (uint32_t)a);
	assert_true(answers(env, a));
	assert_int_equal(env->fakes[0].moves, 1); /* at the start */
}

static void bar_moves_inside_the_window_only(void **state)
{
	struct env *env = *state;
	uint64_t a = bar_addr(env, 1), to = WINDOW + 0x80000;

	cfg_write(env, 1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	cfg_write(env, 1, PCI_BASE_ADDRESS_0, 4, (uint32_t)to);
	assert_false(answers(env, a));
	assert_true(answers(env, to));
	assert_int_equal(env->fakes[0].at, to);
	for (unsigned i = 0; i < 4; i++) {
		static const uint32_t outside[] = { 0, 0x1000000, (uint32_t)WINDOW - BAR_LEN,
						    (uint32_t)(WINDOW + WINDOW_LEN) };

		cfg_write(env, 1, PCI_BASE_ADDRESS_0, 4, outside[i]);
		assert_false(answers(env, outside[i]));
		assert_false(answers(env, to));
		assert_int_equal(env->fakes[0].at, to);
	}
	cfg_write(env, 1, PCI_BASE_ADDRESS_0, 4, (uint32_t)to);
	assert_true(answers(env, to));
}

static void bar_on_top_of_another_stays_mute(void **state)
{
	struct env *env = *state;
	uint64_t b = bar_addr(env, 2);

	cfg_write(env, 1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	cfg_write(env, 2, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	cfg_write(env, 1, PCI_BASE_ADDRESS_0, 4, (uint32_t)b);
	assert_true(answers(env, b));
	assert_int_equal(env->fakes[0].reads, 0);
	assert_true(env->fakes[1].reads > 0);
}

static void bars_that_change_places_while_mute_both_arrive(void **state)
{
	struct env *env = *state;
	uint64_t a = bar_addr(env, 1), b = bar_addr(env, 2);

	cfg_write(env, 1, PCI_BASE_ADDRESS_0, 4, (uint32_t)b);
	cfg_write(env, 2, PCI_BASE_ADDRESS_0, 4, (uint32_t)a);
	cfg_write(env, 1, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(env->fakes[0].at, b);
	assert_int_equal(env->fakes[1].at, 0);
	cfg_write(env, 2, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	assert_int_equal(env->fakes[1].at, a);
	assert_true(answers(env, a));
	assert_true(answers(env, b));

	/* And a reset puts all back. */
	pci_host_reset(env->host);
	assert_int_equal(env->fakes[0].at, a);
	assert_int_equal(env->fakes[1].at, b);
	assert_int_equal(bar_addr(env, 1), a);
	assert_int_equal(cfg_read(env, 2, PCI_COMMAND, 2), 0);
	assert_false(answers(env, a));
	assert_int_equal(env->fakes[0].resets, 1);
}

static void capabilities_form_a_list(void **state)
{
	struct env *env = *state;
	struct pci_function *fn = &env->fakes[0].fn;
	static const uint8_t first[] = { 9, 0x77, 6, 1, 2, 3 }, second[] = { 5, 0, 0xff };
	static const uint8_t writable[] = { 0, 0, 0x0f };
	unsigned a, b;

	assert_int_equal(cfg_read(env, 1, PCI_STATUS, 2), 0);
	a = pci_add_capability(fn, first, NULL, sizeof(first));
	b = pci_add_capability(fn, second, writable, sizeof(second));
	assert_int_equal(cfg_read(env, 1, PCI_STATUS, 2), PCI_STATUS_CAP_LIST);
	assert_int_equal(cfg_read(env, 1, PCI_CAPABILITY_LIST, 1), a);
	assert_int_equal(cfg_read(env, 1, a, 4), 0x01060009 | b << 8);
	assert_int_equal(cfg_read(env, 1, b, 2), 5);
	cfg_write(env, 1, b + 2, 1, 0);
	assert_int_equal(cfg_read(env, 1, b + 2, 1), 0xf0);
	assert_int_equal(env->fakes[0].config_writes, 1);
}

static void bus_takes_31_functions(void **state)
{
	struct env *env = *state;
	struct fake_function *more = calloc(30, sizeof(*more));
	unsigned count = 0;

	while (add_fake(env, &more[count]) == 0)
		count++;
	assert_int_equal(count, 29);
	for (unsigned i = 0; i < count; i++)
		pci_remove(&more[i].fn);
	assert_int_equal(cfg_read(env, 3, 0, 4), UINT32_MAX);
	free(more);
}

static void window_that_is_full_refuses_a_bar(void **state)
{
	struct env *env = *state;

	assert_int_equal(pci_add_bar(&env->fakes[0].fn, 1, 0x100000), -ENOSPC);
	assert_int_equal(pci_add_bar(&env->fakes[0].fn, 1, 0x80000), 0);
}

static void host_is_not_created_over_another(void **state)
{
	struct env *env = *state;
	struct pci_host *host = NULL;

	assert_int_equal(pci_host_create(&host, &env->bus, ECAM, WINDOW, WINDOW_LEN), -EEXIST);
	assert_null(host);
	pci_host_destroy(NULL);
}

static void port_bars_have_a_bus_and_a_switch_of_their_own(void **state)
{
	struct env *env = *state;
	struct fake_function fake;
	struct bus ports;
	uint32_t addr, value = 0;

	assert_int_equal(bus_init(&ports, NULL, NULL), 0);
	assert_null(pci_ports(&env->fakes[0].fn));
	pci_host_set_ports(env->host, &ports, 0xc000, 0x100);
	assert_int_equal(add_fake(env, &fake), 0);
	assert_ptr_equal(pci_ports(&fake.fn), &ports);
	assert_int_equal(pci_add_port_bar(&fake.fn, 1, 16), 0);
	addr = cfg_read(env, 3, PCI_BASE_ADDRESS_1, 4);
	assert_int_equal(addr, 0xc000 | PCI_BASE_ADDRESS_SPACE_IO);
	addr &= ~3u;
	/* Its size shows, and memory decoding does not turn it on. */
	cfg_write(env, 3, PCI_BASE_ADDRESS_1, 4, UINT32_MAX);
	assert_int_equal(cfg_read(env, 3, PCI_BASE_ADDRESS_1, 4), 0xfffffff1);
	cfg_write(env, 3, PCI_BASE_ADDRESS_1, 4, addr);
	cfg_write(env, 3, PCI_COMMAND, 2, PCI_COMMAND_MEMORY);
	bus_write(&ports, addr, 4, &value);
	assert_int_equal(fake.writes, 0);
	cfg_write(env, 3, PCI_COMMAND, 2, PCI_COMMAND_IO);
	bus_write(&ports, addr + 12, 4, &value);
	assert_int_equal(fake.writes, 1);
	/* It moves inside the window and nowhere else, and a reset brings it back. */
	cfg_write(env, 3, PCI_BASE_ADDRESS_1, 4, 0xc080);
	bus_write(&ports, 0xc080, 4, &value);
	assert_int_equal(fake.writes, 2);
	cfg_write(env, 3, PCI_BASE_ADDRESS_1, 4, 0x600);
	bus_write(&ports, 0x600, 4, &value);
	bus_write(&ports, 0xc080, 4, &value);
	assert_int_equal(fake.writes, 2);
	pci_host_reset(env->host);
	assert_int_equal(cfg_read(env, 3, PCI_BASE_ADDRESS_1, 4), addr | PCI_BASE_ADDRESS_SPACE_IO);
	cfg_write(env, 3, PCI_COMMAND, 2, PCI_COMMAND_IO);
	bus_write(&ports, addr, 4, &value);
	assert_int_equal(fake.writes, 3);
	pci_remove(&fake.fn);
	assert_int_equal(ports.range_count, 0);
	bus_fini(&ports);
}

static void port_bars_that_find_no_room_are_refused(void **state)
{
	struct env *env = *state;
	struct fake_function fakes[2];
	struct bus ports;

	assert_int_equal(bus_init(&ports, NULL, NULL), 0);
	pci_host_set_ports(env->host, &ports, 0xc000, 0x100);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(add_fake(env, &fakes[i]), 0);
		assert_int_equal(pci_add_port_bar(&fakes[i].fn, 1, 256), i ? -ENOSPC : 0);
	}
	for (unsigned i = 0; i < 2; i++)
		pci_remove(&fakes[i].fn);
	bus_fini(&ports);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(absent_devices_read_as_all_ones_and_other_functions_as_nothing),
		T(ids_and_class_are_where_they_belong),
		T(absent_functions_take_no_writes),
		T(read_only_bits_stay),
		T(wrong_widths_and_alignments_write_nothing),
		T(bars_are_assigned_apart_and_answer_once_decoding_is_on),
		T(sizing_tells_the_length_and_moves_nothing),
		T(bar_moves_inside_the_window_only),
		T(bar_on_top_of_another_stays_mute),
		T(bars_that_change_places_while_mute_both_arrive),
		T(capabilities_form_a_list),
		T(bus_takes_31_functions),
		T(window_that_is_full_refuses_a_bar),
		T(host_is_not_created_over_another),
		T(port_bars_have_a_bus_and_a_switch_of_their_own),
		T(port_bars_that_find_no_room_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
