/*
 * vmm doctor --kernel: what a kernel's build configuration lacks as a guest. Main thread.
 */
#include <stdio.h>
#include <string.h>

#include "vmm/cli/doctor.h"
#include "vmm/kernel_config.h"

enum need_kind {
	WISHED, /* without it something is missed, but it boots */
	REQUIRED,
	TRANSPORT, /* required where the other one is not there */
};

/*
 * One row a feature; it works when every option of it is set. Options that only name a menu are
 * there because the others cannot be chosen without them.
 */
static const struct kernel_need {
	const char *id;
	enum need_kind kind;
	bool built_in; /* a module comes too late */
	const char *feature;
	const char *options[8];
} needs[] = {
	{ "kernel.64bit", REQUIRED, true, "64-bit", { "64BIT" } },
	{ "kernel.acpi",
	  REQUIRED,
	  true,
	  "ACPI: CPUs, interrupts, power off and reset",
	  { "ACPI" } },
	{ "kernel.pci",
	  TRANSPORT,
	  true,
	  "PCI, the default transport",
	  { "PCI", "PCI_MSI", "PCI_MMCONFIG" } },
	{ "kernel.virtio-pci",
	  TRANSPORT,
	  false,
	  "virtio over PCI",
	  { "VIRTIO_MENU", "VIRTIO_PCI" } },
	{ "kernel.blk", REQUIRED, false, "disks", { "BLOCK", "BLK_DEV", "VIRTIO_BLK" } },
	{ "kernel.console", REQUIRED, false, "the console hvc0", { "TTY", "VIRTIO_CONSOLE" } },
	{ "kernel.net",
	  WISHED,
	  false,
	  "network cards",
	  { "NETDEVICES", "NET_CORE", "VIRTIO_NET" } },
	{ "kernel.initrd", WISHED, true, "--initrd", { "BLK_DEV_INITRD" } },
	{ "kernel.earlycon",
	  WISHED,
	  true,
	  "messages before hvc0 is up, --console serial",
	  { "SERIAL_8250", "SERIAL_8250_CONSOLE", "SERIAL_EARLYCON" } },
	{ "kernel.devtmpfs",
	  WISHED,
	  true,
	  "/dev filled by the kernel",
	  { "DEVTMPFS", "DEVTMPFS_MOUNT" } },
	{ "kernel.button",
	  WISHED,
	  false,
	  "the power button: SIGTERM switches the guest off",
	  { "INPUT", "INPUT_EVDEV", "ACPI_BUTTON" } },
	{ "kernel.pvpanic",
	  WISHED,
	  false,
	  "telling of a panic at once",
	  { "PVPANIC", "PVPANIC_MMIO" } },
	{ "kernel.kvmclock",
	  WISHED,
	  true,
	  "knowing that it runs on KVM",
	  { "HYPERVISOR_GUEST", "PARAVIRT", "KVM_GUEST" } },
	{ "kernel.rng",
	  WISHED,
	  false,
	  "entropy from the host",
	  { "HW_RANDOM", "HW_RANDOM_VIRTIO" } },
	{ "kernel.balloon",
	  WISHED,
	  false,
	  "--balloon: memory that it frees goes back",
	  { "VIRTIO_BALLOON" } },
	{ "kernel.mmio", WISHED, false, "--transport mmio", { "VIRTIO_MMIO" } },
	{ "kernel.rootfs",
	  WISHED,
	  false,
	  "--rootfs: images, and what is written over them",
	  { "MISC_FILESYSTEMS", "EROFS_FS", "EROFS_FS_ZIP", "OVERLAY_FS" } },
	{ "kernel.ip", WISHED, true, "--net ...,ip=", { "IP_PNP", "IP_PNP_DHCP" } },
};

