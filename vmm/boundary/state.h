/*
 * What a run has made outside its own namespaces (control groups, addresses, forwarded ports),
 * noted in files that are locked while it lives: one file a run, in /run/vmm or
 * $XDG_RUNTIME_DIR/vmm. A file that nobody has locked is of a run that was killed; the next start
 * sweeps. Main thread.
 */
#ifndef VMM_BOUNDARY_STATE_H
#define VMM_BOUNDARY_STATE_H

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>

#include "vmm/err.h"

struct state_dir {
	char path[PATH_MAX - 64];
	int fd;
};

/* Opens the directory, making it where it is missing. 0 or -errno, logged. */
int state_open(struct state_dir *dir) MUST_CHECK;
void state_close(struct state_dir *dir);

#define STATE_TEXT_MAX 4096

/* One run's file. */
struct state_entry {
	int fd;
	char name[64];
	char text[STATE_TEXT_MAX]; /* lines "WORD VALUE" */
};

/*
 * Makes the file of this run, KIND-PID, locked, holding what state_note put into entry->text.
 * Before anything is made that it names. 0 or -errno, logged.
 */
int state_entry_create(const struct state_dir *dir, struct state_entry *entry,
		       const char *kind) MUST_CHECK;
/* Removes it; all that it names is gone. */
void state_entry_remove(const struct state_dir *dir, struct state_entry *entry);

/* Adds a line. False when it does not fit. */
bool state_note(struct state_entry *entry, const char *word, const char *value);

/*
 * The next line of TEXT at *AT (0 at first) into WORD and VALUE; false at the end. Lines that do
 * not fit or have no value are skipped. Pure.
 */
bool state_next_line(const char *text, size_t *at, char word[32], char value[256]);

/*
 * Calls FN for each entry whose name begins with KIND- and whose run is gone, then removes it. One
 * readdir when there is nothing. FN returns 0, or -errno to have the entry stay for the next time.
 */
int state_sweep(const struct state_dir *dir, const char *kind,
		int (*fn)(const char *text, void *opaque), void *opaque);

/* Calls FN with the text of every entry of KIND, of the living and the dead. */
void state_each(const struct state_dir *dir, const char *kind,
		void (*fn)(const char *text, void *opaque), void *opaque);
/* The same, of the living only. */
void state_each_living(const struct state_dir *dir, const char *kind,
		       void (*fn)(const char *text, void *opaque), void *opaque);

/* A lock over all runs, for what they share: its descriptor, to be closed; or -errno, logged. */
int state_lock_all(const struct state_dir *dir) MUST_CHECK;

#endif
