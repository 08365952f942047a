/*
 * See command.h. What differs from one boundary to the next in words is the table below; a peer's
 * script in peers/ prints its command line, a word a line, having prepared what it needs.
 */
#include "vmm/compare/command.h"

#include <stdio.h>
#include <string.h>

#include "vmm/blob.h"
#include "vmm/compare/child.h"
#include "vmm/compare/server.h"

const char *const compare_boundary_names[] = { "machine", "container", "host", NULL };
const char *const compare_peer_names[] = { "qemu", "runc", "podman", "lxc", NULL };

BLOB_EMBED(qemu, COMPARE_SCRIPTS "/peers/qemu.sh.lz4");
BLOB_EMBED(runc, COMPARE_SCRIPTS "/peers/runc.sh.lz4");
BLOB_EMBED(podman, COMPARE_SCRIPTS "/peers/podman.sh.lz4");
BLOB_EMBED(lxc, COMPARE_SCRIPTS "/peers/lxc.sh.lz4");

/* In the order of their names. */
static const struct {
	const uint8_t *packed;
	const uint64_t *len;
} peer_scripts[] = {
	{ qemu_blob, &qemu_blob_len },
	{ runc_blob, &runc_blob_len },
	{ podman_blob, &podman_blob_len },
	{ lxc_blob, &lxc_blob_len },
};

/* Words of `vmm run` by boundary and network; a text that begins with "-" is words, else why not.
 */
static const struct {
	const char *boundary;
	const char *nets[4];
} net_words[] = {
	{ "machine",
	  { "--net none", "a machine has a network of its own",
	    "--net tap=" SERVER_TAP ",ip=" SERVER_TAP_GUEST ",gw=" SERVER_TAP_GATEWAY,
	    "--net user" } },
	{ "container", { "--net none", "--net host", "--net bridge", "--net user" } },
	{ "host", { "", "", "", "" } },
};

static int add(struct compare_command *command, const char *word)
{
	if (command->count == COMPARE_WORDS_MAX)
		return -E2BIG;
	command->words[command->count] = compare_text("%s", word);
	if (!command->words[command->count])
		return -ENOMEM;
	command->count++;
	return 0;
}

static int add_path(struct compare_command *command, const char *option, const char *fmt,
		    const char *path)
{
	char text[4200];
	int ret = add(command, option);

	snprintf(text, sizeof(text), fmt, path);
	return ret ? ret : add(command, text);
}

/* What stands for the letter after "%" in a task's command. */
static const char *expansion(const struct compare *compare, const struct compare_column *column,
			     const struct compare_task *task, char letter)
{
	static const char *const sizes[] = { "16m", "64m", "128m" };
	static const char *const counts[] = { "1000", "4000", "20000" };
	bool machine = strcmp(column->name, "machine") == 0;
	bool host = strcmp(column->name, "host") == 0;

	switch (letter) {
	case 'S':
		return compare_level_names[compare->amounts];
	case 'M':
		return sizes[compare->amounts];
	case 'N':
		/* One run of these is counted: how vCPU and I/O take turns evens out over them. */
		return compare->icount ? "4000" : counts[compare->amounts];
	case 'Y':
		return compare->icount ? "1000" : "100";
	case 'H':
		return host || task->net == COMPARE_NET_HOST ? "127.0.0.1" : "gateway";
	case 'P':
		return task->place == COMPARE_PLACE_ROOT ? "/var" : "/volume";
	case 'F':
		if (task->place == COMPARE_PLACE_RAW)
			return !machine		   ? "/volume/raw.img"
			       : compare->own_load ? "/dev/vdc"
						   : "/dev/vdb";
		return task->place == COMPARE_PLACE_ROOT ? "/var/fio.data" : "/volume/fio.data";
	default:
		return "%";
	}
}

