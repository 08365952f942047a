/*
 * The first process of a machine that runs a command: loads modules, mounts the root, sets the
 * network, runs the command behind the relay, and ends the machine. Static and small: it is linked
 * into the monitor, which carries it into each such machine in an initramfs made in memory
 * (vmm/boundary/boundary_machine.c). One thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/guest/guest_mount.h"
#include "vmm/guest/guest_net.h"
#include "vmm/guest/keep_send.h"
#include "vmm/guest/relay_guest.h"
#include "vmm/guest/text.h"
#include "vmm/guest/workload.h"

static char error_text[256];

static int fail(const char *what, const char *name, const char *why)
{
	text_join(error_text, sizeof(error_text), what, " ", name, ": ", why);
	return -1;
}

static int read_workload(struct workload *workload)
{
	int fd = open(WORKLOAD_PATH, O_RDONLY | O_CLOEXEC);
	const char *why = "";
	struct stat st;
	size_t len = 0;
	char *text;

	if (fd < 0 || fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > WORKLOAD_LEN_MAX)
		return fail("read", WORKLOAD_PATH, strerror(errno));
	text = malloc((size_t)st.st_size);
	while (text && len < (size_t)st.st_size) {
		ssize_t got = read(fd, text + len, (size_t)st.st_size - len);

		if (got <= 0)
			break;
		len += (size_t)got;
	}
	close(fd);
	if (!text || !workload_parse(workload, text, len, &why))
		return fail("read", WORKLOAD_PATH, text ? why : "out of memory");
	return 0;
}

/* In order; what is there already is fine. They are of no use afterwards. */
static int load_modules(const struct workload *workload)
{
	for (unsigned i = 0; i < workload->module_count; i++) {
		const char *path = workload->modules[i];
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return fail("open", path, strerror(errno));
		if (syscall(SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST) {
			close(fd);
			return fail("load", path, strerror(errno));
		}
		close(fd);
		unlink(path);
	}
	return 0;
}

/*
 * With too little memory Linux reads the pages of running programs from the disk over and over for
 * minutes before it kills one. Where it has the multi-generational LRU it can be told to kill when
 * it cannot keep what was used within so many milliseconds (Documentation/admin-guide/mm/
 * multigen_lru.rst, "Thrashing prevention"; a second is what it recommends).
 */
static void kill_before_thrashing(void)
{
	static const char *const words[][2] = {
		{ "/sys/kernel/mm/lru_gen/enabled", "y" },
		{ "/sys/kernel/mm/lru_gen/min_ttl_ms", "1000" },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		int fd = open(words[i][0], O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(fd, words[i][1], strlen(words[i][1])) < 0) {
			/* A kernel without it goes on as it does. */
		}
		if (fd >= 0)
			close(fd);
	}
}

/* All that comes before the command. */
static int prepare(const struct workload *workload, int *upper_fd)
{
	int ret = guest_mount_root(workload, upper_fd, error_text, sizeof(error_text));

	if (ret == 0)
		ret = guest_mount_system(error_text, sizeof(error_text));
	if (ret == 0)
		kill_before_thrashing();
	if (ret == 0)
		ret = guest_mount_volumes(workload, error_text, sizeof(error_text));
	if (ret == 0 && workload->hostname &&
	    sethostname(workload->hostname, strlen(workload->hostname)) < 0)
		ret = fail("set", "the host name", strerror(errno));
	if (ret == 0)
		ret = guest_net_configure(workload, error_text, sizeof(error_text));
	return ret;
}

static _Noreturn void end_machine(void)
{
	char line[sizeof(error_text) + 16];
	size_t len = text_join(line, sizeof(line), "guest-init: ", error_text, "\n");

	/* Without a monitor that heard why, the kernel's log is where it can be read. */
	if (error_text[0] && write(STDERR_FILENO, line, len) < 0) {
		/* Nobody to tell. */
	}
	sync();
	reboot(RB_POWER_OFF);
	_exit(1);
}

int main(void)
{
	struct relay_guest relay;
	struct workload workload;
	const char *what = "";
	int status, upper_fd = -1;

	if (guest_mount_first(error_text, sizeof(error_text)) < 0 || read_workload(&workload) < 0)
		end_machine();
	/* Told when there is a port to tell it through. */
	load_modules(&workload);
	status = relay_guest_open(&relay, workload.terminal, "/dev", &what);
	if (status == 0 && workload.keep)
		status = relay_guest_open_keep(&relay, "/dev", &what);
	if (status < 0) {
		fail("open the port", what, strerror(-status));
		end_machine();
	}
	if (error_text[0] || prepare(&workload, &upper_fd) < 0) {
		relay_guest_fail(&relay, error_text);
		end_machine();
	}
	status = relay_guest_run(&relay, &workload, error_text, sizeof(error_text));
	guest_mount_finish(&workload);
	/* Where it fails, the monitor knows. */
	if (status >= 0 && upper_fd >= 0)
		keep_send(relay.keep_fd, upper_fd);
	if (status < 0)
		relay_guest_fail(&relay, error_text);
	else
		relay_guest_exit(&relay, status);
	end_machine();
}
