/* See facts.h. What cannot be found out is left out. */
#include "vmm/compare/facts.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>

#include "vmm/compare/child.h"
#include "vmm/compare/root.h"

/* The text after the first ':' or '=' of the first line that begins with KEY. */
static bool line_of(const char *path, const char *key, char *text, size_t room)
{
	FILE *file = fopen(path, "re");
	char line[512];
	bool found = false;

	while (file && !found && fgets(line, sizeof(line), file)) {
		const char *at = strpbrk(line, ":=");

		if (strncmp(line, key, strlen(key)) != 0 || !at)
			continue;
		at++;
		at += strspn(at, " \t\"");
		snprintf(text, room, "%.*s", (int)strcspn(at, "\"\n"), at);
		found = true;
	}
	if (file)
		fclose(file);
	return found;
}

/* The first line that WORDS prints; empty when it does not run. */
static void first_line(const struct compare *compare, char *const words[], char *text, size_t room)
{
	struct child child;
	int ret = child_start(&child, words);

	text[0] = '\0';
	child_close_input(&child);
	if (!ret)
		ret = child_wait_end(&child, compare_patience_ms(compare, 10));
	if (!ret && child.status == 0)
		snprintf(text, room, "%.*s", (int)strcspn(child.out, "\n"), child.out);
	child_fini(&child);
}

static void version_of(struct compare *compare, const char *program, const char *argument)
{
	auto_free char *path = compare_text("%s/bin/%s", compare->root, program);
	char *words[] = { path, (char *)argument, NULL };
	char text[160];

	/* Libraries are the host's, which these were copied from. */
	if (!path || access(path, X_OK) != 0)
		return;
	first_line(compare, words, text, sizeof(text));
	if (text[0])
		compare_fact(compare, program, "%s", text);
}

static void kvm_fact(struct compare *compare)
{
	char text[4096];
	FILE *file = fopen("/proc/cpuinfo", "re");
	bool hardware = false;

	while (file && fgets(text, sizeof(text), file))
		if (strncmp(text, "flags", 5) == 0 || strncmp(text, "Features", 8) == 0)
			hardware |= strstr(text, " vmx") || strstr(text, " svm");
	if (file)
		fclose(file);
	if (access("/dev/kvm", R_OK | W_OK) != 0)
		compare_fact(compare, "KVM", "/dev/kvm cannot be opened");
	else if (compare->in_lab)
		compare_fact(compare, "KVM", "the lab's: nested, on an emulated processor");
	else
		compare_fact(compare, "KVM", "%s",
			     hardware ? "hardware (vmx or svm)"
				      : "not of vmx or svm: the guest's kernel may be interpreted");
}

void compare_facts_gather(struct compare *compare, const char *command_line)
{
	struct utsname names;
	char text[256];
	struct sysinfo memory;
	time_t now = time(NULL);
	struct tm utc;
	char *words[] = { (char *)compare->program, (char *)"version", NULL };

	compare_fact(compare, "command", "%s", command_line);
	if (gmtime_r(&now, &utc) && strftime(text, sizeof(text), "%Y-%m-%d %H:%M UTC", &utc))
		compare_fact(compare, "date", "%s", text);
	compare_fact(
		compare, "where", "%s",
		!compare->in_lab ? "this host"
		: compare->icount
			? "the lab: an emulated host with one processor, whose clock counts "
			  "instructions"
			: "the lab: an emulated host with one processor, on which machines and "
			  "the monitor's threads take turns; ratios mean little, times "
			  "nothing");
	compare_fact(compare, "amounts", "each run does as much as with --%s%s",
		     compare_level_names[compare->amounts],
		     compare->in_lab ? ", as always in the lab" : "");
	if (line_of("/proc/cpuinfo", "model name", text, sizeof(text)))
		compare_fact(compare, "processor", "%s, %ld online", text,
			     sysconf(_SC_NPROCESSORS_ONLN));
	if (sysinfo(&memory) == 0)
		compare_fact(compare, "memory", "%llu MiB",
			     (unsigned long long)memory.totalram * memory.mem_unit >> 20);
	if (line_of("/etc/os-release", "PRETTY_NAME", text, sizeof(text)))
		compare_fact(compare, "system", "%s", text);
	if (uname(&names) == 0)
		compare_fact(compare, "kernel", "%s %s", names.release, names.machine);
	kvm_fact(compare);
	compare_fact(compare, "user", "%s", geteuid() == 0 ? "root" : "an ordinary user");
	first_line(compare, words, text, sizeof(text));
	if (text[0])
		compare_fact(compare, "vmm", "%s", text);
	if (compare->kernel)
		compare_fact(compare, "machine's kernel", "%s", compare->kernel);
	compare_fact(compare, "root", "%s", compare->rootfs ? compare->root : "made by the set-up");
	if (compare->own_load)
		compare_fact(compare, "workload program", "by a volume: it is not in the root");
	version_of(compare, "fio", "--version");
	version_of(compare, "redis-server", "--version");
	version_of(compare, "sysbench", "--version");
	version_of(compare, "stress-ng", "--version");
	version_of(compare, "xz", "--version");
}
