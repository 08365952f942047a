/*
 * Queues under real loops, of both engines, while vCPU threads drive, reset and race: run under
 * ThreadSanitizer as well.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "devices/virtio/virtio.h"
#include "tests/support/fake_driver.h"

#define MEM_LEN	 0x20000ull
#define DATA_GPA 0x10000ull
#define SIZE	 16
#define QUEUES	 2

/* A device whose requests are reads of /dev/zero: real operations that are in flight for a while.
 */
struct zero_device {
	struct virtio_device dev;
	int fd;
	struct zero_request {
		struct loop_op op;
		struct iovec iov;
		struct virtio_queue *q;
		uint16_t head;
		bool busy;
	} requests[QUEUES][SIZE];
	unsigned interrupts; /* atomic */
};

struct env {
	struct guest_mem mem;
	struct loop *loops[QUEUES]; /* may be the same */
	pthread_t threads[QUEUES];
	unsigned loop_count;
	struct zero_device zero;
	struct fake_ring rings[QUEUES];
};

static void zero_done(struct loop_op *op, int64_t result)
{
	struct zero_request *request = container_of(op, struct zero_request, op);

	request->busy = false;
	virtio_queue_push(request->q, request->head, result < 0 ? 0 : (uint32_t)result);
}

static void zero_kick(struct virtio_queue *q)
{
	struct zero_device *zero = container_of(q->dev, struct zero_device, dev);
	struct virtqueue_chain chain;
	struct iovec iov[SIZE];

	while (virtio_queue_pop(q, iov, SIZE, &chain) > 0) {
		struct zero_request *request = &zero->requests[q->index][chain.head];

		assert_false(request->busy);
		*request = (struct zero_request){ .op.done = zero_done,
						  .iov = iov[0],
						  .q = q,
						  .head = chain.head,
						  .busy = true };
		if (loop_readv(q->loop, &request->op, zero->fd, &request->iov, 1, 0) < 0) {
			request->busy = false;
			virtio_queue_push(q, chain.head, 0);
		}
	}
}

static void zero_reset(struct virtio_device *dev)
{
	struct zero_device *zero = container_of(dev, struct zero_device, dev);

	for (unsigned i = 0; i < QUEUES; i++)
		for (unsigned j = 0; j < SIZE; j++)
			assert_false(zero->requests[i][j].busy);
}

static const struct virtio_device_ops zero_ops = {
	.name = "zero",
	.device_id = 42,
	.queue_kick = zero_kick,
	.reset = zero_reset,
};

static void count_interrupt(struct virtio_device *dev, uint16_t queue_index)
{
	struct zero_device *zero = container_of(dev, struct zero_device, dev);

	(void)queue_index;
	__atomic_fetch_add(&zero->interrupts, 1, __ATOMIC_RELAXED);
}

static void ignore_config(struct virtio_device *dev)
{
	(void)dev;
}

static const struct virtio_transport_ops transport = {
	.interrupt_queue = count_interrupt,
	.interrupt_config = ignore_config,
};

static void *run_loop(void *arg)
{
	return (void *)(intptr_t)loop_run(arg);
}

static int start(void **state, enum loop_engine engine, unsigned loop_count)
{
	struct env *env = calloc(1, sizeof(*env));
	const struct loop_options options = { .engine = engine };

	*state = env;
	env->loop_count = loop_count;
	for (unsigned i = 0; i < loop_count; i++)
		if (loop_create(&env->loops[i], &options) < 0)
			return -1;
	if (guest_mem_add(&env->mem, 0, MEM_LEN) < 0 ||
	    virtio_device_init(&env->zero.dev, &zero_ops, &env->mem, env->loops[0], 0, QUEUES,
			       SIZE) < 0)
		return -1;
	for (unsigned i = 0; i < loop_count; i++)
		env->zero.dev.queues[i].loop = env->loops[i];
	env->zero.fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	virtio_device_attach(&env->zero.dev, &transport);
	for (unsigned i = 0; i < loop_count; i++)
		pthread_create(&env->threads[i], NULL, run_loop, env->loops[i]);
	return 0;
}

static int setup_uring(void **state)
{
	return start(state, LOOP_ENGINE_AUTO, 1);
}

static int setup_epoll(void **state)
{
	return start(state, LOOP_ENGINE_EPOLL, 1);
}

static int setup_two_loops(void **state)
{
	return start(state, LOOP_ENGINE_AUTO, 2);
}

static int teardown(void **state)
{
	struct env *env = *state;

	virtio_device_fini(&env->zero.dev);
	for (unsigned i = 0; i < env->loop_count; i++) {
		loop_stop(env->loops[i]);
		pthread_join(env->threads[i], NULL);
		loop_destroy(env->loops[i]);
	}
	close(env->zero.fd);
	guest_mem_fini(&env->mem);
	free(env);
	return 0;
}

static void set_status(struct env *env, uint32_t status)
{
	pthread_mutex_lock(&env->zero.dev.lock);
	virtio_set_status(&env->zero.dev, status);
	pthread_mutex_unlock(&env->zero.dev.lock);
}

static void enable_queue(struct env *env, unsigned index)
{
	struct virtio_queue *q = virtio_queue_at(&env->zero.dev, index);
	struct fake_ring *ring = &env->rings[index];

	fake_ring_init(ring, &env->mem, 0x1000ull * (index + 1), SIZE);
	ring->event_idx = true;
	pthread_mutex_lock(&env->zero.dev.lock);
	virtio_queue_set_size(q, SIZE);
	virtio_queue_set_addr(q, VIRTIO_QUEUE_DESC, false, (uint32_t)ring->desc_gpa);
	virtio_queue_set_addr(q, VIRTIO_QUEUE_AVAIL, false, (uint32_t)ring->avail_gpa);
	virtio_queue_set_addr(q, VIRTIO_QUEUE_USED, false, (uint32_t)ring->used_gpa);
	virtio_queue_set_enabled(q, true);
	pthread_mutex_unlock(&env->zero.dev.lock);
}

