/*
 * The options with words of their own: --disk, --net, --publish, --console, --volume, --env; and
 * the command, which has no option. Rows for the table in vmm/config_options.c. Main thread.
 */
#ifndef VMM_CONFIG_DEVICES_H
#define VMM_CONFIG_DEVICES_H

#include "vmm/config_fields.h"

extern const struct config_list config_list_disk;
extern const struct config_list config_list_net;
extern const struct config_list config_list_publish;
extern const struct config_list config_list_console;
extern const struct config_list config_list_volume;
extern const struct config_list config_list_env;
extern const struct config_list config_list_command;

#define CONFIG_DISK_ID_MAX  20
#define CONFIG_QUEUES_MAX   16
#define CONFIG_TAP_NAME_MAX 15

#endif
