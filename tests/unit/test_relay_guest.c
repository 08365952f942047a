/*
 * The guest's end of the relay on the host: ports are socket pairs, the guest is a process, the
 * test is the monitor.
 */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "vmm/guest/relay_guest.h"
#include "vmm/guest/relay_parse.h"

/* Sanitizers look at each byte, and slowly. */
#if defined(__SANITIZE_THREAD__) || defined(__SANITIZE_ADDRESS__)
#define LONG_LEN (8u << 20)
#else
#define LONG_LEN (64u << 20)
#endif

enum { CONTROL, IN, OUT, ERR, PORTS };

struct env {
	int port[PORTS]; /* the monitor's ends */
	pid_t guest;
	char text[3][65536]; /* what came out of OUT and ERR */
	size_t len[3];
	struct relay_parser parser;
	bool ready;
	int status; /* -1: not told yet */
	char failed[RELAY_PAYLOAD_MAX + 1];
};

static void guest_main(const int port[PORTS], const struct workload *workload)
{
	struct relay_guest relay = { port[CONTROL], port[IN], port[OUT], port[ERR], -1, 0, false };
	char error[128] = "";
	int ret;

	alarm(60);
	ret = relay_guest_run(&relay, workload, error, sizeof(error));
	if (ret < 0)
		relay_guest_fail(&relay, error);
	else
		relay_guest_exit(&relay, ret);
	_exit(0);
}

static void start(struct env *env, struct workload *workload)
{
	static char *plain[] = { "PATH=/usr/bin:/bin", NULL };
	int ends[PORTS];

	if (!workload->envp)
		workload->envp = plain;
	for (int i = 0; i < PORTS; i++) {
		int pair[2];

		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
		env->port[i] = pair[0];
		ends[i] = pair[1];
		fcntl(ends[i], F_SETFL, O_NONBLOCK);
	}
	if (workload->terminal) {
		close(ends[OUT]);
		ends[OUT] = fcntl(ends[IN], F_DUPFD_CLOEXEC, 3);
	}
	env->guest = fork();
	if (env->guest == 0) {
		for (int i = 0; i < PORTS; i++)
			close(env->port[i]);
		guest_main(ends, workload);
	}
	for (int i = 0; i < PORTS; i++)
		close(ends[i]);
}

static void start_shell(struct env *env, const char *script)
{
	char *argv[] = { "sh", "-c", (char *)(uintptr_t)script, NULL };
	struct workload workload = { .argv = argv };

	start(env, &workload);
}

static int setup(void **state)
{
	struct env *env = calloc(1, sizeof(*env));

	signal(SIGPIPE, SIG_IGN);
	relay_parser_init(&env->parser, RELAY_TO_MONITOR);
	env->status = -1;
	for (int i = 0; i < PORTS; i++)
		env->port[i] = -1;
	*state = env;
	return 0;
}

static int teardown(void **state)
{
	struct env *env = *state;

	for (int i = 0; i < PORTS; i++)
		if (env->port[i] >= 0)
			close(env->port[i]);
	if (env->guest > 0) {
		kill(env->guest, SIGKILL);
		waitpid(env->guest, NULL, 0);
	}
	free(env);
	return 0;
}

static void take_control(struct env *env, const uint8_t *data, size_t len)
{
	struct relay_message message;
	size_t used;
	int ret;

	do {
		ret = relay_parse(&env->parser, data, len, &used, &message);
		data += used;
		len -= used;
		assert_true(ret >= 0);
		if (ret > 0 && message.type == RELAY_READY)
			env->ready = true;
		if (ret > 0 && message.type == RELAY_EXIT)
			env->status = (int)relay_get32(message.payload);
		if (ret > 0 && message.type == RELAY_FAILED)
			memcpy(env->failed, message.payload, message.len);
	} while (ret > 0);
}

