/*
 * The kernel's command line: derived words, then the board's, then the user's, because for most
 * words the last one wins. Main thread.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>

#include "vmm/config.h"

/* Words that depend on the architecture, whose kernel runs on the same one as the host's. */
static const struct machine_words {
	const char *machine;
	const char *earlycon; /* the serial port, until hvc0 is up */
	/* The same as a console that processes can open: an init whose kernel has no console yet,
	 * since hvc0's driver is a module in its initrd, starts without any descriptor, and
	 * Debian's then finds no disk. Not beside earlycon, which would show each line twice. */
	const char *early_tty;
	/* Spare probing for hardware that is not there, about 110 of the 280 exits of a quiet boot
	 * of Debian's 6.12 kernel. The ACPI tables say already that there is no 8042 to drive. */
	const char *pci_speed;
	const char *no_pci_speed;
	/* With one CPU Linux takes the lock prefixes out of its code, a write to nearly every page
	 * of it: each would be copied, no longer shared with other machines, for three page
	 * faults. */
	const char *one_cpu_speed;
} machine_words[] = {
	{ "x86_64", "earlycon=uart8250,io,0x3f8", "console=ttyS0", "8250.nr_uarts=1 pci=noearly",
	  "8250.nr_uarts=1 pci=off", "noreplace-smp" },
	{ "aarch64", "earlycon", NULL, NULL, NULL, NULL },
};

static const struct machine_words *words_for_host(void)
{
	struct utsname host;

	if (uname(&host) < 0)
		return NULL;
	for (size_t i = 0; i < ARRAY_SIZE(machine_words); i++) {
		if (strcmp(machine_words[i].machine, host.machine) == 0)
			return &machine_words[i];
	}
	return NULL;
}

static void put(FILE *out, const char *prefix, const char *word)
{
	if (word)
		fprintf(out, "%s%s%s", ftell(out) > 0 ? " " : "", prefix, word);
}

/* ip=CLIENT::GATEWAY:MASK:HOST:DEVICE:off, or by DHCP on this card only. */
static void put_ip(FILE *out, const struct config_net *net, unsigned index, const char *name)
{
	char mask[INET_ADDRSTRLEN] = "";
	const char *slash;
	struct in_addr bits;
	int prefix;

	if (!net->ip)
		return;
	put(out, "ip=", "");
	slash = strchr(net->ip, '/');
	if (!slash) {
		fprintf(out, ":::::eth%u:dhcp", index);
		return;
	}
	prefix = atoi(slash + 1);
	bits.s_addr = htonl(prefix ? UINT32_MAX << (32 - prefix) : 0);
	inet_ntop(AF_INET, &bits, mask, sizeof(mask));
	fprintf(out, "%.*s::%s:%s:%s:eth%u:off", (int)(slash - net->ip), net->ip,
		net->gateway ? net->gateway : "", mask, name, index);
}

static void put_console(FILE *out, const struct config *config, const struct machine_words *words)
{
	if (config->console != CONFIG_CONSOLE_VIRTIO) {
		put(out, "console=", "ttyS0");
		return;
	}
	if (words)
		put(out, "",
		    config->initrd && words->early_tty ? words->early_tty : words->earlycon);
	put(out, "console=", "hvc0");
}

/* Whoever runs a command sees the command, not the kernel; but for -v. */
static void put_workload_console(FILE *out, const struct config *config,
				 const struct machine_words *words)
{
	if (words && config->verbose)
		put(out, "", words->earlycon);
	put(out, "console=", "hvc0");
	if (!config->verbose)
		put(out, "", "quiet");
}

static void put_derived(FILE *out, const struct config *config)
{
	const struct machine_words *words = words_for_host();

	if (config->rootfs)
		put_workload_console(out, config, words);
	else
		put_console(out, config, words);
	put(out, "root=", config->root);
	if (config->root)
		put(out, "", config->disks[0].read_only ? "ro" : "rw");
	/* A kernel that panics shall not wait: the machine decides what comes then. */
	if (config->on_panic != CONFIG_PANIC_PAUSE)
		put(out, "panic=", "-1");
	/* guest-init sets the addresses of a command's machine. */
	for (unsigned i = 0; !config->rootfs && i < config->net_count; i++)
		put_ip(out, &config->nets[i], i, config->name);
	if (words)
		put(out, "", config_has_pci(config) ? words->pci_speed : words->no_pci_speed);
	if (words && config->cpus == 1)
		put(out, "", words->one_cpu_speed);
}

bool config_has_pci(const struct config *config)
{
	return config->transport == CONFIG_TRANSPORT_PCI &&
	       (config->console == CONFIG_CONSOLE_VIRTIO || config->disk_count ||
		config->net_count || config->balloon == CONFIG_BALLOON_ON);
}

char *config_cmdline(const struct config *config, const char *board_words)
{
	char *text = NULL;
	size_t len;
	FILE *out;

	if (config->cmdline_only)
		return strdup(config->cmdline_only);
	out = open_memstream(&text, &len);
	if (!out)
		return NULL;
	put_derived(out, config);
	put(out, "", board_words);
	put(out, "", config->cmdline);
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}