static void bring_up(struct env *env)
{
	pthread_mutex_lock(&env->zero.dev.lock);
	virtio_set_features(&env->zero.dev, 0, virtio_get_features(&env->zero.dev, 0));
	virtio_set_features(&env->zero.dev, 1, virtio_get_features(&env->zero.dev, 1));
	pthread_mutex_unlock(&env->zero.dev.lock);
	set_status(env, 11);
	for (unsigned i = 0; i < QUEUES; i++)
		enable_queue(env, i);
	set_status(env, 15);
}

static void kick(struct env *env, unsigned index)
{
	uint64_t one = 1;

	assert_int_equal(write(env->zero.dev.queues[index].kick_fd, &one, sizeof(one)),
			 sizeof(one));
}

/* Offers COUNT requests in bursts, kicking only when asked, and waits for each burst's answers. */
static void do_requests(struct env *env, unsigned index, unsigned count)
{
	struct fake_ring *ring = &env->rings[index];
	const struct fake_part part = { DATA_GPA + 0x1000 * index, 512, true };

	while (count) {
		unsigned burst = count < 7 ? count : 7, done = 0;
		struct timespec pause = { .tv_nsec = 1000 };
		uint32_t head, len;

		for (unsigned i = 0; i < burst; i++)
			if (fake_ring_offer(ring, fake_ring_chain(ring, &part, 1)))
				kick(env, index);
		for (unsigned tries = 0; done < burst; tries++) {
			assert_true(tries < 5000000);
			if (!fake_ring_take(ring, &head, &len)) {
				nanosleep(&pause, NULL);
				continue;
			}
			assert_int_equal(len, 512);
			done++;
		}
		count -= burst;
	}
}

static void no_request_or_kick_is_lost(void **state)
{
	struct env *env = *state;

	bring_up(env);
	do_requests(env, 0, 1000);
	do_requests(env, 1, 1000);
}

static void reset_at_any_moment_leaves_nothing_in_flight(void **state)
{
	struct env *env = *state;
	const struct fake_part part = { DATA_GPA, 512, true };

	for (unsigned round = 0; round < 100; round++) {
		struct timespec pause = { .tv_nsec = (round * 977) % 50000 };

		bring_up(env);
		for (unsigned i = 0; i < QUEUES; i++) {
			for (unsigned j = 0; j < SIZE; j++)
				fake_ring_add(&env->rings[i], &part, 1);
			kick(env, i);
		}
		if (round & 1)
			nanosleep(&pause, NULL);
		set_status(env, 0);
		assert_int_equal(virtio_get_status(&env->zero.dev), 0);
	}
	bring_up(env);
	do_requests(env, 0, 20);
}

static void one_queue_restarts_while_the_other_works(void **state)
{
	struct env *env = *state;

	bring_up(env);
	for (unsigned round = 0; round < 50; round++) {
		do_requests(env, 0, 3);
		pthread_mutex_lock(&env->zero.dev.lock);
		virtio_queue_reset(virtio_queue_at(&env->zero.dev, 0));
		pthread_mutex_unlock(&env->zero.dev.lock);
		do_requests(env, 1, 3);
		enable_queue(env, 0);
	}
}

static void *reset_and_restart(void *arg)
{
	struct env *env = arg;

	for (unsigned i = 0; i < 100; i++) {
		set_status(env, i & 1 ? 15 : 0);
		kick(env, i & 1);
		virtio_device_needs_reset(&env->zero.dev, "test");
	}
	return NULL;
}

/* Rings are not touched by the racing threads: it is registers and kicks that race. */
static void vcpus_racing_on_registers_do_no_harm(void **state)
{
	struct env *env = *state;
	pthread_t racers[3];

	bring_up(env);
	for (unsigned i = 0; i < 3; i++)
		pthread_create(&racers[i], NULL, reset_and_restart, env);
	for (unsigned i = 0; i < 3; i++)
		pthread_join(racers[i], NULL);
	set_status(env, 0);
	bring_up(env);
	do_requests(env, 0, 20);
}

static void device_ends_while_its_loop_runs(void **state)
{
	struct env *env = *state;
	const struct fake_part part = { DATA_GPA, 512, true };

	bring_up(env);
	for (unsigned j = 0; j < SIZE; j++)
		fake_ring_add(&env->rings[0], &part, 1);
	kick(env, 0);
}

/*
 * The guest's buffers overlap here on purpose, so that two requests of the pool write the same
 * bytes: that race is the guest's own.
 */
const char *__tsan_default_suppressions(void);

const char *__tsan_default_suppressions(void)
{
	return "race:run_once\n";
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define T(name)                                                                                    \
	{ #name " (io_uring)", name, setup_uring, teardown, NULL },                                \
		{ #name " (epoll)", name, setup_epoll, teardown, NULL },                           \
		{ #name " (two loops)", name, setup_two_loops, teardown, NULL }
		T(no_request_or_kick_is_lost),
		T(reset_at_any_moment_leaves_nothing_in_flight),
		T(one_queue_restarts_while_the_other_works),
		T(vcpus_racing_on_registers_do_no_harm),
		T(device_ends_while_its_loop_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
