/*
 * A log that says nothing, in place of vmm/log.c: fuzzing provokes a message on nearly every input.
 * Included by one file of a program; the library's own is then not linked.
 */
#ifndef TESTS_FUZZ_QUIET_LOG_H
#define TESTS_FUZZ_QUIET_LOG_H

#include "vmm/log.h"

void log_set_level(enum log_level level)
{
	(void)level;
}

bool log_enabled(enum log_level level)
{
	(void)level;
	return false;
}

void log_set_raw_terminal(bool raw)
{
	(void)raw;
}

void log_message(enum log_level level, const char *fmt, ...)
{
	(void)level;
	(void)fmt;
}

int log_errno(int err, const char *fmt, ...)
{
	(void)fmt;
	return err < 0 ? err : -err;
}

void log_guest(struct log_limit *limit, const char *fmt, ...)
{
	(void)limit;
	(void)fmt;
}

void log_hold(struct log_held *held)
{
	(void)held;
}

void log_release(struct log_held *held)
{
	(void)held;
}

#endif
