/*
 * vmm doctor: what this host, and a kernel, lack for running machines, each with its cure. Main
 * thread.
 */
#include "vmm/cli/doctor.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "vmm/cli/cli.h"
#include "vmm/end.h"
#include "vmm/log.h"

struct doctor_options {
	bool json;
	const char *kernel;
	const char *kernel_config;
};

void doctor_add(struct doctor_report *report, const char *id, enum doctor_status status,
		const char *what, ...)
{
	struct doctor_row *row = &report->rows[report->row_count];
	va_list args;

	if (report->row_count == DOCTOR_ROWS_MAX)
		return;
	*row = (struct doctor_row){ .id = id, .status = status };
	va_start(args, what);
	vsnprintf(row->what, sizeof(row->what), what, args);
	va_end(args);
	report->row_count++;
}

void doctor_cure(struct doctor_report *report, const char *cure, ...)
{
	struct doctor_row *row = &report->rows[report->row_count - 1];
	va_list args;

	va_start(args, cure);
	vsnprintf(row->cure, sizeof(row->cure), cure, args);
	va_end(args);
}

static const char *const status_names[] = {
	[DOCTOR_OK] = "ok", [DOCTOR_WARN] = "warn", [DOCTOR_FAIL] = "fail"
};

static void print_lines(const struct doctor_report *report)
{
	static const char *const colours[] = { "\033[32m", "\033[33m", "\033[31m" };
	bool colour = isatty(STDOUT_FILENO) && !getenv("NO_COLOR");

	for (size_t i = 0; i < report->row_count; i++) {
		const struct doctor_row *row = &report->rows[i];

		printf("%s%-4s%s  %s%s%s\n", colour ? colours[row->status] : "",
		       status_names[row->status], colour ? "\033[0m" : "", row->what,
		       row->cure[0] ? ": " : "", row->cure);
	}
	if (report->fragment[0])
		printf("\nAdd to the kernel's configuration:\n%s", report->fragment);
}

static json_t *rows_to_json(const struct doctor_report *report)
{
	json_t *rows = json_array();

	for (size_t i = 0; rows && i < report->row_count; i++) {
		const struct doctor_row *row = &report->rows[i];

		json_array_append_new(rows, json_pack("{s:s, s:s, s:s, s:s}", "id", row->id,
						      "status", status_names[row->status], "what",
						      row->what, "cure", row->cure));
	}
	return rows;
}

static int print_json(const struct doctor_report *report, bool ok)
{
	json_t *root = json_pack("{s:b, s:{s:s?, s:I}, s:o, s:s}", "ok", ok, "kvm", "kind",
				 report->kvm_kind, "instructions_per_second",
				 (json_int_t)report->instructions_per_s, "checks",
				 rows_to_json(report), "kernel_fragment", report->fragment);
	int ret;

	if (!root)
		return log_errno(ENOMEM, "doctor --json");
	ret = json_dumpf(root, stdout, JSON_INDENT(2));
	json_decref(root);
	putchar('\n');
	return ret;
}

static void print_help(void)
{
	puts("Usage: vmm doctor [--json] [--kernel FILE] [--kernel-config FILE]\n"
	     "\n"
	     "Checks what machines need of this host, and says the cure for what is missing.\n"
	     "\n"
	     "  --json                as JSON: {\"ok\", \"kvm\", \"checks\": [{\"id\", \"status\", "
	     "...}]}\n"
	     "  --kernel FILE         what this kernel lacks as a guest, too\n"
	     "  --kernel-config FILE  its .config, when it is not found by itself\n"
	     "\n"
	     "Exit status: 0 when all that is needed is there, else 125.");
}

/* 0, 1 after --help, -EINVAL. */
static int parse(struct doctor_options *options, int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *equals = strchr(argv[i], '=');
		size_t len = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);
		const char **value = NULL;

		if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
			print_help();
			return 1;
		}
		if (strcmp(argv[i], "--json") == 0) {
			options->json = true;
			continue;
		}
		if (len == 8 && strncmp(argv[i], "--kernel", len) == 0)
			value = &options->kernel;
		else if (len == 15 && strncmp(argv[i], "--kernel-config", len) == 0)
			value = &options->kernel_config;
		if (!value) {
			log_err("doctor: %s: unknown: see vmm doctor --help", argv[i]);
			return -EINVAL;
		}
		*value = equals ? equals + 1 : argv[++i];
		if (!*value || !**value) {
			log_err("doctor: %.*s: needs a value: name a file", (int)len,
				equals ? argv[i] : argv[i - 1]);
			return -EINVAL;
		}
	}
	return 0;
}

int cli_doctor(int argc, char **argv)
{
	struct doctor_options options = { 0 };
	struct doctor_report report = { 0 };
	bool ok = true;
	int ret = parse(&options, argc, argv);

	if (ret != 0)
		return ret > 0 ? 0 : EXIT_STATUS_HOST;
	doctor_check_host(&report);
	if (options.kernel || options.kernel_config)
		doctor_check_kernel(&report, options.kernel, options.kernel_config);
	for (size_t i = 0; i < report.row_count; i++)
		ok &= report.rows[i].status != DOCTOR_FAIL;
	if (!options.json)
		print_lines(&report);
	else if (print_json(&report, ok) < 0)
		ok = false;
	return ok ? 0 : EXIT_STATUS_HOST;
}
