/*
 * The user-mode network with the real passt, on both loop engines; skipped where it is not
 * installed or the host has no network of its own.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "devices/net/net_passt.h"
#include "tests/support/skip.h"
#include "vmm/log.h"

#define DISCOVER_LEN (14 + 20 + 8 + 300)

static enum loop_engine engine;

struct user {
	struct loop *loop;
	struct net *net;
	struct net_queue_user calls;
	struct loop_timer timer;
	unsigned offers;
	unsigned link_downs;
	unsigned link_ups;
	bool timed_out;
};

static const uint8_t mac[6] = { 0x52, 0x54, 0, 1, 2, 3 };

static void on_readable(void *opaque, unsigned pair)
{
	struct user *user = opaque;
	uint8_t got[4096];
	struct iovec in = { got, sizeof(got) };
	int64_t len;

	while ((len = user->net->ops->receive(user->net, pair, &in, 1)) >= 0) {
		const uint8_t *frame = got + NET_HDR_LEN;

		/* UDP from port 67: a DHCP answer */
		if (len > NET_HDR_LEN + 42 && frame[12] == 8 && frame[23] == 17 && frame[35] == 67)
			user->offers++;
	}
	if (user->offers > 0)
		loop_stop(user->loop);
}

static void on_writable(void *opaque, unsigned pair)
{
	(void)opaque;
	(void)pair;
}

static void on_link(void *opaque, bool up)
{
	struct user *user = opaque;

	assert_int_equal(up, user->net->link_up);
	if (up)
		user->link_ups++;
	else
		user->link_downs++;
	loop_stop(user->loop);
}

static void on_timer(struct loop_timer *timer)
{
	struct user *user = container_of(timer, struct user, timer);

	user->timed_out = true;
	loop_stop(user->loop);
}

static bool is_installed(void)
{
	return access("/usr/bin/passt", X_OK) == 0;
}

static bool start(struct user *user, const struct net_passt_publish *publish, unsigned count)
{
	struct loop_options options = { .engine = engine, .entries = 8 };

	*user = (struct user){ .timer.fn = on_timer };
	user->calls = (struct net_queue_user){ on_readable, on_writable, on_link, user };
	assert_int_equal(net_passt_create(&user->net, 0, publish, count), 0);
	assert_int_equal(loop_create(&user->loop, &options), 0);
	assert_int_equal(user->net->ops->attach(user->net, 0, user->loop, &user->calls), 0);
	return true;
}

static void stop(struct user *user)
{
	user->net->ops->detach(user->net, 0);
	loop_destroy(user->loop);
	net_destroy(user->net);
}

static void run(struct user *user, uint64_t ms)
{
	loop_timer_arm(user->loop, &user->timer, loop_now_ns() + ms * 1000000);
	assert_int_equal(loop_run(user->loop), 0);
}

