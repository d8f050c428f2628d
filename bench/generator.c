/*
 * The load of the benchmarks: many connections, one thread, one epoll set. Linux only.
 *
 *     generator PORT CONNECTIONS DEPTH SIZE KIND HELLOS
 *
 * PORT is on 127.0.0.1; SIZE is that of a request's content, in bytes; KIND says what answers:
 * an "echo" of the whole packet, or a "gate". HELLOS is a file of as many handshake packets as
 * there are connections, each answered "200 OK"; or "-": there is no handshake, and a first
 * request on each connection shows that it is served.
 *
 * It says {"connected": N}, and then answers each line of its standard input by a line of JSON:
 *
 *     closed SECONDS      keep DEPTH requests outstanding on each connection
 *     open SECONDS RATE   send RATE requests a second, on schedule, round robin
 *
 * A request is told from all others by its content, and every byte of each response is compared.
 * Whatever is wrong is told as {"error": ...}, and ends it with status 1. bench/generator.py does
 * the same where there is no compiler; bench/loads.py starts either.
 */

#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

#include "connection.h"

/* How many connections shake hands at once: fewer than the usual backlog of 50, as the system
   would let what is one too many wait for a second. */
#define GREETING_AT_ONCE 40

/* How many requests of a schedule that lags behind are sent before answers are looked at. */
#define BURST 64

/* Connections that are looked at in one turn. */
#define EVENTS 256

/* Descriptors that are no connections. */
#define OTHER_FILES 64

static uint32_t connectionCount, depth;
static struct connection *connections;

static uint64_t cpuTime(void)
{
    struct timespec time;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

/* Note what the window took, as soon as it is over. */
static void lookAtWindow(uint64_t time)
{
    if (!run.isOver && time >= run.end) {
        run.isOver = true;
        run.cpu = cpuTime() - run.cpu;
    }
}

/* Wait for something to be read or sent, so many nanoseconds at most, and do it. */
static void turn(uint64_t patience, bool isExact)
{
    static struct epoll_event events[EVENTS];
    struct pollfd whole = {.fd = epoll, .events = POLLIN};
    struct timespec limit = {(time_t)(patience / SECOND), (long)(patience % SECOND)};
    uint64_t before, after;
    int count = isExact ? epoll_wait(epoll, events, EVENTS, 0) : 0;

    if (count == 0 && patience > 0) {
        before = now();
        /* epoll_wait counts in milliseconds, which is too coarse for a schedule. */
        if (!isExact)
            count = epoll_wait(epoll, events, EVENTS, (int)(patience / MILLISECOND) + 1);
        else if (ppoll(&whole, 1, &limit, NULL) > 0)
            count = epoll_wait(epoll, events, EVENTS, 0);
        after = now();
        if (before < run.end)
            run.waited += (after < run.end ? after : run.end) - before;
        lookAtWindow(after);
        if (count == 0 && after > run.progress + PATIENCE && run.outstanding + run.greeting > 0)
            for (uint32_t number = 0; number < connectionCount; number++)
                if (connections[number].outstanding > 0 || connections[number].isGreeting)
                    fail("connection %u: nothing was answered for %llu s", number,
                         PATIENCE / SECOND);
    }
    for (int each = 0; each < count; each++) {
        struct connection *connection = events[each].data.ptr;

        if (events[each].events & EPOLLOUT)
            pushHeld(connection);
        if (events[each].events & ~(uint32_t)EPOLLOUT)
            readOnce(connection);
    }
}

static void begin(double seconds, bool refills)
{
    memset(&run.latencies, 0, sizeof run.latencies);
    run.answered = run.waited = 0;
    run.refills = refills;
    run.isOver = false;
    run.cpu = cpuTime();
    run.start = run.progress = now();
    run.end = run.start + (uint64_t)(seconds * SECOND);
}

static void tell(void)
{
    double seconds = (double)(run.end - run.start) / SECOND, cpu = (double)run.cpu / SECOND;
    double waited = (double)run.waited / SECOND;

    /* Waiting that found something at once was work, and being kept from the CPU is neither. */
    if (waited > seconds - cpu)
        waited = seconds > cpu ? seconds - cpu : 0;
    printf("{\"requests\": %llu, \"seconds\": %.6f, \"p50\": %.9f, \"p99\": %.9f,"
           " \"p999\": %.9f, \"max\": %.9f, \"cpu\": %.6f, \"idle\": %.4f}\n",
           (unsigned long long)run.answered, seconds, histogramPercentile(&run.latencies, 0.5),
           histogramPercentile(&run.latencies, 0.99), histogramPercentile(&run.latencies, 0.999),
           (double)run.latencies.most / SECOND, cpu, waited / seconds);
    fflush(stdout);
}

/* The two kinds of load. */

static void loadClosed(double seconds)
{
    uint64_t time;

    begin(seconds, true);
    for (uint32_t number = 0; number < connectionCount; number++)
        ask(&connections[number], depth, now());
    while ((time = now()) < run.end || run.outstanding > 0)
        turn(time < run.end && run.end < time + SECOND ? run.end - time : SECOND, false);
    lookAtWindow(time);
}

static void loadOpen(double seconds, double rate)
{
    uint64_t total = (uint64_t)(seconds * rate), next = 0, due, time;
    uint32_t burst;

    begin(seconds, false);
    while ((time = now()) < run.end || next < total || run.outstanding > 0) {
        lookAtWindow(time);
        due = time + SECOND;
        for (burst = 0; next < total && burst < BURST; burst++) {
            due = run.start + (uint64_t)((double)next / rate * SECOND);
            if (due > time)
                break;
            ask(&connections[next++ % connectionCount], 1, due);
        }
        if (time < run.end && run.end < due)
            due = run.end;
        turn(due > time && burst < BURST ? due - time : 0, true);
    }
    lookAtWindow(time);
}

static void connectAll(uint16_t port, const unsigned char *hellos, size_t size)
{
    size_t at = 0, length = 0;

    begin(0, false);
    for (uint32_t number = 0; number < connectionCount; number++) {
        if (hellos != NULL) {
            at += length;
            length = size - at < LENGTH_SIZE ? size : (size_t)hellos[at] << 8 | hellos[at + 1];
            length += LENGTH_SIZE;
            if (size - at < length)
                fail("there are only %u handshakes for %u connections", number, connectionCount);
        }
        connectOne(&connections[number], number, port, depth,
                   hellos == NULL ? NULL : hellos + at, length);
        while (run.outstanding + run.greeting >= GREETING_AT_ONCE)
            turn(SECOND, false);
    }
    while (run.outstanding + run.greeting > 0)
        turn(SECOND, false);
    printf("{\"connected\": %u}\n", connectionCount);
    fflush(stdout);
}

/* Read a whole file. */
static unsigned char *readFile(const char *name, size_t *size)
{
    FILE *file = fopen(name, "rb");
    unsigned char *data = NULL;
    size_t got;

    if (file == NULL)
        fail("%s: %s", name, strerror(errno));
    *size = 0;
    do {
        data = allocate(data, *size + READ_SIZE);
        got = fread(data + *size, 1, READ_SIZE, file);
        *size += got;
    } while (got > 0);
    fclose(file);
    return data;
}

static void allowFiles(void)
{
    struct rlimit limit;
    rlim_t needed = connectionCount + OTHER_FILES;

    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= needed)
        return;
    limit.rlim_cur = needed;
    if (limit.rlim_max < needed)
        limit.rlim_max = needed;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        fail("%u connections need more files than this process may open", connectionCount);
}

