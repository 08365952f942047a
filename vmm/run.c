/*
 * The life of a machine on the main thread: open what the host lends, then build, run and take down
 * the hardware, again for each reset; signals, the time limit and panics turn into an end; the end
 * turns into an exit status.
 */
#include "vmm/run.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>

#include "vmm/end.h"
#include "vmm/io_threads.h"
#include "vmm/beside.h"
#include "vmm/kvm_host.h"
#include "vmm/late/late.h"
#include "vmm/log.h"
#include "vmm/machine.h"
#include "vmm/probe.h"
#include "vmm/timeline.h"
#include "vmm/vcpu.h"

/* A second SIGTERM or SIGINT within this time of the first ends the machine at once. */
#define SECOND_SIGNAL_NS 5000000000ull
/* After a closed terminal the guest has this long to switch itself off. */
#define HANGUP_NS 5000000000ull
/* How long a panicked guest that told us by pvpanic may go on printing. */
#define PVPANIC_GRACE_NS 300000000ull
/* How long one that said so only on its console may take to reset or to finish printing. */
#define PANIC_LINE_GRACE_NS 3000000000ull
/* A panic line of so long ago, with something else after it, was part of a log that someone looked
 * at. */
#define PANIC_LINE_OLD_NS 10000000000ull

struct run {
	const struct config *config;
	const struct run_owner *owner; /* or NULL */
	bool owner_attached;
	struct beside beside;
	struct beside_job asking; /* for the CPU model */
	struct kvm_host kvm;
	struct io_threads io;
	struct end end;
	struct machine_host *host;
	struct machine *machine; /* between machine_create and machine_destroy */
	sigset_t old_mask;
	int stats_fd; /* -1: none asked for */
	int signal_fd;
	struct loop_event signal_event;
	uint64_t button_ns; /* when a signal last pressed the power button; 0: never */
	struct loop_timer timeout;
	struct loop_timer hangup;
	/* Panic: said on any thread, timed on the main loop. */
	int panic_fd;
	struct loop_event panic_event;
	struct loop_timer panic_timer;
	uint64_t panic_line_ns; /* when the console said it */
	bool paused;		/* after a panic: nobody is there to press a button for */
	bool pvpanic_seen;	/* atomic */
	bool panic_line_seen;	/* atomic */
	struct probe_warning warning;
};

static const int watched_signals[] = { SIGTERM, SIGINT, SIGHUP, SIGWINCH, SIGCONT };
/* Besides, where there is a command to have them. */
static const int owner_signals[] = { SIGQUIT, SIGUSR1, SIGUSR2 };

/* ---- signals ---- */

static void run_press_button(struct run *run, const char *why)
{
	log_debug("%s: pressing the power button", why);
	if (run->machine)
		machine_press_power_button(run->machine);
}

static void run_hung_up(void *opaque)
{
	struct run *run = opaque;

	if (run->hangup.deadline_ns)
		return;
	run_press_button(run, "the terminal is gone");
	loop_timer_arm(run->io.main_loop, &run->hangup, loop_now_ns() + HANGUP_NS);
}

/* True when it is the owner's. A second wish to end within a few seconds is for us. */
static bool run_owner_has(struct run *run, int signal, uint64_t now)
{
	bool end = signal == SIGTERM || signal == SIGINT;

	if (!run->owner || run->paused)
		return false;
	if (end && run->button_ns && now - run->button_ns < SECOND_SIGNAL_NS)
		return false;
	if (!run->owner->signal(run->owner->opaque, signal))
		return false;
	if (end)
		run->button_ns = now;
	return true;
}

static void run_on_signal(struct run *run, int signal)
{
	uint64_t now = loop_now_ns();

	if (run_owner_has(run, signal, now))
		return;
	if (signal == SIGWINCH) {
		machine_host_terminal_resized(run->host);
	} else if (signal == SIGCONT) {
		machine_host_continued(run->host);
	} else if (signal == SIGHUP) {
		run_hung_up(run);
	} else if (run->paused || (run->button_ns && now - run->button_ns < SECOND_SIGNAL_NS)) {
		end_say(&run->end, END_QUIT, 128 + signal);
	} else {
		run->button_ns = now;
		run_press_button(run, signal == SIGTERM ? "SIGTERM" : "SIGINT");
	}
}

static void run_on_signal_event(struct loop_event *event, uint32_t events)
{
	struct run *run = container_of(event, struct run, signal_event);
	struct signalfd_siginfo info;

	(void)events;
	while (read(run->signal_fd, &info, sizeof(info)) == sizeof(info))
		run_on_signal(run, (int)info.ssi_signo);
}

/* What nohup, or a shell for what it starts in the background, wants us not to hear. A blocked
 * signal would arrive all the same. */