/* Takes what comes next on any port that speaks; 20 s at most. */
static void take(struct env *env)
{
	struct pollfd fds[PORTS];
	uint8_t bytes[4096];

	for (int i = 0; i < PORTS; i++)
		fds[i] = (struct pollfd){ .fd = env->port[i], .events = POLLIN };
	assert_true(poll(fds, PORTS, 20000) > 0);
	for (int i = 0; i < PORTS; i++) {
		ssize_t len;

		if (!fds[i].revents)
			continue;
		len = read(env->port[i], bytes, sizeof(bytes));
		if (len <= 0) {
			close(env->port[i]);
			env->port[i] = -1;
		} else if (i == CONTROL) {
			take_control(env, bytes, (size_t)len);
		} else {
			/* A terminal speaks where it listens. */
			int which = i == ERR ? 1 : 0;

			assert_true(env->len[which] + (size_t)len < sizeof(env->text[0]));
			memcpy(env->text[which] + env->len[which], bytes, (size_t)len);
			env->len[which] += (size_t)len;
		}
	}
}

static void wait_end(struct env *env)
{
	while (env->status < 0 && !env->failed[0] && env->port[CONTROL] >= 0)
		take(env);
	/* The word came after everything else: what else there is is there. */
	for (int i = IN; i < PORTS; i++)
		while (env->port[i] >= 0 &&
		       poll(&(struct pollfd){ .fd = env->port[i], .events = POLLIN }, 1, 0) > 0)
			take(env);
}

static void wait_text(struct env *env, const char *text)
{
	while (!strstr(env->text[0], text) && env->port[CONTROL] >= 0)
		take(env);
	assert_non_null(strstr(env->text[0], text));
}

static void tell(struct env *env, uint8_t type, uint16_t low, uint16_t high)
{
	uint8_t payload[4], message[RELAY_MESSAGE_MAX];
	size_t len;

	relay_put16(payload, low);
	relay_put16(payload + 2, high);
	len = relay_encode(message, type, payload, sizeof(payload));
	assert_int_equal(write(env->port[CONTROL], message, len), len);
}

/* ---- status ---- */

static void status_is_the_commands(void **state)
{
	struct env *env = *state;

	start_shell(env, "exit 7");
	wait_end(env);
	assert_true(env->ready);
	assert_int_equal(env->status, 7);
}

static void signal_is_128_and_its_number(void **state)
{
	struct env *env = *state;

	start_shell(env, "kill -11 $$");
	wait_end(env);
	assert_int_equal(env->status, 128 + 11);
}

static void missing_command_is_127_and_says_so(void **state)
{
	struct env *env = *state;
	char *argv[] = { "no-such-command", NULL };
	struct workload workload = { .argv = argv };

	start(env, &workload);
	wait_end(env);
	assert_int_equal(env->status, 127);
	assert_non_null(strstr(env->text[1], "no-such-command: No such file"));
}

static void what_is_no_program_is_126(void **state)
{
	struct env *env = *state;
	char *argv[] = { "/etc/passwd", NULL };
	struct workload workload = { .argv = argv };

	start(env, &workload);
	wait_end(env);
	assert_int_equal(env->status, 126);
}

static void directory_and_environment_are_given(void **state)
{
	struct env *env = *state;
	char *argv[] = { "sh", "-c", "echo $PWD $WORD; env | wc -l", NULL };
	char *envp[] = { "PATH=/nowhere::/usr/bin:/bin", "WORD=said", NULL };
	struct workload workload = { .argv = argv, .envp = envp, .cwd = "/usr" };

	start(env, &workload);
	wait_end(env);
	assert_int_equal(env->status, 0);
	assert_non_null(strstr(env->text[0], "/usr said\n"));
}

static void missing_directory_is_ours(void **state)
{
	struct env *env = *state;
	char *argv[] = { "true", NULL };
	struct workload workload = { .argv = argv, .cwd = "/no/such/place" };

	start(env, &workload);
	wait_end(env);
	assert_int_equal(env->status, 125);
	assert_non_null(strstr(env->text[1], "/no/such/place"));
}

