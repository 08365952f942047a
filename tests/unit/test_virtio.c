/* Status, features, and the life of queues, on a loop that the test turns by hand. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "devices/virtio/virtio.h"
#include "tests/support/fake_device.h"
#include "tests/support/fake_driver.h"
#include "tests/support/fake_loop.h"

#define MEM_LEN	    0x20000ull
#define DATA_GPA    0x10000ull
#define SIZE	    FAKE_DEVICE_QUEUE_SIZE

#define ACK	    VIRTIO_CONFIG_S_ACKNOWLEDGE
#define DRIVER	    VIRTIO_CONFIG_S_DRIVER
#define FEATURES_OK VIRTIO_CONFIG_S_FEATURES_OK
#define DRIVER_OK   VIRTIO_CONFIG_S_DRIVER_OK
#define NEEDS_RESET VIRTIO_CONFIG_S_NEEDS_RESET

struct env {
	struct guest_mem mem;
	struct loop loop;
	struct fake_device fake;
	struct fake_ring rings[FAKE_DEVICE_QUEUES];
};

static const struct fake_part one_in = { DATA_GPA, 64, true };

static int setup(void **state)
{
	struct env *env = calloc(1, sizeof(*env));

	*state = env;
	log_set_level(LOG_LEVEL_ERR);
	fake_loop_init(&env->loop);
	if (guest_mem_add(&env->mem, 0, MEM_LEN) < 0 ||
	    fake_device_init(&env->fake, &env->mem, &env->loop) < 0)
		return -1;
	fake_device_attach(&env->fake);
	return 0;
}

static int teardown(void **state)
{
	struct env *env = *state;

	virtio_device_fini(&env->fake.dev);
	guest_mem_fini(&env->mem);
	free(env);
	return 0;
}

static void set_status(struct env *env, uint32_t status)
{
	pthread_mutex_lock(&env->fake.dev.lock);
	virtio_set_status(&env->fake.dev, status);
	pthread_mutex_unlock(&env->fake.dev.lock);
}

static uint32_t get_status(struct env *env)
{
	return virtio_get_status(&env->fake.dev);
}

static void negotiate(struct env *env)
{
	struct virtio_device *dev = &env->fake.dev;

	set_status(env, ACK);
	set_status(env, ACK | DRIVER);
	virtio_set_features(dev, 0, virtio_get_features(dev, 0));
	virtio_set_features(dev, 1, virtio_get_features(dev, 1));
	set_status(env, ACK | DRIVER | FEATURES_OK);
	assert_int_equal(get_status(env), ACK | DRIVER | FEATURES_OK);
}

static void place_queue(struct env *env, unsigned index)
{
	struct virtio_queue *q = virtio_queue_at(&env->fake.dev, index);
	struct fake_ring *ring = &env->rings[index];

	fake_ring_init(ring, &env->mem, 0x1000ull * (index + 1), SIZE);
	ring->event_idx = true;
	virtio_queue_set_size(q, SIZE);
	virtio_queue_set_addr(q, VIRTIO_QUEUE_DESC, false, (uint32_t)ring->desc_gpa);
	virtio_queue_set_addr(q, VIRTIO_QUEUE_AVAIL, false, (uint32_t)ring->avail_gpa);
	virtio_queue_set_addr(q, VIRTIO_QUEUE_USED, false, (uint32_t)ring->used_gpa);
}

static void enable_queue(struct env *env, unsigned index)
{
	place_queue(env, index);
	pthread_mutex_lock(&env->fake.dev.lock);
	virtio_queue_set_enabled(virtio_queue_at(&env->fake.dev, index), true);
	pthread_mutex_unlock(&env->fake.dev.lock);
}

static void bring_up(struct env *env)
{
	negotiate(env);
	for (unsigned i = 0; i < FAKE_DEVICE_QUEUES; i++)
		enable_queue(env, i);
	set_status(env, ACK | DRIVER | FEATURES_OK | DRIVER_OK);
	fake_loop_round(&env->loop);
}

static void kick(struct env *env, unsigned index)
{
	uint64_t one = 1;

	assert_int_equal(write(env->fake.dev.queues[index].kick_fd, &one, sizeof(one)),
			 sizeof(one));
	fake_loop_round(&env->loop);
}

/* ---- status and features ---- */