/* TEXT's words, parted by blanks, with what stands for %X. */
static int add_words(const struct compare *compare, const struct compare_column *column,
		     const struct compare_task *task, const char *text,
		     struct compare_command *command)
{
	char word[512];
	size_t len = 0;
	int ret = 0;

	for (const char *at = text; !ret; at++) {
		if (*at == '%' && at[1]) {
			const char *put = expansion(compare, column, task, *++at);

			len += (size_t)snprintf(word + len, sizeof(word) - len, "%s", put);
		} else if (*at && *at != ' ') {
			word[len++] = *at;
		} else if (len) {
			word[len] = '\0';
			len = 0;
			ret = add(command, word);
		}
		if (len + 64 > sizeof(word))
			return -E2BIG;
		if (!*at)
			break;
	}
	return ret;
}

static int add_net(const struct compare *compare, const struct compare_column *column,
		   const struct compare_task *task, struct compare_command *command, char **reason)
{
	for (size_t i = 0; i < ARRAY_SIZE(net_words); i++) {
		const char *words = net_words[i].nets[task->net];

		if (strcmp(net_words[i].boundary, column->name) != 0)
			continue;
		if (words[0] && words[0] != '-') {
			*reason = compare_text("%s", words);
			return -EOPNOTSUPP;
		}
		if (strstr(words, SERVER_TAP) && !compare->has_tap) {
			*reason =
				compare_text("a tap could not be made: that is for root, with ip");
			return -EOPNOTSUPP;
		}
		return add_words(compare, column, task, words, command);
	}
	return 0;
}

static int add_place(const struct compare *compare, const struct compare_column *column,
		     const struct compare_task *task, struct compare_command *command)
{
	bool machine = strcmp(column->name, "machine") == 0;

	if (task->place == COMPARE_PLACE_ROOT)
		return 0;
	if (!machine)
		return add_path(command, "--volume", "%s/volume:/volume", compare->scratch);
	if (task->place == COMPARE_PLACE_RAW)
		return add_path(command, "--disk", "%s/raw.img", compare->scratch);
	return add_path(command, "--volume", "%s/volume.img:/volume", compare->scratch);
}

static int make_boundary(const struct compare *compare, const struct compare_column *column,
			 const struct compare_task *task, struct compare_command *command,
			 char **reason)
{
	const char *words = task->command;
	int ret = add(command, compare->program);

	if (!ret)
		ret = add(command, "run");
	if (!ret && task->method == COMPARE_STAGES)
		ret = add(command, "-v");
	if (!ret)
		ret = add_path(command, "--as", "%s", column->name);
	if (!ret)
		ret = add_path(command, "--rootfs", "%s", compare->root);
	if (!ret && compare->kernel && strcmp(column->name, "machine") == 0)
		ret = add_path(command, "--kernel", "%s", compare->kernel);
	/* What is told of the steps is not to be slowed by what the guest's kernel says. */
	if (!ret && task->method == COMPARE_STAGES && strcmp(column->name, "machine") == 0)
		ret = add_words(compare, column, task, "--cmdline quiet", command);
	if (!ret && task->limits && strcmp(column->name, "host") != 0)
		ret = add_words(compare, column, task, task->limits, command);
	if (!ret)
		ret = add_net(compare, column, task, command, reason);
	if (!ret)
		ret = add_place(compare, column, task, command);
	if (!ret && compare->own_load)
		ret = add_path(command, "--volume", "%s/tools:/vmm-tools:ro", compare->scratch);
	if (!ret)
		ret = add(command, "--");
	if (!ret && compare->own_load && strncmp(words, "vmm-load", 8) == 0) {
		ret = add(command, "/vmm-tools/vmm-load");
		words += 8;
	}
	return ret ? ret : add_words(compare, column, task, words, command);
}

/* Takes the lines that a peer's script printed as words. */
static int take_lines(struct compare_command *command, char *text)
{
	int ret = 0;

	for (char *line = strtok(text, "\n"); line && !ret; line = strtok(NULL, "\n"))
		ret = add(command, line);
	return ret;
}

