/*
 * The console hub against pipes, files and pseudo-terminals, on both loop engines.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>

#include "devices/char/char_hub.h"
#include "devices/char/char_lines.h"
#include "vmm/log.h"

static enum loop_engine engine;

struct front {
	uint8_t got[256];
	size_t len;
	size_t room;
	unsigned writable_count;
	uint16_t columns, rows;
};

struct fixture {
	struct char_hub *hub;
	struct loop *loop;
	struct char_port *serial;
	struct char_port *virtio;
	int in[2];  /* what is typed is written to [1] */
	int out[2]; /* what is shown is read from [0] */
	struct front serial_front;
	struct front virtio_front;
	struct loop_timer stop;
	unsigned quits, closes, panics;
};

static size_t front_input(void *opaque, const uint8_t *data, size_t len)
{
	struct front *front = opaque;

	if (len > front->room)
		len = front->room;
	memcpy(front->got + front->len, data, len);
	front->len += len;
	front->room -= len;
	return len;
}

static void front_writable(void *opaque)
{
	struct front *front = opaque;

	front->writable_count++;
}

static void front_resize(void *opaque, uint16_t columns, uint16_t rows)
{
	struct front *front = opaque;

	front->columns = columns;
	front->rows = rows;
}

static const struct char_front_ops front_ops = {
	.input = front_input,
	.writable = front_writable,
	.resize = front_resize,
};

static void on_quit(void *opaque)
{
	((struct fixture *)opaque)->quits++;
}

static void on_closed(void *opaque)
{
	((struct fixture *)opaque)->closes++;
}

static void on_panic(void *opaque)
{
	((struct fixture *)opaque)->panics++;
}

static void on_stop(struct loop_timer *timer)
{
	loop_stop(container_of(timer, struct fixture, stop)->loop);
}

/* Lets the loop work for MS milliseconds. */
static void run(struct fixture *f, unsigned ms)
{
	f->stop.fn = on_stop;
	loop_timer_arm(f->loop, &f->stop, loop_now_ns() + ms * 1000000ull);
	assert_int_equal(loop_run(f->loop), 0);
}

static void start(struct fixture *f, struct char_hub_options options)
{
	struct loop_options loop_options = { .engine = engine, .entries = 16 };

	options.quit = on_quit;
	options.closed = on_closed;
	options.panicked = on_panic;
	options.opaque = f;
	assert_int_equal(char_hub_create(&f->hub, &options), 0);
	assert_int_equal(loop_create(&f->loop, &loop_options), 0);
	assert_int_equal(char_hub_attach(f->hub, f->loop), 0);
	f->serial = char_hub_serial_port(f->hub);
	f->virtio = char_hub_virtio_port(f->hub);
	f->serial->front_ops = &front_ops;
	f->serial->front = &f->serial_front;
	f->virtio->front_ops = &front_ops;
	f->virtio->front = &f->virtio_front;
}

static void start_on_pipes(struct fixture *f, bool virtio_console)
{
	*f = (struct fixture){ 0 };
	assert_int_equal(pipe2(f->in, O_CLOEXEC), 0);
	assert_int_equal(pipe2(f->out, O_CLOEXEC | O_NONBLOCK), 0);
	start(f, (struct char_hub_options){
			 .to = CHAR_TO_TERMINAL,
			 .virtio_console = virtio_console,
			 .in_fd = f->in[0],
			 .out_fd = f->out[1],
		 });
}

static void stop(struct fixture *f)
{
	char_hub_destroy(f->hub);
	loop_destroy(f->loop);
	for (unsigned i = 0; i < 2; i++) {
		if (f->in[i] > 0)
			close(f->in[i]);
		if (f->out[i] > 0)
			close(f->out[i]);
	}
}

static void say(struct char_port *port, const char *text)
{
	assert_int_equal(char_write(port, (const uint8_t *)text, strlen(text)), strlen(text));
}

