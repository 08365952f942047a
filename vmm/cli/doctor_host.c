/*
 * vmm doctor: the host's side. Every check tries the thing itself rather than asking about it. Main
 * thread.
 */
#include <dlfcn.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <string.h>
#include <sys/capability.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "vmm/cli/doctor.h"
#include "vmm/config_finish.h"
#include "vmm/image/image.h"
#include "vmm/probe.h"

static void add_open_failure(struct doctor_report *report, int err)
{
	doctor_add(report, "kvm.device", DOCTOR_FAIL, "/dev/kvm: %s", strerrordesc_np(err));
	if (err == EACCES || err == EPERM)
		doctor_cure(report,
			    "add yourself to its group: sudo usermod -aG kvm $USER, then log "
			    "in again");
	else
		doctor_cure(report,
			    "load its module (sudo modprobe kvm_intel or kvm_amd), and switch "
			    "virtualization on in the firmware, or nested virtualization on the "
			    "host above");
}

static void check_capabilities(struct doctor_report *report, int kvm_fd)
{
	int version = ioctl(kvm_fd, KVM_GET_API_VERSION, 0ul);
	struct probe_lack lack;
	bool complete = true;
	size_t next = 0;

	if (version != KVM_API_VERSION) {
		doctor_add(report, "kvm.api", DOCTOR_FAIL, "KVM speaks version %d", version);
		doctor_cure(report, "version %d is needed: boot a kernel that is not so old",
			    KVM_API_VERSION);
		return;
	}
	while (probe_next_lack(kvm_fd, &next, &lack)) {
		complete = false;
		doctor_add(report, "kvm.capability", lack.optional ? DOCTOR_WARN : DOCTOR_FAIL,
			   "KVM_CAP_%s is missing, for %s", lack.cap, lack.needed_for);
		if (!lack.optional)
			doctor_cure(report, "boot a newer host kernel");
	}
	if (complete)
		doctor_add(report, "kvm.capability", DOCTOR_OK,
			   "KVM has the capabilities that are used");
}

static void check_kind(struct doctor_report *report, int kvm_fd)
{
	struct probe_result result;
	char text[512];
	int ret = probe_kvm(kvm_fd, &result);

	if (ret < 0) {
		doctor_add(report, "kvm.kind", DOCTOR_FAIL, "no guest can be run on /dev/kvm: %s",
			   strerrordesc_np(-ret));
		doctor_cure(report, "look at dmesg for what KVM says");
		return;
	}
	report->kvm_kind = result.software ? "software" : "hardware";
	report->instructions_per_s = result.instructions_per_s;
	doctor_add(report, "kvm.kind", result.software ? DOCTOR_FAIL : DOCTOR_OK,
		   "/dev/kvm is %s: %.1f million instructions/s in ring 0", report->kvm_kind,
		   (double)result.instructions_per_s / 1e6);
	if (result.software)
		doctor_cure(report, "only bare guests run here, no stock kernel; use a host with "
				    "hardware virtualization, or tests/lab/run");
	if (!result.failed_count) {
		doctor_add(report, "kvm.guest", DOCTOR_OK,
			   "a bare guest runs what stock kernels need");
	} else if (probe_explain(&result, text, sizeof(text))) {
		doctor_add(report, "kvm.guest", DOCTOR_FAIL,
			   "a bare guest fails at what stock "
			   "kernels do:");
		for (unsigned i = 0; i < result.failed_count; i++) {
			char *what = report->rows[report->row_count - 1].what;
			size_t len = strlen(what);

			snprintf(what + len, sizeof(report->rows[0].what) - len, "%s %s",
				 i ? "," : "", result.failed[i]);
		}
	}
}

static void check_kvm(struct doctor_report *report)
{
	auto_close int kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

	if (kvm_fd < 0) {
		add_open_failure(report, errno);
		return;
	}
	doctor_add(report, "kvm.device", DOCTOR_OK, "/dev/kvm can be opened");
	check_capabilities(report, kvm_fd);
	check_kind(report, kvm_fd);
}

/* The value of a sysctl that is one number, or -1. */
static long read_sysctl(const char *path)
{
	FILE *file = fopen(path, "re");
	long value = -1;

	if (!file)
		return -1;
	if (fscanf(file, "%ld", &value) != 1)
		value = -1;
	fclose(file);
	return value;
}

static void check_io_uring(struct doctor_report *report)
{
	struct io_uring ring;
	int ret = io_uring_queue_init(8, &ring, 0);
	long disabled;

	if (ret == 0) {
		io_uring_queue_exit(&ring);
		doctor_add(report, "io_uring", DOCTOR_OK, "io_uring is allowed");
		return;
	}
	doctor_add(report, "io_uring", DOCTOR_WARN,
		   "io_uring is refused (%s), epoll with threads is "
		   "used instead",
		   strerrordesc_np(-ret));
	disabled = read_sysctl("/proc/sys/kernel/io_uring_disabled");
	if (disabled > 0)
		doctor_cure(report, "sudo sysctl kernel.io_uring_disabled=0 (it is %ld)", disabled);
	else if (ret == -EPERM)
		doctor_cure(report,
			    "a seccomp filter forbids it: allow io_uring_setup, "
			    "io_uring_enter and io_uring_register in the container's profile");
	else if (ret == -ENOMEM)
		doctor_cure(report, "raise the memlock limit: ulimit -l 8192");
	else
		doctor_cure(report, "boot a host kernel with CONFIG_IO_URING");
}

