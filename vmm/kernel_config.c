/*
 * Finds and reads a kernel's .config. The files may be anybody's: sizes are bounded. Called by
 * `vmm doctor` on its thread.
 */
#include "vmm/kernel_config.h"

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <zlib.h>

#include "arch/inspect.h"

#define TEXT_LEN_MAX (4u << 20)

static const char ikconfig_start[] = "IKCFG_ST";

char *kernel_config_extract(const uint8_t *image, size_t len)
{
	const size_t mark_len = sizeof(ikconfig_start) - 1;
	uint8_t *mark = memmem(image, len, ikconfig_start, mark_len);
	z_stream stream = { 0 };
	char *text;
	int ret;

	if (!mark)
		return NULL;
	text = malloc(TEXT_LEN_MAX);
	if (!text || inflateInit2(&stream, 16 + MAX_WBITS) != Z_OK) {
		free(text);
		return NULL;
	}
	stream.next_in = mark + mark_len;
	len -= (size_t)(mark - image) + mark_len;
	stream.avail_in = len > TEXT_LEN_MAX ? TEXT_LEN_MAX : (uInt)len;
	stream.next_out = (Bytef *)text;
	stream.avail_out = TEXT_LEN_MAX - 1;
	ret = inflate(&stream, Z_FINISH);
	text[stream.total_out] = '\0';
	inflateEnd(&stream);
	if (ret != Z_STREAM_END) {
		free(text);
		return NULL;
	}
	return text;
}

/* gzopen reads plain files as they are. */
static int read_text(const char *path, char **out)
{
	char *text = malloc(TEXT_LEN_MAX);
	gzFile file;
	int len;

	if (!text)
		return -ENOMEM;
	errno = 0;
	file = gzopen(path, "rbe");
	if (!file) {
		int err = errno;

		free(text);
		return err > 0 ? -err : -ENOMEM;
	}
	len = gzread(file, text, TEXT_LEN_MAX - 1);
	gzclose(file);
	if (len < 0) {
		free(text);
		return -EIO;
	}
	text[len] = '\0';
	*out = text;
	return 0;
}

static bool is_config(const char *text)
{
	return strstr(text, "\nCONFIG_") || strncmp(text, "CONFIG_", 7) == 0;
}

static int take_file(struct kernel_config *config, const char *path)
{
	char *text = NULL;
	int ret = read_text(path, &text);

	if (ret < 0 || !text)
		return ret;
	if (!is_config(text)) {
		free(text);
		return -ENODATA;
	}
	config->text = text;
	config->found = strdup(path);
	return config->found ? 0 : -ENOMEM;
}

/* Places where builds and distributions leave the file, most exact first. */
static const struct config_place {
	const char *name;
	bool beside; /* the kernel; else an absolute path */
	bool with_version;
} config_places[] = {
	{ "config-", true, true },	  { "config", true, false },
	{ ".config", true, false },	  { "../../../.config", true, false },
	{ "/boot/config-", false, true },
};

static int search(struct kernel_config *config, const char *kernel_path)
{
	const char *slash = strrchr(kernel_path, '/');
	int dir_len = slash ? (int)(slash - kernel_path) + 1 : 0;

	for (size_t i = 0; i < ARRAY_SIZE(config_places); i++) {
		const struct config_place *place = &config_places[i];
		char path[4096];
		int len;

		if (place->with_version && !config->version[0])
			continue;
		len = snprintf(path, sizeof(path), "%.*s%s%s", place->beside ? dir_len : 0,
			       kernel_path, place->name,
			       place->with_version ? config->version : "");
		if (len > 0 && (size_t)len < sizeof(path) && take_file(config, path) == 0)
			return 0;
	}
	return -ENOENT;
}

static int inspect(struct kernel_config *config, const char *kernel_path, const uint8_t *data,
		   size_t len, bool want_text)
{
	struct arch_inspection inspection;
	int ret = arch_inspect_kernel(data, len, &inspection);

	config->problem = inspection.problem;
	memcpy(config->version, inspection.version, sizeof(config->version));
	if (ret == 0 && want_text) {
		config->text = inspection.image ? kernel_config_extract(inspection.image,
									inspection.image_len)
						: kernel_config_extract(data, len);
		if (config->text)
			config->found = strdup(kernel_path);
	}
	arch_inspect_fini(&inspection);
	return ret;
}

/* Looks at the kernel itself: that it is one, its version, and maybe its own configuration. */
static int open_kernel(struct kernel_config *config, const char *path, bool want_text)
{
	auto_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	struct stat st;
	void *data;
	int ret;

	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	config->problem = "not a regular file";
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	config->problem = "empty";
	if (st.st_size == 0)
		return -EINVAL;
	data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (data == MAP_FAILED)
		return -errno;
	ret = inspect(config, path, data, (size_t)st.st_size, want_text);
	munmap(data, (size_t)st.st_size);
	return ret;
}

int kernel_config_load(struct kernel_config *config, const char *kernel_path,
		       const char *config_path)
{
	int ret;

	*config = (struct kernel_config){ 0 };
	if (kernel_path) {
		ret = open_kernel(config, kernel_path, config_path == NULL);
		if (ret < 0)
			return ret;
	}
	if (config->text)
		return config->found ? 0 : -ENOMEM;
	if (config_path)
		return take_file(config, config_path);
	return kernel_path ? search(config, kernel_path) : -ENOENT;
}

void kernel_config_fini(struct kernel_config *config)
{
	free(config->text);
	free(config->found);
	*config = (struct kernel_config){ 0 };
}

char kernel_config_get(const struct kernel_config *config, const char *option)
{
	size_t len = strlen(option);
	const char *p = config->text;

	while (p && *p) {
		if (strncmp(p, "CONFIG_", 7) == 0 && strncmp(p + 7, option, len) == 0 &&
		    p[7 + len] == '=')
			return p[8 + len];
		p = strchr(p, '\n');
		p = p ? p + 1 : NULL;
	}
	return 'n';
}
