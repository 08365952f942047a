/* The MMIO transport's registers (virtio 1.2, 4.2.2), as a vCPU reaches them through the bus. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/eventfd.h>

#include <cmocka.h>
#include <linux/virtio_mmio.h>

#include "devices/virtio/virtio_mmio.h"
#include "tests/support/fake_device.h"
#include "tests/support/fake_driver.h"
#include "tests/support/fake_loop.h"

#define MEM_LEN	 0x20000ull
#define DATA_GPA 0x10000ull
#define BASE	 0xd0000000ull
#define SIZE	 FAKE_DEVICE_QUEUE_SIZE

struct env {
	struct guest_mem mem;
	struct loop loop;
	struct bus bus;
	struct irq_line line;
	struct fake_device fake;
	struct virtio_mmio *mmio;
	struct fake_ring ring;
};

static const struct fake_part one_in = { DATA_GPA, 64, true };

static int setup(void **state)
{
	struct env *env = calloc(1, sizeof(*env));

	*state = env;
	fake_loop_init(&env->loop);
	env->line.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (guest_mem_add(&env->mem, 0, MEM_LEN) < 0 || bus_init(&env->bus, NULL, NULL) < 0 ||
	    fake_device_init(&env->fake, &env->mem, &env->loop) < 0)
		return -1;
	return virtio_mmio_create(&env->mmio, &env->fake.dev, &env->bus, BASE, &env->line);
}

static int teardown(void **state)
{
	struct env *env = *state;

	virtio_mmio_destroy(env->mmio);
	assert_int_equal(env->bus.range_count, 0);
	assert_int_equal(env->bus.doorbell_count, 0);
	virtio_device_fini(&env->fake.dev);
	bus_fini(&env->bus);
	guest_mem_fini(&env->mem);
	close(env->line.fd);
	free(env);
	return 0;
}

static uint32_t get(struct env *env, uint32_t reg)
{
	uint32_t value = 0x5a5a5a5a;

	assert_true(bus_read(&env->bus, BASE + reg, 4, &value));
	return value;
}

static void put(struct env *env, uint32_t reg, uint32_t value)
{
	assert_true(bus_write(&env->bus, BASE + reg, 4, &value));
}

static bool interrupted(struct env *env)
{
	return fake_loop_rang(env->line.fd);
}

static void negotiate(struct env *env)
{
	put(env, VIRTIO_MMIO_STATUS, 0);
	put(env, VIRTIO_MMIO_STATUS, 1);
	put(env, VIRTIO_MMIO_STATUS, 3);
	for (uint32_t i = 0; i < 2; i++) {
		put(env, VIRTIO_MMIO_DEVICE_FEATURES_SEL, i);
		put(env, VIRTIO_MMIO_DRIVER_FEATURES_SEL, i);
		put(env, VIRTIO_MMIO_DRIVER_FEATURES, get(env, VIRTIO_MMIO_DEVICE_FEATURES));
	}
	put(env, VIRTIO_MMIO_STATUS, 11);
	assert_int_equal(get(env, VIRTIO_MMIO_STATUS), 11);
}

static void enable_queue(struct env *env, uint32_t index)
{
	fake_ring_init(&env->ring, &env->mem, 0x1000, SIZE);
	env->ring.event_idx = true;
	put(env, VIRTIO_MMIO_QUEUE_SEL, index);
	assert_int_equal(get(env, VIRTIO_MMIO_QUEUE_READY), 0);
	assert_int_equal(get(env, VIRTIO_MMIO_QUEUE_NUM_MAX), SIZE);
	put(env, VIRTIO_MMIO_QUEUE_NUM, SIZE);
	put(env, VIRTIO_MMIO_QUEUE_DESC_LOW, (uint32_t)env->ring.desc_gpa);
	put(env, VIRTIO_MMIO_QUEUE_DESC_HIGH, 0);
	put(env, VIRTIO_MMIO_QUEUE_AVAIL_LOW, (uint32_t)env->ring.avail_gpa);
	put(env, VIRTIO_MMIO_QUEUE_AVAIL_HIGH, 0);
	put(env, VIRTIO_MMIO_QUEUE_USED_LOW, (uint32_t)env->ring.used_gpa);
	put(env, VIRTIO_MMIO_QUEUE_USED_HIGH, 0);
	put(env, VIRTIO_MMIO_QUEUE_READY, 1);
	assert_int_equal(get(env, VIRTIO_MMIO_QUEUE_READY), 1);
}

static void bring_up(struct env *env)
{
	negotiate(env);
	enable_queue(env, 1);
	put(env, VIRTIO_MMIO_STATUS, 15);
	fake_loop_round(&env->loop);
}

static void identifies_itself(void **state)
{
	struct env *env = *state;

	assert_int_equal(get(env, VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
	assert_int_equal(get(env, VIRTIO_MMIO_VERSION), 2);
	assert_int_equal(get(env, VIRTIO_MMIO_DEVICE_ID), 42);
	assert_int_equal(get(env, VIRTIO_MMIO_SHM_LEN_LOW), UINT32_MAX);
	assert_int_equal(get(env, VIRTIO_MMIO_SHM_BASE_HIGH), UINT32_MAX);
}

static void request_goes_round_by_the_registers_alone(void **state)
{
	struct env *env = *state;
	uint32_t head, len;

	bring_up(env);
	assert_true(fake_ring_offer(&env->ring, fake_ring_chain(&env->ring, &one_in, 1)));
	put(env, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	fake_loop_round(&env->loop);
	assert_true(fake_ring_take(&env->ring, &head, &len));
	assert_int_equal(len, 64);
	assert_true(interrupted(env));
	assert_int_equal(get(env, VIRTIO_MMIO_INTERRUPT_STATUS), 1);
	put(env, VIRTIO_MMIO_INTERRUPT_ACK, 1);
	assert_int_equal(get(env, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

static void notification_of_another_or_no_queue_rings_nothing_else(void **state)
{
	struct env *env = *state;

	bring_up(env);
	fake_ring_add(&env->ring, &one_in, 1);
	put(env, VIRTIO_MMIO_QUEUE_NOTIFY, 0);
	put(env, VIRTIO_MMIO_QUEUE_NOTIFY, 2);
	put(env, VIRTIO_MMIO_QUEUE_NOTIFY, FAKE_DEVICE_QUEUES);
	put(env, VIRTIO_MMIO_QUEUE_NOTIFY, 0x10001);
	fake_loop_round(&env->loop);
	assert_int_equal(env->fake.requests, 0);
}

static void config_change_is_seen_once_acknowledged(void **state)
{
	struct env *env = *state;
	uint32_t generation = get(env, VIRTIO_MMIO_CONFIG_GENERATION);

	virtio_config_changed(&env->fake.dev);
	assert_true(interrupted(env));
	assert_int_equal(get(env, VIRTIO_MMIO_INTERRUPT_STATUS), 2);
	put(env, VIRTIO_MMIO_INTERRUPT_ACK, 1);
	assert_int_equal(get(env, VIRTIO_MMIO_INTERRUPT_STATUS), 2);
	put(env, VIRTIO_MMIO_INTERRUPT_ACK, UINT32_MAX);
	assert_int_equal(get(env, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	assert_int_equal(get(env, VIRTIO_MMIO_CONFIG_GENERATION), generation + 1);
}

static void reset_forgets_what_the_driver_chose(void **state)
{
	struct env *env = *state;

	bring_up(env);
	virtio_config_changed(&env->fake.dev);
	put(env, VIRTIO_MMIO_STATUS, 0);
	assert_int_equal(get(env, VIRTIO_MMIO_STATUS), 0);
	assert_int_equal(get(env, VIRTIO_MMIO_INTERRUPT_STATUS), 0);
	put(env, VIRTIO_MMIO_QUEUE_SEL, 1);
	assert_int_equal(get(env, VIRTIO_MMIO_QUEUE_READY), 0);
	bring_up(env);
	virtio_mmio_reset(env->mmio);
	assert_int_equal(get(env, VIRTIO_MMIO_STATUS), 0);
}

static void queue_ready_0_and_queue_reset_stop_one_queue(void **state)
{
	struct env *env = *state;

	bring_up(env);
	put(env, VIRTIO_MMIO_QUEUE_READY, 0);
	assert_int_equal(get(env, VIRTIO_MMIO_QUEUE_READY), 0);
	fake_ring_add(&env->ring, &one_in, 1);
	put(env, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	fake_loop_round(&env->loop);
	assert_int_equal(env->fake.requests, 0);
	enable_queue(env, 1);
	put(env, 0x0c0, 1); /* QueueReset */
	assert_int_equal(get(env, 0x0c0), 0);
	assert_int_equal(get(env, VIRTIO_MMIO_QUEUE_READY), 0);
	enable_queue(env, 1);
	fake_ring_add(&env->ring, &one_in, 1);
	put(env, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	fake_loop_round(&env->loop);
	assert_int_equal(env->fake.requests, 1);
}

