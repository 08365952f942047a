/*
 * --publish: ports of the host that reach the guest in user mode. Called by the option and file
 * parsers on the main thread.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "vmm/config.h"
#include "vmm/config_devices.h"

static int read_port(const char *text, uint16_t *out, struct config_error *err)
{
	uint64_t port;

	if (config_text_uint(text, 1, 65535, &port, err) < 0)
		return config_error_set(err, "\"%.40s\" is not a port: write 1 to 65535", text);
	*out = (uint16_t)port;
	return 0;
}

/* Cuts a leading ADDR: or [ADDR6]: off TEXT; NULL when there is none. */
static char *cut_address(char **text)
{
	char *start = *text;
	char *end = *start == '[' ? strstr(start, "]:") : NULL;
	char *colon = strchr(start, ':');

	if (end) {
		*end = '\0';
		*text = end + 2;
		return start + 1;
	}
	if (!colon || !strchr(colon + 1, ':'))
		return NULL;
	*colon = '\0';
	*text = colon + 1;
	return start;
}

static bool is_address(const char *text)
{
	struct in6_addr parsed;

	return inet_pton(AF_INET, text, &parsed) == 1 || inet_pton(AF_INET6, text, &parsed) == 1;
}

static int publish_parse(struct config_publish *publish, char *text, struct config_error *err)
{
	char *slash = strrchr(text, '/');
	char *addr;
	char *colon;
	int ret;

	if (slash) {
		*slash = '\0';
		publish->udp = strcmp(slash + 1, "udp") == 0;
		if (!publish->udp && strcmp(slash + 1, "tcp") != 0)
			return config_error_set(err, "\"/%.20s\" is not known: write /tcp or /udp",
						slash + 1);
	}
	addr = cut_address(&text);
	if (addr && !is_address(addr))
		return config_error_set(
			err, "\"%.40s\" is not an address: write [ADDRESS:]HOSTPORT[:GUESTPORT]",
			addr);
	colon = strchr(text, ':');
	if (colon)
		*colon = '\0';
	ret = read_port(text, &publish->host_port, err);
	if (ret == 0)
		ret = read_port(colon ? colon + 1 : text, &publish->guest_port, err);
	if (ret == 0 && addr) {
		publish->host_addr = strdup(addr);
		if (!publish->host_addr)
			return config_error_set(err, "out of memory");
	}
	return ret;
}

static bool same_address(const char *a, const char *b)
{
	return !a || !b || strcmp(a, b) == 0;
}

static int publish_add(struct config *config, const char *text, struct config_error *err)
{
	struct config_publish publish = { 0 };
	char *copy;
	int ret;

	if (config->publish_count == CONFIG_PUBLISH_MAX)
		return config_error_set(err, "is one too many: at most %d ports",
					CONFIG_PUBLISH_MAX);
	copy = strdup(text);
	if (!copy)
		return config_error_set(err, "out of memory");
	ret = publish_parse(&publish, copy, err);
	free(copy);
	if (ret < 0)
		return ret;
	for (unsigned i = 0; i < config->publish_count; i++) {
		const struct config_publish *other = &config->publish[i];

		if (other->host_port == publish.host_port && other->udp == publish.udp &&
		    same_address(other->host_addr, publish.host_addr)) {
			free(publish.host_addr);
			return config_error_set(err, "host port %u is used twice: choose another",
						publish.host_port);
		}
	}
	config->publish[config->publish_count++] = publish;
	return 0;
}

static json_t *publish_print(const struct config *config)
{
	json_t *array = json_array();

	for (unsigned i = 0; array && i < config->publish_count; i++) {
		const struct config_publish *publish = &config->publish[i];
		const char *addr = publish->host_addr;
		bool is_v6 = addr && strchr(addr, ':');
		char text[96];

		snprintf(text, sizeof(text), "%s%s%s%s%u:%u%s", is_v6 ? "[" : "", addr ? addr : "",
			 is_v6 ? "]" : "", addr ? ":" : "", publish->host_port, publish->guest_port,
			 publish->udp ? "/udp" : "");
		if (json_array_append_new(array, json_string(text)) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static void publish_clear(struct config *config)
{
	while (config->publish_count) {
		struct config_publish *publish = &config->publish[--config->publish_count];

		free(publish->host_addr);
		publish->host_addr = NULL;
	}
}

const struct config_list config_list_publish = {
	.add = publish_add,
	.print = publish_print,
	.clear = publish_clear,
};