static bool run_must_ignore(int signal)
{
	struct sigaction old;

	return (signal == SIGHUP || signal == SIGINT || signal == SIGQUIT) &&
	       sigaction(signal, NULL, &old) == 0 && old.sa_handler == SIG_IGN;
}

/*
 * The kernel and the initrd are mapped from their files. When one is cut short, whoever looks at
 * what is missing gets this signal, be it a device or the loop; the guest could not go on either.
 */
static void run_on_lost_memory(int number, siginfo_t *info, void *context)
{
	static const char text[] =
		"vmm: memory of the guest is gone: was the file of its kernel or initrd "
		"overwritten? write such files anew and rename them\r\n";

	(void)context;
	if (info->si_code != BUS_ADRERR) {
		signal(number, SIG_DFL); /* and again, to the end */
		return;
	}
	if (write(STDERR_FILENO, text, sizeof(text) - 1) < 0) {
		/* Nobody to tell. */
	}
	_exit(EXIT_STATUS_HOST);
}

static int run_open_signals(struct run *run)
{
	struct sigaction lost = { .sa_sigaction = run_on_lost_memory, .sa_flags = SA_SIGINFO };
	sigset_t mask;

	sigemptyset(&mask);
	for (size_t i = 0; i < ARRAY_SIZE(watched_signals); i++)
		if (!run_must_ignore(watched_signals[i]))
			sigaddset(&mask, watched_signals[i]);
	for (size_t i = 0; run->owner && i < ARRAY_SIZE(owner_signals); i++)
		if (!run_must_ignore(owner_signals[i]))
			sigaddset(&mask, owner_signals[i]);
	/* Blocked before any thread exists, so that all inherit it. */
	pthread_sigmask(SIG_BLOCK, &mask, &run->old_mask);
	signal(SIGPIPE, SIG_IGN);
	/* A write beyond the limit of a file's size fails, like one to a full disk. */
	signal(SIGXFSZ, SIG_IGN);
	sigaction(SIGBUS, &lost, NULL);
	run->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
	if (run->signal_fd < 0)
		return log_errno(errno, "signalfd");
	run->signal_event = (struct loop_event){ .fn = run_on_signal_event,
						 .fd = run->signal_fd,
						 .events = EPOLLIN };
	return loop_event_add(run->io.main_loop, &run->signal_event);
}

/* ---- time ---- */

static void run_on_timeout(struct loop_timer *timer)
{
	end_say(&container_of(timer, struct run, timeout)->end, END_TIMEOUT, 0);
}

static void run_on_hangup_timer(struct loop_timer *timer)
{
	end_say(&container_of(timer, struct run, hangup)->end, END_QUIT, 128 + SIGHUP);
}

/* ---- panic ---- */

static bool run_panicked(const struct run *run)
{
	return __atomic_load_n(&run->pvpanic_seen, __ATOMIC_ACQUIRE) ||
	       __atomic_load_n(&run->panic_line_seen, __ATOMIC_ACQUIRE);
}

static void run_wake_panic(struct run *run, bool *seen)
{
	static const uint64_t one = 1;

	__atomic_store_n(seen, true, __ATOMIC_RELEASE);
	if (write(run->panic_fd, &one, sizeof(one)) < 0) {
		/* The counter is full: the loop is awake. */
	}
}

static void run_on_pvpanic(void *opaque)
{
	struct run *run = opaque;

	run_wake_panic(run, &run->pvpanic_seen);
}

static void run_on_console_panic(void *opaque)
{
	struct run *run = opaque;

	run_wake_panic(run, &run->panic_line_seen);
}

/* A console shows what a person looks at, too: the words count when they are the last. */
static void run_on_panic_timer(struct loop_timer *timer)
{
	struct run *run = container_of(timer, struct run, panic_timer);
	uint64_t now = loop_now_ns();

	if (__atomic_load_n(&run->pvpanic_seen, __ATOMIC_ACQUIRE) ||
	    machine_host_panic_is_last(run->host)) {
		end_say(&run->end, END_PANIC, 0);
	} else if (now - run->panic_line_ns < PANIC_LINE_OLD_NS) {
		loop_timer_arm(run->io.main_loop, timer, now + PANIC_LINE_GRACE_NS);
	} else {
		__atomic_store_n(&run->panic_line_seen, false, __ATOMIC_RELEASE);
		machine_host_forget_panic(run->host);
	}
}

