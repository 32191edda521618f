/* The wall clock of one process, moved at will: cc -O2 -shared -fPIC -o clock.so clock.c -ldl.
 *
 * Preloaded, it adds an offset to what the process reads of the wall clock; the monotonic clocks
 * stay as they are. The offset is in a mapped file (CHAOS_CLOCK names it), and beside it the shim
 * writes the offset that the process saw last, and how often it looked: the proof.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct shared {
    volatile int64_t offset_ns, seen_ns, reads;
};

static struct shared nowhere, *shared = &nowhere;
static int (*real)(clockid_t, struct timespec *);

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CHAOS_CLOCK");
    real = dlsym(RTLD_NEXT, "clock_gettime");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) shared = mapped;
}

int clock_gettime(clockid_t id, struct timespec *at) {
    if (!real) real = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(id, at);
    if (result || (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE)) return result;
    int64_t offset = shared->offset_ns;
    int64_t moved = (int64_t)at->tv_sec * 1000000000 + at->tv_nsec + offset;
    at->tv_sec = moved / 1000000000;
    at->tv_nsec = moved % 1000000000;
    shared->seen_ns = offset;
    shared->reads++;
    return 0;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    int result = clock_gettime(CLOCK_REALTIME, &exact);
    at->tv_sec = exact.tv_sec;
    at->tv_usec = exact.tv_nsec / 1000;
    return result;
}

time_t time(time_t *kept) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (kept) *kept = exact.tv_sec;
    return exact.tv_sec;
}