static void selectors_out_of_range_read_0_and_drop_writes(void **state)
{
	struct env *env = *state;
	static const uint32_t bad[] = { FAKE_DEVICE_QUEUES, 0x10000, UINT32_MAX };

	for (unsigned i = 0; i < ARRAY_SIZE(bad); i++) {
		put(env, VIRTIO_MMIO_QUEUE_SEL, bad[i]);
		assert_int_equal(get(env, VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
		assert_int_equal(get(env, VIRTIO_MMIO_QUEUE_READY), 0);
		put(env, VIRTIO_MMIO_QUEUE_NUM, 4);
		put(env, VIRTIO_MMIO_QUEUE_READY, 1);
		put(env, VIRTIO_MMIO_DEVICE_FEATURES_SEL, bad[i]);
		assert_int_equal(get(env, VIRTIO_MMIO_DEVICE_FEATURES), 0);
	}
	assert_int_equal(get(env, VIRTIO_MMIO_STATUS), 0);
}

static void config_space_takes_any_width_registers_only_theirs(void **state)
{
	struct env *env = *state;
	uint64_t value;

	for (unsigned i = 0; i < FAKE_DEVICE_CONFIG_LEN; i++)
		env->fake.config[i] = (uint8_t)(i + 1);
	for (unsigned width = 1; width <= 8; width *= 2) {
		value = 0;
		assert_true(bus_read(&env->bus, BASE + VIRTIO_MMIO_CONFIG, width, &value));
		assert_memory_equal(&value, env->fake.config, width);
		if (width == 4)
			continue;
		value = UINT64_MAX;
		bus_read(&env->bus, BASE + VIRTIO_MMIO_MAGIC_VALUE, width, &value);
		assert_int_equal(value << (64 - 8 * width), 0);
		value = 1;
		bus_write(&env->bus, BASE + VIRTIO_MMIO_STATUS, width, &value);
		assert_int_equal(get(env, VIRTIO_MMIO_STATUS), 0);
	}
	value = 0x99;
	bus_write(&env->bus, BASE + VIRTIO_MMIO_CONFIG + 5, 1, &value);
	assert_int_equal(env->fake.config[5], 0x99);
	assert_int_equal(get(env, VIRTIO_MMIO_LEN - 4), 0);
}

static void every_register_survives_every_width_offset_and_value(void **state)
{
	struct env *env = *state;
	static const uint64_t values[] = { 0, 1, 2, 3, 0xff, 0x8000, UINT32_MAX, UINT64_MAX };

	bring_up(env);
	for (uint64_t offset = 0; offset < 0x120; offset++) {
		for (unsigned width = 1; width <= 8; width *= 2) {
			uint64_t value;

			bus_read(&env->bus, BASE + offset, width, &value);
			for (unsigned i = 0; i < ARRAY_SIZE(values); i++)
				bus_write(&env->bus, BASE + offset, width, &values[i]);
			fake_loop_round(&env->loop);
		}
	}
	bring_up(env); /* it still works */
	fake_ring_add(&env->ring, &one_in, 1);
	put(env, VIRTIO_MMIO_QUEUE_NOTIFY, 1);
	fake_loop_round(&env->loop);
	assert_int_equal(fake_ring_used_count(&env->ring), 1);
}

static void create_fails_where_the_bus_is_taken(void **state)
{
	struct env *env = *state;
	struct virtio_mmio *mmio = NULL;

	assert_int_equal(
		virtio_mmio_create(&mmio, &env->fake.dev, &env->bus, BASE + 0x800, &env->line),
		-EEXIST);
	assert_null(mmio);
	virtio_mmio_destroy(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(identifies_itself),
		T(request_goes_round_by_the_registers_alone),
		T(notification_of_another_or_no_queue_rings_nothing_else),
		T(config_change_is_seen_once_acknowledged),
		T(reset_forgets_what_the_driver_chose),
		T(queue_ready_0_and_queue_reset_stop_one_queue),
		T(selectors_out_of_range_read_0_and_drop_writes),
		T(config_space_takes_any_width_registers_only_theirs),
		T(every_register_survives_every_width_offset_and_value),
		T(create_fails_where_the_bus_is_taken),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
