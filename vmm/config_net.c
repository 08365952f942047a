/*
 * --net. Called by the option and file parsers on the main thread.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#include "vmm/config.h"
#include "vmm/config_devices.h"

/* What may be written, before the kind of network is known from it. */
struct net_words {
	bool none;
	bool user;
	bool host;
	bool bridge;
	unsigned fd; /* 0: not given */
	struct config_net net;
};

#define FIELD(member) offsetof(struct net_words, member)

static const struct config_field net_fields[] = {
	{ .name = "none",
	  .type = CONFIG_TYPE_FLAG,
	  .offset = FIELD(none),
	  .help = "no network card" },
	{ .name = "user",
	  .type = CONFIG_TYPE_FLAG,
	  .offset = FIELD(user),
	  .help = "through passt, as any user; the guest asks by DHCP" },
	{ .name = "tap",
	  .type = CONFIG_TYPE_TEXT,
	  .offset = FIELD(net.tap),
	  .arg = "NAME",
	  .help = "a tap interface, made when missing and allowed" },
	{ .name = "fd",
	  .type = CONFIG_TYPE_UINT,
	  .offset = FIELD(fd),
	  .min = 3,
	  .max = 1 << 20,
	  .arg = "N",
	  .help = "a tap or macvtap descriptor that was passed" },
	{ .name = "host",
	  .type = CONFIG_TYPE_FLAG,
	  .offset = FIELD(host),
	  .help = "the host's own network; only for a command, not in a machine" },
	{ .name = "bridge",
	  .type = CONFIG_TYPE_FLAG,
	  .offset = FIELD(bridge),
	  .help = "a bridge of the host, vmm0, and NAT; only for a container" },
	{ .name = "mac",
	  .type = CONFIG_TYPE_MAC,
	  .offset = FIELD(net.mac),
	  .arg = "ADDRESS",
	  .help = "the card's address (else made from the machine's name)" },
	{ .name = "mtu",
	  .type = CONFIG_TYPE_UINT16,
	  .offset = FIELD(net.mtu),
	  .min = 68,
	  .max = 65535,
	  .arg = "BYTES",
	  .help = "told to the guest" },
	{ .name = "queues",
	  .type = CONFIG_TYPE_UINT,
	  .offset = FIELD(net.queues),
	  .min = 1,
	  .max = CONFIG_QUEUES_MAX,
	  .arg = "N",
	  .help = "pairs of queues, tap only (1)" },
	{ .name = "vhost",
	  .type = CONFIG_TYPE_FLAG,
	  .offset = FIELD(net.vhost),
	  .arg = "on",
	  .help = "the host kernel's data path, /dev/vhost-net" },
	{ .name = "ip",
	  .type = CONFIG_TYPE_TEXT,
	  .offset = FIELD(net.ip),
	  .arg = "ADDR/LEN|dhcp",
	  .help = "configured by the kernel itself (CONFIG_IP_PNP)" },
	{ .name = "gw",
	  .type = CONFIG_TYPE_TEXT,
	  .offset = FIELD(net.gateway),
	  .arg = "ADDR",
	  .help = "default route for ip=ADDR/LEN" },
	{ .name = "pps",
	  .type = CONFIG_TYPE_UINT64,
	  .offset = FIELD(net.limit.ops_per_s),
	  .min = 1,
	  .max = UINT32_MAX,
	  .arg = "N",
	  .help = "at most N packets a second each way" },
	{ .name = "bw",
	  .type = CONFIG_TYPE_RATE,
	  .offset = FIELD(net.limit.bytes_per_s),
	  .arg = "SIZE",
	  .help = "at most SIZE a second each way, like 100M" },
	{ .name = "burst",
	  .type = CONFIG_TYPE_DURATION,
	  .offset = FIELD(net.limit.burst_ms),
	  .arg = "TIME",
	  .help = "what an idle card saves up: TIME at full rate (10ms)" },
	{ .name = "group",
	  .type = CONFIG_TYPE_TEXT,
	  .offset = FIELD(net.limit.group),
	  .arg = "NAME",
	  .help = "cards with the same NAME share one limit each way" },
};

static void net_fini(struct net_words *words)
{
	config_fields_free(net_fields, ARRAY_SIZE(net_fields), words);
}

