/*
 * vmm help [TOPIC]: commands, options, and pages of a screen each. Main thread.
 */
#include <stdio.h>
#include <string.h>

#include "vmm/cli/cli.h"
#include "vmm/cli/completion.h"
#include "vmm/config_devices.h"
#include "vmm/config_options.h"
#include "vmm/end.h"
#include "vmm/log.h"
#include "vmm/suggest.h"

struct topic {
	const char *name;
	const char *summary;
	const char *text;		/* before the words */
	const struct config_list *list; /* words to print; NULL: none */
	const char *after;
	void (*print)(void); /* instead of TEXT */
};

static const char exit_codes_text[] =
	"How `vmm run` ends, in its exit status:\n"
	"\n"
	"    0   the guest powered off (or rebooted, with --on-reboot exit)\n"
	"0-119   the guest wrote this status to the debug-exit port\n"
	"  120   the guest's kernel panicked; the console's last 40 lines are on stderr\n"
	"  121   triple fault: the guest's CPU gave up\n"
	"  122   KVM could not go on; registers and instruction bytes are on stderr\n"
	"  124   the --timeout passed\n"
	"  125   wrong usage, wrong configuration, or the host refused something\n"
	"\n"
	"SIGTERM and SIGINT press the guest's power button; a second one within 5 s ends the\n"
	"machine at once, with 128 plus the signal's number. `vmm doctor` gives 0 when all that "
	"is\n"
	"needed is there, else 125.\n";

static const char disk_text[] =
	"--disk PATH[,WORD...]  a raw image or a block device, as often as there are disks.\n"
	"\n"
	"The first is /dev/vda in the guest, and the root: on its Linux root partition where it "
	"has\n"
	"a partition table (GPT by type, else the largest of Linux; MBR likewise), else all of "
	"it.\n"
	"A second machine that would write the same image is refused.\n"
	"\n"
	"In a PATH a comma is written \\, and a backslash before a comma \\\\. Words:\n";

static const char net_text[] =
	"--net none | user | tap=NAME | fd=N | host | bridge [,WORD...]  a network card, as often "
	"as\n"
	"there are cards.\n"
	"\n"
	"Without --net it is user when the program passt is in PATH, else none. Words:\n";

static const char publish_text[] =
	"--publish [ADDRESS:]HOSTPORT[:GUESTPORT][/tcp|/udp]  with --net user or bridge.\n"
	"\n"
	"  --publish 8080:80             port 8080 of every address of the host\n"
	"  --publish 127.0.0.1:2222:22   only from the host itself\n"
	"  --publish [::1]:5353:53/udp   IPv6 in brackets\n";

static const char console_text[] =
	"--console virtio|serial[,to=terminal|file:PATH|pty|none]\n"
	"\n"
	"virtio (hvc0) is quick and knows the terminal's size; what the kernel says on the serial\n"
	"port before hvc0 is up is shown as well. serial is ttyS0, a 16550A. On the terminal "
	"Ctrl-a x\n"
	"quits, Ctrl-a h helps, Ctrl-a Ctrl-a sends Ctrl-a. Words:\n";

static const char rootfs_text[] =
	"vmm run --rootfs DIR [--as machine|container|host] [OPTION...] -- COMMAND [ARG...]\n"
	"\n"
	"Runs COMMAND with DIR as its root. DIR is never changed: what the command writes is "
	"thrown "
	"away,\n"
	"or brought to another directory by --keep. Standard input, output and error are the "
	"command's; a\n"
	"terminal stays one; SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1 and SIGUSR2 are passed on "
	"to "
	"it.\n"
	"\n"
	"  --as machine    a kernel of its own in a virtual machine (the default). DIR becomes a\n"
	"                  read-only image by mkfs.erofs, kept in ~/.cache/vmm/images; a volume is "
	"a\n"
	"                  directory with :ro, or an ext4 or erofs image\n"
	"  --as container  namespaces, control groups and filters of the host's kernel; vmm freeze "
	"NAME\n"
	"                  and vmm thaw NAME stop one that runs, and have it go on\n"
	"  --as host       nothing but the root: no limits\n"
	"\n"
	"--cpus, --memory, --net, --publish, --volume, --env, --workdir, --user, --hostname, "
	"--timeout\n"
	"and --name mean the same for each; what one cannot do is refused in a line that names "
	"another.\n"
	"The exit status is the command's, and besides\n"
	"\n"
	"  124   the --timeout passed\n"
	"  125   wrong usage, or the command could not be run for a reason of ours\n"
	"  126   the command is there but cannot be executed\n"
	"  127   the command is not there\n"
	"  128+n it died by signal n; 137 also when it went beyond --memory, which a line says\n"
	"\n"
	"--volume SOURCE:TARGET[:ro]  in a file of configuration an object of these words:\n";

static const char config_text[] =
	"--config FILE.json reads options from a JSON object: the keys are the long options' "
	"names,\n"
	"the values what would be typed. A disk or a network may also be an object of its words.\n"
	"\n"
	"  {\n"
	"    \"kernel\": \"bzImage\",\n"
	"    \"memory\": \"1G\",\n"
	"    \"disk\": [\"root.img,overlay\", {\"path\": \"data.img\", \"ro\": true}],\n"
	"    \"net\": \"user\"\n"
	"  }\n"
	"\n"
	"An option after --config replaces the file's; of --disk, --net, --publish, --volume and "
	"--env\n"
	"the whole list. A command is a list of texts, \"command\". --print-config prints all that "
	"would\n"
	"be used, derived values too, as such a file, and ends; read back it gives the same. Its\n"
	"\"derived\" part is told for reading, and passed over.\n";