static void offered_features_are_the_devices_and_the_cores(void **state)
{
	struct env *env = *state;
	struct virtio_device *dev = &env->fake.dev;

	assert_int_equal(virtio_get_features(dev, 0), FAKE_DEVICE_FEATURE |
							      1u << VIRTIO_RING_F_EVENT_IDX |
							      1u << VIRTIO_RING_F_INDIRECT_DESC);
	assert_int_equal(virtio_get_features(dev, 1),
			 1u << (VIRTIO_F_VERSION_1 - 32) | 1u << (VIRTIO_F_RING_RESET - 32));
	assert_int_equal(virtio_get_features(dev, 2), 0);
	assert_int_equal(virtio_get_features(dev, UINT32_MAX), 0);
}

static void features_not_offered_are_refused(void **state)
{
	struct env *env = *state;
	struct virtio_device *dev = &env->fake.dev;

	virtio_set_features(dev, 1, virtio_get_features(dev, 1));
	virtio_set_features(dev, 0, 1u << 4);
	set_status(env, ACK | DRIVER | FEATURES_OK);
	assert_int_equal(get_status(env), ACK | DRIVER);
	virtio_set_features(dev, 0, FAKE_DEVICE_FEATURE);
	set_status(env, ACK | DRIVER | FEATURES_OK);
	assert_int_equal(get_status(env), ACK | DRIVER | FEATURES_OK);
}

static void legacy_driver_is_refused(void **state)
{
	struct env *env = *state;

	virtio_set_features(&env->fake.dev, 0, FAKE_DEVICE_FEATURE);
	set_status(env, ACK | DRIVER | FEATURES_OK);
	assert_int_equal(get_status(env), ACK | DRIVER);
	set_status(env, ACK | DRIVER | DRIVER_OK);
	assert_int_equal(get_status(env), ACK | DRIVER);
	assert_int_equal(env->fake.activated, 0);
}

static void features_are_final_once_accepted(void **state)
{
	struct env *env = *state;
	struct virtio_device *dev = &env->fake.dev;

	negotiate(env);
	virtio_set_features(dev, 0, 0);
	virtio_set_features(dev, 7, 0);
	set_status(env, ACK | DRIVER | FEATURES_OK | DRIVER_OK);
	assert_int_equal(env->fake.features, dev->features);
	assert_int_equal(virtio_get_features_acked(dev, 0), virtio_get_features(dev, 0));
	assert_int_equal(virtio_get_features_acked(dev, 2), 0);
}

static void status_bits_are_only_added_and_needs_reset_is_not_the_drivers(void **state)
{
	struct env *env = *state;

	set_status(env, ACK | DRIVER);
	set_status(env, ACK);
	assert_int_equal(get_status(env), ACK | DRIVER);
	set_status(env, 0xffffff00 | NEEDS_RESET | ACK);
	assert_int_equal(get_status(env), ACK | DRIVER);
	set_status(env, 0);
	assert_int_equal(get_status(env), 0);
}

static void driver_ok_twice_activates_once(void **state)
{
	struct env *env = *state;

	bring_up(env);
	set_status(env, ACK | DRIVER | FEATURES_OK | DRIVER_OK);
	assert_int_equal(env->fake.activated, 1);
}

static void failed_activation_needs_reset_and_starts_nothing(void **state)
{
	struct env *env = *state;

	env->fake.activate_result = -EIO;
	bring_up(env);
	assert_true(get_status(env) & NEEDS_RESET);
	assert_false(env->fake.dev.queues[0].running);
	assert_int_equal(env->fake.config_interrupts, 1);
}

/* ---- queues ---- */

static void requests_made_before_driver_ok_are_found(void **state)
{
	struct env *env = *state;
	uint32_t head, len;

	negotiate(env);
	enable_queue(env, 0);
	fake_ring_add(&env->rings[0], &one_in, 1);
	fake_loop_round(&env->loop);
	assert_int_equal(env->fake.requests, 0);
	set_status(env, ACK | DRIVER | FEATURES_OK | DRIVER_OK);
	fake_loop_round(&env->loop);
	assert_true(fake_ring_take(&env->rings[0], &head, &len));
	assert_int_equal(len, 64);
	assert_int_equal(env->fake.queue_interrupts[0], 1);
}

static void queue_enabled_after_driver_ok_starts_at_once(void **state)
{
	struct env *env = *state;

	negotiate(env);
	set_status(env, ACK | DRIVER | FEATURES_OK | DRIVER_OK);
	assert_false(env->fake.dev.queues[1].running);
	enable_queue(env, 1);
	assert_true(env->fake.dev.queues[1].running);
	fake_ring_add(&env->rings[1], &one_in, 1);
	fake_loop_round(&env->loop);
	assert_int_equal(fake_ring_used_count(&env->rings[1]), 1);
}

