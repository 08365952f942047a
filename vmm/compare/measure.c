/*
 * See measure.h: one function a method. Every moment is the host's monotonic clock, taken on our
 * side of the pipes.
 */
#include "vmm/compare/measure.h"

#include <dirent.h>
#include <math.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>

#include "vmm/compare/child.h"
#include "vmm/compare/command.h"
#include "vmm/compare/image.h"
#include "vmm/compare/proc.h"
#include "vmm/compare/stats.h"

#define IDLE_MAX    50
#define IDLE_LAB_NS UINT64_C(120000000000)
#define MIB	    (1024.0 * 1024)
#define DENSITY_OF  (1024 * MIB)
#define STATUS_OURS 125 /* of vmm run and its like: not the workload's */

/* Memory is at rest when none was given back for so long; which is waited for up to so long. */
#define REST_STILL_S 5
#define REST_S_MAX   40

/* Where the clock counts instructions, sleep costs nothing. */
#define SETTLE_NS	 UINT64_C(100000000)
#define SETTLE_ICOUNT_NS UINT64_C(2000000000)
#define SETTLE_STEP_NS	 UINT64_C(20000000)
#define SETTLE_PHASE_NS	 UINT64_C(500000)
#define SETTLE_AWAKE_NS	 UINT64_C(21000000)

struct measure {
	struct compare *compare;
	const struct compare_column *column;
	const struct compare_task *task;
	struct compare_command command;
	struct output *output;
	char **reason;
};

/* Sleeps, but not through Ctrl-C. */
static int pause_ms(uint64_t ms)
{
	uint64_t until = child_now_ns() + ms * 1000000u;

	while (child_now_ns() < until) {
		const struct timespec step = { .tv_nsec = 20000000 };

		if (compare_stop)
			return -EINTR;
		nanosleep(&step, NULL);
	}
	return 0;
}

static unsigned timeout_s(const struct measure *m)
{
	return m->task->timeout_s << m->compare->level;
}

static uint64_t patience(const struct measure *m)
{
	return compare_patience_ms(m->compare, timeout_s(m));
}

/*
 * What the kernel still does for the run before (namespaces taken down, memory given back, by its
 * workers and after its grace periods) would fall into the one to come; and so would what it puts
 * off while a processor sleeps. So there is a pause, the end of which is spent awake. A run begins
 * at the same place between two ticks of the host's clock each time, as far as that can be brought
 * about: waiting for the next tick is a large part of the shortest starts.
 */
static int settle(const struct measure *m)
{
	uint64_t wait_ns = m->compare->icount ? SETTLE_ICOUNT_NS : SETTLE_NS;
	uint64_t until =
		(child_now_ns() + wait_ns) / SETTLE_STEP_NS * SETTLE_STEP_NS + SETTLE_PHASE_NS;
	/* Not where instructions are counted: there a machine that began so stood still. */
	uint64_t wake = m->compare->icount ? until : until - SETTLE_AWAKE_NS;
	struct timespec at = { .tv_sec = (time_t)(wake / 1000000000u),
			       .tv_nsec = (long)(wake % 1000000000u) };

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR && !compare_stop)
		;
	while (child_now_ns() < until && !compare_stop)
		sched_yield();
	return compare_stop ? -EINTR : 0;
}

/* Keeps why CHILD did not do as it should. Returns RET. */
static int complain(struct measure *m, struct child *child, int ret)
{
	if (ret == -EINTR)
		return ret;
	/* What it has to say may still be on its way. */
	if (!child->ended && ret != -ETIMEDOUT && child_wait_end(child, 2000) == -EINTR)
		return -EINTR;
	free(*m->reason);
	if (ret == -ETIMEDOUT)
		*m->reason = compare_text("stood still: no answer in %u s", timeout_s(m));
	else
		*m->reason = child_complaint(child);
	if (m->compare->verbose && child->err_len)
		fprintf(stderr, "%s%s", child->err,
			child->err[child->err_len - 1] == '\n' ? "" : "\n");
	return ret;
}

