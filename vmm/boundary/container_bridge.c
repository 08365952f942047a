/*
 * The bridge vmm0 with a private subnet of its own behind NAT, and published ports. Bridge and
 * rules are made by the first container that wants them and removed after the last; everything here
 * runs under the lock over all runs. The rules are a table of ours, so that nobody else's are
 * touched: masquerade what leaves the subnet; send published ports to their container, also for the
 * host's own connections; keep other machines on the bridge away from the host's loopback, which
 * the latter needs to be routed.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "vmm/boundary/container.h"
#include "vmm/log.h"

#define NETWORK "10.77.0.0"
/* Of the host's part: x.y in 10.77.x.y. 0.0 is the network, 0.1 the bridge. */
#define HOST_FIRST 2u
#define HOST_LAST  65534u
/* Noted in the state directory: we switched it on, and switch it off again. */
#define FORWARD_MARK "forwarding"
#define FORWARD_FILE "/proc/sys/net/ipv4/ip_forward"

extern char **environ;

static const char base_rules[] =
	"table ip vmm {\n"
	" map tcp_ports { type inet_service : ipv4_addr . inet_service; }\n"
	" map udp_ports { type inet_service : ipv4_addr . inet_service; }\n"
	" map tcp_addresses { type ipv4_addr . inet_service : ipv4_addr . inet_service; }\n"
	" map udp_addresses { type ipv4_addr . inet_service : ipv4_addr . inet_service; }\n"
	" chain publish {\n"
	"  dnat ip to ip daddr . tcp dport map @tcp_addresses\n"
	"  dnat ip to ip daddr . udp dport map @udp_addresses\n"
	"  dnat ip to tcp dport map @tcp_ports\n"
	"  dnat ip to udp dport map @udp_ports\n"
	" }\n"
	" chain arriving { type nat hook prerouting priority dstnat; "
	"fib daddr type local jump publish; }\n"
	" chain own { type nat hook output priority -100; fib daddr type local jump publish; }\n"
	" chain leaving { type nat hook postrouting priority srcnat;\n"
	"  ip saddr " NETWORK "/16 oifname != \"" CONTAINER_BRIDGE_NAME "\" masquerade\n"
	"  ip saddr 127.0.0.0/8 oifname \"" CONTAINER_BRIDGE_NAME "\" masquerade\n"
	"  ip saddr " NETWORK "/16 ip daddr " NETWORK "/16 ct status dnat masquerade\n"
	" }\n"
	" chain strangers { type filter hook prerouting priority raw;\n"
	"  iifname \"" CONTAINER_BRIDGE_NAME "\" ip daddr 127.0.0.0/8 drop\n"
	" }\n"
	" chain through { type filter hook forward priority filter;\n"
	"  iifname \"" CONTAINER_BRIDGE_NAME "\" accept\n"
	"  oifname \"" CONTAINER_BRIDGE_NAME "\" accept\n"
	" }\n"
	"}\n";

/* ---- rules ---- */