static void batch_costs_one_interrupt(void **state)
{
	struct env *env = *state;

	bring_up(env);
	for (unsigned i = 0; i < SIZE; i++)
		fake_ring_add(&env->rings[0], &one_in, 1);
	kick(env, 0);
	assert_int_equal(fake_ring_used_count(&env->rings[0]), SIZE);
	assert_int_equal(env->fake.queue_interrupts[0], 1);
	assert_int_equal(env->fake.dev.queues[0].request_count, SIZE);
	assert_int_equal(env->fake.dev.queues[0].interrupt_count, 1);
}

static void queue_registers_of_an_enabled_queue_are_frozen(void **state)
{
	struct env *env = *state;
	struct virtio_queue *q;

	bring_up(env);
	q = virtio_queue_at(&env->fake.dev, 0);
	virtio_queue_set_size(q, 2);
	virtio_queue_set_addr(q, VIRTIO_QUEUE_DESC, false, 0xdead0000);
	virtio_queue_set_addr(q, VIRTIO_QUEUE_DESC, true, 0xdead0000);
	virtio_queue_set_enabled(q, true);
	assert_int_equal(q->vq.size, SIZE);
	assert_int_equal(q->vq.desc_gpa, env->rings[0].desc_gpa);
	assert_null(virtio_queue_at(&env->fake.dev, FAKE_DEVICE_QUEUES));
	assert_null(virtio_queue_at(&env->fake.dev, UINT32_MAX));
}

static void addresses_are_set_by_halves(void **state)
{
	struct env *env = *state;
	struct virtio_queue *q = virtio_queue_at(&env->fake.dev, 0);

	virtio_queue_set_addr(q, VIRTIO_QUEUE_USED, true, 0x11223344);
	virtio_queue_set_addr(q, VIRTIO_QUEUE_USED, false, 0x55667788);
	assert_int_equal(q->vq.used_gpa, 0x1122334455667788);
	assert_int_equal(virtio_queue_get_addr(q, VIRTIO_QUEUE_USED, true), 0x11223344);
	assert_int_equal(virtio_queue_get_addr(q, VIRTIO_QUEUE_USED, false), 0x55667788);
}

static void queue_of_bad_size_or_place_needs_reset(void **state)
{
	static const uint32_t sizes[] = { 0, 3, SIZE * 2, 0x10000, 0x10000 + SIZE, UINT32_MAX };
	struct env *env = *state;

	for (unsigned i = 0; i < ARRAY_SIZE(sizes); i++) {
		negotiate(env);
		place_queue(env, 0);
		virtio_queue_set_size(virtio_queue_at(&env->fake.dev, 0), sizes[i]);
		virtio_queue_set_enabled(virtio_queue_at(&env->fake.dev, 0), true);
		assert_true(get_status(env) & NEEDS_RESET);
		set_status(env, 0);
	}
	negotiate(env);
	place_queue(env, 0);
	virtio_queue_set_addr(virtio_queue_at(&env->fake.dev, 0), VIRTIO_QUEUE_AVAIL, true, 1);
	virtio_queue_set_enabled(virtio_queue_at(&env->fake.dev, 0), true);
	assert_true(get_status(env) & NEEDS_RESET);
	/* Not even at DRIVER_OK. */
	set_status(env, ACK | DRIVER | FEATURES_OK | DRIVER_OK);
	assert_false(env->fake.dev.queues[0].running);
}

static void lie_in_a_ring_stops_the_device_until_reset(void **state)
{
	struct env *env = *state;

	bring_up(env);
	fake_ring_set_avail_idx(&env->rings[0], 1000);
	kick(env, 0);
	assert_true(get_status(env) & NEEDS_RESET);
	assert_int_equal(env->fake.config_interrupts, 1);
	fake_ring_add(&env->rings[1], &one_in, 1);
	kick(env, 1);
	kick(env, 0);
	assert_int_equal(env->fake.requests, 0);
	assert_int_equal(env->fake.config_interrupts, 1);

	set_status(env, 0);
	assert_int_equal(get_status(env), 0);
	bring_up(env);
	fake_ring_add(&env->rings[0], &one_in, 1);
	kick(env, 0);
	assert_int_equal(env->fake.requests, 1);
}

