/*
 * vmm compare: the same workload as a machine, as a container and on the host, measured row by row.
 * Main thread.
 */
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>

#include "vmm/cli/cli.h"
#include "vmm/compare/child.h"
#include "vmm/compare/command.h"
#include "vmm/compare/compare.h"
#include "vmm/compare/facts.h"
#include "vmm/compare/lab.h"
#include "vmm/compare/report.h"
#include "vmm/compare/root.h"
#include "vmm/compare/runner.h"
#include "vmm/compare/select.h"
#include "vmm/end.h"
#include "vmm/log.h"
#include "vmm/suggest.h"

#define STATUS_INTERRUPTED 130
#define LAB_WORDS_MAX	   COMPARE_WORDS_MAX

volatile int compare_stop;

struct options {
	const char *as;
	const char *rows;
	const char *runs;
	const char *rootfs;
	const char *kernel;
	const char *program;
	const char *json;
	const char *html;
	const char *svg;
	const char *inside; /* of the lab: "time" or "icount"; not for typing */
	const char *peers[COMPARE_COLUMNS_MAX];
	unsigned peer_count;
	bool quick, full, list, lab, icount, verbose, help;
	char *lab_words[LAB_WORDS_MAX]; /* what the lab's run is told */
	int lab_word_count;
};

static const char usage[] =
	"Usage: vmm compare [OPTION...]\n"
	"\n"
	"Runs the same workloads as a machine, as a container and on the host, in turn, and shows "
	"what\n"
	"each costs: median, spread, runs, the ratio to the host, and what was published about "
	"it.\n"
	"\n"
	"  --quick | --full    fewer rows and runs, or all of them; --list shows which\n"
	"  --rows LIST         only these rows or groups, parted by commas: start,cpu,disk.volume\n"
	"  --runs N            runs of each row, 1 to 99 (3, 5 with neither, 7; 3 in the lab); "
	"costly "
	"ones\n"
	"                      have a third\n"
	"  --as LIST           boundaries: machine,container,host\n"
	"  --peer NAME         other programs beside: qemu, runc, podman, lxc; may be repeated\n"
	"  --rootfs DIR        the root to measure in, instead of one made of programs installed "
	"here\n"
	"  --kernel FILE       the machines' kernel\n"
	"  --program FILE      the vmm to be compared (this one)\n"
	"  --json FILE         all of it as JSON, to the schema in the source tree; - is standard "
	"output\n"
	"  --html FILE         a page of charts, in one file\n"
	"  --svg FILE          the overview chart alone\n"
	"  --lab [--icount]    the whole on an emulated host; instructions instead of time\n"
	"  --list              the rows: name, level, unit, what is timed from where to where\n"
	"  -v, --verbose       say each run\n"
	"\n"
	"Ctrl-C ends it with what was measured so far. Exit status: 0, 130 when interrupted, else "
	"125.";

static const struct option {
	const char *name;
	size_t offset;
	bool flag;
	bool ours; /* not handed on into the lab */
} known[] = {
	{ "as", offsetof(struct options, as), false, false },
	{ "rows", offsetof(struct options, rows), false, false },
	{ "runs", offsetof(struct options, runs), false, false },
	{ "rootfs", offsetof(struct options, rootfs), false, false },
	{ "kernel", offsetof(struct options, kernel), false, false },
	{ "program", offsetof(struct options, program), false, false },
	{ "json", offsetof(struct options, json), false, false },
	{ "html", offsetof(struct options, html), false, false },
	{ "svg", offsetof(struct options, svg), false, false },
	{ "inside", offsetof(struct options, inside), false, true },
	{ "peer", 0, false, false },
	{ "quick", offsetof(struct options, quick), true, false },
	{ "full", offsetof(struct options, full), true, false },
	{ "list", offsetof(struct options, list), true, false },
	{ "lab", offsetof(struct options, lab), true, true },
	{ "icount", offsetof(struct options, icount), true, true },
	{ "verbose", offsetof(struct options, verbose), true, false },
	{ "help", offsetof(struct options, help), true, false },
};

static void on_signal(int number)
{
	(void)number;
	compare_stop = 1;
}

static const struct option *find_option(const char *name, size_t len)
{
	struct suggest suggest = { .typed = NULL };
	char typed[64];

	snprintf(typed, sizeof(typed), "%.*s", (int)len, name);
	suggest.typed = typed;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		if (strcmp(typed, known[i].name) == 0)
			return &known[i];
		suggest_add(&suggest, known[i].name);
	}
	if (suggest.nearest)
		log_err("compare: --%s: unknown: did you mean --%s?", typed, suggest.nearest);
	else
		log_err("compare: --%s: unknown: see vmm compare --help", typed);
	return NULL;
}