static int set_kind(struct net_words *words, struct config_error *err)
{
	int kinds = words->none + words->user + words->host + words->bridge +
		    (words->net.tap != NULL) + (words->fd != 0);

	if (kinds == 0)
		return config_error_set(
			err, "names no network: write none, user, tap=NAME, fd=N, host or bridge");
	if (kinds > 1)
		return config_error_set(
			err, "names several networks: write one of none, user, tap=NAME, fd=N, "
			     "host, bridge");
	words->net.fd = words->fd ? (int)words->fd : -1;
	if (words->user)
		words->net.kind = CONFIG_NET_USER;
	else if (words->net.tap)
		words->net.kind = CONFIG_NET_TAP;
	else if (words->fd)
		words->net.kind = CONFIG_NET_FD;
	else if (words->host)
		words->net.kind = CONFIG_NET_HOST;
	else if (words->bridge)
		words->net.kind = CONFIG_NET_BRIDGE;
	else
		words->net.kind = CONFIG_NET_NONE;
	for (unsigned i = 0; i < 6; i++)
		words->net.has_mac |= words->net.mac[i] != 0;
	return 0;
}

static int check_ip(const struct config_net *net, struct config_error *err)
{
	char addr[INET_ADDRSTRLEN + 4];
	struct config_error inner;
	struct in_addr parsed;
	uint64_t prefix;
	char *slash;

	if (net->gateway && (!net->ip || strcmp(net->ip, "dhcp") == 0))
		return config_error_set(err, "gw= needs an address: add ip=ADDR/LEN");
	if (net->gateway && inet_pton(AF_INET, net->gateway, &parsed) != 1)
		return config_error_set(err, "gw=%.40s: write an IPv4 address like 10.0.0.1",
					net->gateway);
	if (!net->ip || strcmp(net->ip, "dhcp") == 0)
		return 0;
	snprintf(addr, sizeof(addr), "%s", net->ip);
	slash = strchr(addr, '/');
	if (slash)
		*slash = '\0';
	if (!slash || strlen(net->ip) >= sizeof(addr) || inet_pton(AF_INET, addr, &parsed) != 1 ||
	    config_text_uint(slash + 1, 1, 32, &prefix, &inner) < 0)
		return config_error_set(
			err, "ip=%.40s: write dhcp or ADDRESS/LENGTH like 10.0.0.2/24", net->ip);
	return 0;
}

static int check_tap(const struct config_net *net, struct config_error *err)
{
	const char *tap = net->tap;

	if (strlen(tap) > CONFIG_TAP_NAME_MAX)
		return config_error_set(err, "tap=%.40s is too long: at most %d letters", tap,
					CONFIG_TAP_NAME_MAX);
	if (strpbrk(tap, "/: %") || strcmp(tap, ".") == 0 || strcmp(tap, "..") == 0)
		return config_error_set(
			err, "tap=%s is no interface name: leave out / : %% and blanks", tap);
	return 0;
}

static int check_net(const struct config_net *net, struct config_error *err)
{
	const struct config_limit *limit = &net->limit;
	int ret;

	if (net->kind == CONFIG_NET_TAP) {
		ret = check_tap(net, err);
		if (ret < 0)
			return ret;
	} else if (net->queues > 1) {
		return config_error_set(err, "queues=%u needs a tap: write tap=NAME", net->queues);
	} else if (net->vhost && net->kind != CONFIG_NET_FD) {
		return config_error_set(err, "vhost needs a tap: write tap=NAME or fd=N");
	}
	if ((limit->burst_ms || limit->group) && !limit->bytes_per_s && !limit->ops_per_s)
		return config_error_set(err, "burst= and group= need a limit: add pps= or bw=");
	if (net->vhost && (limit->bytes_per_s || limit->ops_per_s))
		return config_error_set(
			err, "vhost goes past the limits: leave out pps= and bw=, or vhost");
	return check_ip(net, err);
}

static int check_among_others(const struct config *config, const struct config_net *net,
			      struct config_error *err)
{
	if (config->net_given && config->net_count == 0)
		return config_error_set(err, "none was given before: leave one of them out");
	if (config->net_count && config->nets[0].kind == CONFIG_NET_HOST)
		return config_error_set(err, "host was given before: leave one of them out");
	if (config->net_count && config->nets[0].kind == CONFIG_NET_BRIDGE)
		return config_error_set(err, "bridge was given before: leave one of them out");
	if (config->net_count == CONFIG_NETS_MAX)
		return config_error_set(err, "is one too many: a machine has at most %d networks",
					CONFIG_NETS_MAX);
	for (unsigned i = 0; i < config->net_count; i++) {
		const struct config_net *other = &config->nets[i];

		if (net->tap && other->tap && strcmp(net->tap, other->tap) == 0)
			return config_error_set(err, "tap=%s is used twice: name another",
						net->tap);
		if (net->fd >= 0 && net->fd == other->fd)
			return config_error_set(err, "fd=%d is used twice: pass another", net->fd);
		if (net->has_mac && other->has_mac && memcmp(net->mac, other->mac, 6) == 0)
			return config_error_set(err, "mac= is used twice: choose another");
	}
	return 0;
}