/* The first word starts the wait; pvpanic, the surer one, shortens it. */
static void run_on_panic_event(struct loop_event *event, uint32_t events)
{
	struct run *run = container_of(event, struct run, panic_event);
	bool sure = __atomic_load_n(&run->pvpanic_seen, __ATOMIC_ACQUIRE);
	uint64_t deadline = loop_now_ns() + (sure ? PVPANIC_GRACE_NS : PANIC_LINE_GRACE_NS);
	uint64_t count;

	(void)events;
	if (read(run->panic_fd, &count, sizeof(count)) < 0 || !run_panicked(run))
		return;
	if (!run->panic_timer.deadline_ns)
		run->panic_line_ns = loop_now_ns();
	if (!run->panic_timer.deadline_ns || run->panic_timer.deadline_ns > deadline)
		loop_timer_arm(run->io.main_loop, &run->panic_timer, deadline);
}

static int run_open_panic(struct run *run)
{
	run->panic_timer.fn = run_on_panic_timer;
	run->panic_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (run->panic_fd < 0)
		return log_errno(errno, "eventfd");
	run->panic_event = (struct loop_event){ .fn = run_on_panic_event,
						.fd = run->panic_fd,
						.events = EPOLLIN };
	return loop_event_add(run->io.main_loop, &run->panic_event);
}

static void run_on_quit(void *opaque)
{
	end_say(&((struct run *)opaque)->end, END_QUIT, 0);
}

/* ---- one boot ---- */

/* What was said, seen with what is known of a panic: a panicked kernel that resets has still
 * panicked. It does not power off, unless pvpanic knows better. */
static enum end_kind run_verdict(struct run *run)
{
	enum end_kind kind = end_kind(&run->end);

	if (run_panicked(run) && (kind == END_RESET || kind == END_TRIPLE_FAULT))
		kind = END_PANIC;
	if (kind == END_POWEROFF && __atomic_load_n(&run->pvpanic_seen, __ATOMIC_ACQUIRE))
		kind = END_PANIC;
	return kind;
}

static void run_forget_end(struct run *run)
{
	end_clear(&run->end);
	run->pvpanic_seen = false;
	run->panic_line_seen = false;
	loop_timer_disarm(run->io.main_loop, &run->panic_timer);
}

static int run_boot_once(struct run *run, struct timeline *timeline)
{
	const struct machine_base base = {
		.kvm = &run->kvm,
		.beside = &run->beside,
		.host = run->host,
		.io = &run->io,
		.end = &run->end,
		.timeline = timeline,
	};
	int ret;

	run_forget_end(run);
	ret = machine_create(&run->machine, run->config, &base);
	if (ret < 0)
		return ret;
	ret = io_threads_start(&run->io);
	if (ret == 0)
		ret = machine_start(run->machine);
	if (ret == 0 && !run->warning.started)
		probe_warning_start(&run->warning, run->config->kernel);
	while (ret == 0) {
		ret = loop_run(run->io.main_loop);
		if (ret < 0 || run_verdict(run) != END_PANIC ||
		    run->config->on_panic != CONFIG_PANIC_PAUSE)
			break;
		/* Paused: the vCPUs stand still for whoever looks; a signal or the person ends it.
		 */
		machine_stop(run->machine);
		log_info("the guest's kernel panicked; the machine is paused");
		run->paused = true;
		run_forget_end(run);
	}
	run->paused = false;
	machine_stop(run->machine);
	io_threads_stop(&run->io);
	if (machine_write_statistics(run->machine, run->stats_fd) < 0 && ret == 0)
		ret = -EIO;
	machine_destroy(run->machine);
	run->machine = NULL;
	return ret;
}

static bool run_again(struct run *run)
{
	enum end_kind kind = run_verdict(run);

	if (run->owner)
		return false;
	if (kind == END_RESET)
		return run->config->on_reboot == CONFIG_REBOOT_RESET;
	return kind == END_PANIC && run->config->on_panic == CONFIG_PANIC_RESET;
}

/* ---- the end ---- */

static int run_report(struct run *run)
{
	/* What is said now comes after all that the guest said, line by line. */
	machine_host_restore_terminal(run->host);
	switch (run_verdict(run)) {
	case END_POWEROFF:
	case END_RESET:
		return run->owner ? run->owner->ended(run->owner->opaque) : 0;
	case END_STATUS:
	case END_QUIT:
		return run->end.status;
	case END_PANIC:
		log_err("the guest's kernel panicked; its last lines:");
		machine_host_print_last_lines(run->host, STDERR_FILENO);
		return EXIT_STATUS_PANIC;
	case END_TRIPLE_FAULT:
		log_err("vCPU %u: triple fault; the guest lost its descriptor tables or stack",
			run->end.cpu);
		return EXIT_STATUS_TRIPLE_FAULT;
	case END_KVM:
		log_err("vCPU %u: KVM cannot go on", run->end.cpu);
		if (write(STDERR_FILENO, run->end.detail, strlen(run->end.detail)) < 0) {
			/* Nobody to tell. */
		}
		return EXIT_STATUS_KVM;
	case END_TIMEOUT:
		log_err("time limit of %.3g s reached", (double)run->config->timeout_ms / 1e3);
		return EXIT_STATUS_TIMEOUT;
	case END_NONE:
	case END_HOST:
		break;
	}
	return EXIT_STATUS_HOST;
}