static void add(struct measure *m, const char *key, double value)
{
	output_add(m->output, key, value, "");
}

/* Starts what is measured. With --icount the clock does not tell who hangs, but work does. */
static int launch(struct measure *m, struct child *child)
{
	int ret = child_start(child, m->command.words);

	if (!ret && m->compare->icount)
		child_limit_work(child, timeout_s(m) * UINT64_C(1000000000) / 4,
				 (uint64_t)2 * timeout_s(m));
	return ret;
}

/* Starts an instance and waits for the first byte of its workload. */
static int start(struct measure *m, struct child *child)
{
	int ret = launch(m, child);

	if (!ret)
		ret = child_wait_text(child, "first", patience(m));
	return ret ? complain(m, child, ret) : 0;
}

static int stop(struct measure *m, struct child *child, uint64_t *asked_ns)
{
	int ret;

	*asked_ns = child_now_ns();
	kill(child->pid, SIGTERM);
	ret = child_wait_end(child, patience(m));
	if (!ret && child->status == STATUS_OURS)
		ret = -EIO;
	return ret ? complain(m, child, ret) : 0;
}

static int measure_life(struct measure *m)
{
	struct child children[2];
	uint64_t asked = 0, ignored;
	int ret = start(m, &children[0]);

	if (!ret)
		ret = stop(m, &children[0], &asked);
	if (!ret) {
		add(m, "start", (double)(children[0].first_byte_ns - children[0].start_ns));
		add(m, "stop", (double)(children[0].end_ns - asked));
		ret = start(m, &children[1]);
		if (!ret)
			add(m, "restart", (double)(children[1].first_byte_ns - asked));
		if (!ret)
			ret = stop(m, &children[1], &ignored);
		child_fini(&children[1]);
	}
	child_fini(&children[0]);
	return ret;
}

/* One start, told step by step. */
static int measure_stages(struct measure *m)
{
	struct child child;
	int ret = start(m, &child), main_at, entry_at;

	if (!ret && (ret = child_wait_end(&child, patience(m))) != 0)
		ret = complain(m, &child, ret);
	if (!ret) {
		output_parse_steps(m->output, child.err);
		main_at = output_find(m->output, "stage_main");
		entry_at = output_find(m->output, "stage_entry");
		if (main_at >= 0 && entry_at >= 0) {
			double began = m->output->items[main_at].value;
			double entry = m->output->items[entry_at].value;

			add(m, "stage_exec", began - (double)child.start_ns);
			add(m, "stage_set_up", entry);
			add(m, "stage_inside", (double)child.first_byte_ns - began - entry);
		} else {
			*m->reason = compare_text("it told no steps");
			ret = -EINVAL;
		}
	}
	child_fini(&child);
	return ret;
}

static int measure_program(struct measure *m)
{
	struct child child;
	int ret = launch(m, &child);

	child_close_input(&child);
	if (!ret)
		ret = child_wait_end(&child, patience(m));
	if (!ret && child.status != 0)
		ret = -EIO;
	if (ret)
		ret = complain(m, &child, ret);
	else if (m->task->method == COMPARE_FIO)
		ret = output_parse_fio(m->output, child.out);
	else
		output_parse_lines(m->output, child.out);
	if (ret == -EINVAL && !*m->reason)
		*m->reason = compare_text("fio printed no result");
	child_fini(&child);
	return ret;
}

static const char *text_of(const struct output *output, const char *key)
{
	int at = output_find(output, key);

	return at < 0 ? "" : output->items[at].text;
}