static void requests_in_flight_complete_after_a_lie(void **state)
{
	struct env *env = *state;

	env->fake.hold = true;
	bring_up(env);
	fake_ring_add(&env->rings[0], &one_in, 1);
	kick(env, 0);
	fake_ring_set_avail_idx(&env->rings[0], 1000);
	kick(env, 0);
	assert_true(get_status(env) & NEEDS_RESET);
	assert_int_equal(fake_device_complete(&env->fake, 0), 1);
	fake_loop_round(&env->loop);
	assert_int_equal(fake_ring_used_count(&env->rings[0]), 1);
}

static void offer_another(struct fake_device *fake, struct virtio_queue *q)
{
	fake_ring_add(&((struct fake_ring *)fake->priv)[q->index], &one_in, 1);
}

static void endless_queue_leaves_the_loop_to_others(void **state)
{
	struct env *env = *state;

	bring_up(env);
	env->fake.on_request = offer_another;
	env->fake.priv = env->rings;
	fake_ring_add(&env->rings[0], &one_in, 1);
	kick(env, 0);
	assert_int_equal(env->fake.requests, 2 * SIZE);
	/* And goes on by itself in the next round. */
	fake_loop_round(&env->loop);
	assert_int_equal(env->fake.requests, 4 * SIZE);
	env->fake.on_request = NULL;
	fake_loop_round(&env->loop);
	assert_int_equal(env->fake.requests, 4 * SIZE + 1);
}

static void request_given_back_is_not_counted(void **state)
{
	struct env *env = *state;

	bring_up(env);
	env->fake.unpop = true;
	fake_ring_add(&env->rings[0], &one_in, 1);
	kick(env, 0);
	assert_int_equal(env->fake.dev.queues[0].inflight, 0);
	assert_int_equal(env->fake.dev.queues[0].request_count, 0);
	env->fake.unpop = false;
	kick(env, 0);
	assert_int_equal(fake_ring_used_count(&env->rings[0]), 1);
}

/* ---- while the loop spins ---- */

/* Queue 0 is up and watched, one request done. */
static void bring_up_watched(struct env *env)
{
	bring_up(env);
	env->loop.spins = true;
	fake_ring_add(&env->rings[0], &one_in, 1);
	kick(env, 0);
	assert_int_equal(fake_ring_used_count(&env->rings[0]), 1);
}

static bool offer_asks_for_a_kick(struct env *env)
{
	return fake_ring_offer(&env->rings[0], fake_ring_chain(&env->rings[0], &one_in, 1));
}

static void spinning_loop_wants_no_kicks(void **state)
{
	struct env *env = *state;

	bring_up_watched(env);
	for (unsigned i = 0; i < 5; i++) {
		assert_false(offer_asks_for_a_kick(env));
		fake_loop_round(&env->loop);
		assert_int_equal(fake_ring_used_count(&env->rings[0]), 2 + i);
	}
	assert_int_equal(env->fake.dev.queues[0].kick_count, 2); /* the start's, and ours */
	assert_false(fake_loop_rest(&env->loop));
	assert_true(offer_asks_for_a_kick(env));
	kick(env, 0);
	assert_int_equal(fake_ring_used_count(&env->rings[0]), 7);
}

static void request_made_as_the_loop_falls_asleep_keeps_it_awake(void **state)
{
	struct env *env = *state;

	bring_up_watched(env);
	assert_false(offer_asks_for_a_kick(env));
	assert_true(fake_loop_rest(&env->loop));
	fake_loop_round(&env->loop);
	assert_int_equal(fake_ring_used_count(&env->rings[0]), 2);
	assert_true(offer_asks_for_a_kick(env));
}

static void reset_ends_watching(void **state)
{
	struct env *env = *state;

	bring_up_watched(env);
	assert_ptr_equal(env->loop.polls, &env->fake.dev.queues[0].poll);
	set_status(env, 0);
	assert_null(env->loop.polls);
	bring_up_watched(env);
}

static void queue_with_spare_requests_is_not_watched_when_it_answers(void **state)
{
	struct env *env = *state;

	env->fake.hold = true;
	bring_up(env);
	fake_ring_add(&env->rings[0], &one_in, 1);
	kick(env, 0);
	env->loop.spins = true;
	fake_ring_add(&env->rings[0], &one_in, 1);
	assert_int_equal(fake_device_complete(&env->fake, 0), 1);
	fake_loop_round(&env->loop);
	assert_int_equal(fake_ring_used_count(&env->rings[0]), 1);
	assert_null(env->loop.polls);
}