/* none, host and bridge: no card that words could describe, and no other network beside them. */
static int check_alone(const struct config *config, const struct net_words *words, const char *name,
		       struct config_error *err)
{
	const struct config_net *net = &words->net;

	if (config->net_count)
		return config_error_set(err, "%s after another network: leave one of them out",
					name);
	if (net->has_mac || net->mtu || net->vhost || net->ip || net->queues > 1 ||
	    net->limit.ops_per_s || net->limit.bytes_per_s)
		return config_error_set(err, "%s stands alone: leave the other words out", name);
	return 0;
}

/* Takes over what WORDS points at, also on failure. */
static int net_append(struct config *config, struct net_words *words, struct config_error *err)
{
	int ret = set_kind(words, err);

	if (ret == 0 && words->net.kind == CONFIG_NET_NONE) {
		ret = check_alone(config, words, "none", err);
		if (ret == 0)
			config->net_given = true;
		net_fini(words);
		return ret;
	}
	if (ret == 0 && words->net.kind == CONFIG_NET_HOST)
		ret = check_alone(config, words, "host", err);
	if (ret == 0 && words->net.kind == CONFIG_NET_BRIDGE)
		ret = check_alone(config, words, "bridge", err);
	if (ret == 0)
		ret = check_net(&words->net, err);
	if (ret == 0)
		ret = check_among_others(config, &words->net, err);
	if (ret < 0) {
		net_fini(words);
		return ret;
	}
	config->net_given = true;
	config->nets[config->net_count++] = words->net;
	return 0;
}

static int net_add(struct config *config, const char *text, struct config_error *err)
{
	struct net_words words = { .net.queues = 1 };
	auto_free char *copy = strdup(text);
	int ret;

	if (!copy)
		return config_error_set(err, "out of memory");
	ret = config_fields_parse_spec(net_fields, ARRAY_SIZE(net_fields), NULL, &words, copy, err);
	if (ret < 0) {
		net_fini(&words);
		return ret;
	}
	return net_append(config, &words, err);
}

static int net_add_object(struct config *config, json_t *object, const char **bad_key,
			  struct config_error *err)
{
	struct net_words words = { .net.queues = 1 };
	int ret = config_fields_parse_object(net_fields, ARRAY_SIZE(net_fields), &words, object,
					     bad_key, err);

	if (ret < 0) {
		net_fini(&words);
		return ret;
	}
	return net_append(config, &words, err);
}

static json_t *net_print_one(const struct config_net *net)
{
	struct net_words words = {
		.user = net->kind == CONFIG_NET_USER,
		.host = net->kind == CONFIG_NET_HOST,
		.bridge = net->kind == CONFIG_NET_BRIDGE,
		.fd = net->kind == CONFIG_NET_FD ? (unsigned)net->fd : 0,
		.net = *net,
	};

	return config_fields_print_object(net_fields, ARRAY_SIZE(net_fields), &words);
}

static json_t *net_print(const struct config *config)
{
	json_t *array = json_array();

	if (array && config->net_count == 0) {
		if (json_array_append_new(array, json_string("none")) == 0)
			return array;
		json_decref(array);
		return NULL;
	}
	for (unsigned i = 0; array && i < config->net_count; i++) {
		if (json_array_append_new(array, net_print_one(&config->nets[i])) < 0) {
			json_decref(array);
			return NULL;
		}
	}
	return array;
}

static void net_clear(struct config *config)
{
	while (config->net_count) {
		struct net_words words = { .net = config->nets[--config->net_count] };

		net_fini(&words);
	}
	config->net_given = false;
}

const struct config_list config_list_net = {
	.add = net_add,
	.add_object = net_add_object,
	.print = net_print,
	.clear = net_clear,
	.fields = net_fields,
	.field_count = ARRAY_SIZE(net_fields),
};