/* What the host sees, while a second instance waits. */
static int look_from_host(struct measure *m)
{
	struct proc_list *list = malloc(sizeof(*list));
	struct compare_command command = m->command;
	struct child child;
	char *text = NULL;
	int ret;

	if (!list)
		return -ENOMEM;
	/* The same command line but for its last word. */
	command.words[command.count - 1] = (char *)"wait";
	ret = child_start(&child, command.words);
	if (!ret)
		ret = child_wait_text(&child, "first", patience(m));
	if (ret) {
		ret = complain(m, &child, ret);
	} else {
		proc_below(list, child.pid);
		text = compare_text("%u %s, %s", list->count,
				    list->count == 1 ? "process" : "processes",
				    proc_has(list, "vmm-load") ? "the workload among them"
							       : "the workload hidden in it");
		output_add(m->output, "host_sees", NAN, text ? text : "");
	}
	child_fini(&child);
	free(list);
	free(text);
	return ret;
}

static double uptime(void)
{
	struct timespec up;

	clock_gettime(CLOCK_BOOTTIME, &up);
	return (double)up.tv_sec + (double)up.tv_nsec / 1e9;
}

/* The kernel inside is another one when its release is, or when it was not up as long as ours. */
static void compare_kernels(struct output *output, double before, double after)
{
	int at = output_find(output, "uptime");
	struct utsname names;
	bool same;

	if (at < 0 || uname(&names) < 0)
		return;
	same = strcmp(text_of(output, "kernel"), names.release) == 0 &&
	       output->items[at].value > before - 1 && output->items[at].value < after + 1;
	output_add(output, "own_kernel", NAN, same ? "no, the host's" : "yes");
}

static int measure_probe(struct measure *m)
{
	char *last = m->command.words[m->command.count - 1];
	double before = uptime();
	int ret = measure_program(m);

	if (ret)
		return ret;
	compare_kernels(m->output, before, uptime());
	ret = look_from_host(m);
	m->command.words[m->command.count - 1] = last;
	return ret;
}

static int pss_of(struct measure *m, pid_t pid, double *pss)
{
	struct proc_list *list = malloc(sizeof(*list));
	uint64_t bytes = 0;
	int ret = list ? 0 : -ENOMEM;

	if (list) {
		proc_below(list, pid);
		if (pid == getpid()) {
			/* All but ourselves. */
			list->pids[0] = list->pids[--list->count];
		}
		ret = proc_pss(list, &bytes);
	}
	if (ret == -EACCES)
		*m->reason = compare_text("the memory of its processes is for root to see");
	*pss = (double)bytes;
	free(list);
	return ret;
}

/*
 * What is held once nothing is given back any more: a guest's kernel waits two seconds before it
 * says what is free, and says it bit by bit. BEFORE is as low as it will get.
 */
static int pss_at_rest(struct measure *m, pid_t pid, double before, double *pss)
{
	unsigned still = 0;
	int ret = pss_of(m, pid, pss);

	for (unsigned i = 0; !ret && i < REST_S_MAX && still < REST_STILL_S; i++) {
		double last = *pss;

		if (last < before + MIB)
			break;
		ret = pause_ms(1000);
		if (!ret)
			ret = pss_of(m, pid, pss);
		still = *pss < last - MIB ? 0 : still + 1;
	}
	return ret;
}

static int measure_touch(struct measure *m)
{
	static const struct {
		const char *text;
		const char *key;
	} stages[] = { { "first", "touch_before" },
		       { "touched", "touch_during" },
		       { "freed", "touch_after" } };
	double before = 0, pss = 0;
	struct child child;
	int ret = start(m, &child);

	for (unsigned i = 0; !ret && i < ARRAY_SIZE(stages); i++) {
		ret = child_wait_text(&child, stages[i].text, patience(m));
		if (ret) {
			ret = complain(m, &child, ret);
			break;
		}
		ret = pause_ms(m->compare->level == COMPARE_QUICK ? 500 : 1000);
		if (!ret && i < 2)
			ret = pss_of(m, child.pid, &pss);
		else if (!ret)
			ret = pss_at_rest(m, child.pid, before, &pss);
		if (i == 0)
			before = pss;
		if (!ret)
			add(m, stages[i].key, pss);
		if (!ret)
			ret = child_poke(&child);
	}
	child_fini(&child);
	return ret;
}