static void expect_fd(int fd, const char *text)
{
	char buf[4096];
	ssize_t len = read(fd, buf, sizeof(buf) - 1);

	buf[len > 0 ? len : 0] = '\0';
	assert_string_equal(buf, text);
}

static void type(struct fixture *f, const char *text)
{
	assert_int_equal(write(f->in[1], text, strlen(text)), strlen(text));
}

static void serial_bytes_of_a_line_are_written_together(void **state)
{
	struct fixture f;

	(void)state;
	start_on_pipes(&f, false);
	say(f.serial, "first\r\n");
	expect_fd(f.out[0], "first\r\n");
	say(f.serial, "a");
	say(f.serial, "b");
	expect_fd(f.out[0], "");
	say(f.serial, "\n");
	expect_fd(f.out[0], "ab\n");
	stop(&f);
}

static void line_without_an_end_appears_soon(void **state)
{
	struct fixture f;

	(void)state;
	start_on_pipes(&f, false);
	say(f.serial, "x\n");
	say(f.serial, "login: ");
	run(&f, 40);
	expect_fd(f.out[0], "x\nlogin: ");
	stop(&f);
}

static void serial_is_shown_until_hvc_speaks(void **state)
{
	struct fixture f;

	(void)state;
	start_on_pipes(&f, true);
	say(f.serial, "early\n");
	say(f.virtio, "[    0.500000] console [hvc0] enabled\n");
	say(f.serial, "[    0.500000] console [hvc0] enabled\n");
	say(f.virtio, "[    0.510000] bootconsole disabled\n");
	say(f.virtio, "late\n");
	run(&f, 5);
	expect_fd(f.out[0], "early\n[    0.500000] console [hvc0] enabled\n"
			    "[    0.510000] bootconsole disabled\nlate\n");
	stop(&f);
}

static void replayed_log_is_shown_once(void **state)
{
	struct fixture f;

	(void)state;
	start_on_pipes(&f, true);
	say(f.serial, "[    0.000000] Linux version\r\n[    0.100000] Memory\r\nuser ");
	say(f.virtio, "[    0.000000] Li");
	say(f.virtio, "nux version\n[    0.100000] Memory\n[    0.200000] new\n");
	run(&f, 5);
	expect_fd(f.out[0], "[    0.000000] Linux version\r\n[    0.100000] Memory\r\nuser \r\n"
			    "[    0.200000] new\n");
	stop(&f);
}

static void prompt_after_a_replay_is_not_held_back(void **state)
{
	struct fixture f;

	(void)state;
	start_on_pipes(&f, true);
	say(f.serial, "[    0.000000] Linux version\n[    0.100000] Memory\n");
	say(f.virtio, "[    0.000000] Linux version\nlogin: ");
	run(&f, 120);
	say(f.virtio, "you\n");
	run(&f, 5);
	expect_fd(f.out[0], "[    0.000000] Linux version\n[    0.100000] Memory\nlogin: you\n");
	stop(&f);
}

static void hvc_of_a_serial_console_is_not_shown(void **state)
{
	struct fixture f;

	(void)state;
	start_on_pipes(&f, false);
	say(f.virtio, "unseen\n");
	say(f.serial, "seen\n");
	run(&f, 5);
	expect_fd(f.out[0], "seen\n");
	stop(&f);
}

static void reset_shows_the_serial_port_again(void **state)
{
	struct fixture f;

	(void)state;
	start_on_pipes(&f, true);
	say(f.serial, "early\n");
	say(f.virtio, "late\n");
	char_hub_reset(f.hub);
	say(f.serial, "early\n");
	run(&f, 5);
	expect_fd(f.out[0], "early\nlate\nearly\n");
	stop(&f);
}

static void panic_on_either_port_is_told_once(void **state)
{
	struct fixture f;

	(void)state;
	start_on_pipes(&f, true);
	say(f.serial, "boot\n");
	say(f.virtio, "up\n");
	say(f.serial, "[    1.000000] Kernel panic - not syncing: a\n");
	say(f.virtio, "[    1.000000] Kernel panic - not syncing: a\n");
	assert_int_equal(f.panics, 1);
	assert_true(char_hub_panicked(f.hub));
	char_hub_reset(f.hub);
	assert_false(char_hub_panicked(f.hub));
	stop(&f);
}