/* Lists what OPTIONS lack in CONFIG into TEXT; *IS_MODULE is set when one is a module. */
static void find_missing(const struct kernel_config *config, const struct kernel_need *need,
			 char *text, size_t text_len, bool *is_module)
{
	size_t len = 0;

	*is_module = false;
	text[0] = '\0';
	for (size_t i = 0; i < ARRAY_SIZE(need->options) && need->options[i]; i++) {
		char value = kernel_config_get(config, need->options[i]);

		if (value == 'm')
			*is_module = true;
		if (value == 'y' || (value == 'm' && !need->built_in) || len >= text_len)
			continue;
		len += (size_t)snprintf(text + len, text_len - len, "%sCONFIG_%s", len ? ", " : "",
					need->options[i]);
	}
}

static void add_fragment(struct doctor_report *report, const struct kernel_config *config,
			 const struct kernel_need *need)
{
	size_t len = strlen(report->fragment);

	for (size_t i = 0; i < ARRAY_SIZE(need->options) && need->options[i]; i++) {
		char line[64];
		size_t line_len;

		if (kernel_config_get(config, need->options[i]) == 'y')
			continue;
		line_len = (size_t)snprintf(line, sizeof(line), "CONFIG_%s=y\n", need->options[i]);
		if (len + line_len < sizeof(report->fragment) && !strstr(report->fragment, line)) {
			memcpy(report->fragment + len, line, line_len + 1);
			len += line_len;
		}
	}
}

static void check_need(struct doctor_report *report, const struct kernel_config *config,
		       const struct kernel_need *need)
{
	char missing[160];
	bool is_module;
	bool required;

	find_missing(config, need, missing, sizeof(missing), &is_module);
	if (!missing[0] && is_module) {
		doctor_add(report, need->id, DOCTOR_OK,
			   "kernel: %s, as a module that its initrd "
			   "must hold",
			   need->feature);
		return;
	}
	if (!missing[0]) {
		doctor_add(report, need->id, DOCTOR_OK, "kernel: %s", need->feature);
		return;
	}
	required = need->kind == REQUIRED ||
		   (need->kind == TRANSPORT && kernel_config_get(config, "VIRTIO_MMIO") == 'n');
	doctor_add(report, need->id, required ? DOCTOR_FAIL : DOCTOR_WARN,
		   "kernel: lacks %s for %s", missing, need->feature);
	add_fragment(report, config, need);
}

static void add_load_failure(struct doctor_report *report, const struct kernel_config *found,
			     int err, const char *kernel, const char *config)
{
	if (err == -ENOENT && kernel && !config && access(kernel, F_OK) == 0) {
		doctor_add(report, "kernel.config", DOCTOR_WARN,
			   "%s%s%s: its configuration is neither in it nor beside it nor in /boot",
			   kernel, found->version[0] ? " " : "", found->version);
		doctor_cure(report, "name it with --kernel-config FILE");
	} else if (found->problem && (err == -ENOEXEC || err == -EINVAL)) {
		doctor_add(report, "kernel.file", DOCTOR_FAIL, "%s: %s", kernel, found->problem);
		doctor_cure(report, "name a bzImage or vmlinux");
	} else if (err == -ENODATA) {
		doctor_add(report, "kernel.config", DOCTOR_FAIL, "%s holds no CONFIG_ lines",
			   config);
		doctor_cure(report, "name the .config of the kernel's build");
	} else {
		doctor_add(report, "kernel.file", DOCTOR_FAIL, "%s: %s", config ? config : kernel,
			   strerrordesc_np(-err));
		doctor_cure(report, "name a file that can be read");
	}
}

void doctor_check_kernel(struct doctor_report *report, const char *kernel, const char *config)
{
	struct kernel_config found;
	int ret = kernel_config_load(&found, kernel, config);

	if (ret < 0) {
		add_load_failure(report, &found, ret, kernel, config);
	} else {
		doctor_add(report, "kernel.config", DOCTOR_OK, "kernel configuration%s%s from %s",
			   found.version[0] ? " of " : "", found.version, found.found);
		for (size_t i = 0; i < ARRAY_SIZE(needs); i++)
			check_need(report, &found, &needs[i]);
	}
	kernel_config_fini(&found);
}