struct idle {
	struct child children[IDLE_MAX];
	unsigned count;
	double x[4], pss[4], available[4], busy[4];
	unsigned points;
};

/* Looks at the instances that there are: one point of each line. */
static int look_at_idle(struct measure *m, struct idle *idle, double available_before)
{
	static const unsigned windows_ms[] = { 1000, 2000, 4000 };
	struct proc_list *list = malloc(sizeof(*list));
	unsigned at = idle->points++;
	uint64_t busy, begun;
	int ret;

	if (!list)
		return -ENOMEM;
	ret = pause_ms(500);
	if (!ret)
		ret = pss_of(m, getpid(), &idle->pss[at]);
	idle->x[at] = idle->count;
	idle->available[at] = available_before - (double)proc_available();
	proc_below(list, getpid());
	list->pids[0] = list->pids[--list->count];
	begun = child_now_ns();
	busy = proc_busy_ns(list);
	if (!ret)
		ret = pause_ms(windows_ms[m->compare->amounts]);
	busy = proc_busy_ns(list) - busy;
	idle->busy[at] = (double)busy * 1e9 / (double)(child_now_ns() - begun);
	free(list);
	return ret;
}

static void add_idle(struct measure *m, const struct idle *idle)
{
	double pss = stats_slope(idle->x, idle->pss, idle->points);
	double available = stats_slope(idle->x, idle->available, idle->points);
	double larger = fmax(pss, available);

	add(m, "idle_pss", pss);
	add(m, "idle_available", available);
	add(m, "idle_cpu", stats_slope(idle->x, idle->busy, idle->points));
	if (larger > 0)
		add(m, "idle_fit", floor(DENSITY_OF / larger));
	for (unsigned i = 0; i < idle->points; i++) {
		char key[32];

		snprintf(key, sizeof(key), "idle_pss_of_%.0f", idle->x[i]);
		add(m, key, idle->pss[i]);
	}
}

/* In the lab fifty machines take their time: two points make a line, too. */
static bool idle_late(const struct measure *m, const struct idle *idle, uint64_t begun)
{
	return m->compare->in_lab && !m->compare->icount && idle->points >= 2 &&
	       child_now_ns() - begun > IDLE_LAB_NS;
}

static int measure_idle(struct measure *m)
{
	static const unsigned steps[][3] = { { 1, 4, 0 }, { 1, 10, 0 }, { 1, 10, 50 } };
	double available = (double)proc_available();
	struct idle *idle = calloc(1, sizeof(*idle));
	uint64_t begun = child_now_ns();
	int ret = idle ? 0 : -ENOMEM;

	for (unsigned i = 0; !ret && i < 3 && steps[m->compare->level][i]; i++) {
		while (!ret && idle->count < steps[m->compare->level][i] &&
		       !idle_late(m, idle, begun))
			ret = start(m, &idle->children[idle->count++]);
		if (!ret && idle->points && idle->x[idle->points - 1] == idle->count)
			break;
		if (!ret)
			ret = look_at_idle(m, idle, available);
	}
	if (!ret)
		add_idle(m, idle);
	if (!ret && idle->count < steps[m->compare->level][2])
		compare_fact(m->compare, "idle instances",
			     "%.0f at most of %s: more took too long here",
			     idle->x[idle->points - 1], m->column->name);
	/* All are told at once, so that they end side by side. */
	for (unsigned i = 0; idle && i < idle->count; i++)
		if (idle->children[i].pid > 0)
			kill(idle->children[i].pid, SIGTERM);
	for (unsigned i = 0; idle && i < idle->count; i++)
		child_fini(&idle->children[i]);
	free(idle);
	return ret;
}