static int set_value(struct options *options, const struct option *option, const char *value)
{
	if (strcmp(option->name, "peer") == 0) {
		if (options->peer_count == COMPARE_COLUMNS_MAX)
			return -EINVAL;
		options->peers[options->peer_count++] = value;
	} else {
		*(const char **)(void *)((char *)options + option->offset) = value;
	}
	return 0;
}

static void keep_for_lab(struct options *options, char *word)
{
	if (options->lab_word_count < LAB_WORDS_MAX)
		options->lab_words[options->lab_word_count++] = word;
}

static int parse_words(struct options *options, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *word = argv[i], *equals = strchr(word, '=');
		const struct option *option;
		const char *value = NULL;
		int first = i;

		if (strcmp(word, "-v") == 0)
			word = "--verbose";
		else if (strcmp(word, "-h") == 0)
			word = "--help";
		if (strncmp(word, "--", 2) != 0 || !word[2]) {
			log_err("compare: %s: not an option: see vmm compare --help", word);
			return -EINVAL;
		}
		option = find_option(word + 2,
				     equals ? (size_t)(equals - word - 2) : strlen(word + 2));
		if (!option)
			return -EINVAL;
		if (option->flag) {
			if (equals) {
				log_err("compare: --%s takes no value", option->name);
				return -EINVAL;
			}
			*(bool *)((char *)options + option->offset) = true;
		} else {
			value = equals ? equals + 1 : i + 1 < argc ? argv[++i] : NULL;
			if (!value || !*value || set_value(options, option, value) < 0) {
				log_err("compare: --%s: needs a value: see vmm compare --help",
					option->name);
				return -EINVAL;
			}
		}
		for (int at = first; at <= i && !option->ours; at++)
			keep_for_lab(options, argv[at]);
	}
	return 0;
}

static int add_columns(struct compare *compare, const struct options *options)
{
	const char *list = options->as ? options->as : "machine,container,host";
	char name[32];

	for (;;) {
		size_t len = strcspn(list, ",");

		snprintf(name, sizeof(name), "%.*s", (int)len, list);
		if (compare_add_column(compare, name) < 0 ||
		    compare->columns[compare->column_count - 1].is_peer) {
			log_err("compare: --as %s: write each of machine, container, host at most "
				"once",
				name);
			return -EINVAL;
		}
		if (!list[len])
			break;
		list += len + 1;
	}
	for (unsigned i = 0; i < options->peer_count; i++) {
		if (compare_add_column(compare, options->peers[i]) < 0 ||
		    !compare->columns[compare->column_count - 1].is_peer) {
			log_err("compare: --peer %s: write each of qemu, runc, podman, lxc at most "
				"once",
				options->peers[i]);
			return -EINVAL;
		}
	}
	return 0;
}

static int select_rows(struct compare *compare, const struct options *options)
{
	const char *nearest;
	char word[64];

	if (!options->rows) {
		compare_select_level(compare);
		return 0;
	}
	if (compare_select(compare, options->rows, word, &nearest) == 0)
		return 0;
	if (nearest)
		log_err("compare: --rows %s: no such row: did you mean %s?", word, nearest);
	else
		log_err("compare: --rows %s: no such row: vmm compare --list shows them", word);
	return -EINVAL;
}

static int settle(struct compare *compare, const struct options *options)
{
	static const unsigned runs[] = { 3, 5, 7 };
	char *end;

	if (options->quick && options->full) {
		log_err("compare: --quick and --full: write one of them");
		return -EINVAL;
	}
	if (options->icount && !options->lab) {
		log_err("compare: --icount: counts in the lab only: add --lab");
		return -EINVAL;
	}
	compare->level = options->quick	 ? COMPARE_QUICK
			 : options->full ? COMPARE_FULL
					 : COMPARE_NORMAL;
	/* An emulated processor does in a minute what another one does in a second. */
	compare->amounts = options->lab || options->inside ? COMPARE_QUICK : compare->level;
	compare->runs = runs[compare->amounts];
	if (options->runs) {
		unsigned long n = strtoul(options->runs, &end, 10);

		if (*end || n < 1 || n > 99) {
			log_err("compare: --runs %s: write a number from 1 to 99", options->runs);
			return -EINVAL;
		}
		compare->runs = (unsigned)n;
	}
	compare->rootfs = options->rootfs;
	compare->kernel = options->kernel;
	compare->verbose = options->verbose;
	compare->in_lab = options->lab || options->inside;
	compare->icount =
		options->icount || (options->inside && strcmp(options->inside, "icount") == 0);
	if (add_columns(compare, options) < 0)
		return -EINVAL;
	return select_rows(compare, options);
}

