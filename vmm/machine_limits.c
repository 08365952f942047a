/*
 * Making the limits of a machine's devices. Main thread.
 */
#include "vmm/machine_limits.h"

#include <string.h>

static int make(struct limit **out, const struct config_limit *config)
{
	const struct limit_options options = {
		.ops_per_s = config->ops_per_s,
		.bytes_per_s = config->bytes_per_s,
		.burst_ms = config->burst_ms,
	};

	if (!config->ops_per_s && !config->bytes_per_s)
		return 0;
	return limit_create(out, &options);
}

static bool same_group(const struct config_limit *a, const struct config_limit *b)
{
	return a->group && b->group && strcmp(a->group, b->group) == 0;
}

static int make_disk(struct machine_limits *limits, const struct config *config, unsigned index)
{
	const struct config_limit *limit = &config->disks[index].limit;

	for (unsigned i = 0; i < index; i++) {
		if (!same_group(&config->disks[i].limit, limit))
			continue;
		limits->disks[index] = limits->disks[i];
		return 0;
	}
	return make(&limits->disks[index], limit);
}

static int make_net(struct machine_limits *limits, const struct config *config, unsigned index)
{
	const struct config_limit *limit = &config->nets[index].limit;
	int ret;

	for (unsigned i = 0; i < index; i++) {
		if (!same_group(&config->nets[i].limit, limit))
			continue;
		limits->receive[index] = limits->receive[i];
		limits->send[index] = limits->send[i];
		return 0;
	}
	ret = make(&limits->receive[index], limit);
	return ret < 0 ? ret : make(&limits->send[index], limit);
}

int machine_limits_create(struct machine_limits *limits, const struct config *config)
{
	int ret = 0;

	for (unsigned i = 0; ret == 0 && i < config->disk_count; i++)
		ret = make_disk(limits, config, i);
	for (unsigned i = 0; ret == 0 && i < config->net_count; i++)
		ret = make_net(limits, config, i);
	return ret;
}

/* Each once, however many share it. */
static void destroy_all(struct limit **limits, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		struct limit *limit = limits[i];

		for (unsigned j = i; j < count; j++)
			if (limits[j] == limit)
				limits[j] = NULL;
		limit_destroy(limit);
	}
}

void machine_limits_destroy(struct machine_limits *limits)
{
	destroy_all(limits->disks, CONFIG_DISKS_MAX);
	destroy_all(limits->receive, CONFIG_NETS_MAX);
	destroy_all(limits->send, CONFIG_NETS_MAX);
}
