/*
 * The checks of `vmm doctor`, as rows that are printed as lines or as JSON. Main thread.
 */
#ifndef VMM_CLI_DOCTOR_H
#define VMM_CLI_DOCTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vmm/err.h"

enum doctor_status {
	DOCTOR_OK,
	DOCTOR_WARN, /* something works less well, or one option does not */
	DOCTOR_FAIL, /* no machine runs */
};

#define DOCTOR_ROWS_MAX 64

struct doctor_row {
	const char *id; /* stable, static: "kvm.device" */
	enum doctor_status status;
	char what[240];
	char cure[240]; /* empty when there is nothing to do */
};

struct doctor_report {
	struct doctor_row rows[DOCTOR_ROWS_MAX];
	size_t row_count;
	const char *kvm_kind; /* "hardware", "software"; NULL: not found out */
	uint64_t instructions_per_s;
	char fragment[1024]; /* lines a kernel's configuration lacks */
};

/* Adds a row; CURE may be NULL. More than fit are dropped. The row, for doctor_cure. */
void doctor_add(struct doctor_report *report, const char *id, enum doctor_status status,
		const char *what, ...) PRINTF_LIKE(4, 5);
/* Gives the newest row its cure. */
void doctor_cure(struct doctor_report *report, const char *cure, ...) PRINTF_LIKE(2, 3);

void doctor_check_host(struct doctor_report *report);
/* KERNEL or CONFIG may be NULL, not both. */
void doctor_check_kernel(struct doctor_report *report, const char *kernel, const char *config);

#endif