static void print_list(const struct compare *compare)
{
	for (size_t i = 0; i < compare_row_count; i++) {
		const struct compare_row *row = &compare_rows[i];

		if (compare->selected[i])
			printf("%-24s %-7s %-11s %s: %s\n", row->name,
			       compare_level_names[compare_row_task(row)->level], row->unit,
			       row->title, row->timed);
	}
}

static int report(const struct compare *compare, const struct options *options)
{
	int ret = 0;

	if (!options->json || strcmp(options->json, "-") != 0)
		report_table(compare, stdout);
	if (options->json && report_json(compare, options->json) < 0)
		ret = EXIT_STATUS_HOST;
	if (options->html && report_html(compare, options->html) < 0)
		ret = EXIT_STATUS_HOST;
	if (options->svg && report_svg(compare, options->svg) < 0)
		ret = EXIT_STATUS_HOST;
	if (fflush(stdout) != 0)
		ret = EXIT_STATUS_HOST;
	return !ret && compare->interrupted ? STATUS_INTERRUPTED : ret;
}

/* As it was typed, for the report. */
static char *command_line(const struct options *options)
{
	struct compare_command command = { .count = 0 };
	char *words, *text;

	for (int i = 0; i < options->lab_word_count; i++)
		command.words[command.count++] = options->lab_words[i];
	words = compare_command_text(&command);
	text = compare_text(
		"vmm compare %s%s%s", words ? words : "", options->inside ? " --lab" : "",
		options->inside && strcmp(options->inside, "icount") == 0 ? " --icount" : "");
	free(words);
	return text;
}

static int measure(struct compare *compare, const struct options *options)
{
	struct sigaction action = { .sa_handler = on_signal };
	auto_free char *line = command_line(options);
	char self[PATH_MAX];
	ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int ret;

	self[len < 0 ? 0 : len] = '\0';
	/* The same addresses each time, for the same number of page tables. */
	if (compare->icount)
		personality(ADDR_NO_RANDOMIZE);
	compare->program = options->program ? options->program : self;
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	ret = compare_root_prepare(compare);
	if (!ret)
		ret = compare_root_volumes(compare);
	if (!ret)
		ret = compare_run(compare);
	if (!ret)
		compare_facts_gather(compare, line ? line : "vmm compare");
	ret = ret ? EXIT_STATUS_HOST : report(compare, options);
	compare_root_fini(compare);
	return ret;
}

/* What takes half an hour shall not be lost at its end. PATH may be NULL. */
static int check_file(const char *path)
{
	auto_close int fd = path ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0666) : -1;

	return path && fd < 0 ? log_errno(errno, "compare: write %s", path) : 0;
}

static int compare_main(struct compare *compare, struct options *options, int argc, char **argv)
{
	const char *files[3];

	if (parse_words(options, argc, argv) < 0)
		return EXIT_STATUS_HOST;
	if (options->help) {
		puts(usage);
		return 0;
	}
	if (settle(compare, options) < 0)
		return EXIT_STATUS_HOST;
	if (options->list) {
		print_list(compare);
		return 0;
	}
	files[0] = options->json && strcmp(options->json, "-") != 0 ? options->json : NULL;
	files[1] = options->html;
	files[2] = options->svg;
	for (size_t i = 0; i < ARRAY_SIZE(files); i++)
		if (check_file(files[i]) < 0)
			return EXIT_STATUS_HOST;
	if (!options->lab)
		return measure(compare, options);
	/* Here, where it is kept. */
	if (!compare->rootfs && compare_root_make(compare) < 0)
		return EXIT_STATUS_HOST;
	compare_lab(compare, options->lab_word_count, options->lab_words, files, ARRAY_SIZE(files));
	return EXIT_STATUS_HOST;
}

int cli_compare(int argc, char **argv)
{
	struct compare *compare = calloc(1, sizeof(*compare));
	struct options options = { 0 };
	int status;

	if (!compare)
		return log_errno(ENOMEM, "compare") ? EXIT_STATUS_HOST : 0;
	status = compare_main(compare, &options, argc, argv);
	compare_fini(compare);
	free(compare);
	return status;
}
