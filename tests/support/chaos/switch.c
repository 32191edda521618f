/* A network of namespaces in one process: cc -O2 -o switch switch.c; switch RULES COUNT.
 *
 * Makes COUNT network namespaces, each with one tun device (10.99.0.1, 10.99.0.2, ... of a /24), and
 * carries packets between them by the rules in the mapped file RULES: one rule for every ordered
 * pair, which may drop, delay and so reorder. The counters beside the rules prove what was done.
 * Prints "ready", its process id and the file descriptor of each namespace; everything is gone when
 * it ends. It needs neither a bridge nor packet filters nor queue disciplines of the kernel.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#define PLACES 16
#define PACKET_MAX 65536
#define QUEUE_MAX 8192
#define TURN_MAX 64

struct rule {
    uint32_t drop_ppm, delay_us, jitter_us, unused;
    uint64_t passed, dropped, delayed, overtaken;
};

struct waiting {
    uint64_t due_us, number;
    struct rule *rule;
    int to, size;
    unsigned char *bytes;
};

static struct rule *rules;
static int tuns[PLACES];
static struct waiting queue[QUEUE_MAX];
static int queued;
static uint64_t numbers;
static uint64_t last_number[PLACES][PLACES];

static void die(const char *what) { perror(what); exit(1); }

static uint64_t now_us(void) {
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (uint64_t)at.tv_sec * 1000000 + at.tv_nsec / 1000;
}

static void set_address(int fd, struct ifreq *request, unsigned long what, const char *text) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    inet_pton(AF_INET, text, &address.sin_addr);
    memcpy(&request->ifr_addr, &address, sizeof address);
    if (ioctl(fd, what, request) < 0) die("address");
}

static void set_up(int fd, const char *name) {
    struct ifreq request = {0};
    strncpy(request.ifr_name, name, IFNAMSIZ - 1);
    if (ioctl(fd, SIOCGIFFLAGS, &request) < 0) die("flags");
    request.ifr_flags |= IFF_UP | IFF_RUNNING;
    if (ioctl(fd, SIOCSIFFLAGS, &request) < 0) die("up");
}

/* Make the namespace of one place; returns a descriptor that holds it. */
static int make_place(int place) {
    if (unshare(CLONE_NEWNET) < 0) die("unshare");
    int space = open("/proc/self/ns/net", O_RDONLY);
    int tun = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
    if (space < 0 || tun < 0) die("tun");
    struct ifreq request = {0};
    strcpy(request.ifr_name, "chaos");
    request.ifr_flags = IFF_TUN | IFF_NO_PI;
    if (ioctl(tun, TUNSETIFF, &request) < 0) die("TUNSETIFF");
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    char text[32];
    snprintf(text, sizeof text, "10.99.0.%d", place + 1);
    set_address(fd, &request, SIOCSIFADDR, text);
    set_address(fd, &request, SIOCSIFNETMASK, "255.255.255.0");
    set_up(fd, "chaos");
    set_up(fd, "lo");
    close(fd);
    tuns[place] = tun;
    return space;
}

static int is_before(const struct waiting *one, const struct waiting *two) {
    return one->due_us < two->due_us || (one->due_us == two->due_us && one->number < two->number);
}

static void swap(int one, int two) {
    struct waiting kept = queue[one];
    queue[one] = queue[two];
    queue[two] = kept;
}

static void push(struct waiting item) {
    int at = queued++;
    queue[at] = item;
    for (; at > 0 && is_before(&queue[at], &queue[(at - 1) / 2]); at = (at - 1) / 2)
        swap(at, (at - 1) / 2);
}

static void pop(void) {
    queue[0] = queue[--queued];
    for (int at = 0;;) {
        int least = at;
        for (int child = 2 * at + 1; child <= 2 * at + 2 && child < queued; child++)
            if (is_before(&queue[child], &queue[least])) least = child;
        if (least == at) return;
        swap(at, least);
        at = least;
    }
}

static void deliver(int to, struct rule *rule, const unsigned char *bytes, int size) {
    if (write(tuns[to], bytes, size) == size) rule->passed++;
    else rule->dropped++;
}

static void deliver_due(void) {
    while (queued && queue[0].due_us <= now_us()) {
        struct waiting item = queue[0];
        pop();
        uint64_t *last = &((uint64_t *)last_number)[item.rule - rules];
        if (item.number < *last) item.rule->overtaken++;
        else *last = item.number;
        deliver(item.to, item.rule, item.bytes, item.size);
        free(item.bytes);
    }
}

static void take(const unsigned char *bytes, int size, int count) {
    if (size < 20 || bytes[0] >> 4 != 4) return;
    int from = bytes[15] - 1, to = bytes[19] - 1;
    if (from < 0 || from >= count || to < 0 || to >= count) return;
    struct rule *rule = &rules[from * PLACES + to];
    uint32_t delay = rule->delay_us, jitter = rule->jitter_us;
    if (rule->drop_ppm && (uint32_t)(random() % 1000000) < rule->drop_ppm) { rule->dropped++; return; }
    if (!delay && !jitter) { deliver(to, rule, bytes, size); return; }
    if (queued == QUEUE_MAX) { rule->dropped++; return; }
    struct waiting item = {.rule = rule, .to = to, .size = size, .number = ++numbers};
    item.due_us = now_us() + delay + (jitter ? (uint64_t)random() % jitter : 0);
    item.bytes = malloc(size);
    if (!item.bytes) die("malloc");
    memcpy(item.bytes, bytes, size);
    rule->delayed++;
    push(item);
}

static void carry(int count) {
    static unsigned char bytes[PACKET_MAX];
    struct pollfd ready[PLACES];
    for (int at = 0; at < count; at++) ready[at] = (struct pollfd){.fd = tuns[at], .events = POLLIN};
    for (;;) {
        struct timespec wait = {0}, *until = NULL;
        uint64_t now = now_us();
        if (queued) {
            uint64_t left = queue[0].due_us > now ? queue[0].due_us - now : 0;
            wait.tv_sec = left / 1000000;
            wait.tv_nsec = left % 1000000 * 1000;
            until = &wait;
        }
        if (ppoll(ready, count, until, NULL) < 0) die("poll");
        for (int at = 0; at < count; at++)
            for (int turn = 0; turn < TURN_MAX && ready[at].revents & POLLIN; turn++) {
                int size = read(tuns[at], bytes, sizeof bytes);
                if (size <= 0) break;
                take(bytes, size, count);
            }
        deliver_due();
    }
}

int main(int argc, char **argv) {
    int count = argc == 3 ? atoi(argv[2]) : 0;
    if (count < 1 || count > PLACES) { fprintf(stderr, "switch RULES COUNT\n"); return 2; }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    size_t size = sizeof(struct rule) * PLACES * PLACES;
    int file = open(argv[1], O_RDWR);
    if (file < 0) die(argv[1]);
    rules = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    if (rules == MAP_FAILED) die("mmap");
    int spaces[PLACES];
    for (int at = 0; at < count; at++) spaces[at] = make_place(at);
    printf("ready %d", getpid());
    for (int at = 0; at < count; at++) printf(" %d", spaces[at]);
    printf("\n");
    fflush(stdout);
    carry(count);
}
