/*
 * A connection of the generator and its requests, and what all connections have in common.
 */

#ifndef BENCH_CONNECTION_H
#define BENCH_CONNECTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "histogram.h"

/* All times are in nanoseconds. */
#define SECOND 1000000000ull
#define MILLISECOND 1000000ull

/* How long nothing may be answered until that is given up. */
#define PATIENCE (10 * SECOND)

/* A packet's length field, a session, a flag, in bytes. */
#define LENGTH_SIZE 2u
#define SESSION_SIZE 4u
#define FLAG_SIZE 1u
#define LARGEST_PACKET 65535u

/* Bytes that are read at once. */
#define READ_SIZE (256u * 1024)

/* A request that is not answered yet; where start, in nanoseconds, is 0, there is none. */
struct request {
    uint64_t start;
    uint32_t session;
};

struct connection {
    int descriptor;
    uint32_t number;
    uint32_t session; /* the last one used */
    uint32_t outstanding;
    bool isGreeting; /* the handshake is not answered yet */
    uint32_t mask;   /* of a session: where its request is */
    struct request *requests;
    unsigned char *rest; /* the beginning of a response, and its size */
    uint32_t restSize;
    unsigned char *held; /* what the socket did not take */
    size_t heldSize;
};

/* What is being measured. */
struct run {
    uint64_t start, end, waited, progress, cpu;
    uint64_t answered;    /* within the window */
    uint64_t outstanding; /* on all connections */
    uint32_t greeting;    /* connections */
    bool refills;         /* an answer makes room for another request */
    bool isOver;          /* the window, and its CPU time is known */
    struct histogram latencies;
};

extern struct run run;
extern int epoll;

/* Say what is wrong, and end. What would need quoting in JSON is shown as a dot. */
__attribute__((format(printf, 1, 2), noreturn)) void fail(const char *format, ...);

/* Give so much memory, with what was in the old one, or end. */
void *allocate(void *old, size_t size);

uint64_t now(void);

/* Say what requests and their responses look like, before there is any connection. */
void shapeRequests(uint32_t size, bool gate);

/* Connect; what is to be sent first is the handshake, or where there is none, a request. */
void connectOne(struct connection *connection, uint32_t number, uint16_t port, uint32_t depth,
                const unsigned char *hello, size_t size);

/* Send so many requests at once; their latency counts from the start that is given. */
void ask(struct connection *connection, uint32_t count, uint64_t start);

/* Read once, and answer all that was answered by as many new requests in one go. */
void readOnce(struct connection *connection);

/* Send more of what the socket did not take before. */
void pushHeld(struct connection *connection);

#endif