/* Read an argument, or end with a line about what it must be. */
static uint32_t number(const char *name, const char *text, uint32_t least, uint32_t most)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (*text < '0' || *text > '9' || *end != 0 || value < least || value > most) {
        fprintf(stderr, "generator: %s: '%s' is no number from %u to %u\n", name, text, least,
                most);
        exit(2);
    }
    return (uint32_t)value;
}

int main(int count, char **arguments)
{
    char line[128], end;
    double seconds, rate;
    size_t size = 0;
    unsigned char *hellos = NULL;
    uint32_t contentSize;
    uint16_t port;

    if (count != 7) {
        fprintf(stderr, "usage: generator PORT CONNECTIONS DEPTH SIZE echo|gate HELLOS|-\n");
        return 2;
    }
    port = (uint16_t)number("PORT", arguments[1], 1, 65535);
    connectionCount = number("CONNECTIONS", arguments[2], 1, 1000000);
    depth = number("DEPTH", arguments[3], 1, 65536);
    contentSize = number("SIZE", arguments[4], 0, LARGEST_PACKET - SESSION_SIZE - FLAG_SIZE);
    if (strcmp(arguments[5], "gate") != 0 && strcmp(arguments[5], "echo") != 0) {
        fprintf(stderr, "generator: KIND: '%s' is neither echo nor gate\n", arguments[5]);
        return 2;
    }
    shapeRequests(contentSize, strcmp(arguments[5], "gate") == 0);
    if (strcmp(arguments[6], "-") != 0)
        hellos = readFile(arguments[6], &size);
    /* Timers are exact to 50 microseconds otherwise. */
    prctl(PR_SET_TIMERSLACK, 1);
    allowFiles();
    epoll = epoll_create1(EPOLL_CLOEXEC);
    connections = allocate(NULL, connectionCount * sizeof *connections);
    connectAll(port, hellos, size);
    free(hellos);
    while (fgets(line, sizeof line, stdin) != NULL) {
        if (sscanf(line, "closed %lf %c", &seconds, &end) == 1 && seconds > 0 && seconds < 1e6)
            loadClosed(seconds);
        else if (sscanf(line, "open %lf %lf %c", &seconds, &rate, &end) == 2 && seconds > 0 &&
                 seconds < 1e6 && rate > 0 && rate < 1e9)
            loadOpen(seconds, rate);
        else
            fail("there is no command '%.*s'", (int)strcspn(line, "\n"), line);
        tell();
    }
    return 0;
}
