/*
 * Opening and closing the host's side of each device: disk files, networks, the console. Main
 * thread.
 */
#include "vmm/machine_host.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "devices/block/block_overlay.h"
#include "devices/block/block_raw.h"
#include "devices/net/net_passt.h"
#include "devices/net/net_tap.h"
#include "vmm/log.h"

static int host_open_console(struct machine_host *host)
{
	static const enum char_to to[] = {
		[CONFIG_TO_TERMINAL] = CHAR_TO_TERMINAL,
		[CONFIG_TO_FILE] = CHAR_TO_FILE,
		[CONFIG_TO_PTY] = CHAR_TO_PTY,
		[CONFIG_TO_NONE] = CHAR_TO_NONE,
	};
	const struct config *config = host->config;
	struct char_hub_options options = {
		.to = to[config->console_to],
		.path = config->console_path,
		.virtio_console = config->console == CONFIG_CONSOLE_VIRTIO,
		.in_fd = STDIN_FILENO,
		.out_fd = STDOUT_FILENO,
		.quit = host->events.quit,
		.closed = host->events.hangup,
		.panicked = host->events.console_panic,
		.opaque = host->events.opaque,
	};
	int ret = char_hub_create(&host->console, &options);

	return ret < 0 ? ret : char_hub_attach(host->console, host->io->main_loop);
}

static int host_open_disk(struct machine_host *host, unsigned index)
{
	const struct config_disk *disk = &host->config->disks[index];
	struct block_options options = {
		.path = disk->path,
		.read_only = disk->read_only,
		.direct = disk->direct,
	};

	if (disk->overlay)
		return block_overlay_create(&host->disks[index], &options);
	return block_raw_create(&host->disks[index], &options);
}

static int host_open_user_net(struct machine_host *host, unsigned index)
{
	const struct config *config = host->config;
	struct net_passt_publish publish[CONFIG_PUBLISH_MAX];

	for (unsigned i = 0; i < config->publish_count; i++)
		publish[i] = (struct net_passt_publish){
			.host_addr = config->publish[i].host_addr,
			.host_port = config->publish[i].host_port,
			.guest_port = config->publish[i].guest_port,
			.udp = config->publish[i].udp,
		};
	return net_passt_create(&host->nets[index], config->nets[index].mtu, publish,
				config->publish_count);
}

static int host_open_tap(struct machine_host *host, unsigned index)
{
	const struct config_net *net = &host->config->nets[index];
	int ret;

	if (net->kind == CONFIG_NET_TAP)
		ret = net_tap_create(&host->nets[index], net->tap, net->queues);
	else
		ret = net_tap_create_from_fd(&host->nets[index], net->fd);
	if (ret == 0 && net->vhost)
		ret = net_tap_use_vhost(host->nets[index]);
	return ret;
}

static int host_open_net(struct machine_host *host, unsigned index)
{
	const struct config_net *net = &host->config->nets[index];

	switch (net->kind) {
	case CONFIG_NET_TAP:
	case CONFIG_NET_FD:
		return host_open_tap(host, index);
	case CONFIG_NET_USER:
		return host_open_user_net(host, index);
	case CONFIG_NET_NONE:
	case CONFIG_NET_HOST: /* refused before, as is the next */
	case CONFIG_NET_BRIDGE:
		break;
	}
	return 0;
}

static int host_open(struct machine_host *host)
{
	int ret = host_open_console(host);

	if (ret == 0)
		ret = machine_limits_create(&host->limits, host->config);
	for (unsigned i = 0; ret == 0 && i < host->config->disk_count; i++)
		ret = host_open_disk(host, i);
	for (unsigned i = 0; ret == 0 && i < host->config->net_count; i++)
		ret = host_open_net(host, i);
	return ret;
}

int machine_host_open(struct machine_host **out, const struct config *config, struct io_threads *io,
		      const struct machine_events *events, const struct machine_ports *ports)
{
	struct machine_host *host = calloc(1, sizeof(*host));
	int ret;

	if (!host)
		return log_errno(ENOMEM, "open the machine's host side");
	host->config = config;
	host->io = io;
	host->events = *events;
	if (ports)
		host->ports = *ports;
	ret = host_open(host);
	if (ret < 0) {
		machine_host_close(host);
		return ret;
	}
	*out = host;
	return 0;
}

void machine_host_close(struct machine_host *host)
{
	if (!host)
		return;
	for (unsigned i = 0; i < CONFIG_NETS_MAX; i++)
		net_destroy(host->nets[i]);
	for (unsigned i = 0; i < CONFIG_DISKS_MAX; i++)
		block_destroy(host->disks[i]);
	machine_limits_destroy(&host->limits);
	char_hub_destroy(host->console);
	free(host);
}

void machine_host_terminal_resized(struct machine_host *host)
{
	char_hub_resized(host->console);
}

void machine_host_continued(struct machine_host *host)
{
	char_hub_continued(host->console);
}

static void host_print_line(void *opaque, const char *line)
{
	dprintf(*(int *)opaque, "%s\n", line);
}

bool machine_host_panic_is_last(struct machine_host *host)
{
	return char_hub_panic_is_last(host->console);
}

void machine_host_forget_panic(struct machine_host *host)
{
	char_hub_forget_panic(host->console);
}

void machine_host_restore_terminal(struct machine_host *host)
{
	char_hub_restore_terminal(host->console);
}

void machine_host_print_last_lines(struct machine_host *host, int fd)
{
	struct stat out, shown;

	if (host->config->console_to == CONFIG_TO_TERMINAL && isatty(fd) && fstat(fd, &out) == 0 &&
	    fstat(STDOUT_FILENO, &shown) == 0 && out.st_rdev == shown.st_rdev)
		return;
	char_hub_tail(host->console, host_print_line, &fd);
}