/* PROGRAM, which is run by its name alone, is of PACKAGE. */
static void check_program(struct doctor_report *report, const char *program, const char *option,
			  const char *package)
{
	if (config_is_in_path(program)) {
		doctor_add(report, program, DOCTOR_OK, "%s is there for %s", program, option);
		return;
	}
	doctor_add(report, program, DOCTOR_WARN, "%s is not in PATH, %s needs it", program, option);
	doctor_cure(report, "sudo apt-get install %s", package);
}

static void check_liblxc(struct doctor_report *report)
{
	void *library = dlopen("liblxc.so.1", RTLD_NOW | RTLD_LOCAL);

	if (library) {
		dlclose(library);
		doctor_add(report, "liblxc", DOCTOR_OK, "liblxc is there for --as container");
		return;
	}
	doctor_add(report, "liblxc", DOCTOR_WARN, "no liblxc.so.1, --as container needs it");
	doctor_cure(report, "sudo apt-get install liblxc1");
}

static void check_containers(struct doctor_report *report)
{
	static const char ordinary[] = "--as container by an ordinary user";

	check_liblxc(report);
	check_program(report, "nft", "--net bridge", "nftables");
	check_program(report, "newuidmap", ordinary, "uidmap");
	check_program(report, "newgidmap", ordinary, "uidmap");
}

static void check_images(struct doctor_report *report)
{
	if (image_can_make()) {
		doctor_add(report, "erofs", DOCTOR_OK, "mkfs.erofs is there for --rootfs");
		return;
	}
	doctor_add(report, "erofs", DOCTOR_WARN,
		   "mkfs.erofs is not there, --rootfs needs it for machines");
	doctor_cure(report, "sudo apt-get install erofs-utils");
}

static bool has_net_admin(void)
{
	cap_flag_value_t value = CAP_CLEAR;
	cap_t caps = cap_get_proc();

	if (caps) {
		(void)cap_get_flag(caps, CAP_NET_ADMIN, CAP_EFFECTIVE, &value);
		cap_free(caps);
	}
	return value == CAP_SET;
}

static void check_device(struct doctor_report *report, const char *id, const char *path,
			 const char *option, const char *module)
{
	auto_close int fd = open(path, O_RDWR | O_CLOEXEC);
	int err = errno;

	if (fd >= 0) {
		doctor_add(report, id, DOCTOR_OK, "%s can be opened, for %s", path, option);
		return;
	}
	doctor_add(report, id, DOCTOR_WARN, "%s: %s, %s needs it", path, strerrordesc_np(err),
		   option);
	if (err == EACCES || err == EPERM)
		doctor_cure(report, "sudo chmod 666 %s, or run as root", path);
	else
		doctor_cure(report, "sudo modprobe %s", module);
}

static void check_net(struct doctor_report *report)
{
	check_device(report, "tun", "/dev/net/tun", "--net tap=NAME", "tun");
	if (!has_net_admin()) {
		doctor_add(report, "tun.admin", DOCTOR_WARN,
			   "without CAP_NET_ADMIN a tap cannot be made");
		doctor_cure(report, "have one made for you: sudo ip tuntap add NAME mode tap "
				    "user $USER");
	}
	check_device(report, "vhost-net", "/dev/vhost-net", "--net tap=NAME,vhost=on", "vhost_net");
}

static bool kernel_is_before(unsigned major, unsigned minor)
{
	unsigned host_major;
	unsigned host_minor;
	struct utsname host;

	if (uname(&host) < 0 || sscanf(host.release, "%u.%u", &host_major, &host_minor) != 2)
		return false;
	return host_major < major || (host_major == major && host_minor < minor);
}

#define MEMLOCK_NEEDED (8u << 20)
#define NOFILE_NEEDED  1024u

static void check_limits(struct doctor_report *report)
{
	struct rlimit limit;

	/* Since 5.12 rings count as the user's memory, not as locked memory. */
	if (getrlimit(RLIMIT_MEMLOCK, &limit) == 0 && limit.rlim_cur < MEMLOCK_NEEDED &&
	    kernel_is_before(5, 12)) {
		doctor_add(report, "memlock", DOCTOR_WARN,
			   "only %llu KiB may be locked, io_uring on "
			   "this host kernel needs more",
			   (unsigned long long)limit.rlim_cur / 1024);
		doctor_cure(report, "ulimit -l %u", MEMLOCK_NEEDED / 1024);
	} else {
		doctor_add(report, "memlock", DOCTOR_OK,
			   "the limit on locked memory is no hindrance");
	}
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < NOFILE_NEEDED) {
		doctor_add(report, "nofile", DOCTOR_WARN,
			   "only %llu files may be open, machines with "
			   "many queues need more",
			   (unsigned long long)limit.rlim_cur);
		doctor_cure(report, "ulimit -n %u", NOFILE_NEEDED);
	} else {
		doctor_add(report, "nofile", DOCTOR_OK, "enough files may be open");
	}
}

void doctor_check_host(struct doctor_report *report)
{
	check_kvm(report);
	check_io_uring(report);
	check_program(report, "passt", "--net user", "passt");
	check_images(report);
	check_containers(report);
	check_net(report);
	check_limits(report);
}