/* ---- streams ---- */

static uint8_t long_byte(uint32_t at)
{
	return (uint8_t)((at * 2654435761u) >> 13);
}

static void *write_long(void *opaque)
{
	struct env *env = opaque;
	static uint8_t block[65536];

	for (uint32_t at = 0; at < LONG_LEN; at += sizeof(block)) {
		for (uint32_t i = 0; i < sizeof(block); i++)
			block[i] = long_byte(at + i);
		for (size_t done = 0; done < sizeof(block);) {
			ssize_t len = write(env->port[IN], block + done, sizeof(block) - done);

			if (len < 0)
				return NULL;
			done += (size_t)len;
		}
	}
	shutdown(env->port[IN], SHUT_WR);
	return NULL;
}

static void long_way_is_carried_and_error_stays_apart(void **state)
{
	struct env *env = *state;
	static uint8_t block[65536];
	uint32_t got = 0, wrong = 0;
	pthread_t writer;

	start_shell(env, "echo apart >&2; cat; echo done >&2; exit 3");
	pthread_create(&writer, NULL, write_long, env);
	while (got < LONG_LEN) {
		ssize_t len = read(env->port[OUT], block, sizeof(block));

		assert_true(len > 0);
		for (ssize_t i = 0; i < len; i++, got++)
			wrong += block[i] != long_byte(got);
	}
	pthread_join(writer, NULL);
	wait_end(env);
	assert_int_equal(wrong, 0);
	assert_int_equal(got, LONG_LEN);
	assert_int_equal(env->len[0], 0);
	assert_string_equal(env->text[1], "apart\ndone\n");
	assert_int_equal(env->status, 3);
}

static void end_of_input_is_passed_on(void **state)
{
	struct env *env = *state;

	start_shell(env, "wc -c");
	assert_int_equal(write(env->port[IN], "12345", 5), 5);
	shutdown(env->port[IN], SHUT_WR);
	wait_end(env);
	assert_string_equal(env->text[0], "5\n");
}

static void input_that_nobody_reads_holds_nothing_up(void **state)
{
	struct env *env = *state;
	static uint8_t block[100000];

	fcntl(env->port[IN], F_SETFL, O_NONBLOCK);
	start_shell(env, "sleep 0.2; exit 4");
	assert_true(write(env->port[IN], block, sizeof(block)) > 0);
	wait_end(env);
	assert_int_equal(env->status, 4);
}

static void all_output_comes_before_the_end(void **state)
{
	struct env *env = *state;

	start_shell(env, "i=0; while [ $i -lt 5000 ]; do echo $i; i=$((i+1)); done");
	/* Not read until the guest has nowhere to put it. */
	usleep(200000);
	wait_end(env);
	assert_int_equal(env->status, 0);
	assert_int_equal(env->len[0], 10 * 2 + 90 * 3 + 900 * 4 + 4000 * 5);
	assert_non_null(strstr(env->text[0], "\n4999\n"));
}

static void closed_output_breaks_the_commands_pipe(void **state)
{
	struct env *env = *state;

	start_shell(env, "yes; exit $?");
	wait_text(env, "y\n");
	close(env->port[OUT]);
	env->port[OUT] = -1;
	wait_end(env);
	assert_int_equal(env->status, 128 + SIGPIPE);
}

static void what_is_left_behind_does_not_keep_it(void **state)
{
	struct env *env = *state;

	start_shell(env, "sleep 100 & echo started; exit 5");
	wait_end(env);
	assert_int_equal(env->status, 5);
	assert_string_equal(env->text[0], "started\n");
}

/* ---- signals ---- */

static void signals_reach_the_command(void **state)
{
	struct env *env = *state;

	start_shell(env, "trap 'echo term; exit 9' TERM; trap 'echo int' INT; echo set;"
			 "while :; do sleep 0.05; done");
	wait_text(env, "set\n");
	tell(env, RELAY_SIGNAL, SIGINT, 0);
	wait_text(env, "int\n");
	tell(env, RELAY_SIGNAL, SIGTERM, 0);
	wait_end(env);
	assert_int_equal(env->status, 9);
}

