#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>

#include "connection.h"

/* Contents are parts of as many random bytes, each of which some content begins with. */
#define CONTENTS 65536u

/* More requests than these on one connection are not kept account of. */
#define MOST_OUTSTANDING (1u << 22)

struct run run;
int epoll;

static uint32_t contentSize, responseSize;
static bool isGate;
static unsigned char *contents;
static unsigned char in[LENGTH_SIZE + LARGEST_PACKET + READ_SIZE];
static unsigned char out[READ_SIZE + LENGTH_SIZE + LARGEST_PACKET];

uint64_t now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * SECOND + (uint64_t)time.tv_nsec;
}

void fail(const char *format, ...)
{
    char text[512];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (char *each = text; *each; each++)
        if (*each < ' ' || *each > '~' || *each == '"' || *each == '\\')
            *each = '.';
    printf("{\"error\": \"%s\"}\n", text);
    fflush(stdout);
    exit(1);
}

void *allocate(void *old, size_t size)
{
    void *memory = realloc(old, size);

    if (memory == NULL)
        fail("out of memory");
    return memory;
}

void shapeRequests(uint32_t size, bool gate)
{
    uint64_t random = 0x9E3779B97F4A7C15ull;

    contentSize = size;
    isGate = gate;
    responseSize = LENGTH_SIZE + size + (gate ? FLAG_SIZE : 0) + SESSION_SIZE;
    contents = allocate(NULL, CONTENTS + contentSize);
    for (size_t each = 0; each < CONTENTS + contentSize; each++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        contents[each] = (unsigned char)(random >> 32);
    }
}

static const unsigned char *contentOf(const struct connection *connection, uint32_t session)
{
    return contents + ((connection->number * 0x9E3779B1u ^ session * 0x85EBCA6Bu) >> 16);
}

static void watch(struct connection *connection, int operation, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = connection};

    if (epoll_ctl(epoll, operation, connection->descriptor, &event) != 0)
        fail("connection %u: %s", connection->number, strerror(errno));
}

/* Send as much as the socket takes, and give how much that was. */
static size_t sendSome(struct connection *connection, const unsigned char *data, size_t size)
{
    ssize_t sent = send(connection->descriptor, data, size, MSG_NOSIGNAL);

    if (sent >= 0)
        return (size_t)sent;
    if (errno != EAGAIN && errno != EINTR)
        fail("connection %u: %s, with %u requests not answered", connection->number,
             strerror(errno), connection->outstanding);
    return 0;
}

