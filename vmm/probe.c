/*
 * Runs the architecture's probe programs one after the other. A program may hang KVM_RUN (some
 * instructions loop in a software KVM), so a timer's signal takes the vCPU out again and again
 * until it is out. Calling thread.
 */
#include "vmm/probe.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>

#include "arch/probe.h"
#include "vmm/log.h"

/* A CPU's own virtualization does a thousand million; interpreters a few. */
#define SOFTWARE_BELOW_PER_S UINT64_C(10000000)
#define PROGRAM_TIME_NS	     100000000L
/* A busy host may look slow once. */
#define MEASURE_MAX 3
#define SIGNAL	    SIGURG
/* Smaller than any Linux. */
#define LINUX_LEN_MIN (1 << 19)

struct probe {
	int kvm_fd; /* borrowed */
	int vm_fd;
	int vcpu_fd;
	uint8_t *mem;
	struct kvm_run *run;
	size_t run_len;
	timer_t timer;
	bool has_timer;
	struct sigaction old_action;
	sigset_t old_mask;
};

static void on_signal(int signal)
{
	(void)signal;
}

static int start_watchdog(struct probe *probe)
{
	struct sigaction action = { .sa_handler = on_signal };
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGNAL };
	sigset_t set;

	event._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	sigemptyset(&set);
	sigaddset(&set, SIGNAL);
	if (timer_create(CLOCK_MONOTONIC, &event, &probe->timer) < 0)
		return -errno;
	probe->has_timer = true;
	sigaction(SIGNAL, &action, &probe->old_action);
	pthread_sigmask(SIG_UNBLOCK, &set, &probe->old_mask);
	return 0;
}

static void stop_watchdog(struct probe *probe)
{
	if (!probe->has_timer)
		return;
	timer_delete(probe->timer);
	pthread_sigmask(SIG_SETMASK, &probe->old_mask, NULL);
	sigaction(SIGNAL, &probe->old_action, NULL);
}

static void set_watchdog(struct probe *probe, long first_ns)
{
	/* Again every 10 ms: the first signal may come just before KVM_RUN. */
	struct itimerspec when = { .it_value.tv_nsec = first_ns,
				   .it_interval.tv_nsec = first_ns ? 10000000 : 0 };

	timer_settime(probe->timer, 0, &when, NULL);
}