static void signal_without_a_trap_ends_the_command(void **state)
{
	struct env *env = *state;

	start_shell(env, "echo set; sleep 100");
	wait_text(env, "set\n");
	tell(env, RELAY_SIGNAL, SIGTERM, 0);
	wait_end(env);
	assert_int_equal(env->status, 128 + SIGTERM);
}

static void nonsense_from_the_monitor_is_not_listened_to(void **state)
{
	struct env *env = *state;

	start_shell(env, "echo set; read word; exit 6");
	wait_text(env, "set\n");
	assert_int_equal(write(env->port[CONTROL], "nonsense", 8), 8);
	assert_int_equal(write(env->port[IN], "go\n", 3), 3);
	wait_end(env);
	assert_int_equal(env->status, 6);
}

/* ---- terminal ---- */

static void start_terminal(struct env *env, const char *script)
{
	char *argv[] = { "sh", "-c", (char *)(uintptr_t)script, NULL };
	struct workload workload = {
		.argv = argv,
		.terminal = true,
		.columns = 91,
		.rows = 33,
		.uid = getuid(),
		.gid = getgid(),
	};

	start(env, &workload);
}

static void terminal_is_one_and_has_a_size(void **state)
{
	struct env *env = *state;

	start_terminal(env,
		       "test -t 0 && test -t 1 && test -t 2 && stty size; : </dev/tty && echo own");
	wait_end(env);
	assert_int_equal(env->status, 0);
	assert_non_null(strstr(env->text[0], "33 91\r\n"));
	assert_non_null(strstr(env->text[0], "own\r\n"));
}

static void terminal_is_resized(void **state)
{
	struct env *env = *state;

	start_terminal(env,
		       "trap 'stty size; exit 0' WINCH; echo set; while :; do sleep 0.05; done");
	wait_text(env, "set");
	tell(env, RELAY_RESIZE, 120, 40);
	wait_end(env);
	assert_non_null(strstr(env->text[0], "40 120\r\n"));
}

static void typed_interrupt_is_a_signal(void **state)
{
	struct env *env = *state;

	start_terminal(env,
		       "trap 'echo caught; exit 8' INT; echo set; while :; do sleep 0.05; done");
	wait_text(env, "set");
	assert_int_equal(write(env->port[IN], "\003", 1), 1);
	wait_end(env);
	assert_int_equal(env->status, 8);
}

static void terminal_that_goes_hangs_up(void **state)
{
	struct env *env = *state;

	start_terminal(env, "echo set; cat >/dev/null; sleep 100");
	wait_text(env, "set");
	shutdown(env->port[IN], SHUT_WR);
	wait_end(env);
	assert_int_equal(env->status, 128 + SIGHUP);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(status_is_the_commands),
		TEST(signal_is_128_and_its_number),
		TEST(missing_command_is_127_and_says_so),
		TEST(what_is_no_program_is_126),
		TEST(directory_and_environment_are_given),
		TEST(missing_directory_is_ours),
		TEST(long_way_is_carried_and_error_stays_apart),
		TEST(end_of_input_is_passed_on),
		TEST(input_that_nobody_reads_holds_nothing_up),
		TEST(all_output_comes_before_the_end),
		TEST(closed_output_breaks_the_commands_pipe),
		TEST(what_is_left_behind_does_not_keep_it),
		TEST(signals_reach_the_command),
		TEST(signal_without_a_trap_ends_the_command),
		TEST(nonsense_from_the_monitor_is_not_listened_to),
		TEST(terminal_is_one_and_has_a_size),
		TEST(terminal_is_resized),
		TEST(typed_interrupt_is_a_signal),
		TEST(terminal_that_goes_hangs_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
