/*
 * How a child becomes the command. Runs after fork, in a process that has one thread: system calls
 * where libc's functions have an eye on others, which is half of the container's static program.
 */
#include "vmm/boundary/process_enter.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "vmm/boundary/process_user.h"

#define DEFAULT_PATH "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

static int send_message(int fd, const struct process_message *message)
{
	return send(fd, message, sizeof(*message), MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int process_send(int fd, enum process_word word, int value, const char *text)
{
	struct process_message message = { .word = (uint32_t)word, .value = value };

	for (size_t i = 0; text && text[i] && i + 1 < sizeof(message.text); i++)
		message.text[i] = text[i];
	return send_message(fd, &message);
}

void process_close_others(int fd)
{
	syscall(SYS_close_range, STDERR_FILENO + 1, fd - 1, 0);
	syscall(SYS_close_range, fd + 1, ~0u, 0);
}

/* Parts make a text; without printf the container's static program is a third of the size. */
static void join(char *text, size_t len, const char *const parts[4])
{
	size_t at = 0;

	for (size_t i = 0; i < 4; i++) {
		for (const char *from = parts[i]; from && *from && at + 1 < len;)
			text[at++] = *from++;
	}
	text[at] = '\0';
}

#define JOIN(text, ...) join(text, sizeof(text), (const char *const[4]){ __VA_ARGS__ })

static int fail_with(int control_fd, int status, int error, const char *const parts[4])
{
	struct process_message message = { .word = PROCESS_FAILED,
					   .value = status,
					   .error = error };

	join(message.text, sizeof(message.text), parts);
	send_message(control_fd, &message);
	return status;
}

#define FAILED(control_fd, status, error, ...)                                                     \
	fail_with(control_fd, status, error, (const char *const[4]){ __VA_ARGS__ })

static int become_user(const char *who, struct process_user *user, int control_fd)
{
	if (!process_user_look_up(user, who))
		return FAILED(control_fd, PROCESS_STATUS_FAILED, 0, "--user ", who,
			      ": the root's /etc/passwd or /etc/group does not know it: "
			      "write a number");
	/* Where there are no other groups to be had, there are none to be given up. */
	if (syscall(SYS_setgroups, user->group_count, user->groups) < 0 && errno != EPERM)
		return FAILED(control_fd, PROCESS_STATUS_FAILED, errno, "set groups");
	if (syscall(SYS_setresgid, user->gid, user->gid, user->gid) < 0 ||
	    syscall(SYS_setresuid, user->uid, user->uid, user->uid) < 0)
		return FAILED(control_fd, PROCESS_STATUS_FAILED, errno, "--user ", who,
			      ": an ordinary user has only those that /etc/subuid and "
			      "/etc/subgid grant");
	return 0;
}

static size_t name_len(const char *variable)
{
	return strcspn(variable, "=");
}

/* Puts VARIABLE into ENV in place of one of the same name. */
static size_t put_variable(char **env, size_t count, char *variable)
{
	size_t len = name_len(variable);

	for (size_t i = 0; i < count; i++) {
		if (name_len(env[i]) == len && strncmp(env[i], variable, len) == 0) {
			env[i] = variable;
			return count;
		}
	}
	if (count < PROCESS_ENV_MAX)
		env[count++] = variable;
	return count;
}

static const char *find_variable(char **env, const char *name)
{
	size_t len = strlen(name);

	for (; *env; env++) {
		if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
			return *env + len + 1;
	}
	return NULL;
}

/* 126 when a file was there that would not run. */
static int try_path(const char *path, char **argv, char **env, int *err)
{
	/* Finding that out by execve costs three times as much. */
	if (access(path, F_OK) == 0)
		execve(path, argv, env);
	else if (errno == ENOENT || errno == ENOTDIR)
		return PROCESS_STATUS_NOT_FOUND;
	*err = errno == ENOENT ? ENOEXEC /* its interpreter is missing */ : errno;
	return PROCESS_STATUS_NOT_EXECUTABLE;
}

static int execute(char **argv, char **env, int control_fd)
{
	const char *dir = find_variable(env, "PATH");
	int status = PROCESS_STATUS_NOT_FOUND;
	int err = ENOENT;
	char path[4096];

	if (strchr(argv[0], '/')) {
		status = try_path(argv[0], argv, env, &err);
	} else {
		while (dir && status == PROCESS_STATUS_NOT_FOUND) {
			size_t len = strcspn(dir, ":");

			if (len && len < sizeof(path)) {
				memcpy(path, dir, len);
				path[len] = '\0';
				join(path + len, sizeof(path) - len,
				     (const char *const[4]){ "/", argv[0] });
				status = try_path(path, argv, env, &err);
			}
			dir = dir[len] ? dir + len + 1 : NULL;
		}
	}
	if (status == PROCESS_STATUS_NOT_FOUND)
		return FAILED(control_fd, status, 0, argv[0], ": not found in the root");
	if (err == ENOEXEC)
		return FAILED(control_fd, status, 0, argv[0],
			      ": its interpreter or dynamic loader is not in the root, or it is of "
			      "another architecture");
	return FAILED(control_fd, status, err, argv[0]);
}

static void reset_signals(void)
{
	static const struct {
		unsigned long words[4];
	} by_default; /* the kernel's struct sigaction */
	static const uint64_t none;

	for (int number = 1; number < 32; number++)
		syscall(SYS_rt_sigaction, number, &by_default, NULL, sizeof(none));
	syscall(SYS_rt_sigprocmask, SIG_SETMASK, &none, NULL, sizeof(none));
}

int process_enter(const struct process_spec *spec, int control_fd)
{
	char home[300], term[100], path[] = "PATH=" DEFAULT_PATH;
	const char *workdir = spec->workdir && *spec->workdir ? spec->workdir : "/";
	pid_t parent = getppid();
	char *env[PROCESS_ENV_MAX + 1];
	struct process_user user;
	size_t count = 0;
	int status;

	status = become_user(spec->user, &user, control_fd);
	if (status)
		return status;
	/* Said here, as another user's rights take it back. */
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		return PROCESS_STATUS_FAILED;
	if (chdir(workdir) < 0)
		return FAILED(control_fd, PROCESS_STATUS_FAILED, errno, "--workdir ", workdir);
	JOIN(home, "HOME=", user.home);
	count = put_variable(env, count, path);
	count = put_variable(env, count, home);
	if (spec->term) {
		JOIN(term, "TERM=", spec->term);
		count = put_variable(env, count, term);
	}
	for (char **variable = spec->env; variable && *variable; variable++)
		count = put_variable(env, count, *variable);
	env[count] = NULL;
	reset_signals();
	return execute(spec->argv, env, control_fd);
}
