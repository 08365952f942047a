/*
 * Queues that somebody else runs: lent when they start, taken back before a stop or a reset goes
 * on, never touched by the loop meanwhile.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/virtio/virtio.h"
#include "tests/support/fake_bring_up.h"
#include "tests/support/fake_loop.h"

#define MEM_LEN 0x100000ull
#define QUEUES	2
#define SIZE	16

struct env {
	struct virtio_device dev;
	struct guest_mem mem;
	struct loop loop;
	struct fake_ring rings[QUEUES];
	int lend_result; /* for queue 0; queue 1 is never lent */
	unsigned lent, taken_back, kicks, irq_changes;
	unsigned interrupts;
};

static struct env *to_env(struct virtio_device *dev)
{
	return container_of(dev, struct env, dev);
}

static void on_kick(struct virtio_queue *q)
{
	struct virtqueue_chain chain;
	struct iovec iov[4];

	to_env(q->dev)->kicks++;
	while (virtio_queue_pop(q, iov, 4, &chain) > 0)
		virtio_queue_push(q, chain.head, 0);
}

static int on_lend(struct virtio_queue *q)
{
	struct env *env = to_env(q->dev);

	if (q->index != 0)
		return 0;
	assert_false(q->lent);
	assert_non_null(q->vq.desc);
	env->lent += env->lend_result > 0;
	return env->lend_result;
}

static void on_take_back(struct virtio_queue *q)
{
	assert_true(q->lent);
	assert_non_null(q->vq.desc);
	to_env(q->dev)->taken_back++;
}

static void on_irq_changed(struct virtio_queue *q)
{
	to_env(q->dev)->irq_changes++;
}

static const struct virtio_device_ops ops = {
	.name = "lender",
	.device_id = VIRTIO_ID_NET,
	.queue_kick = on_kick,
	.queue_lend = on_lend,
	.queue_take_back = on_take_back,
	.queue_irq_changed = on_irq_changed,
};

static void interrupt_queue(struct virtio_device *dev, uint16_t index)
{
	(void)index;
	to_env(dev)->interrupts++;
}

static void interrupt_config(struct virtio_device *dev)
{
	(void)dev;
}

static int queue_irq_fd(struct virtio_device *dev, uint16_t index)
{
	(void)dev;
	return 100 + index;
}

static const struct virtio_transport_ops with_fd = {
	.interrupt_queue = interrupt_queue,
	.interrupt_config = interrupt_config,
	.queue_irq_fd = queue_irq_fd,
};

static const struct virtio_transport_ops without_fd = {
	.interrupt_queue = interrupt_queue,
	.interrupt_config = interrupt_config,
};

static int setup(void **state)
{
	struct env *env = calloc(1, sizeof(*env));

	*state = env;
	env->lend_result = 1;
	fake_loop_init(&env->loop);
	assert_int_equal(guest_mem_add(&env->mem, 0, MEM_LEN), 0);
	assert_int_equal(
		virtio_device_init(&env->dev, &ops, &env->mem, &env->loop, 0, QUEUES, SIZE), 0);
	virtio_device_attach(&env->dev, &with_fd);
	return 0;
}

static int teardown(void **state)
{
	struct env *env = *state;

	virtio_device_fini(&env->dev);
	assert_int_equal(env->lent, env->taken_back);
	guest_mem_fini(&env->mem);
	free(env);
	return 0;
}

static void bring_up(struct env *env)
{
	fake_bring_up(&env->dev, 1ull << VIRTIO_F_VERSION_1, env->rings, 0x1000, SIZE);
	fake_loop_round(&env->loop);
}

static void kick(struct env *env, unsigned queue)
{
	uint64_t one = 1;

	assert_int_equal(write(env->dev.queues[queue].kick_fd, &one, sizeof(one)), sizeof(one));
	fake_loop_round(&env->loop);
}

static void a_lent_queue_is_left_alone(void **state)
{
	struct env *env = *state;
	struct fake_part part = { 0x20000, 64, false };

	bring_up(env);
	assert_int_equal(env->lent, 1);
	env->kicks = 0;
	fake_ring_add(&env->rings[0], &part, 1);
	fake_ring_add(&env->rings[1], &part, 1);
	kick(env, 0);
	assert_int_equal(env->kicks, 0);
	assert_int_equal(fake_ring_used_count(&env->rings[0]), 0);
	kick(env, 1);
	assert_int_equal(env->kicks, 1);
	assert_int_equal(fake_ring_used_count(&env->rings[1]), 1);
}

static void resets_take_it_back_and_a_new_start_lends_it_again(void **state)
{
	struct env *env = *state;

	for (unsigned i = 1; i <= 3; i++) {
		bring_up(env);
		assert_int_equal(env->lent, i);
		virtio_set_status(&env->dev, 0);
		assert_int_equal(env->taken_back, i);
	}
	bring_up(env);
	virtio_queue_reset(&env->dev.queues[0]);
	assert_int_equal(env->taken_back, 4);
	/* The other queue goes on. */
	assert_true(env->dev.queues[1].running);
	virtio_device_reset(&env->dev);
	assert_int_equal(env->taken_back, 4);
}

static void a_queue_that_cannot_be_lent_stops_the_device(void **state)
{
	struct env *env = *state;

	log_set_level(LOG_LEVEL_ERR);
	env->lend_result = -EBUSY;
	bring_up(env);
	assert_true(virtio_get_status(&env->dev) & VIRTIO_CONFIG_S_NEEDS_RESET);
	virtio_set_status(&env->dev, 0);
	assert_int_equal(env->taken_back, 0);
	env->lend_result = 1;
	bring_up(env);
	assert_int_equal(virtio_get_status(&env->dev), 15);
}

static void interrupts_are_the_transports(void **state)
{
	struct env *env = *state;

	bring_up(env);
	env->interrupts = 0;
	assert_int_equal(virtio_queue_irq_fd(&env->dev.queues[0]), 100);
	virtio_queue_irqs_changed(&env->dev);
	assert_int_equal(env->irq_changes, QUEUES);
	virtio_queue_interrupt(&env->dev.queues[0]);
	assert_int_equal(env->interrupts, 1);
	virtio_device_attach(&env->dev, &without_fd);
	assert_int_equal(virtio_queue_irq_fd(&env->dev.queues[0]), -1);
	virtio_device_attach(&env->dev, NULL);
	assert_int_equal(virtio_queue_irq_fd(&env->dev.queues[0]), -1);
	virtio_queue_interrupt(&env->dev.queues[0]);
	assert_int_equal(env->interrupts, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_lent_queue_is_left_alone),
		TEST(resets_take_it_back_and_a_new_start_lends_it_again),
		TEST(a_queue_that_cannot_be_lent_stops_the_device),
		TEST(interrupts_are_the_transports),
	};

	return cmocka_run_group_tests_name("lent queues", tests, NULL, NULL);
}
