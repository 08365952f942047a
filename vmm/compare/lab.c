/*
 * See lab.h. The lab is a script of the source tree: it is looked for above the program itself
 * (which lies in build/ARCH there), then in the working directory.
 */
#include "vmm/compare/lab.h"

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "vmm/log.h"

#define WORDS_MAX 128

static char *find_lab(const char *self)
{
	char path[PATH_MAX];
	char *found;

	snprintf(path, sizeof(path), "%s", self);
	for (char *slash = strrchr(path, '/'); slash; slash = strrchr(path, '/')) {
		*slash = '\0';
		found = compare_text("%s/tests/lab/run", path);
		if (found && access(found, X_OK) == 0)
			return found;
		free(found);
	}
	found = realpath("tests/lab/run", NULL);
	return found;
}

/* The directory of FILE, which is to be written, as an absolute path; a new string. */
static char *directory_of(const char *file)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s", file);
	return realpath(dirname(path), NULL);
}

int compare_lab(const struct compare *compare, int argc, char **argv, const char *const *files,
		size_t file_count)
{
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	char *words[WORDS_MAX];
	unsigned n = 0;

	if (len < 0)
		return log_errno(errno, "compare --lab: /proc/self/exe");
	self[len] = '\0';
	words[n] = find_lab(self);
	if (!words[n]) {
		log_err("compare --lab: no tests/lab/run above %s or here: build in the source "
			"tree",
			self);
		return -ENOENT;
	}
	n++;
	if (compare->icount)
		words[n++] = (char *)"--icount";
	/* Machines within it run well on one emulated processor only: see tests/lab/README.md. */
	words[n++] = (char *)"--cpus";
	words[n++] = (char *)"1";
	words[n++] = (char *)"--timeout";
	words[n++] = (char *)(compare->level == COMPARE_QUICK ? "1800" : "7200");
	for (size_t i = 0; i < file_count; i++) {
		char *directory = files[i] ? directory_of(files[i]) : NULL;

		if (files[i] && !directory)
			return log_errno(errno, "compare --lab: directory of %s", files[i]);
		if (!directory)
			continue;
		words[n++] = (char *)"--rw";
		words[n++] = directory;
	}
	words[n++] = (char *)"--";
	words[n++] = self;
	words[n++] = (char *)"compare";
	words[n++] = (char *)(compare->icount ? "--inside=icount" : "--inside=time");
	for (int i = 0; i < argc && n + 1 < WORDS_MAX; i++)
		words[n++] = argv[i];
	words[n] = NULL;
	log_info("compare: in the lab, an emulated host%s",
		 compare->icount ? "; what it says comes at the end" : "");
	execv(words[0], words);
	return log_errno(errno, "compare --lab: %s", words[0]);
}
