/*
 * vmm help --completion SHELL: a script made from the table of options, so that it is never behind.
 * Main thread.
 */
#include "vmm/cli/completion.h"

#include <stdio.h>
#include <string.h>

#include "vmm/config_options.h"
#include "vmm/end.h"
#include "vmm/log.h"

static bool is_path(const struct config_field *option)
{
	return option->type == CONFIG_TYPE_FILE || strcmp(option->name, "config") == 0 ||
	       strcmp(option->name, "disk") == 0 || strcmp(option->name, "volume") == 0;
}

static void print_words(const struct config_field *option, const char *separator)
{
	for (unsigned i = 0; option->words && option->words[i]; i++)
		printf("%s%s", i ? separator : "", option->words[i]);
}

static const char commands[] = "run compare doctor freeze thaw help version";
static const char compare_options[] =
	"--rows --runs --as --peer --rootfs --kernel --program --json --html --svg --quick --full "
	"--list --lab --icount --verbose --help";
static const char topics[] = "run rootfs exit-codes kernel disk net publish console config stats";

static void print_bash(void)
{
	puts("_vmm()\n{\n"
	     "\tlocal word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
	     "\tCOMPREPLY=()\n"
	     "\tif [ \"$COMP_CWORD\" -eq 1 ]; then");
	printf("\t\tmapfile -t COMPREPLY < <(compgen -W '%s' -- \"$word\")\n\t\treturn\n\tfi\n",
	       commands);
	puts("\tcase ${COMP_WORDS[1]}:$before in");
	for (size_t i = 0; i < config_option_count; i++) {
		const struct config_field *option = &config_options[i];

		if (is_path(option)) {
			printf("\trun:--%s)\n\t\tmapfile -t COMPREPLY < <(compgen -f -- "
			       "\"$word\")\n"
			       "\t\treturn ;;\n",
			       option->name);
		} else if (option->words) {
			printf("\trun:--%s)\n\t\tmapfile -t COMPREPLY < <(compgen -W '",
			       option->name);
			print_words(option, " ");
			puts("' -- \"$word\")\n\t\treturn ;;");
		}
	}
	printf("\thelp:*)\n\t\tmapfile -t COMPREPLY < <(compgen -W '%s' -- \"$word\")\n"
	       "\t\treturn ;;\n"
	       "\tdoctor:--kernel*)\n\t\tmapfile -t COMPREPLY < <(compgen -f -- \"$word\")\n"
	       "\t\treturn ;;\n\tesac\n\tcase ${COMP_WORDS[1]} in\n\trun)\n"
	       "\t\tmapfile -t COMPREPLY < <(compgen -W '",
	       topics);
	for (size_t i = 0; i < config_option_count; i++)
		printf("%s--%s", i ? " " : "", config_options[i].name);
	printf("' -- \"$word\") ;;\n\tcompare)\n\t\tmapfile -t COMPREPLY < <(compgen -f -W '%s' -- "
	       "\"$word\")",
	       compare_options);
	puts(" ;;\n\tdoctor)\n\t\tmapfile -t COMPREPLY < <(compgen -W "
	     "'--json --kernel --kernel-config --help' -- \"$word\") ;;\n\tesac\n}\n"
	     "complete -o filenames -F _vmm vmm");
}

/* Text inside single quotes that are doubled up for zsh's and fish's taste. */
static void print_quoted(const char *text, const char *special)
{
	for (; *text; text++) {
		if (*text == '\'')
			fputs("'\\''", stdout);
		else if (strchr(special, *text))
			printf("\\%c", *text);
		else
			putchar(*text);
	}
}

static void print_zsh(void)
{
	printf("#compdef vmm\n_vmm()\n{\n\tif ((CURRENT == 2)); then\n\t\tcompadd -- %s\n"
	       "\t\treturn\n\tfi\n\tcase $words[2] in\n\thelp) compadd -- %s; return ;;\n"
	       "\tcompare) compadd -- %s; _files; return ;;\n"
	       "\tdoctor) _arguments '--json' '--kernel[kernel]:file:_files' "
	       "'--kernel-config[configuration]:file:_files'; return ;;\n\tesac\n"
	       "\t[[ $words[2] == run ]] || return\n\tshift words\n\t((CURRENT--))\n\t_arguments",
	       commands, topics, compare_options);
	for (size_t i = 0; i < config_option_count; i++) {
		const struct config_field *option = &config_options[i];

		printf(" \\\n\t\t'%s--%s[", option->type == CONFIG_TYPE_LIST ? "*" : "",
		       option->name);
		print_quoted(option->help, "[]:\\");
		putchar(']');
		if (is_path(option)) {
			fputs(":file:_files", stdout);
		} else if (option->words) {
			fputs(":value:(", stdout);
			print_words(option, " ");
			putchar(')');
		} else if (option->arg) {
			fputs(":value:", stdout);
		}
		putchar('\'');
	}
	puts("\n}\ncompdef _vmm vmm");
}

static void print_fish(void)
{
	printf("complete -c vmm -f\n"
	       "complete -c vmm -n __fish_use_subcommand -a '%s'\n"
	       "complete -c vmm -n '__fish_seen_subcommand_from help' -a '%s'\n"
	       "complete -c vmm -n '__fish_seen_subcommand_from compare' -F -a '%s'\n"
	       "complete -c vmm -n '__fish_seen_subcommand_from doctor' -l json\n"
	       "complete -c vmm -n '__fish_seen_subcommand_from doctor' -l kernel -r -F\n"
	       "complete -c vmm -n '__fish_seen_subcommand_from doctor' -l kernel-config -r -F\n",
	       commands, topics, compare_options);
	for (size_t i = 0; i < config_option_count; i++) {
		const struct config_field *option = &config_options[i];

		printf("complete -c vmm -n '__fish_seen_subcommand_from run' -l %s", option->name);
		if (option->letter)
			printf(" -s %c", option->letter);
		if (option->arg)
			fputs(is_path(option) ? " -r -F" : " -x", stdout);
		if (option->words) {
			fputs(" -a '", stdout);
			print_words(option, " ");
			putchar('\'');
		}
		fputs(" -d '", stdout);
		print_quoted(option->help, "\\");
		puts("'");
	}
}

int completion_print(const char *shell)
{
	static const struct {
		const char *shell;
		void (*print)(void);
	} scripts[] = { { "bash", print_bash }, { "zsh", print_zsh }, { "fish", print_fish } };

	for (size_t i = 0; shell && i < ARRAY_SIZE(scripts); i++) {
		if (strcmp(shell, scripts[i].shell) == 0) {
			scripts[i].print();
			return 0;
		}
	}
	log_err("help --completion: write bash, zsh or fish after it");
	return EXIT_STATUS_HOST;
}