static void panic_stands_while_its_end_is_the_last_line(void **state)
{
	struct fixture f;

	(void)state;
	start_on_pipes(&f, true);
	say(f.virtio, "[    1.000000] Kernel panic - not syncing: a\n");
	assert_false(char_hub_panic_is_last(f.hub));
	say(f.virtio, "[    1.000000] ---[ end Kernel panic - not syncing: a ]---\n");
	assert_true(char_hub_panic_is_last(f.hub));
	say(f.virtio, "# ");
	assert_false(char_hub_panic_is_last(f.hub));
	char_hub_forget_panic(f.hub);
	say(f.virtio, "\n[   99.000000] Kernel panic - not syncing: b\n");
	assert_int_equal(f.panics, 2);
	say(f.virtio, "[   99.000000] Rebooting in 10 seconds..\n");
	assert_true(char_hub_panic_is_last(f.hub));
	stop(&f);
}

static void append_line(void *opaque, const char *line)
{
	strcat(strcat(opaque, line), "|");
}

static void tail_has_the_lines_that_were_shown(void **state)
{
	struct fixture f;
	char all[256] = "";

	(void)state;
	start_on_pipes(&f, true);
	say(f.serial, "one\n");
	say(f.virtio, "two\n");
	say(f.serial, "hidden\n");
	char_hub_tail(f.hub, append_line, all);
	assert_string_equal(all, "one|two|");
	stop(&f);
}

static void full_pipe_holds_the_writer_until_it_is_read(void **state)
{
	static const uint8_t block[4096];
	struct fixture f;
	char buf[65536];
	unsigned total = 0;
	size_t taken;

	(void)state;
	start_on_pipes(&f, true);
	do {
		taken = char_write(f.virtio, block, sizeof(block));
		total += (unsigned)taken;
		assert_true(total < 1u << 20);
	} while (taken == sizeof(block));
	run(&f, 20);
	assert_int_equal(f.virtio_front.writable_count, 0);
	for (unsigned left = total; left > 0;) {
		ssize_t len = read(f.out[0], buf, sizeof(buf));

		if (len > 0)
			left -= (unsigned)len;
		else
			run(&f, 5);
	}
	assert_true(f.virtio_front.writable_count > 0);
	stop(&f);
}

static void input_goes_to_the_console_and_waits_for_room(void **state)
{
	struct fixture f;

	(void)state;
	start_on_pipes(&f, true);
	type(&f, "hello");
	f.virtio_front.room = 2;
	run(&f, 20);
	assert_int_equal(f.virtio_front.len, 2);
	assert_int_equal(f.serial_front.len, 0);
	f.virtio_front.room = 100;
	char_input_ready(f.virtio);
	run(&f, 20);
	assert_memory_equal(f.virtio_front.got, "hello", 5);
	stop(&f);
}

static void end_of_a_scripts_input_is_no_end(void **state)
{
	struct fixture f;

	(void)state;
	start_on_pipes(&f, false);
	f.serial_front.room = 100;
	type(&f, "ls\n");
	close(f.in[1]);
	f.in[1] = 0;
	run(&f, 20);
	assert_memory_equal(f.serial_front.got, "ls\n", 3);
	assert_int_equal(f.closes, 0);
	stop(&f);
}

static void closed_pipe_is_told_once(void **state)
{
	struct fixture f;

	(void)state;
	start_on_pipes(&f, false);
	close(f.out[0]);
	f.out[0] = 0;
	say(f.serial, "x\n");
	say(f.serial, "y\n");
	run(&f, 20);
	say(f.serial, "z\n");
	run(&f, 20);
	assert_int_equal(f.closes, 1);
	stop(&f);
}

