/*
 * Reads /etc/passwd and /etc/group (passwd(5), group(5)). The files belong to whoever made the root
 * directory: lines may be of any length and anything may be missing in them.
 */
#include "vmm/boundary/process_user.h"

#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define FILE_LEN_MAX ((size_t)256 * 1024)

struct text {
	const char *at;
	size_t len;
};

/* Cuts what stands before SEPARATOR off REST; false when nothing is left. */
static bool next_part(struct text *rest, char separator, struct text *part)
{
	const char *end;

	if (!rest->at)
		return false;
	end = memchr(rest->at, separator, rest->len);
	part->at = rest->at;
	part->len = end ? (size_t)(end - rest->at) : rest->len;
	rest->len -= part->len + (end != NULL);
	rest->at = end ? end + 1 : NULL;
	return true;
}

static bool same(struct text part, struct text other)
{
	return part.len == other.len && memcmp(part.at, other.at, part.len) == 0;
}

static bool read_id(struct text part, uint32_t *id)
{
	uint64_t value = 0;

	if (part.len == 0 || part.len > 10)
		return false;
	for (size_t i = 0; i < part.len; i++) {
		if (part.at[i] < '0' || part.at[i] > '9')
			return false;
		value = value * 10 + (uint64_t)(part.at[i] - '0');
	}
	/* The highest means "leave as it is" to the kernel. */
	if (value >= UINT32_MAX)
		return false;
	*id = (uint32_t)value;
	return true;
}

/* Splits LINE at ':' into COUNT fields; missing ones are empty. */
static void split_line(struct text line, struct text *fields, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		if (!next_part(&line, ':', &fields[i]))
			fields[i] = (struct text){ "", 0 };
	}
}

/* By name, or by number when ID is not NULL. */
static bool find_line(struct text file, struct text name, const uint32_t *id, struct text *fields,
		      size_t count)
{
	struct text line;
	uint32_t found;

	while (next_part(&file, '\n', &line)) {
		split_line(line, fields, count);
		if (id ? read_id(fields[2], &found) && found == *id
		       : fields[0].len && same(fields[0], name) && read_id(fields[2], &found))
			return true;
	}
	return false;
}

static void set_home(struct process_user *user, struct text home)
{
	if (home.len == 0 || home.len >= sizeof(user->home) || home.at[0] != '/')
		home = (struct text){ "/", 1 };
	memcpy(user->home, home.at, home.len);
	user->home[home.len] = '\0';
}

/* The groups that list NAME as a member. */
static void find_groups(struct process_user *user, struct text name, struct text file)
{
	struct text fields[4], line, member;
	uint32_t id;

	while (user->group_count < PROCESS_GROUPS_MAX && next_part(&file, '\n', &line)) {
		split_line(line, fields, 4);
		if (!read_id(fields[2], &id) || id == user->gid)
			continue;
		while (next_part(&fields[3], ',', &member)) {
			if (!same(member, name))
				continue;
			user->groups[user->group_count++] = id;
			break;
		}
	}
}

bool process_user_find(struct process_user *user, const char *who, const char *passwd,
		       size_t passwd_len, const char *group, size_t group_len)
{
	struct text passwd_file = { passwd, passwd_len }, group_file = { group, group_len };
	struct text rest = { who && *who ? who : "0", 0 };
	struct text fields[7], name, wanted;
	bool listed;
	uint32_t id;

	*user = (struct process_user){ .home = "/" };
	rest.len = strlen(rest.at);
	if (!next_part(&rest, ':', &name))
		return false;
	if (read_id(name, &user->uid)) {
		listed = find_line(passwd_file, name, &user->uid, fields, 7);
	} else {
		listed = find_line(passwd_file, name, NULL, fields, 7);
		if (!listed || !read_id(fields[2], &user->uid))
			return false;
	}
	if (listed) {
		set_home(user, fields[5]);
		if (read_id(fields[3], &id))
			user->gid = id;
		name = fields[0];
	}
	wanted = rest;
	if (wanted.at && !read_id(wanted, &user->gid) &&
	    (!find_line(group_file, wanted, NULL, fields, 4) || !read_id(fields[2], &user->gid)))
		return false;
	user->groups[user->group_count++] = user->gid;
	/* A group that was named is all there shall be. */
	if (!wanted.at && listed && name.len)
		find_groups(user, name, group_file);
	return true;
}

/* A file that is not there is empty. False: too long. */
static bool read_file(const char *path, char *buffer, size_t *len)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	ssize_t got = 1;

	*len = 0;
	if (fd < 0)
		return true;
	while (got > 0 && *len < FILE_LEN_MAX) {
		got = read(fd, buffer + *len, FILE_LEN_MAX - *len);
		if (got > 0)
			*len += (size_t)got;
	}
	close(fd);
	return *len < FILE_LEN_MAX;
}

bool process_user_look_up(struct process_user *user, const char *who)
{
	/* More than a stack should hold; only as much becomes memory as the files are long. */
	char *passwd = mmap(NULL, 2 * FILE_LEN_MAX, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t passwd_len, group_len;
	char *group;
	bool found;

	if (passwd == MAP_FAILED)
		return false;
	group = passwd + FILE_LEN_MAX;
	found = read_file("/etc/passwd", passwd, &passwd_len) &&
		read_file("/etc/group", group, &group_len) &&
		process_user_find(user, who, passwd, passwd_len, group, group_len);
	munmap(passwd, 2 * FILE_LEN_MAX);
	return found;
}
