/* SPDX-License-Identifier: Apache-2.0 */
#include "common/metrics/page.h"

#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/err.h"

static struct metrics_page private_page;
struct metrics_page *metrics = &private_page;

static const struct metric_info infos[METRIC_COUNT] = {
#define METRIC(name, kind, unit, role, help) { #name, #kind, #unit, #role, help },
#include "common/metrics/metrics.def"
#undef METRIC
};

const struct metric_info *
metric_info(enum metric m)
{
	FB_ASSERT(m < METRIC_COUNT);
	return &infos[m];
}

static uint64_t
digest(void)
{
	static const char *const rows =
#define METRIC(name, kind, unit, role, help) #name " " #kind ";"
#include "common/metrics/metrics.def"
#undef METRIC
	    ;
	uint64_t h = UINT64_C(0xcbf29ce484222325);      /* FNV-1a */

	for (const char *p = rows; *p != '\0'; p++)
		h = (h ^ (uint8_t)*p) * UINT64_C(0x100000001b3);
	return h;
}

static void *
map(int fd)
{
	void *p = mmap(NULL, sizeof(struct metrics_page), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	return p == MAP_FAILED ? NULL : p;
}

/* The size is sealed, so that no child can make the supervisor's reads fault. */
int
metrics_make(struct metrics_page **out)
{
	struct metrics_page *p;
	int fd = memfd_create("fubar-metrics", MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return FB_EIO;
	if (ftruncate(fd, sizeof *p) != 0 || fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0 ||
	    (p = map(fd)) == NULL) {
		close(fd);
		return FB_EIO;
	}
	p->digest = digest();
	*out = p;
	return fd;
}

int
metrics_map(int fd)
{
	struct metrics_page *p;
	struct stat st;
	bool fits = fstat(fd, &st) == 0 && st.st_size == (off_t)sizeof *p;

	p = fits ? map(fd) : NULL;
	close(fd);
	if (p == NULL)
		return fits ? FB_EIO : FB_EVERSION;
	if (p->digest != digest()) {
		munmap(p, sizeof *p);
		return FB_EVERSION;
	}
	memcpy(p->value, metrics->value, sizeof p->value);
	memcpy(p->listener_connections, metrics->listener_connections, sizeof p->listener_connections);
	memcpy(p->listener_expires_s, metrics->listener_expires_s, sizeof p->listener_expires_s);
	p->note = metrics->note;
	if (metrics != &private_page)
		munmap(metrics, sizeof *metrics);
	metrics = p;
	return 0;
}