static void file_is_appended_to(void **state)
{
	char path[] = "/tmp/test-char-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);
	struct fixture f = { 0 };

	(void)state;
	assert_int_equal(write(fd, "old\n", 4), 4);
	start(&f, (struct char_hub_options){ .to = CHAR_TO_FILE, .path = path });
	say(f.serial, "new\nrest");
	stop(&f);
	assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
	expect_fd(fd, "old\nnew\nrest");
	unlink(path);
	close(fd);
}

static void file_that_cannot_be_opened_is_an_error(void **state)
{
	struct char_hub_options options = { .to = CHAR_TO_FILE, .path = "/nonexistent/x" };
	struct char_hub *hub;

	(void)state;
	assert_int_equal(char_hub_create(&hub, &options), -ENOENT);
}

static void full_disk_loses_output_but_does_not_hold_the_guest(void **state)
{
	struct fixture f = { 0 };

	(void)state;
	start(&f, (struct char_hub_options){ .to = CHAR_TO_FILE, .path = "/dev/full" });
	for (unsigned i = 0; i < 20000; i++)
		say(f.serial, "0123456\n");
	assert_int_equal(f.closes, 0);
	stop(&f);
}

static void none_takes_everything(void **state)
{
	struct fixture f = { 0 };

	(void)state;
	start(&f, (struct char_hub_options){ .to = CHAR_TO_NONE });
	for (unsigned i = 0; i < 20000; i++)
		say(f.serial, "0123456\n");
	stop(&f);
}

/* ---- terminals ---- */

static int open_terminal(int *slave)
{
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	char path[64];

	assert_true(master >= 0);
	assert_int_equal(grantpt(master), 0);
	assert_int_equal(unlockpt(master), 0);
	assert_int_equal(ptsname_r(master, path, sizeof(path)), 0);
	*slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
	assert_true(*slave >= 0);
	return master;
}

static bool is_raw(int fd)
{
	struct termios mode;

	assert_int_equal(tcgetattr(fd, &mode), 0);
	return !(mode.c_lflag & ICANON);
}

static void wait_for_mode(int fd, bool raw)
{
	for (unsigned i = 0; i < 200 && is_raw(fd) != raw; i++)
		usleep(10000);
	assert_int_equal(is_raw(fd), raw);
}

/*
 * Runs FN in the foreground of the terminal SLAVE, started as a shell would start it; gives the
 * shell's pid, which exits with FN's status, or with 100 and the signal that killed it.
 */
static pid_t on_terminal(int master, int slave, void (*fn)(int slave))
{
	pid_t pid = fork();
	int status;

	if (pid != 0)
		return pid;
	close(master);
	setsid();
	ioctl(slave, TIOCSCTTY, 0);
	signal(SIGHUP, SIG_IGN);
	pid = fork();
	if (pid == 0) {
		fn(slave);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	/* A hang-up ends the session's terminal: wait until the guardian had its turn. */
	if (WIFSIGNALED(status))
		wait_for_mode(slave, false);
	_exit(WIFSIGNALED(status) ? 100 + WTERMSIG(status) : WEXITSTATUS(status));
}

static void expect_exit(pid_t pid, int expected)
{
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), expected);
}

static void terminal_child(int slave)
{
	struct fixture f = { 0 };
	struct winsize size = { .ws_col = 100, .ws_row = 30 };
	uint16_t columns, rows;

	ioctl(slave, TIOCSWINSZ, &size);
	start(&f, (struct char_hub_options){
			  .to = CHAR_TO_TERMINAL,
			  .virtio_console = true,
			  .in_fd = slave,
			  .out_fd = slave,
		  });
	f.serial_front.room = 100;
	f.virtio_front.room = 100;
	if (!is_raw(slave))
		_exit(2);
	if (!char_get_size(f.virtio, &columns, &rows) || columns != 100 || rows != 30)
		_exit(3);
	char_hub_resized(f.hub);
	if (f.virtio_front.columns != 100)
		_exit(4);
	for (unsigned i = 0; i < 100 && f.quits == 0; i++)
		run(&f, 20);
	if (f.quits != 1)
		_exit(5);
	/* early: the serial port is shown, so it gets what was typed */
	if (f.serial_front.len != 4 || memcmp(f.serial_front.got,
					      "ab\x01"
					      "c",
					      4) != 0)
		_exit(6);
	stop(&f);
	if (is_raw(slave))
		_exit(7);
}