/* Runs nft with TEXT as its input. 0 or -errno; QUIET: its words go nowhere. */
static int run_nft(const char *text, bool quiet)
{
	char *argv[] = { (char *)"nft", (char *)"-f", (char *)"-", NULL };
	posix_spawn_file_actions_t actions;
	int status, ret;
	int input[2];
	pid_t pid;

	if (pipe2(input, O_CLOEXEC) < 0)
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, input[0], STDIN_FILENO);
	posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	if (quiet)
		posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	ret = -posix_spawnp(&pid, "nft", &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(input[0]);
	/* The text is shorter than a pipe holds, and a nft that ends early is no reason to die. */
	if (ret == 0) {
		signal(SIGPIPE, SIG_IGN);
		if (write(input[1], text, strlen(text)) < 0)
			log_debug("nft: %s", strerror(errno));
	}
	close(input[1]);
	if (ret < 0)
		return ret;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static int report_nft(int ret, const char *what)
{
	if (ret == -ENOENT)
		log_err("--net bridge needs nft: apt-get install nftables");
	else if (ret < 0)
		log_err("--net bridge: nft refused %s: see its words above", what);
	return ret;
}

/* ---- interface ---- */

static int ioctl_socket(void)
{
	return socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
}

static void set_address(struct ifreq *request, const char *text)
{
	struct sockaddr_in address = { .sin_family = AF_INET };

	inet_pton(AF_INET, text, &address.sin_addr);
	memcpy(&request->ifr_addr, &address, sizeof(address));
}

static bool bridge_exists(void)
{
	return if_nametoindex(CONTAINER_BRIDGE_NAME) != 0;
}

static int add_bridge(void)
{
	struct ifreq request = { .ifr_name = CONTAINER_BRIDGE_NAME };
	auto_close int fd = ioctl_socket();

	if (fd < 0 || ioctl(fd, SIOCBRADDBR, CONTAINER_BRIDGE_NAME) < 0)
		return log_errno(errno, "make the bridge " CONTAINER_BRIDGE_NAME
					": is the kernel's module bridge there?");
	set_address(&request, CONTAINER_BRIDGE_GATEWAY);
	if (ioctl(fd, SIOCSIFADDR, &request) < 0)
		return log_errno(errno, "give " CONTAINER_BRIDGE_NAME " its address");
	set_address(&request, "255.255.0.0");
	if (ioctl(fd, SIOCSIFNETMASK, &request) < 0)
		return log_errno(errno, "give " CONTAINER_BRIDGE_NAME " its netmask");
	request.ifr_flags = IFF_UP;
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
		return log_errno(errno, "switch " CONTAINER_BRIDGE_NAME " on");
	return 0;
}

static void delete_bridge(void)
{
	struct ifreq request = { .ifr_name = CONTAINER_BRIDGE_NAME };
	auto_close int fd = ioctl_socket();

	if (fd < 0 || !bridge_exists())
		return;
	if (ioctl(fd, SIOCSIFFLAGS, &request) < 0 ||
	    ioctl(fd, SIOCBRDELBR, CONTAINER_BRIDGE_NAME) < 0)
		log_errno(errno, "remove the bridge " CONTAINER_BRIDGE_NAME);
}

static int write_setting(const char *path, const char *value)
{
	auto_close int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		return log_errno(errno, "write %s", path);
	return 0;
}

static int switch_forwarding_on(const struct state_dir *state)
{
	auto_close int fd = open(FORWARD_FILE, O_RDONLY | O_CLOEXEC);
	auto_close int mark_fd = -1;
	char now = '1';

	if (fd >= 0 && read(fd, &now, 1) == 1 && now != '0')
		return 0;
	mark_fd = openat(state->fd, FORWARD_MARK, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (mark_fd < 0)
		return log_errno(errno, "make %s/" FORWARD_MARK, state->path);
	return write_setting(FORWARD_FILE, "1");
}

static void switch_forwarding_off(const struct state_dir *state)
{
	if (unlinkat(state->fd, FORWARD_MARK, 0) == 0 && write_setting(FORWARD_FILE, "0") < 0)
		log_debug("forwarding stays on");
}

/* ---- addresses ---- */

#define HOST_COUNT (HOST_LAST + 1)

static void note_used(const char *text, void *opaque)
{
	uint8_t *used = opaque;
	char word[32], value[256];
	struct in_addr address;
	size_t at = 0;

	while (state_next_line(text, &at, word, value)) {
		unsigned host;

		if (strcmp(word, "address") != 0 || inet_pton(AF_INET, value, &address) != 1)
			continue;
		host = ntohl(address.s_addr) & 0xffff;
		used[host / 8] |= (uint8_t)(1u << (host % 8));
	}
}

static int plan_ports(struct container *container);

int container_bridge_plan(struct container *container)
{
	struct container_bridge *bridge = &container->bridge;
	uint8_t used[65536 / 8] = { 0 };
	unsigned host;

	state_each(&container->state, "container", note_used, used);
	for (host = HOST_FIRST; host <= HOST_LAST; host++) {
		if ((host & 0xff) != 0 && (host & 0xff) != 0xff &&
		    !(used[host / 8] & (1u << (host % 8))))
			break;
	}
	if (host > HOST_LAST)
		return log_errno(ENOSPC, "--net bridge: no address is free");
	snprintf(bridge->address, sizeof(bridge->address), "10.77.%u.%u", host >> 8, host & 0xff);
	snprintf(bridge->veth, sizeof(bridge->veth), "vmm-%u", host);
	if (!state_note(&container->entry, "address", bridge->address))
		return log_errno(ENOSPC, "--net bridge");
	return plan_ports(container);
}

/* ---- published ports ---- */

struct taken {
	const char *element;
	size_t key_len;
	bool found;
};

static void look_for_element(const char *text, void *opaque)
{
	struct taken *taken = opaque;
	char word[32], value[256];
	size_t at = 0;

	while (state_next_line(text, &at, word, value)) {
		if (strcmp(word, "publish") == 0 &&
		    strncmp(value, taken->element, taken->key_len) == 0)
			taken->found = true;
	}
}

/* The element of our maps that one --publish is, like "tcp_ports { 80 : 10.77.0.2 . 8080 }". */
static int describe_port(const struct container *container, const struct config_publish *port,
			 char element[128])
{
	const char *kind = port->udp ? "udp" : "tcp";
	struct in_addr address = { 0 };

	if (port->host_addr && inet_pton(AF_INET, port->host_addr, &address) != 1) {
		log_err("--publish %s: the bridge speaks IPv4 only: write an IPv4 address, or "
			"--net user",
			port->host_addr);
		return -EINVAL;
	}
	if (address.s_addr)
		snprintf(element, 128, "%s_addresses { %.15s . %u : %s . %u }", kind,
			 port->host_addr, port->host_port, container->bridge.address,
			 port->guest_port);
	else
		snprintf(element, 128, "%s_ports { %u : %s . %u }", kind, port->host_port,
			 container->bridge.address, port->guest_port);
	return 0;
}

/* Our rules would take the port from a program that listens there. Held until vmm's end. */
static int reserve_port(const struct config_publish *port)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port->host_port) };
	int fd = socket(AF_INET, (port->udp ? SOCK_DGRAM : SOCK_STREAM) | SOCK_CLOEXEC, 0);
	int one = 1;

	/* Connections that have ended are no reason. */
	if (!port->udp)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (port->host_addr)
		inet_pton(AF_INET, port->host_addr, &address.sin_addr);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
		return 0;
	return log_errno(errno, "--publish %u: name another port", port->host_port);
}

