/* One process under a wall clock and a disk that the test moves:
 * cc -O2 -shared -fPIC -o shim shim.c -ldl.
 *
 * Preloaded, it adds an offset to what the process reads of the wall clock (the monotonic clocks stay
 * as they are), and lets the syncs or the writes of its files fail, or the syncs take long. What to
 * do is in a mapped file (CHAOS_SHIM names it); beside it the shim writes what the process saw, and
 * how often: the proof.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

enum { SYNCS_FAIL = 1, WRITES_FAIL = 2, WRITES_BREAK = 3, SYNCS_ARE_SLOW = 4 };

#define SLOW_US 300000

struct shared {
    volatile int64_t offset_ns, seen_ns, reads, failing, failed;
};

static struct shared nowhere, *shared = &nowhere;

__attribute__((constructor)) static void begin(void) {
    const char *path = getenv("CHAOS_SHIM");
    int file = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) shared = mapped;
}

int clock_gettime(clockid_t id, struct timespec *at) {
    static int (*real)(clockid_t, struct timespec *);
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

/* Whether the disk does that to this file now; standard error, a file too, is not on that disk. */
static int is_meant(int what, int file) {
    struct stat about;
    if (shared->failing != what || file <= STDERR_FILENO) return 0;
    if (fstat(file, &about) || !S_ISREG(about.st_mode)) return 0;
    shared->failed++;
    return 1;
}

static int is_refused(int what, int file, int error) {
    if (!is_meant(what, file)) return 0;
    errno = error;
    return 1;
}

int fdatasync(int file) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fdatasync");
    if (is_meant(SYNCS_ARE_SLOW, file)) usleep(SLOW_US);
    return is_refused(SYNCS_FAIL, file, EIO) ? -1 : real(file);
}

int fsync(int file) {
    static int (*real)(int);
    if (!real) real = dlsym(RTLD_NEXT, "fsync");
    return is_refused(SYNCS_FAIL, file, EIO) ? -1 : real(file);
}

ssize_t write(int file, const void *bytes, size_t size) {
    static ssize_t (*real)(int, const void *, size_t);
    if (!real) real = dlsym(RTLD_NEXT, "write");
    if (is_refused(WRITES_FAIL, file, EROFS) || is_refused(WRITES_BREAK, file, EIO)) return -1;
    return real(file, bytes, size);
}