static uint16_t checksum(const uint8_t *data, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i < len; i += 2)
		sum += (uint32_t)(data[i] << 8 | data[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void put16(uint8_t *at, unsigned value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

/* A DHCP DISCOVER, as a guest's kernel sends it. */
static void make_discover(uint8_t *frame)
{
	static const uint8_t options[] = { 99, 130, 83, 99, 53, 1, 1, 55, 2, 1, 3, 255 };
	uint8_t *ip = frame + 14, *udp = ip + 20, *dhcp = udp + 8;

	memset(frame, 0, DISCOVER_LEN);
	memset(frame, 0xff, 6);
	memcpy(frame + 6, mac, 6);
	put16(frame + 12, 0x0800);
	ip[0] = 0x45;
	put16(ip + 2, DISCOVER_LEN - 14);
	ip[8] = 64;
	ip[9] = 17;
	memset(ip + 16, 0xff, 4);
	put16(ip + 10, checksum(ip, 20));
	put16(udp, 68);
	put16(udp + 2, 67);
	put16(udp + 4, DISCOVER_LEN - 34);
	dhcp[0] = 1;
	dhcp[1] = 1;
	dhcp[2] = 6;
	dhcp[7] = 1;
	memcpy(dhcp + 28, mac, 6);
	memcpy(dhcp + 236, options, sizeof(options));
}

/* What sending a DISCOVER gives. */
static int ask_for_address(struct user *user)
{
	uint8_t hdr[NET_HDR_LEN] = { 0 }, frame[DISCOVER_LEN];
	struct iovec iov[] = { { hdr, sizeof(hdr) }, { frame, sizeof(frame) } };

	make_discover(frame);
	return user->net->ops->send(user->net, 0, iov, 2);
}

static void guest_gets_an_address(void **state)
{
	struct user user;

	(void)state;
	if (!is_installed())
		skip_because("no /usr/bin/passt");
	start(&user, NULL, 0);
	assert_int_equal(ask_for_address(&user), 0);
	run(&user, 5000);
	assert_true(user.offers > 0);
	stop(&user);
}

/* The only child that is passt; 0: none. */
static pid_t find_passt(void)
{
	char path[64], text[512];
	DIR *proc = opendir("/proc");
	struct dirent *entry;
	pid_t found = 0;

	while ((entry = readdir(proc))) {
		int pid = atoi(entry->d_name), parent = 0;
		FILE *file;

		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		file = pid > 0 ? fopen(path, "re") : NULL;
		if (!file)
			continue;
		if (fgets(text, sizeof(text), file) && strstr(text, "(passt") &&
		    sscanf(strrchr(text, ')') + 1, " %*c %d", &parent) == 1 && parent == getpid() &&
		    !strstr(text, ") Z"))
			found = pid;
		fclose(file);
	}
	closedir(proc);
	return found;
}

/* Kills it, and runs until the guest has been told that the link is up again. Returns ms. */
static uint64_t kill_and_wait(struct user *user)
{
	uint64_t start = loop_now_ns();
	unsigned downs = user->link_downs, ups = user->link_ups;
	pid_t pid = find_passt();

	assert_true(pid > 0);
	assert_int_equal(kill(pid, SIGKILL), 0);
	run(user, 5000);
	assert_int_equal(user->link_downs, downs + 1);
	assert_int_equal(user->link_ups, ups);
	assert_false(user->net->link_up);
	run(user, 8000);
	assert_int_equal(user->link_downs, downs + 1);
	assert_int_equal(user->link_ups, ups + 1);
	assert_true(user->net->link_up);
	return (loop_now_ns() - start) / 1000000;
}

static void killed_passt_is_started_again(void **state)
{
	struct user user;

	(void)state;
	if (!is_installed())
		skip_because("no /usr/bin/passt");
	start(&user, NULL, 0);
	assert_int_equal(ask_for_address(&user), 0);
	run(&user, 5000);
	user.offers = 0;
	assert_true(kill_and_wait(&user) < 1000);
	assert_int_equal(ask_for_address(&user), 0);
	run(&user, 5000);
	assert_true(user.offers > 0);
	/* A second end within a minute has to wait. */
	assert_true(kill_and_wait(&user) >= 1000);
	assert_int_equal(ask_for_address(&user), 0);
	stop(&user);
	assert_int_equal(find_passt(), 0);
}

/* The machine is reset while there is no passt: its next device gets the new one. */
static void passt_is_started_again_for_the_next_user(void **state)
{
	struct user user;

	(void)state;
	if (!is_installed())
		skip_because("no /usr/bin/passt");
	start(&user, NULL, 0);
	/* The second start is not at once. */
	kill_and_wait(&user);
	assert_int_equal(kill(find_passt(), SIGKILL), 0);
	run(&user, 5000);
	assert_int_equal(user.link_downs, 2);
	user.net->ops->detach(user.net, 0);
	assert_int_equal(ask_for_address(&user), -EPIPE);
	assert_int_equal(user.net->ops->attach(user.net, 0, user.loop, &user.calls), 0);
	run(&user, 5000);
	assert_int_equal(user.link_ups, 2);
	assert_int_equal(ask_for_address(&user), 0);
	user.offers = 0;
	run(&user, 5000);
	assert_true(user.offers > 0);
	stop(&user);
}

static void passt_ends_with_the_back_end(void **state)
{
	struct user user;

	(void)state;
	if (!is_installed())
		skip_because("no /usr/bin/passt");
	start(&user, NULL, 0);
	assert_true(find_passt() > 0);
	stop(&user);
	assert_int_equal(find_passt(), 0);
}

static int listen_somewhere(uint16_t *port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(bind(fd, (const struct sockaddr *)&addr, len), 0);
	assert_int_equal(listen(fd, 1), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	*port = ntohs(addr.sin_port);
	return fd;
}

/* Within two seconds: passt says nothing when it listens. */
static bool becomes_open(uint16_t port)
{
	struct sockaddr_in addr = { .sin_family = AF_INET,
				    .sin_port = htons(port),
				    .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	bool open = false;

	for (unsigned i = 0; i < 200 && !open; i++) {
		int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

		open = connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0;
		close(fd);
		usleep(10000);
	}
	return open;
}

static void published_port_is_open_on_the_host(void **state)
{
	struct net_passt_publish publish = { .host_addr = "127.0.0.1", .guest_port = 80 };
	struct user user;

	(void)state;
	if (!is_installed())
		skip_because("no /usr/bin/passt");
	close(listen_somewhere(&publish.host_port));
	start(&user, &publish, 1);
	assert_true(becomes_open(publish.host_port));
	kill_and_wait(&user);
	assert_true(becomes_open(publish.host_port));
	stop(&user);
}

static void taken_port_is_an_error(void **state)
{
	struct net_passt_publish publish = { .host_addr = "127.0.0.1", .guest_port = 80 };
	struct net *net;
	int fd = listen_somewhere(&publish.host_port);

	(void)state;
	assert_int_equal(net_passt_create(&net, 0, &publish, 1), -EADDRINUSE);
	publish.host_addr = NULL;
	assert_int_equal(net_passt_create(&net, 0, &publish, 1), -EADDRINUSE);
	close(fd);
}

static void address_that_is_none_is_an_error(void **state)
{
	struct net_passt_publish publish = { .host_addr = "example", .host_port = 8080 };
	struct net *net;

	(void)state;
	assert_int_equal(net_passt_create(&net, 0, &publish, 1), -EINVAL);
	publish.host_addr = "203.0.113.77";
	assert_int_equal(net_passt_create(&net, 0, &publish, 1), -EADDRNOTAVAIL);
}

static void missing_passt_is_an_error(void **state)
{
	char path[4096];
	struct net *net;

	(void)state;
	snprintf(path, sizeof(path), "%s", getenv("PATH"));
	setenv("PATH", "/nonexistent", 1);
	assert_int_equal(net_passt_create(&net, 0, NULL, 0), -ENOENT);
	setenv("PATH", path, 1);
}

static int use_io_uring(void **state)
{
	struct loop_options options = { .engine = LOOP_ENGINE_IO_URING, .entries = 16 };
	struct loop *loop;

	(void)state;
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
	engine = LOOP_ENGINE_EPOLL;
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(guest_gets_an_address),
		cmocka_unit_test(killed_passt_is_started_again),
		cmocka_unit_test(passt_is_started_again_for_the_next_user),
		cmocka_unit_test(passt_ends_with_the_back_end),
		cmocka_unit_test(published_port_is_open_on_the_host),
		cmocka_unit_test(taken_port_is_an_error),
		cmocka_unit_test(address_that_is_none_is_an_error),
		cmocka_unit_test(missing_passt_is_an_error),
	};

	if (cmocka_run_group_tests_name("net_passt on io_uring", tests, use_io_uring, NULL) != 0)
		return 1;
	return cmocka_run_group_tests_name("net_passt on epoll", tests, use_epoll, NULL);
}