static void lie_in_a_watched_ring_ends_watching(void **state)
{
	struct env *env = *state;

	bring_up_watched(env);
	fake_ring_set_avail_idx(&env->rings[0], 0x8000);
	fake_loop_round(&env->loop);
	assert_true(get_status(env) & NEEDS_RESET);
	assert_null(env->loop.polls);
	fake_loop_round(&env->loop);
}

/* ---- reset ---- */

static struct env *waiting_env;
static unsigned waited;

/* The host's I/O completes one round after the other while a reset waits. */
static void complete_one_queue_a_round(struct loop *loop)
{
	(void)loop;
	assert_int_equal(waiting_env->fake.resets, 0); /* not before all is done */
	waited++;
	for (unsigned i = 0; i < FAKE_DEVICE_QUEUES; i++)
		if (fake_device_complete(&waiting_env->fake, i))
			return;
}

static void reset_waits_for_what_is_in_flight(void **state)
{
	struct env *env = *state;

	env->loop.running = true;
	env->loop.while_waiting = complete_one_queue_a_round;
	waiting_env = env;
	waited = 0;
	env->fake.hold = true;
	bring_up(env);
	for (unsigned i = 0; i < 2; i++) {
		fake_ring_add(&env->rings[i], &one_in, 1);
		fake_ring_add(&env->rings[i], &one_in, 1);
		kick(env, i);
	}
	env->fake.resets = 0;
	set_status(env, 0);
	assert_int_equal(env->fake.resets, 1);
	assert_int_equal(env->fake.stops, 3);
	assert_int_equal(waited, 2);
	assert_int_equal(get_status(env), 0);
	for (unsigned i = 0; i < FAKE_DEVICE_QUEUES; i++) {
		assert_false(env->fake.dev.queues[i].running);
		assert_false(env->fake.dev.queues[i].vq.enabled);
		assert_int_equal(env->fake.dev.queues[i].vq.desc_gpa, 0);
		assert_int_equal(env->fake.dev.queues[i].vq.size, SIZE);
	}
	env->loop.running = false;
}

static void stopping_queue_gives_idle_requests_back(void **state)
{
	struct env *env = *state;

	env->loop.running = true; /* and nobody completes anything */
	env->fake.hold = true;
	env->fake.give_back = true;
	bring_up(env);
	fake_ring_add(&env->rings[0], &one_in, 1);
	kick(env, 0);
	set_status(env, 0);
	assert_int_equal(fake_ring_used_count(&env->rings[0]), 1);
	env->loop.running = false;
}

static void reset_gives_up_what_a_dead_loop_will_not_complete(void **state)
{
	struct env *env = *state;

	env->fake.hold = true;
	bring_up(env);
	fake_ring_add(&env->rings[0], &one_in, 1);
	kick(env, 0);
	set_status(env, 0);
	assert_int_equal(env->fake.dev.queues[0].inflight, 0);
	assert_int_equal(get_status(env), 0);
}

static void ring_reset_restarts_one_queue_and_leaves_the_others(void **state)
{
	struct env *env = *state;
	uint32_t head, len;

	bring_up(env);
	fake_ring_add(&env->rings[1], &one_in, 1);
	kick(env, 1);
	pthread_mutex_lock(&env->fake.dev.lock);
	virtio_queue_reset(virtio_queue_at(&env->fake.dev, 0));
	pthread_mutex_unlock(&env->fake.dev.lock);
	assert_false(env->fake.dev.queues[0].running);
	assert_true(env->fake.dev.queues[1].running);
	assert_int_equal(env->fake.resets, 0);
	enable_queue(env, 0);
	fake_ring_add(&env->rings[0], &one_in, 1);
	fake_loop_round(&env->loop);
	assert_true(fake_ring_take(&env->rings[0], &head, &len));
	fake_ring_add(&env->rings[1], &one_in, 1);
	kick(env, 1);
	assert_int_equal(fake_ring_used_count(&env->rings[1]), 2);
}

static void queue_that_cannot_be_watched_needs_reset(void **state)
{
	struct env *env = *state;

	env->loop.refuse_events = true;
	bring_up(env);
	assert_true(get_status(env) & NEEDS_RESET);
	assert_false(env->fake.dev.queues[0].running);
	set_status(env, 0);
}