static int run_open_stats(struct run *run)
{
	const char *path = run->config->stats;

	if (!path)
		return 0;
	late_jansson_open(); /* or what it was run for would be lost at the end */
	/* A pipe that nobody reads must not hang the start. */
	run->stats_fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0644);
	if (run->stats_fd < 0 && errno == ENXIO)
		return log_errno(ENXIO, "open %s for --stats: nobody reads this pipe", path);
	return run->stats_fd < 0 ? log_errno(errno, "open %s for --stats", path) : 0;
}

/*
 * Beside the opening of all else, as soon as there is /dev/kvm: later the 0.7 ms in the kernel
 * would hold up the grace periods for which the main thread waits when it adds memory. A failure
 * comes again, and is said, where the model is needed.
 */
static int run_ask_model(void *opaque)
{
	struct run *run = opaque;
	struct arch_cpu_model *model;
	int ret = kvm_host_cpu_model(&run->kvm, run->config->cpus, &model);

	late_elf_open(); /* for the kernel */
	return ret;
}

static int run_open(struct run *run, struct timeline *timeline)
{
	const struct config *config = run->config;
	struct loop_options options = { .engine = config->io_engine,
					.poll_usec = config->poll_usec };
	struct machine_events events = {
		.panicked = run_on_pvpanic,
		.console_panic = run_on_console_panic,
		.quit = run_on_quit,
		.hangup = run_hung_up,
		.opaque = run,
	};
	int ret;

	beside_init(&run->beside);
	ret = kvm_host_open(&run->kvm);
	if (ret < 0)
		return ret;
	beside_do(&run->beside, &run->asking, run_ask_model, run);
	timeline_mark(timeline, "/dev/kvm");
	ret = io_threads_create(&run->io, &options, config->io_threads);
	if (ret < 0)
		return ret;
	timeline_mark(timeline, loop_engine_name(run->io.main_loop));
	end_init(&run->end, run->io.main_loop);
	ret = run_open_signals(run);
	if (ret == 0)
		ret = run_open_panic(run);
	if (ret == 0)
		ret = vcpu_setup_signal();
	if (ret == 0)
		ret = run_open_stats(run);
	if (ret < 0)
		return ret;
	if (run->owner) {
		run->owner_attached = true;
		ret = run->owner->attach(run->owner->opaque, run->io.main_loop, &run->end,
					 timeline);
		if (ret < 0)
			return ret;
	}
	run->timeout.fn = run_on_timeout;
	run->hangup.fn = run_on_hangup_timer;
	if (config->timeout_ms)
		loop_timer_arm(run->io.main_loop, &run->timeout,
			       timeline->start_ns + config->timeout_ms * 1000000);
	ret = machine_host_open(&run->host, config, &run->io, &events,
				run->owner ? &run->owner->ports : NULL);
	timeline_mark(timeline, "disks, networks, console");
	return ret;
}

static void run_close(struct run *run)
{
	probe_warning_join(&run->warning);
	beside_abandon(&run->beside, &run->asking);
	machine_host_close(run->host);
	if (run->owner_attached)
		run->owner->detach(run->owner->opaque);
	if (run->io.main_loop) {
		loop_event_del(run->io.main_loop, &run->panic_event);
		loop_event_del(run->io.main_loop, &run->signal_event);
		end_fini(&run->end);
	}
	io_threads_destroy(&run->io);
	kvm_host_close(&run->kvm);
	beside_fini(&run->beside);
	if (run->panic_fd >= 0)
		close(run->panic_fd);
	if (run->signal_fd >= 0)
		close(run->signal_fd);
	if (run->stats_fd >= 0)
		close(run->stats_fd);
}

int run_machine_for(const struct config *config, struct timeline *timeline,
		    const struct run_owner *owner)
{
	struct run run = {
		.config = config,
		.owner = owner,
		.kvm.fd = -1,
		.stats_fd = -1,
		.signal_fd = -1,
		.panic_fd = -1,
	};
	int status = EXIT_STATUS_HOST;
	int ret = run_open(&run, timeline);

	while (ret == 0) {
		ret = run_boot_once(&run, timeline);
		if (ret == 0 && !run_again(&run)) {
			status = run_report(&run);
			break;
		}
		if (ret == 0)
			log_debug("the guest asked for a reset");
		timeline_init(timeline); /* of the next start */
	}
	run_close(&run);
	return status;
}

int run_machine(const struct config *config, struct timeline *timeline)
{
	return run_machine_for(config, timeline, NULL);
}