/* Send, and hold back what the socket does not take until it does. */
static void push(struct connection *connection, const unsigned char *data, size_t size)
{
    size_t sent = connection->heldSize > 0 ? 0 : sendSome(connection, data, size);

    if (sent == size)
        return;
    if (connection->heldSize == 0)
        watch(connection, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    connection->held = allocate(connection->held, connection->heldSize + size - sent);
    memcpy(connection->held + connection->heldSize, data + sent, size - sent);
    connection->heldSize += size - sent;
}

void pushHeld(struct connection *connection)
{
    size_t sent = sendSome(connection, connection->held, connection->heldSize);

    connection->heldSize -= sent;
    memmove(connection->held, connection->held + sent, connection->heldSize);
    if (connection->heldSize == 0)
        watch(connection, EPOLL_CTL_MOD, EPOLLIN);
}

/* Make room for twice as many requests. Each keeps a place of its own, as its session does not
   fit the old mask in any other's place. */
static void widen(struct connection *connection)
{
    uint32_t old = connection->mask, mask = 2 * old + 1;
    struct request *requests;

    if (mask >= MOST_OUTSTANDING)
        fail("connection %u: more requests than can be kept account of", connection->number);
    requests = allocate(NULL, ((size_t)mask + 1) * sizeof *requests);
    memset(requests, 0, ((size_t)mask + 1) * sizeof *requests);
    for (uint32_t place = 0; place <= old; place++)
        if (connection->requests[place].start != 0)
            requests[connection->requests[place].session & mask] = connection->requests[place];
    free(connection->requests);
    connection->requests = requests;
    connection->mask = mask;
}

void ask(struct connection *connection, uint32_t count, uint64_t start)
{
    unsigned char *end = out;
    struct request *request;
    uint32_t session;

    connection->outstanding += count;
    run.outstanding += count;
    while (count-- > 0) {
        session = ++connection->session;
        while ((request = &connection->requests[session & connection->mask])->start != 0)
            widen(connection);
        request->start = start;
        request->session = session;
        *end++ = (unsigned char)((contentSize + SESSION_SIZE) >> 8);
        *end++ = (unsigned char)(contentSize + SESSION_SIZE);
        memcpy(end, contentOf(connection, session), contentSize);
        end += contentSize;
        session = htonl(session);
        memcpy(end, &session, SESSION_SIZE);
        end += SESSION_SIZE;
        if (end - out > (ptrdiff_t)READ_SIZE) {
            push(connection, out, (size_t)(end - out));
            end = out;
        }
    }
    if (end != out)
        push(connection, out, (size_t)(end - out));
}

/* Compare a whole response with what it must be, and give the request that it answers. */
static struct request *verify(const struct connection *connection, const unsigned char *response)
{
    const unsigned char *content = response + LENGTH_SIZE;
    struct request *request;
    uint32_t session;

    memcpy(&session, response + responseSize - SESSION_SIZE, SESSION_SIZE);
    session = ntohl(session);
    request = &connection->requests[session & connection->mask];
    if (request->start == 0 || request->session != session)
        fail("connection %u: a response of session %u, of which no request is outstanding",
             connection->number, session);
    if (isGate && content[contentSize] != 1)
        fail("connection %u: the response of session %u has flag %u", connection->number, session,
             content[contentSize]);
    if (memcmp(content, contentOf(connection, session), contentSize) != 0)
        fail("connection %u: the response of session %u has another content", connection->number,
             session);
    return request;
}

/* Take all whole responses, and give the size of what was taken and their number. */
static size_t takeResponses(struct connection *connection, size_t size, uint64_t time,
                            uint32_t *count)
{
    size_t taken = 0, length;
    struct request *request;

    while (size - taken >= LENGTH_SIZE) {
        length = (size_t)in[taken] << 8 | in[taken + 1];
        if (length + LENGTH_SIZE != responseSize)
            fail("connection %u: a response of %zu bytes, where %u are due", connection->number,
                 length, responseSize - LENGTH_SIZE);
        if (size - taken < responseSize)
            break;
        request = verify(connection, in + taken);
        histogramAdd(&run.latencies, time > request->start ? time - request->start : 0);
        request->start = 0;
        taken += responseSize;
        ++*count;
    }
    return taken;
}

/* Take the answer of the handshake, once it is whole, and give its size. */
static size_t takeVerdict(struct connection *connection, size_t size)
{
    static const char welcome[] = "200 OK";
    size_t length = size < LENGTH_SIZE ? 0 : (size_t)in[0] << 8 | in[1];

    if (size < LENGTH_SIZE + length || size < LENGTH_SIZE)
        return 0;
    if (length != strlen(welcome) || memcmp(in + LENGTH_SIZE, welcome, length) != 0)
        fail("connection %u: its handshake was answered '%.*s'", connection->number,
             length < 100 ? (int)length : 100, (const char *)in + LENGTH_SIZE);
    connection->isGreeting = false;
    run.greeting--;
    return LENGTH_SIZE + length;
}

void readOnce(struct connection *connection)
{
    size_t size = connection->restSize, taken = 0;
    uint32_t count = 0;
    uint64_t time;
    ssize_t got = recv(connection->descriptor, in + size, READ_SIZE, 0);

    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (got <= 0)
        fail("connection %u: %s, with %u requests not answered", connection->number,
             got == 0 ? "closed by the server" : strerror(errno), connection->outstanding);
    time = run.progress = now();
    memcpy(in, connection->rest, size);
    size += (size_t)got;
    if (connection->isGreeting)
        taken = takeVerdict(connection, size);
    if (!connection->isGreeting && size > taken) {
        memmove(in, in + taken, size - taken);
        size -= taken;
        taken = takeResponses(connection, size, time, &count);
    }
    connection->restSize = (uint32_t)(size - taken);
    memcpy(connection->rest, in + taken, size - taken);
    connection->outstanding -= count;
    run.outstanding -= count;
    if (time < run.end) {
        run.answered += count;
        if (run.refills && count > 0)
            ask(connection, count, time);
    }
}

void connectOne(struct connection *connection, uint32_t number, uint16_t port, uint32_t depth,
                const unsigned char *hello, size_t size)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct timeval patience = {.tv_sec = (time_t)(PATIENCE / SECOND)};
    int yes = 1;

    memset(connection, 0, sizeof *connection);
    connection->number = number;
    connection->rest = allocate(NULL, LENGTH_SIZE + responseSize);
    connection->requests = allocate(NULL, sizeof *connection->requests);
    memset(connection->requests, 0, sizeof *connection->requests);
    while (connection->mask + 1 < depth)
        widen(connection);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection->descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection->descriptor < 0)
        fail("connection %u: %s", connection->number, strerror(errno));
    setsockopt(connection->descriptor, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(connection->descriptor, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (connect(connection->descriptor, (struct sockaddr *)&address, sizeof address) != 0)
        fail("connection %u: %s", connection->number, strerror(errno));
    fcntl(connection->descriptor, F_SETFL, O_NONBLOCK);
    watch(connection, EPOLL_CTL_ADD, EPOLLIN);
    if (hello == NULL) {
        ask(connection, 1, now());
    } else {
        connection->isGreeting = true;
        run.greeting++;
        push(connection, hello, size);
    }
}