static void reset_in_any_state_is_harmless(void **state)
{
	struct env *env = *state;

	set_status(env, 0);
	set_status(env, ACK);
	set_status(env, 0);
	negotiate(env);
	set_status(env, 0);
	negotiate(env);
	enable_queue(env, 2);
	virtio_device_reset(&env->fake.dev);
	bring_up(env);
	virtio_device_reset(&env->fake.dev);
	virtio_device_reset(&env->fake.dev);
	/* A kick that was under way finds nobody. */
	kick(env, 0);
	assert_int_equal(env->fake.requests, 0);
	bring_up(env); /* and is torn down running */
}

/* ---- configuration space ---- */

static void config_space_is_bounded(void **state)
{
	struct env *env = *state;
	struct virtio_device *dev = &env->fake.dev;
	uint8_t data[8];

	for (unsigned i = 0; i < FAKE_DEVICE_CONFIG_LEN; i++)
		env->fake.config[i] = (uint8_t)(i + 1);
	memset(data, 0xff, sizeof(data));
	virtio_config_read(dev, 10, data, 8);
	assert_memory_equal(data, "\x0b\x0c\0\0\0\0\0\0", 8);
	memset(data, 0xff, sizeof(data));
	virtio_config_read(dev, 12, data, 4);
	assert_memory_equal(data, "\0\0\0\0", 4);
	virtio_config_read(dev, UINT64_MAX, data, 4);
	virtio_config_read(dev, (1ull << 32) + 4, data, 4);
	assert_memory_equal(data, "\0\0\0\0", 4);
	virtio_config_write(dev, 11, "\x77\x88\x99\xaa", 4);
	virtio_config_write(dev, 12, "\x77\x88\x99\xaa", 4);
	virtio_config_write(dev, UINT64_MAX, "\x77\x88\x99\xaa", 4);
	assert_int_equal(env->fake.config[11], 0x77);
	assert_int_equal(env->fake.config[10], 11);
}

static void config_change_is_a_new_generation_and_an_interrupt(void **state)
{
	struct env *env = *state;
	uint32_t before = virtio_get_config_generation(&env->fake.dev);

	virtio_config_lock(&env->fake.dev);
	env->fake.config[0] = 9;
	virtio_config_changed(&env->fake.dev);
	virtio_config_unlock(&env->fake.dev);
	assert_int_equal(virtio_get_config_generation(&env->fake.dev), before + 1);
	assert_int_equal(env->fake.config_interrupts, 1);
}

static void zeroed_device_can_be_finished(void **state)
{
	struct virtio_device dev = { 0 };

	(void)state;
	virtio_device_fini(&dev);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		T(offered_features_are_the_devices_and_the_cores),
		T(features_not_offered_are_refused),
		T(legacy_driver_is_refused),
		T(features_are_final_once_accepted),
		T(status_bits_are_only_added_and_needs_reset_is_not_the_drivers),
		T(driver_ok_twice_activates_once),
		T(failed_activation_needs_reset_and_starts_nothing),
		T(requests_made_before_driver_ok_are_found),
		T(queue_enabled_after_driver_ok_starts_at_once),
		T(batch_costs_one_interrupt),
		T(queue_registers_of_an_enabled_queue_are_frozen),
		T(addresses_are_set_by_halves),
		T(queue_of_bad_size_or_place_needs_reset),
		T(lie_in_a_ring_stops_the_device_until_reset),
		T(requests_in_flight_complete_after_a_lie),
		T(endless_queue_leaves_the_loop_to_others),
		T(request_given_back_is_not_counted),
		T(spinning_loop_wants_no_kicks),
		T(request_made_as_the_loop_falls_asleep_keeps_it_awake),
		T(reset_ends_watching),
		T(queue_with_spare_requests_is_not_watched_when_it_answers),
		T(lie_in_a_watched_ring_ends_watching),
		T(reset_waits_for_what_is_in_flight),
		T(stopping_queue_gives_idle_requests_back),
		T(reset_gives_up_what_a_dead_loop_will_not_complete),
		T(ring_reset_restarts_one_queue_and_leaves_the_others),
		T(queue_that_cannot_be_watched_needs_reset),
		T(reset_in_any_state_is_harmless),
		T(config_space_is_bounded),
		T(config_change_is_a_new_generation_and_an_interrupt),
		cmocka_unit_test(zeroed_device_can_be_finished),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
