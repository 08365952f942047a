/*
 * Debian's programs, served and asked inside the same boundary: redis, sysbench, stress-ng, and
 * PostgreSQL with its own benchmark.
 */
#include "vmm/compare/workload/load.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static char output[65536];

static int answers(const char *socket_path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int good;

	load_append(address.sun_path, sizeof(address.sun_path), socket_path);
	good = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0;
	if (fd >= 0)
		close(fd);
	return good;
}

/* Waits until the server PID answers at SOCKET_PATH. */
static void wait_for(const char *socket_path, pid_t pid, const char *name)
{
	const struct timespec pause = { .tv_nsec = 20000000 };

	for (unsigned i = 0; !answers(socket_path); i++) {
		nanosleep(&pause, NULL);
		if (i == 1500 || waitpid(pid, NULL, WNOHANG) == pid) {
			errno = 0;
			load_fail(name);
		}
	}
}

static void end(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

#define REDIS_SOCKET "/tmp/vmm-redis.sock"

/* From lines like "GET","12345.67",...: requests a second. */
static int redis_value(const char *operation, const char *clients)
{
	char name[16] = "\"", key[40] = "redis_";
	const char *at;

	load_append(name, sizeof(name), operation);
	load_append(name, sizeof(name), "\",\"");
	load_append(key, sizeof(key), operation);
	load_append(key, sizeof(key), "_");
	load_append(key, sizeof(key), clients);
	at = strstr(output, name);
	if (at)
		load_print(key, load_number(at + strlen(name)));
	return at != NULL;
}

int load_redis(enum load_scale scale)
{
	static char *const requests[] = { "2000", "20000", "100000" };
	static char *const clients[] = { "1", "20", "100" };
	char *server[] = { "redis-server", "--port", "0", "--unixsocket",
			   REDIS_SOCKET,   "--save", "",  "--appendonly",
			   "no",	   NULL };
	pid_t pid = load_spawn(server);

	wait_for(REDIS_SOCKET, pid, "redis-server is not in the root, or does not start");
	for (unsigned i = 0; i < 3; i++) {
		char *ask[] = { "redis-benchmark", "-s", REDIS_SOCKET, "-c",	clients[i], "-n",
				requests[scale],   "-t", "set,get",    "--csv", NULL };

		if (load_run(ask, -1, output, sizeof(output)) != 0 ||
		    !redis_value("GET", clients[i]) || !redis_value("SET", clients[i])) {
			end(pid);
			errno = 0;
			load_fail("redis-benchmark is not in the root, or failed");
		}
	}
	end(pid);
	return 0;
}

/* Prints the number after WORD in what the program printed. */
static void print_after(const char *key, const char *word, const char *complaint)
{
	const char *at = strstr(output, word);

	if (!at) {
		errno = 0;
		load_fail(complaint);
	}
	at += strlen(word);
	while (*at == ' ')
		at++;
	load_print(key, load_number(at));
}

/* A number of events rather than of seconds, so that instructions can be counted too. */
int load_sysbench(enum load_scale scale)
{
	static char *const events[] = { "--events=200", "--events=2000", "--events=10000" };
	char *argv[] = { "sysbench",	"cpu",	    "--cpu-max-prime=5000",
			 "--threads=1", "--time=0", events[scale],
			 "run",		NULL };

	output[0] = '\0';
	if (load_run(argv, -1, output, sizeof(output)) != 0)
		output[0] = '\0';
	print_after("sysbench_cpu", "events per second:", "sysbench is not in the root, or failed");
	return 0;
}

/* The fifth number of the line of --metrics-brief: bogo operations a second of real time. */
int load_stress(enum load_scale scale)
{
	static char *const operations[] = { "20", "100", "500" };
	char *argv[] = {
		"stress-ng",	   "--matrix", "1",	      "--matrix-ops", operations[scale],
		"--metrics-brief", "--stdout", "--temp-path", "/tmp",	      NULL
	};
	const char *at = NULL;

	/* The first line with the stressor's name at its head; others are about single products. */
	if (load_run(argv, -1, output, sizeof(output)) == 0)
		at = strstr(output, "] matrix ");
	if (at)
		at += 2;
	for (unsigned i = 0; at && i < 5; i++) {
		at += strspn(at, " ");
		at += strcspn(at, " ");
	}
	if (!at || load_number(at + strspn(at, " ")) <= 0) {
		errno = 0;
		load_fail("stress-ng is not in the root, or failed");
	}
	load_print("stress_matrix", load_number(at + strspn(at, " ")));
	return 0;
}

#define OLTP_DATA "/var/oltp"

static void run_or_fail(char *const argv[], const char *complaint)
{
	if (load_run(argv, -1, output, sizeof(output)) != 0) {
		errno = 0;
		load_fail(complaint);
	}
}

/* The set-up made the database; PostgreSQL does not run as root: as nobody, then. */
int load_oltp(enum load_scale scale)
{
	static char *const counts[] = { "20", "100", "400" };
	char *own[] = { "chown", "-R", "65534:65534", OLTP_DATA, NULL };
	char *server[] = { "postgres", "-D", OLTP_DATA, NULL };
	char *ask[] = { "pgbench", "-n",   "-c", "4",	"-t",	    counts[scale],
			"-h",	   "/tmp", "-U", "vmm", "postgres", NULL };
	char *try[] = { "pgbench", "-n",   "-c", "1",	"-t",	    "1",
			"-h",	   "/tmp", "-U", "vmm", "postgres", NULL };
	struct stat info;
	unsigned tries = 0;
	pid_t pid;

	if (stat(OLTP_DATA, &info) < 0)
		load_fail("a database in the root: " OLTP_DATA);
	/* Where an ordinary user made it; each file is copied then. */
	if (info.st_uid != 65534)
		run_or_fail(own, "chown is not in the root, or failed");
	if (geteuid() == 0 && (setgid(65534) < 0 || setuid(65534) < 0))
		load_fail("becoming nobody");
	pid = load_spawn(server);
	wait_for("/tmp/.s.PGSQL.5432", pid, "postgres does not start");
	/* It answers before it is ready. */
	while (tries++ < 100 && load_run(try, -1, output, sizeof(output)) != 0)
		nanosleep(&(struct timespec){ .tv_nsec = 100000000 }, NULL);
	run_or_fail(ask, "pgbench failed");
	print_after("oltp", "tps = ", "pgbench gave no result");
	kill(pid, SIGINT);
	waitpid(pid, NULL, 0);
	return 0;
}
