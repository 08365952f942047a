/* The monitor's end of the relay between a guest that the test plays and pipes. */
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "devices/char/char.h"
#include "vmm/boundary/relay.h"
#include "vmm/guest/keep.h"
#include "vmm/guest/relay_parse.h"
#include "vmm/log.h"

#define MS 1000000ull

enum { CONTROL, IN, OUT, ERR };

struct env {
	struct loop *loop;
	struct loop_timer limit;
	struct end end;
	struct timeline timeline;
	struct relay *relay;
	const struct run_owner *owner;
	int in[2], out[2], err[2];
	/* The guest's side of the control port. */
	bool open;
	struct relay_parser parser;
	struct relay_message heard[128];
	unsigned heard_count;
	unsigned undrained; /* times that output says that it has more */
};

static size_t control_input(void *front, const uint8_t *data, size_t len)
{
	struct env *env = front;
	size_t done = 0, used;

	if (!env->open)
		return 0;
	while (relay_parse(&env->parser, data + done, len - done, &used,
			   &env->heard[env->heard_count]) > 0) {
		done += used;
		env->heard_count++;
	}
	assert_false(env->parser.broken);
	return len;
}

static bool out_drain(void *front)
{
	struct env *env = front;

	if (env->undrained)
		env->undrained--;
	return !env->undrained;
}

static const struct char_front_ops control_front = { .input = control_input };
static const struct char_front_ops out_front = { .drain = out_drain };

static struct char_port *port(struct env *env, unsigned index)
{
	return env->owner->ports.port[index].port;
}

static int setup(void **state)
{
	struct env *env = calloc(1, sizeof(*env));
	struct loop_options options = { .engine = LOOP_ENGINE_AUTO };
	struct relay_options relay = { .memory_len = 128u << 20 };

	signal(SIGPIPE, SIG_IGN);
	timeline_init(&env->timeline);
	assert_int_equal(pipe2(env->in, O_CLOEXEC) | pipe2(env->out, O_CLOEXEC) |
				 pipe2(env->err, O_CLOEXEC),
			 0);
	relay.in_fd = env->in[0];
	relay.out_fd = env->out[1];
	relay.err_fd = env->err[1];
	assert_int_equal(loop_create(&env->loop, &options), 0);
	end_init(&env->end, env->loop);
	assert_int_equal(relay_create(&env->relay, &relay), 0);
	env->owner = relay_owner(env->relay);
	assert_int_equal(env->owner->ports.count, 4);
	assert_int_equal(
		env->owner->attach(env->owner->opaque, env->loop, &env->end, &env->timeline), 0);
	port(env, CONTROL)->front = env;
	port(env, CONTROL)->front_ops = &control_front;
	port(env, OUT)->front = env;
	port(env, OUT)->front_ops = &out_front;
	relay_parser_init(&env->parser, RELAY_TO_GUEST);
	env->open = true;
	*state = env;
	return 0;
}

static int teardown(void **state)
{
	struct env *env = *state;

	env->owner->detach(env->owner->opaque);
	relay_destroy(env->relay);
	end_fini(&env->end);
	loop_destroy(env->loop);
	for (int i = 0; i < 2; i++) {
		close(env->in[i]);
		close(env->out[i]);
		close(env->err[i]);
	}
	free(env);
	return 0;
}

static void say_bytes(struct env *env, const void *data, size_t len)
{
	assert_int_equal(char_write(port(env, CONTROL), data, len), len);
}

static void say_exit(struct env *env, uint32_t status, uint32_t flags)
{
	uint8_t payload[8], message[RELAY_MESSAGE_MAX];

	relay_put32(payload, status);
	relay_put32(payload + 4, flags);
	say_bytes(env, message, relay_encode(message, RELAY_EXIT, payload, sizeof(payload)));
}

static void on_limit(struct loop_timer *timer)
{
	loop_stop(container_of(timer, struct env, limit)->loop);
}

/* Runs the loop until the machine's end is said, or for that long. */
static bool run(struct env *env, uint64_t ms)
{
	env->limit.fn = on_limit;
	loop_timer_arm(env->loop, &env->limit, loop_now_ns() + ms * MS);
	assert_int_equal(loop_run(env->loop), 0);
	loop_timer_disarm(env->loop, &env->limit);
	return end_said(&env->end);
}

static void expect_end(struct env *env, int status)
{
	assert_true(run(env, 10000));
	assert_int_equal(end_kind(&env->end), END_STATUS);
	assert_int_equal(env->end.status, status);
}

static void ports_have_the_protocols_names(void **state)
{
	struct env *env = *state;
	static const char *const names[] = { RELAY_PORT_CONTROL, RELAY_PORT_STDIN,
					     RELAY_PORT_STDOUT, RELAY_PORT_STDERR };

	for (unsigned i = 0; i < 4; i++)
		assert_string_equal(env->owner->ports.port[i].name, names[i]);
}