static void terminal_keys_are_the_monitors_and_the_mode_is_restored(void **state)
{
	int slave;
	int master = open_terminal(&slave);
	pid_t pid = on_terminal(master, slave, terminal_child);
	char buf[512] = "";
	ssize_t len;

	(void)state;
	wait_for_mode(slave, true);
	assert_int_equal(write(master,
			       "ab\x01\x01"
			       "c\x01h\x01x",
			       9),
			 9);
	expect_exit(pid, 0);
	assert_false(is_raw(slave));
	len = read(master, buf, sizeof(buf) - 1);
	assert_true(len > 0);
	assert_non_null(strstr(buf, "Ctrl-a x"));
	close(master);
	close(slave);
}

static void killed_child(int slave)
{
	struct fixture f = { 0 };

	start(&f,
	      (struct char_hub_options){ .to = CHAR_TO_TERMINAL, .in_fd = slave, .out_fd = slave });
	wait_for_mode(slave, true);
	raise(SIGKILL);
}

static void terminal_is_given_back_when_the_monitor_is_killed(void **state)
{
	int slave;
	int master = open_terminal(&slave);
	pid_t pid = on_terminal(master, slave, killed_child);

	(void)state;
	expect_exit(pid, 100 + SIGKILL);
	close(master);
	close(slave);
}

static void background_child(int slave)
{
	struct fixture f = { 0 };
	pid_t pid = fork();

	if (pid > 0) {
		int status;

		waitpid(pid, &status, 0);
		_exit(WIFEXITED(status) ? WEXITSTATUS(status) : 9);
	}
	setpgid(0, 0); /* not the terminal's foreground any more */
	start(&f,
	      (struct char_hub_options){ .to = CHAR_TO_TERMINAL, .in_fd = slave, .out_fd = slave });
	run(&f, 30);
	if (is_raw(slave))
		_exit(2);
	stop(&f);
	_exit(0);
}

static void terminal_of_a_background_job_is_left_alone(void **state)
{
	int slave;
	int master = open_terminal(&slave);
	pid_t pid = on_terminal(master, slave, background_child);

	(void)state;
	assert_int_equal(write(master, "text\n", 5), 5);
	expect_exit(pid, 0);
	close(master);
	close(slave);
}

static void hang_up_child(int slave)
{
	struct fixture f = { 0 };

	start(&f,
	      (struct char_hub_options){ .to = CHAR_TO_TERMINAL, .in_fd = slave, .out_fd = slave });
	for (unsigned i = 0; i < 100 && f.closes == 0; i++)
		run(&f, 20);
	_exit(f.closes == 1 ? 0 : 2);
}

static void closed_terminal_is_told(void **state)
{
	int slave;
	int master = open_terminal(&slave);
	pid_t pid = on_terminal(master, slave, hang_up_child);

	(void)state;
	wait_for_mode(slave, true);
	close(master);
	close(slave);
	expect_exit(pid, 0);
}

/* ---- pseudo-terminal as the destination ---- */

/* Starts with a pseudo-terminal and gives its name, as it is said on stderr. */
static void start_on_pty(struct fixture *f, char *path)
{
	char line[128] = "";
	int said[2];
	int saved = dup(STDERR_FILENO);

	assert_int_equal(pipe2(said, O_CLOEXEC), 0);
	dup2(said[1], STDERR_FILENO);
	log_set_level(LOG_LEVEL_INFO);
	start(f, (struct char_hub_options){ .to = CHAR_TO_PTY });
	log_set_level(LOG_LEVEL_ERR);
	dup2(saved, STDERR_FILENO);
	close(saved);
	close(said[1]);
	assert_true(read(said[0], line, sizeof(line) - 1) > 0);
	close(said[0]);
	assert_int_equal(sscanf(line, "vmm: the console is on %63s", path), 1);
}