static int create_vm(struct probe *probe)
{
	struct kvm_userspace_memory_region region = { .memory_size = ARCH_PROBE_MEM_LEN };
	int ret;

	probe->vm_fd = ioctl(probe->kvm_fd, KVM_CREATE_VM, 0ul);
	if (probe->vm_fd < 0)
		return -errno;
	probe->mem = mmap(NULL, ARCH_PROBE_MEM_LEN, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (probe->mem == MAP_FAILED)
		return -errno;
	region.userspace_addr = (uintptr_t)probe->mem;
	if (ioctl(probe->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) < 0)
		return -errno;
	ret = arch_probe_vm_init(probe->vm_fd);
	if (ret < 0)
		return ret;
	probe->vcpu_fd = ioctl(probe->vm_fd, KVM_CREATE_VCPU, 0ul);
	if (probe->vcpu_fd < 0)
		return -errno;
	ret = ioctl(probe->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0ul);
	if (ret < (int)sizeof(*probe->run))
		return ret < 0 ? -errno : -EINVAL;
	probe->run_len = (size_t)ret;
	probe->run =
		mmap(NULL, probe->run_len, PROT_READ | PROT_WRITE, MAP_SHARED, probe->vcpu_fd, 0);
	return probe->run == MAP_FAILED ? -errno : 0;
}

static void destroy_vm(struct probe *probe)
{
	if (probe->run != MAP_FAILED)
		munmap(probe->run, probe->run_len);
	if (probe->vcpu_fd >= 0)
		close(probe->vcpu_fd);
	if (probe->vm_fd >= 0)
		close(probe->vm_fd);
	if (probe->mem != MAP_FAILED)
		munmap(probe->mem, ARCH_PROBE_MEM_LEN);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* Runs what was loaded. 1: came to its end, 0: did not (fault, refusal, time), -errno. */
static int run_program(struct probe *probe, uint64_t *spent_ns)
{
	uint64_t start = now_ns();
	int ret;
	int err;

	set_watchdog(probe, PROGRAM_TIME_NS);
	do {
		ret = ioctl(probe->vcpu_fd, KVM_RUN, 0ul);
		err = errno;
		*spent_ns = now_ns() - start;
	} while (ret < 0 && err == EINTR && *spent_ns < PROGRAM_TIME_NS);
	set_watchdog(probe, 0);
	if (ret < 0)
		return err == EINTR ? 0 : -err;
	return arch_probe_passed(probe->run);
}

static int measure(struct probe *probe, struct probe_result *out)
{
	uint64_t spent_ns = 0;
	uint64_t count = 0;
	int ret = arch_probe_load(0, probe->kvm_fd, probe->vcpu_fd, probe->mem);

	if (ret == 0)
		ret = run_program(probe, &spent_ns);
	if (ret < 0)
		return ret;
	if (ret == 0 && spent_ns < PROGRAM_TIME_NS && !out->failed_count)
		out->failed[out->failed_count++] = arch_probe_program_name(0);
	ret = arch_probe_count(probe->vcpu_fd, &count);
	if (ret < 0)
		return ret;
	count = count * 1000000 / (spent_ns / 1000 + 1);
	if (count > out->instructions_per_s)
		out->instructions_per_s = count;
	out->software = out->instructions_per_s < SOFTWARE_BELOW_PER_S;
	return 0;
}

/* A fresh vCPU each: what one program broke cannot spoil the next. */
static int try_program(int kvm_fd, size_t program, struct probe_result *out)
{
	struct probe probe = { .kvm_fd = kvm_fd, .vm_fd = -1, .vcpu_fd = -1 };
	uint64_t spent_ns;
	int ret;

	probe.mem = MAP_FAILED;
	probe.run = MAP_FAILED;
	ret = start_watchdog(&probe);
	if (ret == 0)
		ret = create_vm(&probe);
	if (ret == 0 && program == 0) {
		ret = measure(&probe, out);
	} else if (ret == 0) {
		ret = arch_probe_load(program, kvm_fd, probe.vcpu_fd, probe.mem);
		if (ret == 0)
			ret = run_program(&probe, &spent_ns);
		if (ret == 0 && out->failed_count < PROBE_FAILED_MAX)
			out->failed[out->failed_count++] = arch_probe_program_name(program);
	}
	destroy_vm(&probe);
	stop_watchdog(&probe);
	return ret;
}

int probe_kvm(int kvm_fd, struct probe_result *out)
{
	int ret = 0;

	*out = (struct probe_result){ .software = true };
	for (unsigned i = 0; i < MEASURE_MAX && out->software && ret == 0; i++)
		ret = try_program(kvm_fd, 0, out);
	if (ret < 0)
		return ret;
	for (size_t i = 1; i < arch_probe_program_count; i++) {
		ret = try_program(kvm_fd, i, out);
		if (ret < 0 && ret != -ENOTSUP)
			return ret;
	}
	return 0;
}

bool probe_next_lack(int kvm_fd, size_t *next, struct probe_lack *out)
{
	while (*next < arch_probe_cap_count) {
		const struct arch_probe_cap *cap = &arch_probe_caps[(*next)++];

		if (ioctl(kvm_fd, KVM_CHECK_EXTENSION, (unsigned long)cap->cap) > 0)
			continue;
		*out = (struct probe_lack){ cap->name, cap->needed_for, cap->optional };
		return true;
	}
	return false;
}

bool probe_explain(const struct probe_result *result, char *buf, size_t buf_len)
{
	char failed[120] = "";
	size_t len = 0;

	if (!result->software && result->failed_count == 0)
		return false;
	for (unsigned i = 0; i < result->failed_count && len < sizeof(failed); i++)
		len += (size_t)snprintf(failed + len, sizeof(failed) - len, "%s%s", i ? ", " : "",
					result->failed[i]);
	snprintf(buf, buf_len,
		 "this /dev/kvm %s (%.1f million instructions/s in ring 0%s%s): no stock kernel "
		 "runs "
		 "on it; use a host with hardware virtualization, or tests/lab/run",
		 result->software ? "interprets the guest's kernel" : "lacks what kernels need",
		 (double)result->instructions_per_s / 1e6, failed[0] ? "; fails at " : "", failed);
	return true;
}

/* A bzImage by its header (Linux boot protocol, "HdrS" at 0x202), a vmlinux by the banner in it. */
static bool is_linux(const char *path)
{
	static const char banner[] = "Linux version ";
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	char magic[4] = "";
	struct stat st;
	bool found;
	void *map;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size < LINUX_LEN_MIN)
		return false;
	if (pread(fd, magic, sizeof(magic), 0x202) == sizeof(magic) && !memcmp(magic, "HdrS", 4))
		return true;
	map = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (map == MAP_FAILED)
		return false;
	found = memmem(map, (size_t)st.st_size, banner, sizeof(banner) - 1) != NULL;
	munmap(map, (size_t)st.st_size);
	return found;
}

static void *warn_thread(void *opaque)
{
	auto_close int kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	struct probe_result result;
	char line[512];

	if (!is_linux(opaque))
		return NULL; /* bare guests run on every kind */
	if (kvm_fd >= 0 && probe_kvm(kvm_fd, &result) == 0 &&
	    probe_explain(&result, line, sizeof(line)))
		log_warn("%s", line);
	return NULL;
}

void probe_warning_start(struct probe_warning *warning, const char *kernel_path)
{
	warning->started =
		!arch_probe_cpu_virtualizes() &&
		pthread_create(&warning->thread, NULL, warn_thread, (void *)kernel_path) == 0;
}

void probe_warning_join(struct probe_warning *warning)
{
	if (warning->started)
		pthread_join(warning->thread, NULL);
	warning->started = false;
}