/* What the command wrote has a port where somebody wants it. */
static void what_is_kept_has_a_port(void **state)
{
	struct env *env = *state;
	struct relay_options options = { .in_fd = -1,
					 .out_fd = -1,
					 .err_fd = env->err[1],
					 .keeps = true,
					 .keep_fd = env->out[1] };
	const struct machine_ports *ports;
	struct relay *relay;

	assert_int_equal(relay_create(&relay, &options), 0);
	assert_false(relay_has_started(relay));
	ports = &relay_owner(relay)->ports;
	assert_int_equal(ports->count, MACHINE_PORTS_MAX);
	assert_string_equal(ports->port[1].name, KEEP_PORT);
	relay_destroy(relay);
}

static void status_ends_the_machine(void **state)
{
	struct env *env = *state;

	say_exit(env, 7, 0);
	expect_end(env, 7);
}

static void first_status_counts(void **state)
{
	struct env *env = *state;

	env->undrained = 3;
	say_exit(env, 7, 0);
	say_exit(env, 8, 0);
	expect_end(env, 7);
}

static void want_of_memory_keeps_the_status(void **state)
{
	struct env *env = *state;

	say_exit(env, 137, RELAY_EXIT_OUT_OF_MEMORY);
	expect_end(env, 137);
}

static void output_is_out_before_the_end(void **state)
{
	struct env *env = *state;
	static uint8_t block[32768];
	size_t put = 0, got = 0, part;

	while ((part = char_write(port(env, OUT), block, sizeof(block))) > 0)
		put += part;
	assert_true(char_write(port(env, OUT), block, 100) == 100); /* gathered behind it */
	put += 100;
	say_exit(env, 3, 0);
	assert_false(run(env, 100));
	while (got < put) {
		ssize_t len = read(env->out[0], block, sizeof(block));

		assert_true(len > 0);
		got += (size_t)len;
		if (got < put && put - got <= 100)
			assert_true(run(env, 10000));
	}
	expect_end(env, 3);
}

static void what_the_guest_still_holds_is_waited_for(void **state)
{
	struct env *env = *state;

	env->undrained = 5;
	say_exit(env, 4, 0);
	assert_false(end_said(&env->end));
	expect_end(env, 4);
	assert_int_equal(env->undrained, 0);
}

static void failure_is_ours(void **state)
{
	struct env *env = *state;
	uint8_t message[RELAY_MESSAGE_MAX];

	say_bytes(env, message, relay_encode(message, RELAY_FAILED, "no root", 7));
	expect_end(env, EXIT_STATUS_HOST);
}

static void nonsense_ends_the_machine(void **state)
{
	struct env *env = *state;

	say_bytes(env, "nonsense", 8);
	say_exit(env, 0, 0);
	expect_end(env, EXIT_STATUS_HOST);
}

static void switched_off_machine_has_failed(void **state)
{
	struct env *env = *state;

	assert_int_equal(env->owner->ended(env->owner->opaque), EXIT_STATUS_HOST);
	env->undrained = 100;
	say_exit(env, 6, 0);
	assert_int_equal(env->owner->ended(env->owner->opaque), 6);
}

static void signals_are_told_with_their_numbers(void **state)
{
	struct env *env = *state;
	static const int signals[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2 };

	for (unsigned i = 0; i < ARRAY_SIZE(signals); i++)
		assert_true(env->owner->signal(env->owner->opaque, signals[i]));
	assert_int_equal(env->heard_count, ARRAY_SIZE(signals));
	for (unsigned i = 0; i < ARRAY_SIZE(signals); i++) {
		assert_int_equal(env->heard[i].type, RELAY_SIGNAL);
		assert_int_equal(relay_get32(env->heard[i].payload), signals[i]);
	}
}

/* However many there are while the guest boots: the first are kept. */
static void signals_wait_for_a_guest_that_boots(void **state)
{
	struct env *env = *state;

	env->open = false;
	for (int i = 0; i < 1000; i++)
		assert_true(env->owner->signal(env->owner->opaque, i ? SIGUSR1 : SIGTERM));
	env->open = true;
	char_input_ready(port(env, CONTROL));
	assert_in_range(env->heard_count, 8, ARRAY_SIZE(env->heard));
	assert_int_equal(relay_get32(env->heard[0].payload), SIGTERM);
	assert_int_equal(relay_get32(env->heard[7].payload), SIGUSR1);
}

static void size_is_only_for_terminals(void **state)
{
	struct env *env = *state;
	uint16_t columns, rows;

	assert_true(env->owner->signal(env->owner->opaque, SIGWINCH));
	assert_int_equal(env->heard_count, 0);
	assert_false(relay_get_size(env->relay, &columns, &rows));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ports_have_the_protocols_names),
		TEST(what_is_kept_has_a_port),
		TEST(status_ends_the_machine),
		TEST(first_status_counts),
		TEST(want_of_memory_keeps_the_status),
		TEST(output_is_out_before_the_end),
		TEST(what_the_guest_still_holds_is_waited_for),
		TEST(failure_is_ours),
		TEST(nonsense_ends_the_machine),
		TEST(switched_off_machine_has_failed),
		TEST(signals_are_told_with_their_numbers),
		TEST(signals_wait_for_a_guest_that_boots),
		TEST(size_is_only_for_terminals),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
