#include "testbed/realtime.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

enum { SOCKET_BYTES = 2500000 /* a USRP on a network wants this much of the kernel */ };

/* The file's first word; false if there is none. */
static bool read_word(const char *path, char *word, size_t len)
{
	char format[16];
	FILE *f = fopen(path, "r");
	if (!f)
		return false;
	snprintf(format, sizeof format, "%%%zus", len - 1);
	bool got = fscanf(f, format, word) == 1;
	fclose(f);
	return got;
}

struct checks {
	void (*say)(void *arg, const char *line);
	void *arg;
	unsigned n;
};

static void complain(struct checks *c, const char *line)
{
	c->n++;
	c->say(c->arg, line);
}

static void check_governor(struct checks *c)
{
	char path[96], governor[32], line[160];
	long n = sysconf(_SC_NPROCESSORS_ONLN);
	for (long cpu = 0; cpu < n; cpu++) {
		snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%ld/cpufreq/scaling_governor", cpu);
		if (!read_word(path, governor, sizeof governor) || strcmp(governor, "performance") == 0)
			continue;
		snprintf(line, sizeof line, "processor %ld: governor is %s; cpupower frequency-set -g performance", cpu,
		         governor);
		complain(c, line);
		return;
	}
}

static void check_limits(struct checks *c, const struct config_realtime *r)
{
	struct rlimit limit;
	char line[160];
	if (r->priority > 0 && geteuid() != 0 && !getrlimit(RLIMIT_RTPRIO, &limit) &&
	    limit.rlim_cur < (rlim_t)r->priority) {
		snprintf(line, sizeof line,
		         "realtime.priority %d: the limit is %d; rtprio in /etc/security/limits.d, then log in anew",
		         (int)r->priority, (int)limit.rlim_cur);
		complain(c, line);
	}
	if (r->cpu >= sysconf(_SC_NPROCESSORS_CONF)) {
		snprintf(line, sizeof line, "realtime.cpu %d: there are %ld processors", (int)r->cpu,
		         sysconf(_SC_NPROCESSORS_CONF));
		complain(c, line);
	}
}

static void check_sockets(struct checks *c)
{
	static const char *const paths[] = { "/proc/sys/net/core/rmem_max", "/proc/sys/net/core/wmem_max" };
	char word[32], line[160];
	long bytes;
	for (size_t i = 0; i < 2; i++)
		if (read_word(paths[i], word, sizeof word) && sscanf(word, "%ld", &bytes) == 1 &&
		    bytes < SOCKET_BYTES) {
			snprintf(line, sizeof line, "%s is %ld: sysctl -w net.core.%s=%d", paths[i], bytes,
			         paths[i] + 19, SOCKET_BYTES);
			complain(c, line);
		}
}

unsigned realtime_check(const struct config_realtime *r, bool over_network, void (*say)(void *arg, const char *line),
                        void *arg)
{
	struct checks c = { say, arg, 0 };
	check_governor(&c);
	check_limits(&c, r);
	if (over_network)
		check_sockets(&c);
	return c.n;
}

int realtime_lock_memory(void)
{
	return mlockall(MCL_CURRENT | MCL_FUTURE) ? -errno : 0;
}

int realtime_thread(const struct config_realtime *c)
{
	cpu_set_t set;
	int rc = 0;
	if (c->cpu >= 0) {
		CPU_ZERO(&set);
		CPU_SET((int)c->cpu, &set);
		rc = pthread_setaffinity_np(pthread_self(), sizeof set, &set);
	}
	if (!rc && c->priority > 0)
		rc = pthread_setschedparam(pthread_self(), SCHED_FIFO,
		                           &(struct sched_param){ .sched_priority = (int)c->priority });
	return -rc;
}