static void pty_works_with_and_without_a_reader(void **state)
{
	struct fixture f = { 0 };
	struct pollfd wait;
	char path[64];
	int reader;

	(void)state;
	start_on_pty(&f, path);
	f.serial_front.room = 100;
	for (unsigned i = 0; i < 40000; i++)
		say(f.serial, "nobody reads this\n");
	run(&f, 20);
	reader = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	assert_true(reader >= 0);
	say(f.serial, "now\n");
	wait = (struct pollfd){ .fd = reader, .events = POLLIN };
	assert_int_equal(poll(&wait, 1, 1000), 1);
	expect_fd(reader, "now\n");
	assert_int_equal(write(reader, "typed", 5), 5);
	run(&f, 50);
	assert_int_equal(f.serial_front.len, 5);
	close(reader);
	run(&f, 20);
	for (unsigned i = 0; i < 40000; i++)
		say(f.serial, "nobody reads this\n");
	assert_int_equal(f.closes, 0);
	stop(&f);
}

static int use_io_uring(void **state)
{
	struct loop_options options = { .engine = LOOP_ENGINE_IO_URING, .entries = 16 };
	struct loop *loop;

	(void)state;
	log_set_level(LOG_LEVEL_ERR);
	engine = LOOP_ENGINE_IO_URING;
	if (loop_create(&loop, &options) < 0)
		engine = LOOP_ENGINE_EPOLL; /* refused here: the other engine is tested twice */
	else
		loop_destroy(loop);
	return 0;
}

static int use_epoll(void **state)
{
	(void)state;
	log_set_level(LOG_LEVEL_ERR);
	engine = LOOP_ENGINE_EPOLL;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(serial_bytes_of_a_line_are_written_together),
		cmocka_unit_test(line_without_an_end_appears_soon),
		cmocka_unit_test(serial_is_shown_until_hvc_speaks),
		cmocka_unit_test(replayed_log_is_shown_once),
		cmocka_unit_test(prompt_after_a_replay_is_not_held_back),
		cmocka_unit_test(hvc_of_a_serial_console_is_not_shown),
		cmocka_unit_test(reset_shows_the_serial_port_again),
		cmocka_unit_test(panic_on_either_port_is_told_once),
		cmocka_unit_test(panic_stands_while_its_end_is_the_last_line),
		cmocka_unit_test(tail_has_the_lines_that_were_shown),
		cmocka_unit_test(full_pipe_holds_the_writer_until_it_is_read),
		cmocka_unit_test(input_goes_to_the_console_and_waits_for_room),
		cmocka_unit_test(end_of_a_scripts_input_is_no_end),
		cmocka_unit_test(closed_pipe_is_told_once),
		cmocka_unit_test(file_is_appended_to),
		cmocka_unit_test(file_that_cannot_be_opened_is_an_error),
		cmocka_unit_test(full_disk_loses_output_but_does_not_hold_the_guest),
		cmocka_unit_test(none_takes_everything),
		cmocka_unit_test(terminal_keys_are_the_monitors_and_the_mode_is_restored),
		cmocka_unit_test(terminal_is_given_back_when_the_monitor_is_killed),
		cmocka_unit_test(terminal_of_a_background_job_is_left_alone),
		cmocka_unit_test(closed_terminal_is_told),
		cmocka_unit_test(pty_works_with_and_without_a_reader),
	};

	if (cmocka_run_group_tests_name("char_hub on io_uring", tests, use_io_uring, NULL) != 0)
		return 1;
	return cmocka_run_group_tests_name("char_hub on epoll", tests, use_epoll, NULL);
}