static const char kernel_text[] =
	"--kernel FILE takes a bzImage of any compression, or a vmlinux.\n"
	"\n"
	"Without it: ./bzImage, ./arch/x86/boot/bzImage, ./vmlinux, then the host's own\n"
	"/boot/vmlinuz-$(uname -r) with its initrd; which one is said. The kernel's command line "
	"is\n"
	"made of derived words (console=, root=, panic= ...: see --print-config), then "
	"--cmdline's\n"
	"text, so that this wins. --cmdline-only stands alone. What a kernel must have built in or "
	"as\n"
	"a module in its initrd: vmm doctor --kernel FILE.\n";

static const char stats_text[] =
	"--stats FILE is written when the machine ends, and anew each time it resets: a JSON "
	"object "
	"of\n"
	"\n"
	"  vcpus    one each: exits to user space, of them port and mmio; interrupted: KVM_RUN "
	"ended\n"
	"           by a signal; kvm: what KVM counted for the vCPU (its exits are all exits)\n"
	"  loops    the main thread's, then those of --io-threads: engine; rounds; syscalls made "
	"by the\n"
	"           engine; events (kicks, readiness); operations (reads, writes, flushes)\n"
	"  devices  in the order of the bus; for each queue requests, kicks that arrived, and\n"
	"           interrupts that were sent\n"
	"  kvm      what KVM counted for the machine\n";

static const struct topic topics[] = {
	{ .name = "run", .summary = "options of vmm run", .print = config_options_help },
	{ .name = "rootfs",
	  .summary = "one command in a root directory",
	  .text = rootfs_text,
	  .list = &config_list_volume },
	{ .name = "exit-codes", .summary = "how vmm run ends", .text = exit_codes_text },
	{ .name = "kernel", .summary = "which kernel, which command line", .text = kernel_text },
	{ .name = "disk",
	  .summary = "words of --disk",
	  .text = disk_text,
	  .list = &config_list_disk },
	{ .name = "net", .summary = "words of --net", .text = net_text, .list = &config_list_net },
	{ .name = "publish",
	  .summary = "ports of the host that reach the guest",
	  .text = publish_text },
	{ .name = "console",
	  .summary = "words of --console",
	  .text = console_text,
	  .list = &config_list_console },
	{ .name = "config", .summary = "configuration files", .text = config_text },
	{ .name = "stats", .summary = "what --stats writes", .text = stats_text },
};

static void print_words(const struct config_list *list)
{
	for (size_t i = 0; i < list->field_count; i++) {
		const struct config_field *field = &list->fields[i];
		char left[64];

		snprintf(left, sizeof(left), "  %s%s%s", field->name, field->arg ? "=" : "",
			 field->arg ? field->arg : "");
		if (strlen(left) > 22)
			printf("%s\n%24s%s\n", left, "", field->help);
		else
			printf("%-24s%s\n", left, field->help);
	}
}

static void print_topic(const struct topic *topic)
{
	if (topic->print)
		topic->print();
	else
		fputs(topic->text, stdout);
	if (topic->list)
		print_words(topic->list);
}

static void print_overview(void)
{
	puts("Usage: vmm COMMAND [OPTION...]\n"
	     "\n"
	     "  run       boot Linux in a virtual machine, its console on this terminal\n"
	     "  compare   measure the same workload in each boundary, and show what each costs\n"
	     "  doctor    check what this host lacks, and say the cure\n"
	     "  freeze    stop a container for a while, by its --name; vmm thaw has it go on\n"
	     "  help      this, or one of the topics below\n"
	     "  version   print the version\n"
	     "\n"
	     "  vmm run --kernel bzImage --disk root.img\n"
	     "\n"
	     "Topics of vmm help:");
	for (size_t i = 0; i < ARRAY_SIZE(topics); i++)
		printf("  %-12s%s\n", topics[i].name, topics[i].summary);
	puts("\nvmm help --completion bash|zsh|fish prints a completion script.");
}

static int unknown_topic(const char *name)
{
	struct suggest suggest = { .typed = name };

	for (size_t i = 0; i < ARRAY_SIZE(topics); i++)
		suggest_add(&suggest, topics[i].name);
	if (suggest.nearest)
		log_err("help %s: no such topic: did you mean %s?", name, suggest.nearest);
	else
		log_err("help %s: no such topic: vmm help lists them", name);
	return EXIT_STATUS_HOST;
}

int cli_help(int argc, char **argv)
{
	if (argc < 2) {
		print_overview();
		return 0;
	}
	if (strcmp(argv[1], "--completion") == 0)
		return completion_print(argc > 2 ? argv[2] : NULL);
	for (size_t i = 0; i < ARRAY_SIZE(topics); i++) {
		if (strcmp(argv[1], topics[i].name) == 0) {
			print_topic(&topics[i]);
			return 0;
		}
	}
	return unknown_topic(argv[1]);
}