static int measure_rate(struct measure *m)
{
	static const unsigned counts[] = { 8, 24, 100 };
	unsigned count = counts[m->compare->amounts];
	/* On the lab's instruction clock two machines that begin at once may stand still. */
	long slots = m->compare->icount ? 1 : 2 * sysconf(_SC_NPROCESSORS_ONLN);
	struct child *children = calloc(count, sizeof(*children));
	uint64_t begun = child_now_ns();
	unsigned next = 0, done = 0;
	int ret = children ? 0 : -ENOMEM;

	while (!ret && done < count) {
		while (!ret && next < count && next - done < (unsigned)slots) {
			ret = launch(m, &children[next]);
			if (ret)
				ret = complain(m, &children[next], ret);
			next++;
		}
		if (!ret)
			ret = child_wait_end(&children[done], patience(m));
		if (!ret && children[done].status != 0)
			ret = -EIO;
		if (ret)
			ret = complain(m, &children[done], ret);
		else
			child_fini(&children[done++]);
	}
	if (!ret)
		add(m, "rate", count * 1e9 / (double)(child_now_ns() - begun));
	for (; children && done < next; done++)
		child_fini(&children[done]);
	free(children);
	return ret;
}

static int measure_image(struct measure *m)
{
	struct image_size size;
	int ret = image_size_of(m->compare, m->column, &size, m->reason);

	if (!ret) {
		add(m, "apparent", (double)size.apparent);
		add(m, "allocated", (double)size.allocated);
	}
	return ret;
}

static int never(struct measure *m)
{
	if (strcmp(m->column->name, "machine") == 0)
		*m->reason = compare_text("not built yet");
	else if (strcmp(m->column->name, "container") == 0)
		*m->reason = compare_text("n/a: the memory of a container's processes and what the "
					  "host's kernel holds for them cannot be kept as a whole");
	else
		*m->reason = compare_text("n/a");
	return -EOPNOTSUPP;
}

/* Remembers a command line that was run, once a task and column. */
static void remember(struct compare *compare, const struct measure *m)
{
	char *text = compare_command_text(&m->command), *line = NULL, **grown;

	if (text)
		line = compare_text("%s, %s: %s", m->task->name, m->column->name, text);
	free(text);
	for (size_t i = 0; line && i < compare->command_count; i++) {
		if (strncmp(compare->commands[i], line, strcspn(line, ":")) == 0) {
			free(line);
			line = NULL;
		}
	}
	grown = line ? realloc(compare->commands, (compare->command_count + 1) * sizeof(*grown))
		     : NULL;
	if (!grown) {
		free(line);
		return;
	}
	compare->commands = grown;
	compare->commands[compare->command_count++] = line;
}

int compare_measure(struct compare *compare, const struct compare_column *column,
		    const struct compare_task *task, struct output *output, char **reason)
{
	static int (*const methods[])(struct measure * m) = {
		[COMPARE_STAGES] = measure_stages,   [COMPARE_LIFE] = measure_life,
		[COMPARE_PROGRAM] = measure_program, [COMPARE_FIO] = measure_program,
		[COMPARE_PROBE] = measure_probe,     [COMPARE_TOUCH] = measure_touch,
		[COMPARE_IDLE] = measure_idle,	     [COMPARE_RATE] = measure_rate,
		[COMPARE_IMAGE] = measure_image,     [COMPARE_NEVER] = never,
	};
	struct measure m = { .compare = compare,
			     .column = column,
			     .task = task,
			     .output = output,
			     .reason = reason };
	int ret = 0;

	*reason = NULL;
	output->count = 0;
	if (task->command)
		ret = compare_command_make(compare, column, task, &m.command, reason);
	if (!ret) {
		if (task->command) {
			remember(compare, &m);
			ret = settle(&m);
		}
		if (!ret)
			ret = methods[task->method](&m);
	}
	compare_command_fini(&m.command);
	if (ret && ret != -EINTR && !*reason)
		*reason = compare_text("%s", strerror(-ret));
	return ret;
}