static int plan_ports(struct container *container)
{
	for (unsigned i = 0; i < container->config->publish_count; i++) {
		const struct config_publish *port = &container->config->publish[i];
		char element[128];
		struct taken taken = { .element = element };
		int ret = describe_port(container, port, element);

		if (ret < 0)
			return ret;
		taken.key_len = (size_t)(strstr(element, " : ") - element) + 3;
		state_each(&container->state, "container", look_for_element, &taken);
		if (taken.found) {
			log_err("--publish %u: another container has this port: name another",
				port->host_port);
			return -EADDRINUSE;
		}
		ret = reserve_port(port);
		if (ret < 0)
			return ret;
		if (!state_note(&container->entry, "publish", element))
			return log_errno(ENOSPC, "--publish");
	}
	return 0;
}

/* Adds or deletes all elements that an entry's TEXT names, in one transaction. */
static int change_ports(const char *verb, const char *text)
{
	char rules[CONFIG_PUBLISH_MAX * 200 + 1];
	char word[32], value[256];
	size_t at = 0, len = 0;

	while (state_next_line(text, &at, word, value)) {
		if (strcmp(word, "publish") == 0 && len + 200 < sizeof(rules))
			len += (size_t)snprintf(rules + len, sizeof(rules) - len,
						"%s element ip vmm %.150s\n", verb, value);
	}
	return len ? run_nft(rules, *verb == 'd') : 0;
}

/* ---- the whole ---- */

int container_bridge_make(struct container *container)
{
	int ret = 0;

	container->bridge.used = true;
	if (!bridge_exists()) {
		ret = add_bridge();
		if (ret == 0)
			ret = write_setting("/proc/sys/net/ipv4/conf/" CONTAINER_BRIDGE_NAME
					    "/route_localnet",
					    "1");
		if (ret == 0)
			ret = switch_forwarding_on(&container->state);
		if (ret == 0) {
			if (run_nft("delete table ip vmm\n", true) == 0)
				log_debug("took away the table that was there");
			ret = report_nft(run_nft(base_rules, false), "our rules");
		}
	}
	if (ret == 0)
		ret = report_nft(change_ports("add", container->entry.text), "to publish a port");
	return ret;
}

struct users {
	const char *except;
	unsigned count;
};

static void count_users(const char *text, void *opaque)
{
	struct users *users = opaque;
	char word[32], value[256];
	size_t at = 0;

	while (state_next_line(text, &at, word, value))
		users->count += strcmp(word, "address") == 0 && strcmp(value, users->except) != 0;
}

void container_bridge_remove(const struct state_dir *state, const char *text)
{
	struct users users = { .count = 0 };
	char word[32], value[256];
	size_t at = 0;

	while (state_next_line(text, &at, word, value)) {
		if (strcmp(word, "address") == 0)
			users.except = value;
		if (users.except)
			break;
	}
	if (!users.except)
		return;
	state_each(state, "container", count_users, &users);
	if (users.count > 0) {
		if (change_ports("delete", text) < 0)
			log_debug("the published ports were gone");
		return;
	}
	delete_bridge();
	if (run_nft("delete table ip vmm\n", true) < 0)
		log_debug("the table was gone");
	switch_forwarding_off(state);
}