static int run_script(const struct compare *compare, struct compare_command *script,
		      struct compare_command *command, char **reason)
{
	struct child child;
	int ret = child_start(&child, script->words);

	if (!ret)
		ret = child_wait_end(&child, compare_patience_ms(compare, 60));
	if (!ret && child.status != 0)
		ret = -ENOENT;
	if (ret)
		*reason = child_complaint(&child);
	else
		ret = take_lines(command, child.out);
	if (!ret && command->count == 0)
		ret = -ENOENT;
	child_fini(&child);
	return ret;
}

static int make_peer(const struct compare *compare, const struct compare_column *column,
		     const struct compare_task *task, struct compare_command *command,
		     char **reason)
{
	struct compare_command script = { .count = 0 };
	int ret;

	if ((task->method != COMPARE_LIFE && task->method != COMPARE_PROGRAM) ||
	    task->net != COMPARE_NET_NONE || task->place != COMPARE_PLACE_ROOT) {
		*reason = compare_text("not measured for other programs");
		return -EOPNOTSUPP;
	}
	ret = add(&script, "/bin/sh");
	if (!ret)
		ret = add_path(&script, "-euc", "%s", (const char *)column->script);
	if (!ret)
		ret = add(&script, column->name);
	if (!ret)
		ret = add(&script, compare->program);
	if (!ret)
		ret = add(&script, compare->root);
	if (!ret)
		ret = add(&script, compare->scratch);
	if (!ret)
		ret = add(&script, compare->kernel ? compare->kernel : "");
	if (!ret)
		ret = add_words(compare, column, task, task->command, &script);
	if (!ret)
		ret = run_script(compare, &script, command, reason);
	compare_command_fini(&script);
	return ret;
}

int compare_command_make(const struct compare *compare, const struct compare_column *column,
			 const struct compare_task *task, struct compare_command *command,
			 char **reason)
{
	*command = (struct compare_command){ .count = 0 };
	*reason = NULL;
	if (column->is_peer)
		return make_peer(compare, column, task, command, reason);
	return make_boundary(compare, column, task, command, reason);
}

void compare_command_fini(struct compare_command *command)
{
	for (unsigned i = 0; i < command->count; i++)
		free(command->words[i]);
	*command = (struct compare_command){ .count = 0 };
}

char *compare_command_text(const struct compare_command *command)
{
	char *text = NULL;
	size_t len = 0;
	FILE *file = open_memstream(&text, &len);

	if (!file)
		return NULL;
	for (unsigned i = 0; i < command->count; i++) {
		const char *word = command->words[i];
		bool plain =
			word[0] && strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQR"
						"STUVWXYZ0123456789_-+=./:,@%") == strlen(word);

		fprintf(file, plain ? "%s%s" : "%s'%s'", i ? " " : "", word);
	}
	if (fclose(file) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

int compare_add_column(struct compare *compare, const char *name)
{
	struct compare_column *column = &compare->columns[compare->column_count];
	size_t len;

	for (unsigned i = 0; i < compare->column_count; i++)
		if (strcmp(compare->columns[i].name, name) == 0)
			return -EINVAL;
	if (compare->column_count == COMPARE_COLUMNS_MAX)
		return -EINVAL;
	for (size_t i = 0; compare_boundary_names[i]; i++) {
		if (strcmp(compare_boundary_names[i], name) == 0) {
			column->name = compare_boundary_names[i];
			compare->column_count++;
			return 0;
		}
	}
	for (size_t i = 0; compare_peer_names[i]; i++) {
		if (strcmp(compare_peer_names[i], name) == 0) {
			column->name = compare_peer_names[i];
			column->is_peer = true;
			compare->column_count++;
			return blob_unpack(peer_scripts[i].packed, *peer_scripts[i].len,
					   &column->script, &len);
		}
	}
	return -EINVAL;
}
