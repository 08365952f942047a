/*
 * The strict reader of what a machine says that its command wrote (vmm/guest/keep.h). Pure. Called
 * by keep_collect.c; the guest behind it may be of any kind.
 */
#ifndef VMM_BOUNDARY_KEEP_PARSE_H
#define VMM_BOUNDARY_KEEP_PARSE_H

#include <stdbool.h>
#include <stddef.h>

#include "vmm/guest/keep.h"

/*
 * Reads one header. NULL when it is one that guest-init may send: then all lengths are within their
 * bounds, SIZE and SIZE + PAYLOAD_LEN fit a file, and there are a name and a payload just where the
 * type has one. Else what is wrong with it (static).
 */
const char *keep_parse(struct keep_record *record, const uint8_t header[KEEP_HEADER_LEN]);

/* Whether NAME can only be an entry of a directory, and of that one: not empty, no '/', no NUL,
 * neither "." nor "..". */
bool keep_is_name(const char *name, size_t len);
/* Whether PATH is nothing but such names, with a '/' between each two. */
bool keep_is_path(const char *path, size_t len);

#endif
